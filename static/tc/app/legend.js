// @ts-check
/** The line of numbers above the chart: the bar under the crosshair, or the newest one. */

/** @import {Candle} from "../types/api" */
/** @import {Words} from "./i18n.js" */

export class Legend {
  /**
   * @param {HTMLElement} element
   * @param {Words} words
   */
  constructor(element, words) {
    this.element = element;
    this.words = words;
  }

  /**
   * @param {Candle[]} candles
   * @param {number | null} index of the bar under the crosshair; null for the newest
   * @param {number} decimals
   */
  show(candles, index, decimals) {
    const at = index ?? candles.length - 1;
    const candle = candles[at];
    this.element.hidden = !candle;
    if (!candle) return;
    const before = candles[at - 1]?.close ?? candle.open;
    const change = before ? (candle.close - before) / before : 0;
    this.element.dataset["trend"] = candle.close >= candle.open ? "up" : "down";
    const { words } = this;
    const price = (/** @type {number} */ value) => words.number(value, decimals);
    this.#fill([
      ["", words.zonedTime(candle.candle_time), "when"],
      [words.say("open"), price(candle.open)],
      [words.say("high"), price(candle.high)],
      [words.say("low"), price(candle.low)],
      [words.say("close"), price(candle.close)],
      ["", words.percent(change)],
      [words.say("volume"), words.number(candle.volume)],
      ["", words.say("bar_of", { i: at + 1, count: candles.length }), "place"],
    ]);
  }

  /** @param {[string, string, string?][]} parts */
  #fill(parts) {
    const items = parts.map(([name, value, part = "value"]) => {
      const item = document.createElement("span");
      item.dataset["legend"] = part;
      item.append(name ? `${name} ` : "", Object.assign(document.createElement("b"), { textContent: value }));
      return item;
    });
    this.element.replaceChildren(...items);
  }
}
