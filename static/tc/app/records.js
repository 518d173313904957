// @ts-check
/** What the ledger's slices say about a shape, and how it is written. Loaded with the first card. */

import { ApiError, WINDOW, address, getJson } from "./api.js";
import { floorIndex } from "./candles.js";
/** @import {LiveFeed} from "./feed.js" */
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
  const start = shape.points[0]?.time;
  if (shape.feature === "zhongshu.alive") {
    const alive = slice.head["alive"];
    const record = Array.isArray(alive) ? alive[0] : null;
    return record?.start_time === start ? record : null;
  }
  const place = RECORDS.find(({ feature }) => feature === shape.feature);
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
export function recordIn({ feed }, shape) {
  const read = [feed.slices, ...feed.olderSlices];
  return read.map((slices) => recordOf(shape, slices)).find(Boolean) ?? null;
}

/**
 * Bring the slices to the time of the drawing; without an answer they stay as they are.
 * @param {LiveFeed} feed
 */
export async function readSlices(feed) {
  const { overlay, seriesId: series_id, signal } = feed;
  const at_time = overlay.time;
  if (at_time === null || feed.slices?.at_time === at_time) return;
  const query = { series_id, at_time, window_candles: WINDOW };
  try {
    const slices = await getJson(address("/api/factor/slices", query), signal);
    if (!signal.aborted) feed.slices = slices;
  } catch (error) {
    if (!signal.aborted && !(error instanceof ApiError)) throw error;
  }
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

/**
 * The prices of a shape: of a mark one, of a box its edges, of a line its ends.
 * @param {Shape} shape
 * @param {(value: number) => string} price
 */
export function pricesText({ kind, points }, price) {
  const [first, last] = [points[0]?.value ?? 0, points.at(-1)?.value ?? 0];
  if (kind === "mark") return price(first);
  return kind === "box" ? `${price(last)} – ${price(first)}` : `${price(first)} → ${price(last)}`;
}
