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
    this.symbols.addEventListener("change", () => this.#choose({ symbol: this.symbols.value }));
    this.search = /** @type {HTMLInputElement} */ (element.querySelector("[type=search]"));
    this.search.addEventListener("change", () => this.#find());
    for (const button of this.#markets()) {
      button.addEventListener("click", () => this.#choose({ market: button.value }));
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

  /**
   * Choose the symbol that stands so many places further in the list.
   * @param {number} by
   */
  step(by) {
    const option = this.symbols.options[this.symbols.selectedIndex + by];
    if (option) this.#choose({ symbol: option.value });
  }

  /** Open what was searched for: any series id, or a symbol of this market. */
  #find() {
    const text = this.search.value.trim();
    const series = parseSeries(text) ?? this.known.find((one) => one.symbol === text.toUpperCase());
    if (!series) return;
    this.search.value = "";
    this.search.blur();
    this.#choose(series);
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
    button.addEventListener("click", () => this.#choose({ timeframe }));
    return button;
  }

  /** @param {Partial<Series>} change */
  #choose(change) {
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
