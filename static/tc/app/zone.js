// @ts-check
/**
 * The time zone of axis, crosshair and texts: UTC, or that of this machine. Loaded when somebody
 * wants another than UTC, in which the chart library tells time by itself.
 */

/** @import {Time} from "lightweight-charts" */
/** @import {LivePage} from "./live.js" */

/** As the chart library numbers what a mark of the axis begins. */
const [YEAR, MONTH, DAY] = [0, 1, 2];

/**
 * The text of a mark on the time axis. The library chooses marks by days of UTC; one that is not
 * midnight in the zone says its hour, too.
 * @param {number} seconds
 * @param {number} mark
 * @param {string} locale
 * @param {string} timeZone
 * @returns {string}
 */
export function markText(seconds, mark, locale, timeZone) {
  const say = (/** @type {Intl.DateTimeFormatOptions} */ form) =>
    new Intl.DateTimeFormat(locale, { timeZone, hourCycle: "h23", ...form }).format(seconds * 1000);
  if (mark === YEAR) return say({ year: "numeric" });
  if (mark === MONTH) return say({ month: "short" });
  const clock = new Intl.DateTimeFormat("en", {
    timeZone,
    hourCycle: "h23",
    hour: "2-digit",
    minute: "2-digit",
  }).format(seconds * 1000);
  const day = say({ day: "numeric" });
  if (clock === "00:00") return day;
  return mark === DAY ? `${day} ${clock}` : clock;
}

export default class Zone {
  /** @param {LivePage} page */
  constructor(page) {
    this.page = page;
    this.zone = "UTC";
    this.update();
  }

  /** Tell time in the zone that is chosen. */
  update() {
    const { chart, legend, words } = this.page;
    const isLocal = document.documentElement.dataset["zone"] === "local";
    const zone = isLocal ? Intl.DateTimeFormat().resolvedOptions().timeZone : "UTC";
    if (zone === this.zone) return;
    this.zone = zone;
    words.setZone(zone);
    const { locale } = words;
    const crosshair = new Intl.DateTimeFormat(locale, {
      dateStyle: "medium",
      timeStyle: "short",
      hourCycle: "h23",
      timeZone: zone,
    });
    const timeFormatter = (/** @type {Time} */ time) => crosshair.format(Number(time) * 1000);
    const tickMarkFormatter = (/** @type {Time} */ time, /** @type {number} */ mark) =>
      markText(Number(time), mark, locale, zone);
    chart.setFormats({ localization: { locale, timeFormatter }, timeScale: { tickMarkFormatter } });
    legend?.show();
  }
}
