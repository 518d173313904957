// @ts-check
/**
 * The keyboard: what each key does. A button with `data-key` does what its key does. Loaded with
 * the first of them, so that the chart need not wait for it.
 */

import { formatOf, nameOf, pricesText } from "./records.js";
/** @import {ChartView} from "../chart/chart.js" */
/** @import {SeriesControls} from "./controls.js" */
/** @import {LivePage} from "./live.js" */

const ZOOM = 1.25;
/** @type {Record<string, string>} */
const FACTORS = { p: "pivot", b: "pen", z: "zhongshu", a: "anchor", s: "sr" };

/** @param {string} selector */
function find(selector) {
  return /** @type {HTMLElement | null} */ (document.querySelector(selector));
}

/**
 * Choose the symbol that stands so many places further in the list.
 * @param {SeriesControls} controls
 * @param {number} by
 */
function step(controls, by) {
  const option = controls.symbols.options[controls.symbols.selectedIndex + by];
  if (option) controls.choose({ symbol: option.value });
}

/**
 * Zoom around the middle of the view, or around the newest bar while that is in view.
 * @param {ChartView} chart
 * @param {number} factor
 */
function zoom(chart, factor) {
  const { range } = chart;
  if (!range) return;
  const middle = chart.showsHead ? range.to : (range.from + range.to) / 2;
  const end = (/** @type {number} */ at) => middle + (at - middle) / factor;
  chart.setRange(end(range.from), end(range.to));
}

/** @type {Record<string, (keys: Keys, page: LivePage, big: boolean) => unknown>} */
const ANYWHERE = {
  "?": async (_, page) => {
    /** @type {HTMLDialogElement} */ (find("[data-testid=shortcut-help]")).showModal();
    await page.later("speech");
  },
  "/": () => find("[data-testid=series-search]")?.focus(),
  f: () => find("[data-part=factors] input")?.focus(),
  "[": (_, page) => step(page.controls, -1),
  "]": (_, page) => step(page.controls, 1),
  "+": (_, page) => zoom(page.chart, ZOOM),
  "-": (_, page) => zoom(page.chart, 1 / ZOOM),
  "0": (_, page) => page.chart.fit(),
  g: async (_, page) => (await page.later("calendar")).ask(),
  t: async (_, page) => (await page.later("tables")).toggle(),
  home: (_, page) => page.chart.beginAt(0),
  end: (_, page) => page.chart.goToLatest(),
  l: (_, page) => page.chart.goToLatest(),
  r: (keys) => keys.run("measure"),
  m: (keys) => keys.run("measure"),
  delete: (_, page) => page.tools?.remove(),
  escape: (_, page) => page.tools?.cancel() || page.select(""),
};
/** What has a button and no key of its own. */
/** @type {typeof ANYWHERE} */
const BUTTONS = {
  measure: async (_, page) => (await page.later("draw")).start("measure"),
  line: async (_, page) => (await page.later("draw")).start("line"),
  level: async (_, page) => (await page.later("draw")).start("level"),
  undo: (_, page) => page.tools?.undo(),
  markets: async (_, page) => (await page.later("side")).toggle("Market"),
  events: async (_, page) => (await page.later("side")).toggle("Debug"),
};
/** Only while the chart itself has the focus: elsewhere these keys scroll and press. */
/** @type {typeof ANYWHERE} */
const ON_CHART = {
  arrowleft: (keys, _, big) => keys.move(big ? -10 : -1),
  arrowright: (keys, _, big) => keys.move(big ? 10 : 1),
  arrowup: (keys) => keys.next(-1),
  arrowdown: (keys) => keys.next(1),
  enter: (_, page) =>
    page.tools?.active
      ? page.tools.take(page.tools.atCrosshair)
      : page.select(page.store.get("hovered")),
};

/** Every key that does something, for the list of them. */
export const NAMES = Object.keys({ ...ANYWHERE, ...ON_CHART, ...FACTORS });

