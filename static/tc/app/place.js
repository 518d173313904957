// @ts-check
/**
 * The place in history that a link or a date names: bring it, show it, and name the one that is
 * shown. Loaded with the first link or change of the view.
 */

import { barOf } from "../chart/layout.js";
import { HELD_LIMIT } from "./candles.js";
import { candleSeconds } from "./series.js";
/** @import {Candle} from "../types/api" */
/** @import {LivePage} from "./live.js" */

/**
 * The time of a bar; one outside of those held has the time that its candle would have.
 * @param {number[]} times
 * @param {number} seconds
 * @param {number} bar
 * @returns {number}
 */
export function timeOf(times, seconds, bar) {
  const last = times.length - 1;
  if (bar < 0) return (times[0] ?? 0) + bar * seconds;
  if (bar > last) return (times[last] ?? 0) + (bar - last) * seconds;
  return times[bar] ?? 0;
}

/**
 * What a link asks for: its `from` and `to`, or the one time `at`; null where that is no place.
 * @param {URLSearchParams} query
 * @returns {{from: number, to: number} | {at: number} | null}
 */
export function placeIn(query) {
  const [from, to, at] = ["from", "to", "at"].map((name) => Number(query.get(name)));
  if (from && to && 0 < from && from < to && Number.isFinite(to)) return { from, to };
  return at && at > 0 && Number.isFinite(at) ? { at } : null;
}

export default class Place {
  /** @param {LivePage} page */
  constructor(page) {
    this.page = page;
  }

  /** The view as the part of a link; whole bars, so that the link stays while nothing moves. */
  query() {
    const { range } = this.page.chart;
    if (!range || !this.#times.length) return "";
    const [from, to] = [range.from, range.to].map((bar) =>
      timeOf(this.#times, this.#seconds, Math.round(bar)),
    );
    return `&from=${from}&to=${to}`;
  }

  /** Show at once what the link wants, where its candles are held already. */
  begin() {
    const { page } = this;
    const place = page.goal && placeIn(page.goal);
    const oldest = this.#times[0];
    if (!place || oldest === undefined) return;
    if (oldest <= ("at" in place ? place.at : place.from)) this.#show(place);
  }

  /** Go where the link wants, as far back as it takes. */
  async follow() {
    const { page } = this;
    const place = page.goal && placeIn(page.goal);
    page.goal = null;
    if (place) await this.goTo(place);
  }

  /**
   * Bring the candles of this place, and show it.
   * @param {{from: number, to: number} | {at: number}} place
   */
  async goTo(place) {
    const { page } = this;
    const { feed, store, words } = page;
    const id = feed.seriesId;
    if (!this.#times.length) return;
    const first = "at" in place ? place.at : place.from;
    if (first < (this.#times[0] ?? 0) && feed.olderExists) {
      store.set({ note: words.say("place.older") });
      await this.#reach(first);
      if (feed.seriesId !== id) return;
      store.set({ note: "" });
    }
    this.#show(place);
    this.#tell(place);
  }

  /**
   * Bring older candles until this time is held, or nothing more comes.
   * @param {number} time
   */
  async #reach(time) {
    const { feed } = this.page;
    const { candles } = feed;
    const isHeld = () => (candles.all[0]?.candle_time ?? Infinity) <= time;
    for (let held = -1; !isHeld() && held !== candles.closed.length; ) {
      held = candles.closed.length;
      await feed.loadOlder();
    }
  }

  get #times() {
    return this.page.feed.candles.all.map((/** @type {Candle} */ candle) => candle.candle_time);
  }

  get #seconds() {
    return candleSeconds(this.page.feed.seriesId);
  }

  /** @param {{from: number, to: number} | {at: number}} place */
  #show(place) {
    const { page } = this;
    const [times, seconds] = [this.#times, this.#seconds];
    const bar = (/** @type {number} */ time) => barOf(times, seconds, time);
    if ("from" in place) {
      page.chart.setRange(bar(place.from), bar(place.to));
      return;
    }
    const { range } = page.chart;
    if (!range) return;
    const last = times.length - 1;
    const middle = Math.min(last, Math.max(0, Math.floor(bar(place.at))));
    const half = (range.to - range.from) / 2;
    page.chart.setRange(middle - half, middle + half);
    page.bar = middle;
    page.chart.setCrosshair(middle);
    page.legend?.show();
  }

  /**
   * Say why the place is not shown, where it is not.
   * @param {{from: number, to: number} | {at: number}} place
   */
  #tell(place) {
    const { feed, words } = this.page;
    const times = this.#times;
    const [first, last] = "at" in place ? [place.at, place.at] : [place.from, place.to];
    const [oldest, newest] = [times[0] ?? 0, times.at(-1) ?? 0];
    const time = words.time(oldest);
    if (first >= newest + this.#seconds) {
      void this.page.toast(words.say("place.after", { time: words.time(newest) }));
    } else if (first < oldest && feed.olderExists) {
      void this.page.toast(words.say("place.bound", { n: HELD_LIMIT, time }));
    } else if (last < oldest) {
      void this.page.toast(words.say("place.before", { time }));
    }
  }
}
