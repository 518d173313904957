/**
 * The chart's modules on a page of their own, with more candles than /live holds, and ways to drive
 * and time them. `window.harness` is there once it is ready.
 */
import { Overlay } from "/static/tc/app/overlay.js";
import { buildShapes, countShapes } from "/static/tc/app/shapes.js";
import { ChartView } from "/static/tc/chart/chart.js";
import { readPalette } from "/static/tc/chart/palette.js";

const PAGE = 5000;
const SECONDS = 60;
const place = document.getElementById("chart");
const tasks = [];
new PerformanceObserver((list) => tasks.push(...list.getEntries().map((task) => task.duration))).observe({
  type: "longtask",
});

let candles = [];
let overlay = new Overlay();
let view = null;

async function read(path, query) {
  const answer = await fetch(`${path}?${new URLSearchParams(query)}`);
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

function painted() {
  return new Promise((done) =>
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = done;
      port2.postMessage(0);
    }),
  );
}

function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
}

window.harness = {
  /** Read the newest candles of the series, and what is drawn on them. */
  async load(series_id, count, head) {
    candles = [];
    overlay = new Overlay();
    for (let since = head - count * SECONDS; since < head; since = candles.at(-1).candle_time) {
      candles.push(...(await read("/api/market/candles", { series_id, since, limit: PAGE })).candles);
    }
    let last = null;
    for (let time = head; time > candles[0].candle_time; time -= PAGE * SECONDS) {
      const frame = await read("/api/frame/at_time", { series_id, at_time: time, window_candles: PAGE });
      last ??= frame.draw_state;
      overlay.keep(frame.draw_state.instruction_catalog_patch);
    }
    const older = overlay.active();
    overlay.replace(last);
    overlay.keep(older);
    const shapes = buildShapes(overlay.active(), candles);
    const counts = countShapes(shapes, () => true, candles[0].candle_time, candles.at(-1).candle_time);
    return { candles: candles.length, shapes: shapes.length, ...counts };
  },

  /** Put all of it on a new chart; return the milliseconds until it is painted, and the longest task. */
  async show() {
    place.replaceChildren();
    window.charts.length = 0;
    view = new ChartView(place, readPalette(place), "en");
    await painted();
    tasks.length = 0;
    const begin = performance.now();
    view.setCandles(candles, { kind: "all" }, null);
    view.setShapes(buildShapes(overlay.active(), candles), SECONDS);
    view.fit();
    await painted();
    const spent = performance.now() - begin;
    await new Promise((done) => setTimeout(done, 100));
    return { spent, longest: Math.max(0, ...tasks) };
  },

  /** Move the view with every frame; return frames per second, and the gaps between frames. */
  async drive(seconds, kind, from, to) {
    const scale = window.charts.at(-1).timeScale();
    const count = candles.length;
    const gaps = [];
    const begin = performance.now();
    let last = begin;
    for (let now = begin; now < begin + seconds * 1000; now = performance.now()) {
      const part = (now - begin) / (seconds * 1000);
      const there = part < 0.5 ? 2 * part : 2 - 2 * part;
      const width = kind === "pan" ? from : from * (to / from) ** there;
      const free = Math.max(0, count - width);
      const end = kind === "pan" ? count - Math.min(free, there * 3 * width) : count;
      scale.setVisibleLogicalRange({ from: end - width, to: end });
      await painted();
      gaps.push(performance.now() - last);
      last = performance.now();
    }
    return { fps: (1000 * gaps.length) / (last - begin), p95: quantile(gaps, 0.95), frames: gaps.length };
  },
};
