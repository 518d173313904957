// @ts-check
/** What the badge of the connection opens to: facts, and a link to this view. */

/** @import {LivePage} from "./live.js" */

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
      await navigator.clipboard.writeText(location.href);
      copy.textContent = page.words.say("card.copied");
    });
    setInterval(() => this.#show(), 1000);
    this.#show();
  }

  #show() {
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
