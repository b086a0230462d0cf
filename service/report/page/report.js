"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const read = (element) => JSON.parse(element.textContent);
  const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
  let printing = false;
  const isDark = () =>
    !printing && (root.dataset.theme ? root.dataset.theme === "dark" : systemIsDark.matches);
  const say = (text) => { document.getElementById("said").textContent = text; };

  async function unpacked(element) {
    const bytes = Uint8Array.from(atob(element.textContent.trim()), (sign) => sign.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  // --- plotly, carried along or fetched -------------------------------------------------------
  let library;
  const plotly = () => (library ??= (async () => {
    const packed = document.getElementById("plotly");
    if (packed) {
      const script = document.createElement("script");
      script.textContent = await unpacked(packed);
      document.head.append(script);
    }
    if (!window.Plotly) throw new Error("plotly.js is not there");
    return window.Plotly;
  })());

  // --- plots ----------------------------------------------------------------------------------
  const themes = read(document.getElementById("themes"));
  /** Pixels across a printed page, A4 or Letter. */
  const PRINTED = 680;
  const template = () => themes[isDark() ? "dark" : "light"];
  const config = {
    responsive: true, displaylogo: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
  };

  // Blue and grey that stand out from a dark ground as much as from a light one.
  const onDark = [["#0072b2", "#5aaee6"], ["0,114,178,.15", "90,174,230,.18"], ["#56b4e9", "#b5dcf7"], ["#8a8f98", "#9aa2ad"]];
  function shaded(traces) {
    let text = JSON.stringify(traces);
    if (isDark()) for (const [light, dark] of onDark) text = text.replaceAll(light, dark);
    return JSON.parse(text);
  }

  // Lines of the parallel coordinates name the part of the colour scale they are drawn in.
  function recolored(traces) {
    const steps = template().layout.colorscale.sequential;
    const channels = (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
    for (const trace of traces) {
      if (trace.meta?.step === undefined) continue;
      const place = trace.meta.step * (steps.length - 1);
      const [one, other] = [steps[Math.floor(place)], steps[Math.min(Math.floor(place) + 1, steps.length - 1)]];
      const share = place - Math.floor(place);
      const [a, b] = [channels(one[1]), channels(other[1])];
      trace.line.color = `rgb(${a.map((x, i) => Math.round(x * (1 - share) + b[i] * share))})`;
    }
    return traces;
  }

  // A menu of plotly's own is no form control: one of the page takes its place.
  function menuOf(figure, layout, holder) {
    const menu = layout.updatemenus?.[0];
    delete layout.updatemenus;
    if (!menu) return;
    layout.margin = { ...layout.margin, t: 16 };
    const label = document.createElement("label");
    label.className = "choice";
    label.append("Parameters ");
    const select = document.createElement("select");
    for (const button of menu.buttons) {
      const choice = document.createElement("option");
      choice.innerHTML = button.label; // escaped where it was made
      select.append(choice);
    }
    select.addEventListener("change", async () => {
      figure.chosen = select.selectedIndex;
      (await plotly()).update(holder, ...structuredClone(menu.buttons[figure.chosen].args));
    });
    label.append(select);
    holder.closest("figure").querySelector(".choice")?.remove();
    holder.closest(".scroll").before(label);
    if (figure.chosen && menu.buttons[figure.chosen]) {
      select.selectedIndex = figure.chosen;
      const [of_traces, of_layout] = menu.buttons[figure.chosen].args;
      figure.plot.data.forEach((trace, i) => { trace.visible = of_traces.visible[i]; });
      for (const [path, value] of Object.entries(of_layout)) {
        const [axis] = path.split(".");
        layout[axis].title.text = value;
      }
    }
  }

  // Room for the words under an axis that has its own.
  function wanted(axis) {
    const words = axis?.ticktext ?? [];
    return words.length * Math.max(84, ...words.map((word) => 6 * word.length + 12));
  }

  // Numbers in cells too narrow for them are no numbers.
  function numbered(traces, width) {
    for (const trace of traces) {
      if (trace.type === "heatmap" && (width - 140) / trace.x.length < 48) delete trace.texttemplate;
    }
    return traces;
  }

  const figures = new Map();
  async function draw(figure) {
    const Plotly = await plotly();
    const { holder } = figure;
    figure.plot ??= JSON.parse(await unpacked(figure.packed));
    holder.style.setProperty("--least", `${wanted(figure.plot.layout.xaxis)}px`);
    const layout = structuredClone(figure.plot.layout);
    menuOf(figure, layout, holder);
    if (printing) layout.width = holder.closest(".grid") ? PRINTED / 2 - 12 : PRINTED;
    if ((layout.width ?? layout.width ?? holder.clientWidth) < 520) {  // room for the plot, not for what stands around it
      layout.margin = { ...layout.margin, l: 8, r: 8 };
      if (layout.coloraxis?.colorbar) {
        layout.coloraxis.colorbar = { ...layout.coloraxis.colorbar, orientation: "h", y: 1.02, yanchor: "bottom", thickness: 10, title: { ...layout.coloraxis.colorbar.title, side: "top" } };
        layout.margin.t = 70;
        layout.height += 50;
        holder.style.height = `${layout.height}px`;
      }
    }
    layout.template = template();
    await Plotly.react(holder, numbered(recolored(shaded(figure.plot.data)), layout.width ?? holder.clientWidth), layout, config);
    figure.drawn = true;
  }

  const drawAgain = () => Promise.all([...figures.values()].filter((one) => one.drawn).map(draw));

  // What was not scrolled to is drawn when there is time: a print cannot wait for it.
  async function drawRest() {
    const next = [...figures.values()].find((figure) => !figure.drawn && !figure.failed);
    if (!next) return;
    await draw(next).catch(() => { next.failed = true; });
    later(drawRest);
  }
  const later = window.requestIdleCallback ?? ((task) => setTimeout(task, 50));

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const figure = entry.isIntersecting && figures.get(entry.target.closest("figure")?.id);
      if (!figure) continue;
      seen.unobserve(entry.target);
      draw(figure).catch((error) => {
        figure.holder.textContent = `This plot cannot be drawn here: ${error.message}`;
      });
    }
  }, { rootMargin: "600px" });

  function takeIn() {
    for (const element of all("#plots figure")) {
      const holder = element.querySelector(".plot");
      const packed = element.querySelector("script");
      const known = figures.get(element.id);
      figures.set(element.id, { id: element.id, holder, packed, drawn: false, chosen: known?.chosen });
      seen.observe(holder);
    }
  }

  // --- light and dark -------------------------------------------------------------------------
  const button = document.getElementById("theme");
  function shade() {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
    button.removeAttribute("aria-pressed");
    drawAgain();
  }
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("foldq-theme", root.dataset.theme); } catch { /* no storage here */ }
    shade();
  });
  systemIsDark.addEventListener("change", shade);
  addEventListener("beforeprint", () => { printing = true; drawAgain(); });
  addEventListener("afterprint", () => { printing = false; shade(); });

  // --- copying --------------------------------------------------------------------------------
  async function copy(text, from) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    say("Copied.");
    if (from) {
      const before = from.textContent;
      from.textContent = "Copied";
      setTimeout(() => { from.textContent = before; }, 1500);
    }
  }
  document.addEventListener("click", (event) => {
    const one = event.target.closest(".copy");
    if (one) copy(one.parentElement.querySelector("pre").textContent, one);
    const icon = event.target.closest(".model .copy-paste-icon");  // of scikit-learn's view
    if (icon) {
      const prefix = icon.closest(".sk-toggleable__content")?.dataset.paramPrefix ?? "";
      const cell = icon.parentElement.nextElementSibling?.textContent ?? "";
      copy(prefix + cell.trim().split(/\s/)[0]);
    }
  });

  // --- the table ------------------------------------------------------------------------------
  const filtered = { text: "" };
  function table() {
    const body = document.querySelector(".trials tbody");
    if (!body) return;
    const heads = all(".trials thead th");
    const keyOf = (row, at) => {
      const cell = row.cells[at];
      return cell.dataset.key === undefined ? cell.textContent : parseFloat(cell.dataset.key);
    };
    function order(at, down) {
      const sign = down ? -1 : 1;
      const rows = [...body.rows].map((row) => [keyOf(row, at), row]);
      rows.sort(([a], [b]) => {
        const [noA, noB] = [a === "" || Number.isNaN(a), b === "" || Number.isNaN(b)];
        if (noA || noB) return noA - noB;  // what is missing comes last either way
        if (typeof a === "number" && typeof b === "number") return sign * (a - b);
        return sign * String(a).localeCompare(String(b), undefined, { numeric: true });
      });
      body.append(...rows.map(([, row]) => row));
      heads.forEach((head, i) => {
        if (i === at) head.setAttribute("aria-sort", down ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
      });
    }
    heads.forEach((head, at) => {
      if (head.classList.contains("fixed")) return;
      const sorter = document.createElement("button");
      sorter.type = "button";
      sorter.append(...head.childNodes);
      head.append(sorter);
      sorter.addEventListener("click", () => order(at, head.getAttribute("aria-sort") === "ascending"));
    });

    const names = heads.map((head) => head.textContent.trim().toLowerCase());
    const field = document.getElementById("filter");
    const compare = {
      ">": (a, b) => a > b, "<": (a, b) => a < b, ">=": (a, b) => a >= b, "<=": (a, b) => a <= b,
      "=": (a, b) => a === b, "!=": (a, b) => a !== b,
    };
    function test(word) {
      const [, name, sign, value] = word.match(/^(.+?)(>=|<=|!=|=|>|<)(.+)$/) ?? [];
      const at = names.indexOf(name);
      if (at < 0) return (row) => row.textContent.toLowerCase().includes(word);
      const number = parseFloat(value);
      return (row) => {
        const key = keyOf(row, at);
        if (typeof key === "number" && !Number.isNaN(number)) return compare[sign](key, number);
        const text = row.cells[at].textContent.trim().toLowerCase();
        return sign === "!=" ? text !== value : sign === "=" && text === value;
      };
    }
    function filter() {
      filtered.text = field.value;
      const tests = field.value.toLowerCase().split(/\s+/).filter(Boolean).map(test);
      let n = 0;
      for (const row of body.rows) {
        row.hidden = !tests.every((passes) => passes(row));
        n += !row.hidden;
      }
      document.getElementById("matches").textContent = tests.length ? `${n} of ${body.rows.length}` : "";
    }
    field.addEventListener("input", filter);
    field.value = filtered.text;
    filter();
  }

  // --- a search that is not over --------------------------------------------------------------
  async function follow() {
    const wait = parseFloat(document.querySelector("main").dataset.refresh);
    if (!(wait > 0)) return;
    await new Promise((resolve) => setTimeout(resolve, wait * 1000));
    try {
      const answer = document.hidden ? null : await fetch(location.href);
      if (answer?.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const open = new Set(all("details[open]").map((details) => details.querySelector("summary").textContent));
        // A plot that is drawn stays where it is until it is drawn anew: nothing flashes.
        for (const figure of figures.values()) {
          const place = page.getElementById(figure.id)?.querySelector(".plot");
          if (!place) {
            window.Plotly?.purge(figure.holder);
            figures.delete(figure.id);
          } else if (figure.drawn) {
            figure.holder.style.height = place.style.height;
            figure.holder.setAttribute("aria-label", place.getAttribute("aria-label"));
            place.replaceWith(document.adoptNode(figure.holder));
          }
        }
        for (const part of ["header > div", "nav", "main"]) {
          document.querySelector(part).replaceWith(document.adoptNode(page.querySelector(part)));
        }
        for (const details of all("details")) {
          details.open ||= open.has(details.querySelector("summary").textContent);
        }
        takeIn();
        table();
      }
    } catch { /* the server is away; the page stays as it was */ }
    follow();
  }

  function start() {
    takeIn();
    table();
    shade();
    if (!document.querySelector("main").dataset.refresh) later(drawRest);
    follow();
  }
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start();
})();
