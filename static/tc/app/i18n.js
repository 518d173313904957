// @ts-check
/** The page's texts, in its language, with placeholders and plurals. */

/** @import {Texts} from "../types/page" */

/**
 * @param {string} id of a `json_script` element
 * @returns {any}
 */
export function pageJson(id) {
  return JSON.parse(document.getElementById(id)?.textContent ?? "null");
}

export class Words {
  /** @type {Record<string, any>} Formats by their use; to make one costs more than to use it. */
  #formats = {};
  timeZone = "UTC";

  /**
   * @param {Texts} texts
   * @param {string} locale
   */
  constructor(texts, locale) {
    this.texts = texts;
    this.locale = locale;
    this.plural = new Intl.PluralRules(locale);
  }

  /** @param {string} timeZone of all times from now on */
  setZone(timeZone) {
    this.timeZone = timeZone;
    this.#formats = {};
  }

  /**
   * The text of this key; a number `n` chooses the plural.
   * @param {string} key
   * @param {Record<string, string | number>} values
   * @returns {string}
   */
  say(key, values = {}) {
    const entry = this.texts[key];
    if (entry === undefined) throw new Error(`no text for ${key}`);
    const form = this.plural.select(Number(values["n"] ?? 0)) === "one" ? "one" : "other";
    const text = typeof entry === "string" ? entry : entry[form];
    return text.replace(/\{(\w+)\}/g, (whole, name) => this.#shown(values[name] ?? whole));
  }

  /** @param {string} key */
  has(key) {
    return key in this.texts;
  }

  /**
   * @param {number} value
   * @param {number} [decimals]
   * @returns {string}
   */
  number(value, decimals) {
    return (this.#formats[`number ${decimals}`] ??= new Intl.NumberFormat(this.locale, {
      minimumFractionDigits: decimals ?? 0,
      maximumFractionDigits: decimals ?? 8,
    })).format(value);
  }

  /**
   * A ratio in per cent, with its sign.
   * @param {number} ratio
   * @returns {string}
   */
  percent(ratio) {
    return (this.#formats["percent"] ??= new Intl.NumberFormat(this.locale, {
      style: "percent",
      minimumFractionDigits: 2,
      maximumFractionDigits: 2,
      signDisplay: "exceptZero",
    })).format(ratio);
  }

  /**
   * A time in Unix seconds as date and time of the zone.
   * @param {number} seconds
   * @returns {string}
   */
  time(seconds) {
    return (this.#formats["time"] ??= new Intl.DateTimeFormat(this.locale, {
      dateStyle: "medium",
      timeStyle: "short",
      hourCycle: "h23",
      timeZone: this.timeZone,
    })).format(seconds * 1000);
  }

  /**
   * The same with the name of the zone, which changes with the season.
   * @param {number} seconds
   * @returns {string}
   */
  zonedTime(seconds) {
    this.#formats["zone"] ??= new Intl.DateTimeFormat("en", {
      timeZone: this.timeZone,
      timeZoneName: "shortOffset",
    });
    /** @type {Intl.DateTimeFormatPart[]} */
    const parts = this.#formats["zone"].formatToParts(seconds * 1000);
    const name = parts.find(({ type }) => type === "timeZoneName")?.value ?? "";
    return `${this.time(seconds)} ${name.replace("GMT", "UTC").replace(/\+0$/, "")}`;
  }

  /** @param {string | number} value */
  #shown(value) {
    return typeof value === "number" ? this.number(value) : value;
  }
}
