// @ts-check
/** What stands beside the badge of the connection, and what it opens to: facts, and a link to this view. */

/** @import {LivePage} from "./live.js" */
/** @import {SocketState} from "../types/page" */

const THIS_MACHINE = new Set(["localhost", "127.0.0.1", "[::1]"]);

/**
 * Whether there is no network; this machine needs none.
 * @type {(onLine: boolean, state: SocketState, hostname: string) => boolean}
 */
export function isOffline(onLine, state, hostname) {
  return !onLine && state !== "open" && !THIS_MACHINE.has(hostname);
}

export default class Facts {
  /** @param {LivePage} page */
  constructor(page) {
    this.page = page;
    const place = /** @type {HTMLElement} */ (document.querySelector("[data-part=connection-facts]"));
    this.list = /** @type {HTMLElement} */ (place.querySelector("dl"));
    const copy = /** @type {HTMLButtonElement} */ (place.querySelector("button"));
    copy.textContent = page.words.say("link.copy");
    copy.hidden = !("clipboard" in navigator);
    copy.addEventListener("click", async () => {
      const query = (await page.later("place")).query();
      const link = `?series_id=${encodeURIComponent(page.feed.seriesId)}${query}`;
      await navigator.clipboard.writeText(new URL(link, location.href).href);
      copy.textContent = page.words.say("card.copied");
    });
    this.detail = /** @type {HTMLElement} */ (document.querySelector("[data-part=connection-detail]"));
    for (const name of ["online", "offline"]) addEventListener(name, () => this.#show());
    page.followers.add(() => this.#tell());
    setInterval(() => this.#show(), 1000);
    this.#show();
  }

  /** Say what happens next. */
  #tell() {
    const text = this.#detail();
    if (this.detail.textContent !== text) this.detail.textContent = text;
  }

  #detail() {
    const { badge, feed, words } = this.page;
    const { about, since, state } = badge;
    const last = feed.candles.lastClosedTime;
    if (last !== null && isOffline(navigator.onLine, state, location.hostname)) {
      return words.say("offline", { time: words.time(last) });
    }
    if (state === "reconnecting") {
      const s = Math.max(0, Math.ceil((since + about.waitMs - Date.now()) / 1000));
      return words.say("reconnecting", { s, attempt: about.attempt });
    }
    if (about.reason === "capacity") return words.say("capacity");
    return state === "closed" ? words.say("refused", { reason: about.reason }) : "";
  }

  #show() {
    this.#tell();
    const { badge, feed, socket, words } = this.page;
    const last = feed.candles.lastClosedTime;
    const since = Math.round((performance.now() - (socket.heardAt ?? 0)) / 1000);
    const values = {
      "fact.state": badge.badge.textContent ?? "",
      "fact.message": socket.heardAt === null ? words.say("none") : words.say("fact.ago", { s: since }),
      "fact.candle": last === null ? words.say("none") : words.zonedTime(last),
    };
    const parts = Object.entries(values).flatMap(([name, value]) => [words.say(name), value]);
    this.list.replaceChildren(
      ...parts.map((text, i) => {
        const part = document.createElement(i % 2 ? "dd" : "dt");
        part.textContent = text;
        return part;
      }),
    );
  }
}
