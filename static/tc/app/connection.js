// @ts-check
/** The connection badge: the state in one word, and what happens next. */

/** @import {Words} from "./i18n.js" */
/** @import {SocketState} from "../types/page" */

const THIS_MACHINE = new Set(["localhost", "127.0.0.1", "[::1]"]);

/**
 * Whether there is no network; this machine needs none.
 * @type {(onLine: boolean, state: SocketState, hostname: string) => boolean}
 */
export function isOffline(onLine, state, hostname) {
  return !onLine && state !== "open" && !THIS_MACHINE.has(hostname);
}

export class ConnectionBadge {
  /** @type {SocketState} */
  #state = "connecting";
  #retryAt = 0;
  #attempt = 0;
  #reason = "";
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #ticking;

  /**
   * @param {HTMLElement} badge
   * @param {HTMLElement} detail
   * @param {Words} words
   * @param {() => number | null} lastTime the time of the last data, for an offline machine
   */
  constructor(badge, detail, words, lastTime) {
    this.badge = badge;
    this.detail = detail;
    this.words = words;
    this.lastTime = lastTime;
    for (const name of ["online", "offline"]) addEventListener(name, () => this.#refresh());
  }

  /**
   * @param {SocketState} state
   * @param {{waitMs: number, attempt: number, reason: string}} about
   */
  show(state, { waitMs, attempt, reason }) {
    this.#state = state;
    this.#retryAt = Date.now() + waitMs;
    this.#attempt = attempt;
    this.#reason = reason;
    clearInterval(this.#ticking);
    if (state === "reconnecting") this.#ticking = setInterval(() => this.#refresh(), 1000);
    this.#refresh();
  }

  #refresh() {
    this.badge.dataset["state"] = this.#state;
    this.badge.textContent = this.words.say(`ws.${this.#state}`);
    this.detail.textContent = this.#detail();
  }

  #detail() {
    const last = this.lastTime();
    if (last !== null && isOffline(navigator.onLine, this.#state, location.hostname)) {
      return this.words.say("offline", { time: this.words.time(last) });
    }
    if (this.#state === "reconnecting") {
      const s = Math.max(0, Math.ceil((this.#retryAt - Date.now()) / 1000));
      return this.words.say("reconnecting", { s, attempt: this.#attempt });
    }
    return this.#state === "closed" ? this.words.say("refused", { reason: this.#reason }) : "";
  }
}
