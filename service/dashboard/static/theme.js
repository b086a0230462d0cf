"use strict";
// Before anything is drawn: the ground that the reader chose, here or in a report.
(() => {
  const root = document.documentElement;
  const key = "foldq-theme";
  const darkness = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : darkness.matches);
  const recall = () => {
    const chosen = localStorage.getItem(key);
    if (chosen) root.dataset.theme = chosen;
    else delete root.dataset.theme;
  };
  recall();
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    const label = () => { button.textContent = isDark() ? "Light" : "Dark"; };
    button.hidden = false;
    button.addEventListener("click", () => {
      localStorage.setItem(key, isDark() ? "light" : "dark");
      recall();
      label();
    });
    darkness.addEventListener("change", label);
    addEventListener("storage", () => { recall(); label(); });
    label();
  });
})();
