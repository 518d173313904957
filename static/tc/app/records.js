// @ts-check
/** What the ledger's slices say about a shape, and how it is written. Loaded with the first card. */

import { floorIndex } from "./candles.js";
/** @import {Words} from "./i18n.js" */
/** @import {LivePage} from "./live.js" */
/** @import {Candle, FactorSlices} from "../types/api" */
/** @import {Shape} from "../types/page" */

/** Where a factor's slice lists what a shape shows, and how its record is found. */
const RECORDS = [
  { feature: "pen.confirmed", factor: "pen", list: "confirmed", start: "start_time" },
  { feature: "zhongshu.dead", factor: "zhongshu", list: "dead", start: "start_time" },
  { feature: "pivot.major", factor: "pivot", list: "major", start: "pivot_time" },
  { feature: "pivot.minor", factor: "pivot", list: "minor", start: "pivot_time" },
  { feature: "anchor.switch", factor: "anchor", list: "switches", start: "switch_time" },
];

/**
 * The factor's own record of a shape, such as a pen with the time when it became visible.
 * @param {Shape} shape
 * @param {FactorSlices | null} slices
 * @returns {Record<string, unknown> | null}
 */
export function recordOf(shape, slices) {
  const slice = slices?.snapshots[shape.feature.split(".")[0] ?? ""];
  if (!slice) return null;
  if (shape.feature === "zhongshu.alive") {
    const alive = slice.head["alive"];
    return Array.isArray(alive) ? (alive[0] ?? null) : null;
  }
  const place = RECORDS.find(({ feature }) => feature === shape.feature);
  const start = shape.points[0]?.time;
  const end = shape.points.at(-1)?.time;
  const records = place ? slice.history[place.list] : undefined;
  const found = records?.filter((record) => record[place?.start ?? ""] === start) ?? [];
  return found.find((record) => agrees(record, shape, end)) ?? null;
}

/**
 * @param {Record<string, unknown>} record
 * @param {Shape} shape
 * @param {number | undefined} end
 */
function agrees(record, shape, end) {
  if (shape.kind !== "mark") return record["end_time"] === end;
  const [, , direction, reason] = shape.id.split(":");
  if (shape.feature === "anchor.switch") return record["reason"] === reason;
  return record["direction"] === direction;
}

/**
 * What the slices that the page has read say about a shape.
 * @param {LivePage} page
 * @param {Shape} shape
 */
export function recordIn(page, shape) {
  return page.feed.allSlices.map((slices) => recordOf(shape, slices)).find(Boolean) ?? null;
}

/**
 * How the page writes prices, times and distances.
 * @param {LivePage} page
 */
export function formatOf(page) {
  const { feed, words } = page;
  return {
    price: (/** @type {number} */ value) => words.number(value, page.decimals),
    time: (/** @type {number} */ seconds) => words.time(seconds),
    bars: (/** @type {number} */ from, /** @type {number} */ to) => distance(feed.candles.closed, from, to),
    say: (/** @type {string} */ key, /** @type {Record<string, string | number>} */ values = {}) =>
      words.say(key, values),
  };
}

/**
 * How many bars lie between two times; null where one of them is not that of a candle.
 * @param {Candle[]} candles
 * @param {number} from
 * @param {number} to
 * @returns {number | null}
 */
export function distance(candles, from, to) {
  const times = candles.map((candle) => candle.candle_time);
  const [a, b] = [floorIndex(times, from), floorIndex(times, to)];
  return times[a] === from && times[b] === to ? b - a : null;
}

/**
 * What a feature is called on the page.
 * @param {Words} words
 * @param {string} feature
 */
export function nameOf(words, feature) {
  const key = `shape.${feature}`;
  return words.has(key) ? words.say(key) : feature;
}
