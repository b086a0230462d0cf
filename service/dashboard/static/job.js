"use strict";
// One job: what moves stands above its report, which refreshes itself while the job runs.
(() => {
  const $ = (id) => document.getElementById(id);
  const frame = $("report");
  let state = null;

  function show({ job, scheduler }) {
    write($("state"), job.state);
    $("state").dataset.state = job.state;
    drawProgress($("progress"), job);
    write($("best-label"), hasEnded(job) ? "Best" : "Best so far");
    write($("best"), bestSoFar(job) || "–");
    write($("params"), parameters(job.best_params) || "–");
    write($("time-label"), job.time_left ? "Time left" : hasEnded(job) ? "Took" : "Time so far");
    write($("time"), duration(job.time_left || job.seconds) || "–");
    $("reason").hidden = !job.reason;
    write($("reason"), job.reason ?? "");
    const stands = !scheduler.running && !hasEnded(job)
      ? "No scheduler is running, so nothing will change. To start one: foldq serve" : "";
    $("trouble").hidden = !scheduler.trouble && !stands;
    write($("trouble"), scheduler.trouble ?? stands);
    // The last figures, and the model that was saved: from now on the report is a finished one.
    if (state && state !== job.state && hasEnded(job)) frame.contentWindow.location.reload();
    state = job.state;
  }

  // The report is a page of its own; here it is as long as it needs to be, and without its own head.
  let watching = null;
  function settle() {
    const inner = frame.contentDocument;
    if (!inner?.body) return;
    $("drawing").hidden = Boolean(inner.title); // an empty page has none
    const fit = () => { frame.style.height = `${Math.ceil(inner.documentElement.getBoundingClientRect().height)}px`; };
    inner.documentElement.style.overflow = "hidden"; // the page around it scrolls
    const head = inner.querySelector("body > header");
    if (head) head.style.display = "none";
    inner.body.style.padding = "0";
    inner.body.style.maxWidth = "none";
    inner.body.style.display = "flow-root"; // margins within, so that they count for its height
    watching?.disconnect();
    watching = new ResizeObserver(fit);
    watching.observe(inner.documentElement);
    fit();
  }
  frame.addEventListener("load", settle);
  if (frame.contentDocument?.readyState === "complete") settle();

  follow(() => `${$("job").dataset.url}.json`, show);
})();
