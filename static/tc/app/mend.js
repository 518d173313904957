// @ts-check
/**
 * What brings a feed back to what the server has: the whole window again, or what a message left
 * out. Loaded after the chart, while the server surely answers.
 */

import { WINDOW } from "./api.js";
import { candleSeconds } from "./series.js";
/** @import {LiveFeed} from "./feed.js" */

const PAGE_LIMIT = 5000;

/**
 * Read the candles again, as deep as they are held; those that came meanwhile stay.
 * @param {LiveFeed} feed
 * @param {AbortSignal} signal
 * @returns {Promise<number>} how many the server has of the window
 */
export async function readAgain(feed, signal) {
  const held = feed.candles;
  const { candles } = await feed.api.candles(feed.seriesId, { limit: WINDOW }, signal);
  const last = candles.at(-1)?.candle_time ?? -Infinity;
  const first = candles[0]?.candle_time ?? 0;
  const isDeeper = (held.all[0]?.candle_time ?? Infinity) < first;
  const older = isDeeper ? await (await import("./history.js")).heldBefore(feed, first, signal) : [];
  const newer = held.closed.filter((candle) => candle.candle_time > last);
  feed.listener.candles(held.replace([...older, ...candles, ...newer]));
  return candles.length;
}

/**
 * Fetch what is missing from `expected` to `actual`, and say so.
 * @param {LiveFeed} feed
 * @param {number} expected
 * @param {number} actual
 * @param {AbortSignal} signal
 */
export async function fillGap(feed, expected, actual, signal) {
  const seconds = candleSeconds(feed.seriesId);
  const missing = Math.max(1, Math.round((actual - expected) / seconds));
  feed.listener.notice({ kind: "gap", missing, time: actual });
  const choice = { since: Math.max(0, expected - seconds), limit: PAGE_LIMIT };
  const { candles } = await feed.api.candles(feed.seriesId, choice, signal);
  feed.listener.candles(feed.candles.merge(candles));
}
