// @ts-check
/** What a series is called: `exchange:market:symbol:timeframe`; a symbol may hold a colon. */

/** @import {Series} from "../types/page" */

const UNIT_SECONDS = { m: 60, h: 3600, d: 86400 };

/**
 * The seconds of a timeframe such as `5m`, or null where it is none.
 * @param {string} text
 * @returns {number | null}
 */
export function timeframeSeconds(text) {
  const match = /^([1-9][0-9]{0,5})([mhd])$/.exec(text);
  if (!match) return null;
  return Number(match[1]) * UNIT_SECONDS[/** @type {"m" | "h" | "d"} */ (match[2])];
}

/**
 * The parts of a series id, or null where the text is none.
 * @param {string} text
 * @returns {Series | null}
 */
export function parseSeries(text) {
  const parts = text.split(":");
  if (parts.length < 4 || parts.some((part) => part === "")) return null;
  if (text.length > 128 || /[\s\p{Cc}]/u.test(text)) return null;
  const timeframe = parts[parts.length - 1] ?? "";
  if (timeframeSeconds(timeframe) === null) return null;
  const [exchange = "", market = ""] = parts;
  return { exchange, market, symbol: parts.slice(2, -1).join(":"), timeframe };
}

/**
 * @param {Series} series
 * @returns {string}
 */
export function seriesId(series) {
  return `${series.exchange}:${series.market}:${series.symbol}:${series.timeframe}`;
}

/**
 * The seconds of one candle of this series; 60 where the id does not say.
 * @param {string} id
 * @returns {number}
 */
export function candleSeconds(id) {
  return timeframeSeconds(id.slice(id.lastIndexOf(":") + 1)) ?? 60;
}
