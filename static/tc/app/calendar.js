// @ts-check
/** Asks for a date and goes there. Loaded with the first question. */

/** @import {LivePage} from "./live.js" */

/**
 * A time as an input of date and time holds it.
 * @param {number} seconds
 * @param {boolean} isUtc else the zone of this machine
 * @returns {string}
 */
export function toInput(seconds, isUtc) {
  const date = new Date(seconds * 1000);
  const ahead = isUtc ? 0 : date.getTimezoneOffset() * 60;
  return new Date((seconds - ahead) * 1000).toISOString().slice(0, 16);
}

/**
 * @param {string} value
 * @param {boolean} isUtc
 * @returns {number} Unix seconds; NaN where it is no time
 */
export function fromInput(value, isUtc) {
  return Math.floor(Date.parse(isUtc ? `${value}Z` : value) / 1000);
}

/** @param {string} selector */
function find(selector) {
  return /** @type {HTMLElement} */ (document.querySelector(selector));
}

export default class Calendar {
  /** @param {LivePage} page */
  constructor(page) {
    this.page = page;
    this.dialog = /** @type {HTMLDialogElement} */ (find("[data-testid=date-dialog]"));
    this.input = /** @type {HTMLInputElement} */ (find("#date-input"));
    find("[data-part=date]").addEventListener("submit", () => void this.#go());
  }

  /** Ask, and suggest the candle under the crosshair, or the one in the middle of the view. */
  ask() {
    const { chart, feed, words, bar } = this.page;
    const { all } = feed.candles;
    const { from, to } = chart.range ?? { from: 0, to: 0 };
    const middle = Math.min(all.length - 1, Math.max(0, Math.round((from + to) / 2)));
    const time = all[bar ?? middle]?.candle_time;
    if (time !== undefined) this.input.value = toInput(time, this.#isUtc);
    find("[data-part=date-zone]").textContent = words.timeZone ?? "";
    this.dialog.showModal();
    this.input.focus();
  }

  get #isUtc() {
    return this.page.words.timeZone === "UTC";
  }

  async #go() {
    const at = fromInput(this.input.value, this.#isUtc);
    if (!Number.isFinite(at)) return;
    await (await this.page.later("place")).goTo({ at });
    this.page.view.focus();
  }
}
