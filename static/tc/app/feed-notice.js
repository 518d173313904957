// @ts-check
/** Says in words when the feed of the series does not work, and when it is tried again. */

/** @import {FeedState} from "../types/api" */
/** @import {Words} from "./i18n.js" */

const EVERY_MS = 5000;
const SAID = new Set(["unreachable", "waiting", "open", "rate_limited"]);

export class FeedNotice {
  #seriesId = "";
  /** @type {AbortController | null} */
  #asking = null;

  /**
   * @param {HTMLElement} place
   * @param {Words} words
   * @param {(seriesId: string, signal: AbortSignal) => Promise<FeedState>} ask
   */
  constructor(place, words, ask) {
    this.place = place;
    this.words = words;
    this.ask = ask;
    setInterval(() => {
      if (!document.hidden) void this.#refresh();
    }, EVERY_MS);
  }

  /** @param {string} seriesId */
  watch(seriesId) {
    this.#seriesId = seriesId;
    this.#show("");
    void this.#refresh();
  }

  async #refresh() {
    if (!this.#seriesId) return;
    this.#asking?.abort();
    const asking = (this.#asking = new AbortController());
    try {
      const feed = await this.ask(this.#seriesId, asking.signal);
      if (!asking.signal.aborted) this.#show(this.#text(feed));
    } catch {
      if (!asking.signal.aborted) this.#show(""); // the badge says that the server does not answer
    }
  }

  /** @param {FeedState} feed */
  #text({ state, next_attempt_in_s }) {
    if (!SAID.has(state)) return "";
    return this.words.say(`feed.${state}`, { s: Math.ceil(next_attempt_in_s) });
  }

  /** @param {string} text */
  #show(text) {
    this.place.hidden = text === "";
    if (this.place.textContent !== text) this.place.textContent = text;
  }
}
