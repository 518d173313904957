// @ts-check
/** Reads from the server: addresses, errors, and the patience for a ledger that is behind. */

/** @import {CandlesAnswer, DrawDelta, Frame} from "../types/api" */

export const WINDOW = 2000;
const BEHIND_TRIES = 6;
const BEHIND_WAIT_MS = 200;

/** A read that failed; status 0 means that there was no answer. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} detail
   */
  constructor(status, detail) {
    super(`${status} ${detail}`);
    this.status = status;
    this.detail = detail;
  }

  /** Whether the ledger has not caught up yet, so that the same read may soon succeed. */
  get outOfSync() {
    return this.status === 409 && this.detail.startsWith("ledger_out_of_sync");
  }
}

/**
 * Wait, unless the signal is given up before.
 * @param {number} ms
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}

/**
 * @param {string} path
 * @param {Record<string, string | number | undefined>} query
 * @returns {string}
 */
export function address(path, query) {
  const parts = Object.entries(query)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`);
  return parts.length ? `${path}?${parts.join("&")}` : path;
}

/**
 * @param {Response} response
 * @returns {Promise<string>}
 */
async function detailOf(response) {
  try {
    const body = await response.json();
    return typeof body.detail === "string" ? body.detail : "invalid";
  } catch {
    return response.statusText;
  }
}

/**
 * What the page asked for before its modules came, once each: content, or an answer that is an
 * error, or null. Any other read makes them too old.
 * @param {string} url
 * @returns {Promise<any> | null}
 */
function firstRead(url) {
  const reading = globalThis.firstReads?.[url] ?? null;
  if (reading === null) globalThis.firstReads = {};
  else delete globalThis.firstReads?.[url];
  return reading;
}

/**
 * Read; fails with an `ApiError`, or with the reason of the signal.
 * @param {string} url
 * @param {AbortSignal} signal
 * @returns {Promise<any>}
 */
export async function getJson(url, signal) {
  try {
    const first = await firstRead(url);
    signal.throwIfAborted();
    if (first !== null && !(first instanceof Response)) return first;
    const response = first ?? (await fetch(url, { signal, headers: { Accept: "application/json" } }));
    if (response.ok) return await response.json();
    throw new ApiError(response.status, await detailOf(response));
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    // What is cut off or no JSON is no answer.
    throw error instanceof ApiError ? error : new ApiError(0, String(error));
  }
}

/**
 * Repeat a read while the ledger is behind: six more tries, 200 ms apart.
 * @template T
 * @param {() => Promise<T>} read
 * @param {AbortSignal} signal
 * @returns {Promise<T>}
 */
export async function patiently(read, signal) {
  for (let left = BEHIND_TRIES; ; left -= 1) {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof ApiError && error.outOfSync) || left === 0) throw error;
    }
    await pause(BEHIND_WAIT_MS, signal);
  }
}

/** The reads that the chart needs; a fake of the same shape stands in for it in tests. */
export class Api {
  /**
   * @param {string} series_id
   * @param {{since?: number, limit?: number}} choice
   * @param {AbortSignal} signal
   * @returns {Promise<CandlesAnswer>}
   */
  candles(series_id, { since, limit = WINDOW }, signal) {
    return getJson(address("/api/market/candles", { series_id, since, limit }), signal);
  }

  /**
   * @param {string} series_id
   * @param {AbortSignal} signal
   * @returns {Promise<Frame>}
   */
  frame(series_id, signal) {
    return getJson(address("/api/frame/live", { series_id, window_candles: WINDOW }), signal);
  }

  /**
   * @param {string} series_id
   * @param {number} cursor_version_id
   * @param {AbortSignal} signal
   * @returns {Promise<DrawDelta>}
   */
  delta(series_id, cursor_version_id, signal) {
    const query = { series_id, cursor_version_id, window_candles: WINDOW };
    return getJson(address("/api/draw/delta", query), signal);
  }
}
