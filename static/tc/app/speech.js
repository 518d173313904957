// @ts-check
/**
 * Tells who listens instead of looking: once a second at most, and of closed candles only on wish.
 * Loaded with the first thing to say.
 */

import { loadState, saveState } from "./saved.js";
/** @import {LivePage} from "./live.js" */
/** @import {MarketMessage} from "../types/api" */

const EVERY_MS = 1000;

export default class Speech {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #waiting;
  #saidAt = -Infinity;

  /** @param {LivePage} page */
  constructor(page) {
    this.page = page;
    page.speech = this;
    this.place = /** @type {HTMLElement} */ (document.querySelector("[data-part=spoken]"));
    this.wish = /** @type {HTMLInputElement} */ (document.querySelector("#speak-closed"));
    this.wish.checked = loadState(localStorage)["speakClosed"] === true;
    this.wish.addEventListener("change", () => {
      saveState(localStorage, { speakClosed: this.wish.checked });
    });
  }

  /** @param {MarketMessage} message */
  hear(message) {
    if (!this.wish.checked) return;
    const closed = message.type === "candle_closed" ? message.candle : undefined;
    const candle = message.type === "candles_batch" ? message.candles.at(-1) : closed;
    if (!candle) return;
    const { page } = this;
    const values = { time: page.words.zonedTime(candle.candle_time), price: page.price(candle.close) };
    this.say(() => page.words.say("spoken.closed", values));
  }

  /**
   * Say the newest of what there is to say.
   * @param {() => string} text
   */
  say(text) {
    clearTimeout(this.#waiting);
    const wait = Math.max(0, this.#saidAt + EVERY_MS - performance.now());
    this.#waiting = setTimeout(() => {
      this.#saidAt = performance.now();
      this.place.textContent = text();
    }, wait);
  }
}
