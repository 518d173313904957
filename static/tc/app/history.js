// @ts-check
/**
 * Candles from before those that are held, a block at a time, and their structures. Loaded with the
 * first block.
 */

import { address, getJson, patiently } from "./api.js";
import { BLOCK, HELD_LIMIT } from "./candles.js";
import { generationOf } from "./overlay.js";
import { candleSeconds } from "./series.js";
/** @import {LiveFeed} from "./feed.js" */
/** @import {Candle} from "../types/api" */

const PAGE_LIMIT = 5000;
const LONG_WINDOW = 5000;
/** By how many bars windows overlap: what began in one may be settled in the next only. */
const OVERLAP = 500;

/**
 * Put the block before the oldest candle into the feed, with the structures that belong to it.
 * @param {LiveFeed} feed
 * @param {AbortSignal} signal
 */
export async function addBlock(feed, signal) {
  const { api, candles, listener, seriesId } = feed;
  const read = (/** @type {number} */ since, /** @type {number} */ limit) =>
    api.candles(seriesId, { since, limit }, signal);
  const first = candles.closed[0]?.candle_time ?? 0;
  const older = await blockBefore(read, first, candleSeconds(seriesId), BLOCK);
  feed.olderExists = older.length > 0;
  listener.candles(candles.merge(older));
  await drawOlder(feed, signal);
  listener.structures();
}

/**
 * The block right before `first`; empty where nothing older is stored. The API reads forwards
 * only, so the place to read from is searched: where `first` itself ends the answer, nothing is
 * left out in between, however long the feed was off.
 * @param {(since: number, limit: number) => Promise<{candles: Candle[]}>} read
 * @param {number} first
 * @param {number} seconds
 * @param {number} block how many candles at most
 * @returns {Promise<Candle[]>}
 */
export async function blockBefore(read, first, seconds, block) {
  let [empty, full] = [0, first + seconds];
  let span = block * seconds;
  while (full - empty >= seconds) {
    const since = Math.max(0, first - span - 1);
    const { candles } = await read(since, block + 1);
    const older = candles.filter((candle) => candle.candle_time < first);
    if (older.length && older.length < candles.length) return older;
    if (older.length) full = span;
    else if (since === 0) return [];
    else empty = span;
    span = full > first ? first : Math.floor((empty + full) / 2);
  }
  return [];
}

/**
 * What is held from before this time, as the server has it now.
 * @param {LiveFeed} feed
 * @param {number} end
 * @param {AbortSignal} signal
 */
export async function heldBefore({ api, candles: held, seriesId }, end, signal) {
  const start = held.all[0]?.candle_time ?? Infinity;
  let since = Math.max(start, end - HELD_LIMIT * candleSeconds(seriesId)) - 1;
  /** @type {Candle[]} */
  const found = [];
  while (since < end - 1) {
    const { candles } = await api.candles(seriesId, { since, limit: PAGE_LIMIT }, signal);
    found.push(...candles.filter((candle) => candle.candle_time < end));
    since = candles.length < PAGE_LIMIT ? end : (candles.at(-1)?.candle_time ?? end);
  }
  return found;
}

/**
 * Read the structures of candles that are older than the drawing.
 * @param {LiveFeed} feed
 * @param {AbortSignal} signal
 */
export async function drawOlder(feed, signal) {
  const seconds = candleSeconds(feed.seriesId);
  while ((feed.candles.all[0]?.candle_time ?? Infinity) < feed.drawnFrom) {
    const at = feed.drawnFrom + OVERLAP * seconds;
    const query = { series_id: feed.seriesId, at_time: at, window_candles: LONG_WINDOW };
    const read = () => getJson(address("/api/frame/at_time", query), signal);
    const { draw_state: draw, factor_slices: slices } = await patiently(read, signal);
    const version = draw.next_cursor.version_id;
    // Of another generation: the next delta says so too, and everything is read again.
    if (version && generationOf(version) !== generationOf(feed.overlay.cursor)) return;
    feed.overlay.keep(draw.instruction_catalog_patch);
    feed.olderSlices.push(slices);
    feed.drawnFrom = at - LONG_WINDOW * seconds;
  }
}
