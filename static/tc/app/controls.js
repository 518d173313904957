// @ts-check
/** The choice of the series: market buttons, symbol list, timeframe tags. */

import { parseSeries } from "./series.js";
/** @import {Series} from "../types/page" */

const TIMEFRAMES = ["1m", "5m", "15m", "1h", "4h", "1d"];

export class SeriesControls {
  /**
   * @param {HTMLElement} element
   * @param {string[]} known ids of the series that the server knows
   * @param {(series: Series) => void} chosen
   */
  constructor(element, known, chosen) {
    this.element = element;
    this.known = known.flatMap((id) => parseSeries(id) ?? []);
    this.chosen = chosen;
    this.symbols = /** @type {HTMLSelectElement} */ (element.querySelector("select"));
    this.tags = /** @type {HTMLElement} */ (element.querySelector("[data-part=timeframes]"));
    this.symbols.addEventListener("change", () => this.choose({ symbol: this.symbols.value }));
    for (const button of this.#markets()) {
      button.addEventListener("click", () => this.choose({ market: button.value }));
    }
  }

  /** @param {Series} series */
  show(series) {
    this.series = series;
    for (const button of this.#markets()) {
      button.setAttribute("aria-pressed", String(button.value === series.market));
    }
    const symbols = this.#symbolsOf(series);
    this.symbols.replaceChildren(...symbols.map((symbol) => new Option(symbol, symbol)));
    this.symbols.value = series.symbol;
    const timeframes = [...new Set([...TIMEFRAMES, series.timeframe])];
    this.tags.replaceChildren(...timeframes.map((timeframe) => this.#tag(timeframe)));
  }

  #markets() {
    return this.element.querySelectorAll(/** @type {"button"} */ ("button[data-testid^=market-]"));
  }

  /** @param {Series} series */
  #symbolsOf({ exchange, market, symbol }) {
    const same = this.known.filter((one) => one.exchange === exchange && one.market === market);
    return [...new Set([symbol, ...same.map((one) => one.symbol)])].sort();
  }

  /** @param {string} timeframe */
  #tag(timeframe) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = timeframe;
    button.dataset["testid"] = `timeframe-tag-${timeframe}`;
    button.setAttribute("aria-pressed", String(timeframe === this.series?.timeframe));
    button.addEventListener("click", () => this.choose({ timeframe }));
    return button;
  }

  /**
   * Choose another series; what is not named stays.
   * @param {Partial<Series>} change
   */
  choose(change) {
    if (!this.series) return;
    const series = { ...this.series, ...change };
    const focused = document.activeElement?.getAttribute("data-testid");
    this.show(series);
    this.chosen(series);
    if (!focused) return;
    const again = this.element.querySelector(`[data-testid="${focused}"]`);
    if (again instanceof HTMLElement) again.focus();
  }
}
