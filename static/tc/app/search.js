// @ts-check
/** The search field: opens any series id, or a symbol of which there are candles. */

import { parseSeries } from "./series.js";
/** @import {SeriesControls} from "./controls.js" */

/**
 * @param {SeriesControls} controls
 * @param {(text: string) => void} say called with what is no series
 */
export function setUpSearch(controls, say) {
  const field = /** @type {HTMLInputElement} */ (document.querySelector("#series-search"));
  field.addEventListener("change", () => {
    const text = field.value.trim();
    const symbol = text.toUpperCase();
    const bare = (/** @type {string} */ name) => name.replace("/", "");
    const series =
      parseSeries(text) ?? controls.known.find((one) => bare(one.symbol) === bare(symbol));
    if (!series) {
      if (text) say(text);
      return;
    }
    field.value = "";
    field.blur();
    controls.choose(series);
  });
}
