"use strict";
// What the live pages share: asking again and again, and how numbers and times are written.

/** Milliseconds between two looks, and after a failed one. */
const EVERY = 1500;
const AFTER_FAILURE = 4000;

/**
 * Fetch an address again and again and show what comes, while anybody can see the page.
 * `address()` gives the address. Returns a function that looks at once.
 */
function follow(address, show) {
  let timer = null;
  let running = null;
  const stale = document.getElementById("stale");
  const say = (text) => { stale.textContent = text; stale.hidden = !text; };

  async function look() {
    clearTimeout(timer);
    running?.abort();
    if (document.hidden) return;
    const mine = (running = new AbortController());
    let wait = EVERY;
    try {
      const answer = await fetch(address(), { signal: mine.signal, cache: "no-store" });
      if (mine.signal.aborted) return;
      if (answer.status === 401) {
        say("The dashboard was started anew: open the address that it printed.");
        return;
      }
      const found = await answer.json();
      if (mine.signal.aborted) return;
      if (!answer.ok) throw new Error(found.error);
      say("");
      show(found);
    } catch (error) {
      if (mine.signal.aborted) return;
      say(error instanceof TypeError
        ? "The dashboard does not answer. What you see is as it was; it is asked again."
        : error.message);
      wait = AFTER_FAILURE;
    }
    timer = setTimeout(look, wait);
  }
  document.addEventListener("visibilitychange", look);
  look();
  return look;
}

/** Set the text of an element, with a sign for each character that is more than a sign. */
function write(element, text) {
  const shown = String(text).replace(
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, "\ufffd");
  if (element.textContent !== shown) element.textContent = shown;
}

function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== "") write(element, text);
  return element;
}

const grouped = (n) => Number(n).toLocaleString("en-US");
const counted = (n, what) => `${grouped(n)} ${what}${n === 1 ? "" : "s"}`;
const twoDigits = (n) => String(n).padStart(2, "0");

/** A length of time as people say it: 0.4 s, 12 s, 3:05, 2:10:00, 3 d 4 h. */
function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const [hours, minute, second] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (hours >= 48) return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  return hours ? `${hours}:${twoDigits(minute)}:${twoDigits(second)}` : `${minute}:${twoDigits(second)}`;
}

/** A score with four digits after the point, or as many as a small one needs. */
function score(value) {
  if (value === null || value === undefined) return "";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  const size = Math.abs(value);
  if (value && (size < 0.001 || size >= 1e6)) return Number(value.toPrecision(4)).toExponential();
  return value.toFixed(size >= 100 ? 2 : 4);
}

/** The best so far: ~0.9733 as long as no candidate has all of its folds. */
function bestSoFar(job) {
  return job.best_partial === null ? score(job.best_score) : `~${score(job.best_partial)}`;
}

/** Parameters as people type them: svc__C=10, svc__kernel=rbf. */
function parameters(values) {
  return Object.entries(values ?? {}).map(([name, value]) => `${name}=${valueText(value)}`).join(", ");
}

function valueText(value) {
  if (Array.isArray(value)) return `[${value.map(valueText).join(", ")}]`;
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
  if (value === null || typeof value !== "object") return String(value);
  for (const key of ["$type", "$function", "$dtype", "$float"]) {
    if (!(key in value)) continue;
    const { [key]: name, ...rest } = value;
    return key === "$type" ? `${name}(${parameters(rest)})` : String(name);
  }
  if ("$tuple" in value) return `(${value.$tuple.map(valueText).join(", ")}${value.$tuple.length === 1 ? "," : ""})`;
  return `{${Object.entries(value).map(([k, v]) => `${k}: ${valueText(v)}`).join(", ")}}`;
}

/** A moment of the records in the reader's own zone: the time of day, or the date with it. */
function clock(text) {
  const moment = new Date(text);
  const time = `${twoDigits(moment.getHours())}:${twoDigits(moment.getMinutes())}`;
  if (moment.toDateString() === new Date().toDateString()) return `${time}:${twoDigits(moment.getSeconds())}`;
  const date = [moment.getFullYear(), moment.getMonth() + 1, moment.getDate()].map(twoDigits);
  return `${date.join("-")} ${time}`;
}

/** Draw how far a job is into a `.progress` element. */
function drawProgress(element, job) {
  element.hidden = !job.n_tasks;
  if (!job.n_tasks) return;
  const bar = element.querySelector(".bar");
  bar.dataset.state = job.state;
  bar.querySelector(".done").style.width = `${(100 * job.n_done) / job.n_tasks}%`;
  bar.querySelector(".failed").style.width = `${(100 * job.n_failed) / job.n_tasks}%`;
  const failed = job.n_failed ? ` · ${grouped(job.n_failed)} failed` : "";
  const said = element.querySelector(".said");
  write(said, `${grouped(job.n_done + job.n_failed)}/${grouped(job.n_tasks)}${failed}`);
  said.style.minWidth = `${2 * grouped(job.n_tasks).length + 1}ch`; // so that the bar keeps its length
  said.classList.toggle("bad", job.n_failed > 0);
}

const hasEnded = (job) => ["completed", "failed", "cancelled"].includes(job.state);
