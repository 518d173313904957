// @ts-check
/**
 * The card of one structure: what, when, at which prices, since when visible, and the raw data.
 * Loaded with the first structure that is pointed at.
 */

import { barOf } from "../chart/layout.js";
import { formatOf, nameOf, recordIn, readSlices } from "./records.js";
import { candleSeconds } from "./series.js";
/** @import {LivePage} from "./live.js" */
/** @import {Words} from "./i18n.js" */
/** @import {Shape} from "../types/page" */

/** What may still change, so that only the newest slices say what it is. */
const UNSETTLED = new Set(["zhongshu.alive", "pen.extending", "pen.candidate", "anchor.current"]);
/** How many bars are shown beside a structure at least. */
const LEAST_BARS = 20;

/**
 * What the card says about a shape, as pairs of a text key and a value.
 * @param {Shape} shape
 * @param {Record<string, unknown> | null} record
 * @param {{price: (value: number) => string, time: (seconds: number) => string,
 *   bars: (from: number, to: number) => number | null, say: Words["say"]}} format
 * @returns {[string, string][]}
 */
export function cardRows(shape, record, { price, time, bars, say }) {
  const first = /** @type {{time: number, value: number}} */ (shape.points[0]);
  const last = shape.points.at(-1) ?? first;
  /** @type {[string, string][]} */
  const rows = [];
  if (shape.kind === "mark") {
    rows.push(["card.time", time(first.time)], ["card.price", price(first.value)]);
  } else {
    rows.push(["card.from", time(first.time)], ["card.to", time(last.time)]);
  }
  if (shape.kind === "box") {
    rows.push(["card.zg", price(first.value)], ["card.zd", price(last.value)]);
    rows.push(["card.entry", say(shape.up ? "up" : "down")]);
  }
  if (shape.kind === "line") {
    rows.push(["card.prices", `${price(first.value)} → ${price(last.value)}`]);
  }
  if (typeof record?.["reason"] === "string") {
    rows.push(["card.reason", say(`reason.${record["reason"]}`)]);
  }
  rows.push(["card.visible", visibleText(shape, record, { time, bars, say })]);
  return rows;
}

/**
 * Since when a shape is visible, as far as it is known.
 * @param {Shape} shape
 * @param {Record<string, unknown> | null} record
 * @param {{time: (seconds: number) => string, say: Words["say"],
 *   bars: (from: number, to: number) => number | null}} format
 */
export function visibleText(shape, record, { time, bars, say }) {
  const alive = shape.feature === "zhongshu.alive";
  const known = record?.[alive ? "formed_time" : "visible_time"];
  const since = shape.visibleTime ?? (typeof known === "number" ? known : null);
  if (since !== null && alive) return `${time(since)} · ${say("card.provisional")}`;
  if (since === null) return say(shape.feature === "pen.confirmed" ? "unknown" : "card.provisional");
  const delay = bars(shape.points.at(-1)?.time ?? since, since);
  const text = time(since);
  return delay ? `${text} · ${say("card.delay", { n: delay })}` : text;
}

