// @ts-check
/** Where shapes lie on the time scale, in bars, and which of them a view can show. */

import { floorIndex } from "../app/candles.js";
/** @import {Gap, Placed, Shape} from "../types/page" */

/**
 * The bar of a time. A time between bars is mapped to the bar before it; one outside of the held
 * range gets the place where its bar would be.
 * @param {number[]} times
 * @param {number} seconds
 * @param {number} time
 * @returns {number}
 */
export function barOf(times, seconds, time) {
  const first = times[0];
  const last = times.at(-1);
  if (first === undefined || last === undefined) return 0;
  if (time < first) return (time - first) / seconds;
  if (time > last) return times.length - 1 + (time - last) / seconds;
  return floorIndex(times, time);
}

/** Shapes sorted by their first bar, with the furthest end so far, to find those in view. */
export class Layout {
  /** @type {Placed[]} */
  placed = [];
  /** @type {number[]} */
  #furthest = [];

  /**
   * @param {Shape[]} shapes
   * @param {number[]} times
   * @param {number} seconds
   */
  constructor(shapes, times, seconds) {
    this.placed = shapes.map((shape) => place(shape, times, seconds));
    this.placed.sort((a, b) => a.from - b.from);
    let furthest = -Infinity;
    this.#furthest = this.placed.map(({ to }) => (furthest = Math.max(furthest, to)));
  }

  /**
   * Those that touch the bars `from` to `to`, in order of their first bar.
   * @param {number} from
   * @param {number} to
   * @returns {Placed[]}
   */
  between(from, to) {
    const found = [];
    let i = this.#after(to) - 1;
    for (; i >= 0 && /** @type {number} */ (this.#furthest[i]) >= from; i -= 1) {
      const item = /** @type {Placed} */ (this.placed[i]);
      if (item.to >= from) found.push(item);
    }
    return found.reverse();
  }

  /**
   * How many begin at or before this bar.
   * @param {number} bar
   */
  #after(bar) {
    let low = 0;
    let high = this.placed.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (/** @type {Placed} */ (this.placed[middle]).from <= bar) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/**
 * @param {Shape} shape
 * @param {number[]} times
 * @param {number} seconds
 * @returns {Placed}
 */
function place(shape, times, seconds) {
  const bars = shape.points.map((point) => barOf(times, seconds, point.time));
  const tail = shape.kind === "mark" && shape.glyph === "circle" && shape.visibleTime !== null;
  const seen = tail ? barOf(times, seconds, /** @type {number} */ (shape.visibleTime)) : null;
  const ends = seen === null ? bars : [...bars, seen];
  return { shape, bars, seen, from: Math.min(...ends), to: Math.max(...ends) };
}

/**
 * The holes between neighbouring candles: after which bar, and how many are missing.
 * @param {number[]} times
 * @param {number} seconds
 * @returns {Gap[]}
 */
export function findGaps(times, seconds) {
  /** @type {Gap[]} */
  const gaps = [];
  times.forEach((time, i) => {
    const missing = i === 0 ? 0 : Math.round((time - (times[i - 1] ?? time)) / seconds) - 1;
    if (missing > 0) gaps.push({ bar: i - 1, missing });
  });
  return gaps;
}
