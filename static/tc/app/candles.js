// @ts-check
/** The candles that the chart holds: ascending, one per time, the newest ones. */

/** @import {Candle} from "../types/api" */
/** @import {Change} from "../types/page" */

export const HELD_LIMIT = 20000;
/** How many are brought at a time. */
export const BLOCK = 2000;
/** How many are let go at a time: too few to bring another block. */
const TRIM = 100;

/** @type {Change} */
const NONE = { kind: "none" };
/** @type {Change} */
const ALL = { kind: "all" };

/**
 * Join two ascending lists; where both have a time, the second one's candle counts.
 * @param {Candle[]} held
 * @param {Candle[]} incoming
 * @returns {Candle[]}
 */
export function mergeCandles(held, incoming) {
  const byTime = new Map(held.map((candle) => [candle.candle_time, candle]));
  for (const candle of incoming) byTime.set(candle.candle_time, candle);
  return [...byTime.values()].sort((a, b) => a.candle_time - b.candle_time);
}

/**
 * The position of the last time at or before `time`, -1 if there is none.
 * @param {number[]} times
 * @param {number} time
 * @returns {number}
 */
export function floorIndex(times, time) {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (/** @type {number} */ (times[middle]) <= time) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/**
 * Whether the candles follow each other without a missing one.
 * @param {Candle[]} candles
 * @param {number} seconds
 * @returns {boolean}
 */
export function isContiguous(candles, seconds) {
  return candles.every(
    (candle, i) => i === 0 || candle.candle_time - (candles[i - 1]?.candle_time ?? 0) === seconds,
  );
}

/**
 * How many decimals these prices need, judged by the newest candles.
 * @param {Candle[]} candles
 * @returns {number}
 */
export function priceDecimals(candles) {
  let decimals = 0;
  for (const { open, high, low, close } of candles.slice(-200)) {
    for (const price of [open, high, low, close]) {
      const text = price.toFixed(10).replace(/0+$/, "");
      decimals = Math.max(decimals, text.length - text.indexOf(".") - 1);
    }
  }
  return Math.min(Math.max(decimals, 1), 8);
}

/** Holds the closed candles and, after them, at most one that is still forming. */
export class CandleStore {
  /** @type {Candle[]} */
  #closed = [];
  /** @type {Candle | null} */
  #forming = null;
  /** @type {Candle[] | null} */
  #all = null;

  /** Every candle held, the forming one last. */
  get all() {
    this.#all ??= this.#forming ? [...this.#closed, this.#forming] : this.#closed;
    return this.#all;
  }

  get closed() {
    return this.#closed;
  }

  get forming() {
    return this.#forming;
  }

  get lastClosedTime() {
    return this.#closed.at(-1)?.candle_time ?? null;
  }

  /** Whether there is no room for another block. */
  get isFull() {
    return this.#closed.length + BLOCK > HELD_LIMIT;
  }

  /** @returns {Change} */
  clear() {
    return this.replace([]);
  }

  /**
   * Hold these closed candles instead of all others.
   * @param {Candle[]} candles ascending
   * @returns {Change}
   */
  replace(candles) {
    this.#closed = candles.slice(-HELD_LIMIT);
    this.#forming = null;
    this.#all = null;
    return ALL;
  }

  /**
   * Take closed candles from the socket: the last one may come again, older ones are dropped.
   * @param {Candle[]} candles ascending
   * @returns {Change}
   */
  append(candles) {
    const last = this.lastClosedTime ?? -Infinity;
    const fresh = candles.filter((candle) => candle.candle_time >= last);
    const first = fresh[0];
    if (!first) return NONE;
    this.#all = null;
    if (first.candle_time === last) this.#closed.pop();
    const from = this.#closed.length;
    this.#closed.push(...fresh);
    const formingFits = !this.#forming || this.#forming.candle_time === first.candle_time;
    const newest = this.#closed.at(-1)?.candle_time ?? 0;
    if (this.#forming && this.#forming.candle_time <= newest) this.#forming = null;
    return this.#trim() || !formingFits ? ALL : { kind: "tail", from };
  }

  /**
   * Take closed candles that may belong anywhere, such as those that fill a hole.
   * @param {Candle[]} candles ascending
   * @returns {Change}
   */
  merge(candles) {
    const first = candles[0];
    if (!first) return NONE;
    if (first.candle_time >= (this.lastClosedTime ?? -Infinity)) return this.append(candles);
    const forming = this.#forming;
    this.replace(mergeCandles(this.#closed, candles));
    if (forming && forming.candle_time > (this.lastClosedTime ?? 0)) this.#forming = forming;
    return ALL;
  }

  /**
   * Show a candle that has not closed yet; one that is already closed is dropped.
   * @param {Candle} candle
   * @returns {Change}
   */
  form(candle) {
    if (candle.candle_time <= (this.lastClosedTime ?? -Infinity)) return NONE;
    if (this.#forming && candle.candle_time < this.#forming.candle_time) return NONE;
    this.#forming = candle;
    this.#all = null;
    return { kind: "tail", from: this.#closed.length };
  }

  /** Drop the oldest once too many are held; say whether it was done. */
  #trim() {
    if (this.#closed.length <= HELD_LIMIT) return false;
    this.#closed = this.#closed.slice(-(HELD_LIMIT - TRIM));
    return true;
  }
}