export default class Keys {
  /** @param {LivePage} page */
  constructor(page) {
    this.page = page;
  }

  /** @param {Event} event a key that is pressed, or a click */
  handle(event) {
    if (event instanceof KeyboardEvent) this.#press(event);
    else {
      const button = /** @type {Element} */ (event.target).closest("[data-key]");
      if (button) this.run(button.getAttribute("data-key") ?? "");
    }
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.altKey || find("dialog[open]")) return;
    if (target.matches("select, textarea, input:not([type=checkbox])")) return;
    if (event.ctrlKey || event.metaKey) {
      if (event.key === "z" && this.page.tools?.drawings.canUndo) this.run("undo");
      return;
    }
    const onChart = target === this.page.view;
    if (this.#run(event.key.toLowerCase(), event.shiftKey, onChart)) event.preventDefault();
  }

  /**
   * Do what a button stands for.
   * @param {string} name
   */
  run(name) {
    const action = BUTTONS[name];
    if (action) action(this, this.page, false);
    else this.#run(name, false);
  }

  /**
   * Do what the key stands for; false where it stands for nothing.
   * @param {string} key
   * @param {boolean} big
   */
  #run(key, big, onChart = false) {
    const action = ANYWHERE[key] ?? (onChart ? ON_CHART[key] : undefined);
    const button = /^[1-6]$/.test(key)
      ? find(`[data-part=timeframes] button:nth-child(${key})`)
      : find(`[data-testid="factor-toggle-${FACTORS[key]}"]`);
    if (action) action(this, this.page, big);
    else button?.click();
    return Boolean(action ?? button);
  }

  /** @param {number} bar to be brought into view */
  #reveal(bar) {
    const { chart } = this.page;
    const { range } = chart;
    if (!range) return;
    if (bar < range.from + 1) chart.beginAt(bar - 1);
    if (bar > range.to - 1) chart.beginAt(bar + 1 - (range.to - range.from));
  }

  /**
   * Move the crosshair by this many bars.
   * @param {number} by
   */
  move(by) {
    const { page } = this;
    const last = page.feed.candles.all.length - 1;
    if (last < 0) return;
    const { range, showsHead } = page.chart;
    const middle = range && !showsHead ? Math.round((range.from + range.to) / 2) : last;
    const from = page.bar ?? (showsHead && by < 0 ? last + 1 : middle);
    page.bar = Math.min(last, Math.max(0, from + by));
    this.#reveal(page.bar ?? last);
    page.chart.setCrosshair(page.bar ?? last);
    page.store.set({ hovered: "" });
    page.legend?.show();
    page.tools?.preview(page.tools.atCrosshair);
    if (!page.tools?.active) void this.#say();
  }

  /**
   * Go to the next structure under the crosshair.
   * @param {number} by
   */
  next(by) {
    const { page } = this;
    const ids = this.#under().map(({ id }) => id);
    const at = ids.indexOf(page.store.get("hovered"));
    const place = at < 0 ? (by > 0 ? 0 : -1) : (at + by) % ids.length;
    page.store.set({ hovered: ids.at(place) ?? "" });
    void this.#say();
  }

  #under() {
    return this.page.chart.layer.at(this.page.bar ?? this.page.feed.candles.all.length - 1);
  }

  /** Tell of the bar under the crosshair, or of the structure that was gone to. */
  async #say() {
    const speech = await this.page.later("speech");
    speech.say(() => {
      const hovered = this.page.store.get("hovered");
      const shapes = this.#under().filter(({ id }) => !hovered || id === hovered);
      const format = formatOf(this.page);
      const names = shapes.map(
        (shape) => `${nameOf(this.page.words, shape.feature)} ${pricesText(shape, format.price)}`,
      );
      const bar = [...(this.page.legend?.element.children ?? [])].map((part) => part.textContent);
      return [...(hovered ? [] : bar), ...names].join("; ");
    });
  }
}
