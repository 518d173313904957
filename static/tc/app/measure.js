// @ts-check
/** What lies between two points of the chart: price, per cent, candles and time. */

/** @import {Point} from "../types/api" */
/** @import {Words} from "./i18n.js" */

/** @type {["day" | "hour" | "minute" | "second", number][]} */
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

/**
 * A span of time in its two largest units.
 * @param {number} seconds
 * @param {string} locale
 * @returns {string}
 */
export function durationText(seconds, locale) {
  let rest = Math.abs(seconds);
  const parts = UNITS.map(([unit, size]) => {
    const value = Math.floor(rest / size);
    rest -= value * size;
    return { unit, value };
  });
  const first = Math.max(0, parts.findIndex(({ value }) => value > 0));
  const shown = parts.slice(first, first + 2).filter(({ value }, i) => value > 0 || i === 0);
  const text = shown.map(({ unit, value }) =>
    new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "short" }).format(value),
  );
  return seconds === 0 ? "0" : text.join(" ");
}

/**
 * The two lines that a measure says.
 * @param {Point[]} points
 * @param {number} bars
 * @param {Words} words
 * @param {number} decimals
 * @returns {[string, string]}
 */
export function measureText([a, b], bars, words, decimals) {
  if (!a || !b) return ["", ""];
  const change = b.value - a.value;
  const price = `${change > 0 ? "+" : ""}${words.number(change, decimals)}`;
  const ratio = a.value ? ` (${words.percent(change / a.value)})` : "";
  const candles = words.say("measure.bars", { n: Math.abs(bars) });
  return [price + ratio, `${candles}, ${durationText(b.time - a.time, words.locale)}`];
}
