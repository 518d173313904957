// @ts-check
/** Shows the times of a page that the server renders in the zone that is chosen. */

const FORM = /** @type {const} */ ({
  year: "numeric",
  month: "2-digit",
  day: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});

/**
 * A time as the server writes it: `2026-01-30 11:59`.
 * @param {string} iso
 * @param {string} timeZone
 */
export function momentText(iso, timeZone) {
  const parts = new Intl.DateTimeFormat("en", { ...FORM, timeZone }).formatToParts(Date.parse(iso));
  const part = Object.fromEntries(parts.map(({ type, value }) => [type, value]));
  return `${part["year"]}-${part["month"]}-${part["day"]} ${part["hour"]}:${part["minute"]}`;
}

function show() {
  const isLocal = document.documentElement.dataset["zone"] === "local";
  const zone = isLocal ? Intl.DateTimeFormat().resolvedOptions().timeZone : "UTC";
  const write = (/** @type {Element} */ element, /** @type {string} */ text) => {
    if (element.textContent !== text) element.textContent = text;
  };
  for (const time of document.querySelectorAll("main time[datetime]")) {
    write(time, momentText(time.getAttribute("datetime") ?? "", zone));
  }
  for (const name of document.querySelectorAll("[data-zone-name]")) write(name, zone);
}

const main = document.querySelector("main");
if (main) new MutationObserver(show).observe(main, { childList: true, subtree: true });
document.addEventListener("themechange", show);
show();
