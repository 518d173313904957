// @ts-check
/**
 * The line of numbers above the chart: the bar under the crosshair, or the newest one. Loaded after
 * the chart.
 */

/** @import {LivePage} from "./live.js" */

export default class Legend {
  /** @param {LivePage} page */
  constructor(page) {
    this.page = page;
    this.element = /** @type {HTMLElement} */ (document.querySelector("[data-part=legend]"));
    page.legend = this;
    this.show();
  }

  show() {
    const { bar, decimals, feed, words } = this.page;
    const candles = feed.candles.all;
    const at = bar ?? candles.length - 1;
    const candle = candles[at];
    this.element.hidden = !candle;
    if (!candle) return;
    const before = candles[at - 1]?.close ?? candle.open;
    const change = before ? (candle.close - before) / before : 0;
    this.element.dataset["trend"] = candle.close >= candle.open ? "up" : "down";
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
