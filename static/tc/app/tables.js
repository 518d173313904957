// @ts-check
/**
 * What the chart shows as tables, for who reads instead of looking: the last candles and all
 * structures in view. Loaded when they are first asked for.
 */

import { visibleText } from "./card.js";
import { formatOf, nameOf, pricesText, readSlices, recordIn } from "./records.js";
/** @import {Candle} from "../types/api" */
/** @import {LivePage} from "./live.js" */
/** @import {Shape} from "../types/page" */

const CANDLES = 100;
const REST_MS = 400;

/** A place for a table that stays, and keeps the focus, when the table is another one. */
function framed() {
  const frame = document.createElement("div");
  frame.className = "scroll";
  // Where it is wider than the page, keys scroll it.
  frame.tabIndex = 0;
  frame.role = "group";
  return frame;
}

export default class Tables {
  #shown = "";
  /** @type {HTMLElement[]} */
  #frames = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #resting;

  /** @param {LivePage} page */
  constructor(page) {
    this.page = page;
    this.element = this.#find("data-tables");
    this.button = this.#find("data-table-toggle");
    page.followers.add(() => {
      if (!this.element.hidden) this.#resting ??= setTimeout(() => void this.#update(), REST_MS);
    });
  }

  async toggle() {
    this.element.hidden = !this.element.hidden;
    this.button.setAttribute("aria-pressed", String(!this.element.hidden));
    if (this.element.hidden) return;
    await this.#update();
    this.element.focus({ preventScroll: true });
  }

  /** @param {string} testid */
  #find(testid) {
    return /** @type {HTMLElement} */ (document.querySelector(`[data-testid=${testid}]`));
  }

  /** Write the tables again, if what is in view has changed. */
  async #update() {
    clearTimeout(this.#resting);
    const { chart, feed, words } = this.page;
    await readSlices(feed);
    this.#resting = undefined;
    const { all } = feed.candles;
    const { from, to } = chart.range ?? { from: 0, to: -1 };
    const end = Math.min(all.length, Math.floor(to) + 1);
    const start = Math.max(0, Math.ceil(from), end - CANDLES);
    const candles = all.slice(start, Math.max(start, end)).reverse();
    const shapes = chart.layer.at(from, to).sort((a, b) => this.#end(b) - this.#end(a));
    const last = candles[0];
    const time = last ? words.zonedTime(last.candle_time) : "";
    const tables = [
      this.#candles(words.say("table.candles", { n: candles.length, time }), candles),
      this.#structures(words.say("table.structures", { n: shapes.length }), shapes),
    ];
    const text = tables.map((table) => table.innerHTML).join("");
    if (text === this.#shown) return;
    this.#shown = text;
    tables.forEach((table, i) => {
      const frame = (this.#frames[i] ??= this.element.appendChild(framed()));
      frame.ariaLabel = table.caption?.textContent ?? "";
      frame.replaceChildren(table);
    });
  }

  /** @param {Shape} shape */
  #end({ points }) {
    return points.at(-1)?.time ?? 0;
  }

  /**
   * @param {string} caption
   * @param {Candle[]} candles
   */
  #candles(caption, candles) {
    const { page } = this;
    const heads = ["card.time", "table.open", "table.high", "table.low", "table.close", "table.volume"];
    const rows = candles.map(({ candle_time: time, open, high, low, close, volume }) => {
      const prices = [open, high, low, close].map((value) => page.price(value));
      return [page.words.time(time), ...prices, page.words.number(volume)];
    });
    return this.#table(caption, heads, rows, true);
  }

  /**
   * @param {string} caption
   * @param {Shape[]} shapes
   */
  #structures(caption, shapes) {
    const { page } = this;
    const format = formatOf(page);
    const heads = ["table.structure", "card.from", "card.to", "card.prices", "card.visible"];
    const rows = shapes.map((shape) => [
      nameOf(page.words, shape.feature),
      format.time(shape.points[0]?.time ?? 0),
      format.time(this.#end(shape)),
      pricesText(shape, format.price),
      visibleText(shape, recordIn(page, shape), format),
    ]);
    return this.#table(caption, heads, rows, false);
  }

  /**
   * @param {string} caption
   * @param {string[]} heads keys of texts
   * @param {string[][]} rows
   * @param {boolean} isNumeric whether all but the first column hold numbers
   */
  #table(caption, heads, rows, isNumeric) {
    const table = document.createElement("table");
    table.className = "narrow";
    table.createCaption().textContent = caption;
    const cell = (/** @type {string} */ tag, /** @type {string} */ text, /** @type {number} */ i) => {
      const made = document.createElement(tag);
      made.textContent = text;
      if (tag === "th") made.setAttribute("scope", i < 0 ? "row" : "col");
      if (isNumeric && i > 0) made.className = "number";
      return made;
    };
    table.createTHead().insertRow().append(
      ...heads.map((key, i) => cell("th", this.page.words.say(key), i)),
    );
    const body = table.createTBody();
    for (const [head = "", ...values] of rows) {
      const row = body.insertRow();
      row.append(cell("th", head, -1), ...values.map((value, i) => cell("td", value, i + 1)));
    }
    return table;
  }
}
