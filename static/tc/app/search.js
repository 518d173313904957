// @ts-check
/** The search field: opens any series id, or a symbol of which there are candles. */

import { parseSeries } from "./series.js";
/** @import {SeriesControls} from "./controls.js" */

/** @param {SeriesControls} controls */
export function setUpSearch(controls) {
  const field = /** @type {HTMLInputElement} */ (document.querySelector("#series-search"));
  field.addEventListener("change", () => {
    const text = field.value.trim();
    const symbol = text.toUpperCase();
    const series = parseSeries(text) ?? controls.known.find((one) => one.symbol === symbol);
    if (!series) return;
    field.value = "";
    field.blur();
    controls.choose(series);
  });
}
