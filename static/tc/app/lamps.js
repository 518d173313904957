// @ts-check
/**
 * The lamps, which the server renders: fetched again and again, open ones stay open. Loaded after
 * the chart.
 */

/** @import {LivePage} from "./live.js" */

const EVERY_MS = 5000;
const EVERY_MS_BAD = 2000;
const APART_MS = 600;
const LAG_SHOWN_AFTER_MS = 5000;
const STATUS = ["data-kline-status", "data-factor-draw-status"];

/** @param {string} part */
function partOf(part) {
  return /** @type {HTMLElement} */ (document.querySelector(`[data-part="${part}"]`));
}

export default class Lamps {
  #seriesId = "";
  #asking = new AbortController();
  #askedAt = -Infinity;
  /** When the series was last heard of. */
  #heardAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #next;

  /** Since when structures are behind; 0 while they are not. */
  #lagSince = 0;

  /** @param {LivePage} page */
  constructor(page) {
    this.page = page;
    const place = (this.place = partOf("lamps"));
    /** Says what does not work about the feed. */
    this.notice = partOf("feed");
    /** The text of a lamp of which nothing is known. */
    this.unknown = page.words.say("lamp.unknown");
    // A lamp that opens tells more than it did when it was closed.
    place.addEventListener("toggle", () => this.soon(), true);
    document.addEventListener("click", ({ target }) => {
      if (!place.contains(/** @type {Node} */ (target))) this.#close();
    });
    document.addEventListener("keydown", ({ key }) => {
      if (key === "Escape") this.#close();
    });
    addEventListener("focus", () => this.soon());
    document.addEventListener("visibilitychange", () => this.soon());
    page.lamps = this;
    page.followers.add(() => this.#watchLag());
    this.watch(page.feed.seriesId);
  }

  /** @param {string} seriesId */
  watch(seriesId) {
    this.#seriesId = seriesId;
    this.#heardAt = performance.now();
    this.#notice("");
    void this.#refresh();
  }

  /**
   * The series was heard of.
   * @param {boolean} isEvent whether lamps may have changed by it
   */
  hear(isEvent) {
    this.#heardAt = performance.now();
    if (isEvent) this.soon();
  }

  /** Something has happened: look, but not at every one of many events. */
  soon() {
    this.#plan(Math.max(0, this.#askedAt + APART_MS - performance.now()));
  }

  /** Say that structures are behind once they have been so for a while. */
  #watchLag() {
    const { feed, store, words } = this.page;
    if (feed.structureLag === 0) this.#lagSince = 0;
    if (feed.structureLag === 0 || this.#lagSince) return;
    const since = performance.now();
    this.#lagSince = since;
    setTimeout(() => {
      if (this.#lagSince !== since) return;
      this.#lagSince = 0;
      if (feed.structureLag === 0) return;
      store.set({ note: words.say("lag", { n: feed.structureLag }) });
    }, LAG_SHOWN_AFTER_MS);
  }

  #close() {
    this.place.querySelector("[open]")?.removeAttribute("open");
  }

  /** @param {number} ms */
  #plan(ms) {
    clearTimeout(this.#next);
    this.#next = setTimeout(() => void this.#refresh(), ms);
  }

  async #refresh() {
    clearTimeout(this.#next);
    this.#asking.abort();
    const { signal } = (this.#asking = new AbortController());
    this.#askedAt = performance.now();
    const open = [...this.place.querySelectorAll("[open]")].map((one) => one.getAttribute("data-lamp"));
    const quiet = `${(this.#askedAt - this.#heardAt) / 1000}`;
    const query = new URLSearchParams({ series_id: this.#seriesId, open: open.join(" "), quiet });
    let unheard = false;
    try {
      const answer = document.hidden ? null : await fetch(`/live/lamps?${query}`, { signal });
      if (answer?.ok) this.#show(new DOMParser().parseFromString(await answer.text(), "text/html"));
      else unheard = answer !== null;
    } catch {
      unheard = true;
    }
    if (signal.aborted) return;
    if (unheard) this.#forget();
    const bad = unheard || this.place.querySelector("[data-status=yellow], [data-status=red]");
    this.#plan(bad ? EVERY_MS_BAD : EVERY_MS);
  }

  /** @param {Document} fresh */
  #show(fresh) {
    this.#notice(fresh.querySelector("[data-feed]")?.textContent ?? "");
    for (const lamp of fresh.querySelectorAll("details")) {
      const old = this.place.querySelector(`[data-lamp=${lamp.dataset["lamp"]}]`);
      if (!old) this.place.prepend(...fresh.querySelectorAll("details"));
      if (!old) return;
      for (const { name, value } of lamp.attributes) old.setAttribute(name, value);
      for (const [i, part] of [...lamp.children].entries()) {
        // Nothing is taken from under the fingers of somebody who is in it.
        const held = old.children[i];
        if (!held || (i && held.contains(document.activeElement))) continue;
        if (held.innerHTML !== part.innerHTML) held.innerHTML = part.innerHTML;
      }
    }
  }

  /** The server does not answer; the badge of the connection says so. */
  #forget() {
    this.#notice("");
    for (const text of this.place.querySelectorAll("[data-text]")) {
      text.textContent = this.unknown;
      text.parentElement?.setAttribute("data-status", "gray");
      const lamp = text.closest("details");
      for (const name of STATUS) if (lamp?.hasAttribute(name)) lamp.setAttribute(name, "gray");
    }
  }

  /** @param {string} text */
  #notice(text) {
    this.notice.hidden = text === "";
    if (this.notice.textContent !== text) this.notice.textContent = text;
  }
}
