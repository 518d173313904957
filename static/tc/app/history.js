// @ts-check
/** Candles from before those that are held, a block at a time. Loaded with the first block. */

/** @import {Candle} from "../types/api" */

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
