// @ts-check
/** What the browser remembers: the last series, the factor switches, the theme. */

import { parseSeries, seriesId } from "./series.js";
/** @import {FactorCatalog} from "../types/api" */
/** @import {Series} from "../types/page" */

const UI_KEY = "trade-canvas-ui";
const FACTORS_KEY = "trade-canvas-factors";
const VERSION = 1;

/** @type {Series} */
export const DEFAULT_SERIES = {
  exchange: "binance",
  market: "futures",
  symbol: "BTC/USDT",
  timeframe: "1m",
};

/**
 * The stored state of any version; empty where there is none or it does not parse.
 * @param {Storage} storage
 * @param {string} key
 * @returns {{version: number, state: Record<string, unknown>}}
 */
export function readState(storage, key) {
  try {
    const { version, state } = JSON.parse(storage.getItem(key) ?? "{}");
    if (state !== null && typeof state === "object") return { version, state };
  } catch {
    // What does not parse counts as never stored.
  }
  return { version: VERSION, state: {} };
}

/**
 * Change some fields and keep the others, also those that we do not know.
 * @param {Storage} storage
 * @param {string} key
 * @param {Record<string, unknown>} fields
 */
export function writeState(storage, key, fields) {
  const { version, state } = readState(storage, key);
  storage.setItem(key, JSON.stringify({ version, state: { ...state, ...fields } }));
}

/**
 * What is remembered of the page, in fields of any type.
 * @param {Storage} storage
 */
export function loadState(storage) {
  return readState(storage, UI_KEY).state;
}

/**
 * @param {Storage} storage
 * @param {Record<string, unknown>} fields
 */
export function saveState(storage, fields) {
  writeState(storage, UI_KEY, fields);
}

/**
 * @param {Storage} storage
 * @returns {Series}
 */
export function loadSeries(storage) {
  const state = loadState(storage);
  const series = { ...DEFAULT_SERIES };
  for (const name of /** @type {(keyof Series)[]} */ (Object.keys(series))) {
    const value = state[name];
    if (typeof value === "string" && value !== "") series[name] = value;
  }
  return parseSeries(seriesId(series)) ?? DEFAULT_SERIES;
}

/**
 * @param {Storage} storage
 * @param {Series} series
 */
export function saveSeries(storage, series) {
  saveState(storage, { ...series });
}

/** Which factors and features are shown; a feature is, only if its factor is too. */
export class FactorChoice {
  /** @type {Record<string, boolean>} */
  #chosen = {};
  /** @type {Record<string, boolean>} */
  #defaults = {};

  /**
   * @param {Storage} storage
   * @param {FactorCatalog} catalog
   */
  constructor(storage, catalog) {
    this.storage = storage;
    for (const factor of catalog.factors) {
      for (const entry of [factor, ...factor.sub_features]) {
        this.#defaults[entry.key] = entry.default_visible;
      }
    }
    const chosen = readState(storage, FACTORS_KEY).state["visibleFeatures"];
    for (const [key, value] of Object.entries(chosen ?? {})) {
      if (typeof value === "boolean") this.#chosen[key] = value;
    }
  }

  /**
   * Whether this factor or feature is switched on, whatever its factor says.
   * @param {string} key
   * @returns {boolean}
   */
  isOn(key) {
    return this.#chosen[key] ?? this.#defaults[key] ?? true;
  }

  /**
   * @param {string} feature
   * @returns {boolean}
   */
  isVisible(feature) {
    return this.isOn(feature) && this.isOn(feature.split(".")[0] ?? "");
  }

  /**
   * Switch a factor or feature; a feature that is switched on brings its factor along.
   * @param {string} key
   * @param {boolean} on
   */
  choose(key, on) {
    this.#chosen[key] = on;
    if (on) this.#chosen[key.split(".")[0] ?? key] = true;
    this.#save();
  }

  #save() {
    writeState(this.storage, FACTORS_KEY, { visibleFeatures: this.#chosen });
  }

  /**
   * The features of the catalogue that are not drawn, and factors without features.
   * @param {FactorCatalog} catalog
   * @returns {string[]}
   */
  hidden(catalog) {
    const features = catalog.factors.flatMap((factor) =>
      factor.sub_features.length ? factor.sub_features : [factor],
    );
    return features.map(({ key }) => key).filter((key) => !this.isVisible(key));
  }
}
