"use strict";
// Before anything is drawn: the ground that the reader chose the last time.
try {
  const chosen = localStorage.getItem("foldq-theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch { /* a page opened from a file may have no storage */ }
document.documentElement.classList.add("js");
