"use strict";
const root = document.documentElement;
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const darkness = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : darkness.matches);

async function plotly() {
  const packed = document.getElementById("plotly");
  if (!packed) return window.Plotly;
  const bytes = Uint8Array.from(atob(packed.textContent.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
  return window.Plotly;
}

async function start() {
  const Plotly = await plotly();
  const themes = read("themes");
  for (const holder of document.querySelectorAll("#plots figure")) {
    const data = JSON.parse(holder.querySelector("script").textContent);
    const layout = { ...data.layout, template: themes[isDark() ? "dark" : "light"] };
    Plotly.newPlot(holder.querySelector(".plot"), data.data, layout, { responsive: true, displaylogo: false });
  }
}
addEventListener("DOMContentLoaded", start);