export default class StructureCard {
  /** @param {LivePage} page */
  constructor(page) {
    this.page = page;
    this.words = page.words;
    this.element = /** @type {HTMLElement} */ (
      document.querySelector("[data-testid=structure-card]")
    );
    this.json = "";
    /** @type {number | undefined} */
    this.start = undefined;
    this.part("close").addEventListener("click", () => page.select(""));
    this.part("focus").addEventListener("click", () => this.#focus());
    this.part("copy").addEventListener("click", () => void this.#copy());
    this.part("copy").hidden = !("clipboard" in navigator);
  }

  /** Show what was clicked, else the line or mark that the pointer is on. */
  async update() {
    const { page } = this;
    const selected = page.store.get("selected");
    const id = selected || page.store.get("hovered");
    const shape = page.shapes.find((one) => one.id === id);
    if (!selected) page.chart.layer.setCauses([]);
    if (!shape || this.#isOther(shape) || page.tools?.active || (!selected && shape.kind === "box")) {
      this.#hide(selected);
      return;
    }
    this.#fill(shape, selected === id);
    if (!selected) return;
    const isSettled = recordIn(page, shape) && !UNSETTLED.has(shape.feature);
    if (!isSettled) {
      await readSlices(page.feed);
      if (page.store.get("selected") !== id) return;
      this.#fill(shape, true);
    }
    if (shape.kind === "box") (await import("./why.js")).explain(page, this, shape);
    else page.chart.layer.setCauses([]);
  }

  /**
   * Whether the shape has the id of the one that is pinned, but began elsewhere: ids of what is not
   * settled are used again.
   * @param {Shape} shape
   */
  #isOther(shape) {
    const { element } = this;
    const isShown = !element.hidden && element.classList.contains("pinned");
    return isShown && element.dataset["id"] === shape.id && this.start !== shape.points[0]?.time;
  }

  /**
   * Close the card; what is selected and no longer there is said.
   * @param {string} selected
   */
  #hide(selected) {
    const { page, element } = this;
    const isGone = !element.hidden && selected !== "" && selected === element.dataset["id"];
    if (element.contains(document.activeElement)) page.view.focus({ preventScroll: true });
    element.hidden = true;
    page.chart.layer.setCauses([]);
    if (!isGone || page.tools?.active) return;
    page.select("");
    void page.toast(this.words.say("card.gone", { name: this.part("title").textContent ?? "" }));
  }

  /**
   * @param {Shape} shape
   * @param {boolean} pinned whether it stays and can be used, or goes with the pointer
   */
  #fill(shape, pinned) {
    const { page, words } = this;
    const record = recordIn(page, shape);
    const rows = cardRows(shape, record, formatOf(page));
    const json = JSON.stringify({ instructions: shape.items, record }, null, 2);
    this.element.classList.toggle("pinned", pinned);
    // What has not changed stays, with what somebody has marked in it.
    const isSame = this.element.dataset["id"] === shape.id && this.json === json;
    if (isSame && !this.element.hidden) return;
    if (this.element.dataset["id"] !== shape.id) this.part("why").hidden = true;
    this.element.dataset["id"] = shape.id;
    this.part("title").textContent = nameOf(page.words, shape.feature);
    this.part("id").textContent = shape.id;
    this.part("rows").replaceChildren(...rows.flatMap((row) => this.#row(row)));
    this.json = json;
    this.start = shape.points[0]?.time;
    this.part("json").textContent = json;
    this.part("copy").textContent = words.say("card.copy");
    this.element.hidden = false;
  }

  /** @param {[string, string]} row */
  #row([key, value]) {
    const term = document.createElement("dt");
    term.textContent = this.words.say(key);
    const description = document.createElement("dd");
    description.textContent = value;
    return [term, description];
  }

  /** Show the structure from its beginning to its end, with as much around it. */
  #focus() {
    const { chart, feed, shapes } = this.page;
    const shape = shapes.find(({ id }) => id === this.element.dataset["id"]);
    if (!shape) return;
    const times = feed.candles.all.map((candle) => candle.candle_time);
    const bars = shape.points.map(({ time }) => barOf(times, candleSeconds(feed.seriesId), time));
    const [from, to] = [Math.max(0, Math.min(...bars)), Math.max(...bars)];
    const aside = Math.max(LEAST_BARS, (to - from) / 2);
    chart.setRange(from - aside, to + aside);
  }

  async #copy() {
    await navigator.clipboard.writeText(this.json);
    this.part("copy").textContent = this.words.say("card.copied");
  }

  /**
   * @param {string} name
   * @returns {HTMLElement}
   */
  part(name) {
    return /** @type {HTMLElement} */ (this.element.querySelector(`[data-part="${name}"]`));
  }
}
