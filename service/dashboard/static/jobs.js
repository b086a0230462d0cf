"use strict";
// The list of jobs: its filter stands in the address, its rows are changed in place.
(() => {
  const $ = (id) => document.getElementById(id);
  const body = document.querySelector("#jobs tbody");
  const rows = new Map();
  const choice = { state: "", tag: "", name: "", page: 1 };
  let look = () => {};

  function readAddress() {
    const given = new URLSearchParams(location.search);
    for (const key of ["state", "tag", "name"]) choice[key] = given.get(key) ?? "";
    choice.page = Math.max(1, Number.parseInt(given.get("page"), 10) || 1);
    if ($("name").value.trim() !== choice.name) $("name").value = choice.name;
    if (![...$("tag").options].some((option) => option.value === choice.tag)) {
      $("tag").add(new Option(choice.tag));
      $("tag").hidden = false;
    }
    $("tag").value = choice.tag;
  }

  function question() {
    const asked = new URLSearchParams();
    for (const key of ["state", "tag", "name"]) if (choice[key]) asked.set(key, choice[key]);
    if (choice.page > 1) asked.set("page", choice.page);
    return asked.size ? `?${asked}` : "";
  }

  function choose(change) {
    Object.assign(choice, { page: 1 }, change);
    const address = location.pathname + question();
    if (address !== location.pathname + location.search) history.pushState(null, "", address);
    readAddress();
    look();
  }

  // --- what is shown ---

  function newRow(id) {
    const row = make("tr");
    row.parts = {};
    for (const name of ["id", "job", "state", "folds", "best", "time", "submitted"]) {
      const isNumber = ["id", "best", "time", "submitted"].includes(name);
      row.parts[name] = row.appendChild(make("td", isNumber ? `number is-${name}` : `is-${name}`));
    }
    write(row.parts.id, id);
    row.parts.link = row.parts.job.appendChild(make("a", "job-link"));
    row.parts.link.href = `/job/${id}`;
    row.parts.about = row.parts.job.appendChild(make("div", "about"));
    row.parts.tags = row.parts.job.appendChild(make("div", "tags"));
    row.parts.pill = row.parts.state.appendChild(make("span", "state"));
    row.parts.progress = row.parts.folds.appendChild(make("div", "progress"));
    const bar = row.parts.progress.appendChild(make("div", "bar"));
    bar.append(make("i", "done"), make("i", "failed"));
    row.parts.progress.append(make("span", "said"));
    return row;
  }

  function fill({ parts }, job) {
    write(parts.link, job.name);
    parts.link.title = job.name.length > 40 ? job.name : ""; // the end of a long one is cut
    write(parts.about, `${job.estimator} · ${job.data}`);
    write(parts.pill, job.state);
    parts.pill.dataset.state = job.state;
    parts.pill.title = job.reason ?? "";
    const tags = job.tags.join("\n");
    if (parts.tags.dataset.tags !== tags) {
      parts.tags.dataset.tags = tags;
      parts.tags.replaceChildren(...job.tags.map((tag) => {
        const button = make("button", "tag", tag);
        button.type = "button";
        button.title = `jobs tagged ${tag}`;
        button.addEventListener("click", () => choose({ tag }));
        return button;
      }));
    }
    drawProgress(parts.progress, job);
    write(parts.best, bestSoFar(job));
    parts.best.title = parameters(job.best_params);
    write(parts.time, job.time_left ? `${duration(job.time_left)} left` : duration(job.seconds));
    write(parts.submitted, clock(job.submitted_at));
    parts.submitted.title = job.submitted_at;
  }

  function showScheduler(found) {
    const { scheduler, engines } = found;
    const waiting = found.waiting ? " · files wait in incoming/" : "";
    const trouble = scheduler.trouble ? "trouble" : "running";
    $("scheduler").dataset.state = scheduler.running ? trouble : "none";
    if (scheduler.running) {
      const busy = engines.filter((engine) => engine.running.length).length;
      const known = engines.length < scheduler.n_engines ? "" : `, ${busy} busy`;
      write($("scheduler-text"), `scheduler running · process ${scheduler.pid} on ${scheduler.host}`
        + ` · ${counted(scheduler.n_engines, "engine")}${known}${waiting}`);
    } else {
      write($("scheduler-text"), `no scheduler running${waiting} · to start one: foldq serve`);
    }
    $("trouble").hidden = !scheduler.trouble;
    write($("trouble"), scheduler.trouble ?? "");
    const chips = engines.map((engine) => {
      const what = engine.running.map((load) => `job ${load.job_id}: ${
        load.kind === "fold" ? counted(load.n_tasks, "fold") : load.kind}`);
      const chip = make("li", what.length ? "busy" : "idle");
      chip.append(make("b", "", engine.id), make("span", "", what.join("; ") || "idle"));
      chip.title = `engine ${engine.id}: process ${engine.pid} on ${engine.host}, since ${clock(engine.joined_at)}`;
      return chip;
    });
    if (scheduler.n_engines > engines.length) {
      chips.push(make("li", "idle", `and ${grouped(scheduler.n_engines - engines.length)} more`));
    }
    $("engines").replaceChildren(...chips);
    const refused = found.refused.map((one) => make("li", "", `${one.file} was refused. ${one.message}`));
    if (found.n_refused > refused.length) {
      refused.unshift(make("li", "", `${counted(found.n_refused, "file")} were refused in the last hour. The last of them:`));
    }
    $("refused").hidden = !refused.length;
    $("refused").replaceChildren(...refused);
  }

  function showFilter(found) {
    $("note").hidden = !found.note;
    write($("note"), found.note ?? "");
    const state = found.note ? "" : choice.state; // of what is no state all are shown
    const all = Object.values(found.states).reduce((sum, n) => sum + n, 0);
    for (const button of $("states").children) {
      const own = button.dataset.state;
      const n = own ? found.states[own] ?? 0 : all;
      write(button.querySelector("small"), grouped(n));
      button.setAttribute("aria-pressed", String(own === state));
      button.hidden = Boolean(own) && !n && own !== state;
    }
    $("pages").hidden = found.n_pages < 2;
    const [newer, said, older] = $("pages").children;
    newer.disabled = found.page <= 1;
    older.disabled = found.page >= found.n_pages;
    write(said, `page ${grouped(found.page)} of ${grouped(found.n_pages)} · ${counted(found.n_jobs, "job")}`);
  }

  function show(found) {
    choice.page = found.page;
    showScheduler(found);
    showFilter(found);
    const shown = found.jobs.map((job) => {
      const row = rows.get(job.id) ?? newRow(job.id);
      rows.set(job.id, row);
      fill(row, job);
      return row;
    });
    const ids = new Set(found.jobs.map((job) => job.id));
    for (const id of [...rows.keys()]) if (!ids.has(id)) rows.delete(id);
    if (shown.length !== body.children.length || shown.some((row, i) => row !== body.children[i])) {
      body.replaceChildren(...shown);
    }
    const isNarrowed = choice.state || choice.tag || choice.name;
    $("jobs").hidden = !shown.length;
    $("empty").hidden = Boolean(shown.length);
    write($("empty"), found.unreadable ?? (isNarrowed
      ? "No job is like that."
      : "No jobs yet. Drop a job file into the spool's incoming/, or: foldq submit FILE"));
  }

  // --- what is asked ---

  $("states").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) choose({ state: button.dataset.state });
  });
  $("tag").addEventListener("change", () => choose({ tag: $("tag").value }));
  const named = () => choose({ name: $("name").value.trim() });
  let typing = null;
  $("name").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(named, 250);
  });
  $("filter").addEventListener("submit", (event) => { event.preventDefault(); named(); });
  $("pages").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    choose({ page: choice.page + Number(button.dataset.step) });
    scrollTo({ top: 0 });
  });
  addEventListener("popstate", () => { readAddress(); look(); });

  readAddress();
  look = follow(() => `/jobs.json${question()}`, show);
})();
