// @ts-check
/** The connection badge: the state in one word. `facts.js` says what happens next. */

/** @import {Words} from "./i18n.js" */
/** @import {SocketState} from "../types/page" */

export class ConnectionBadge {
  /** @type {SocketState} */
  state = "connecting";
  about = { waitMs: 0, attempt: 0, reason: "" };
  /** When it became so. */
  since = 0;

  /**
   * @param {HTMLElement} badge
   * @param {Words} words
   */
  constructor(badge, words) {
    this.badge = badge;
    this.words = words;
  }

  /**
   * @param {SocketState} state
   * @param {{waitMs: number, attempt: number, reason: string}} about
   */
  show(state, about) {
    this.state = state;
    this.about = about;
    this.since = Date.now();
    this.badge.dataset["state"] = state;
    this.badge.textContent = this.words.say(`ws.${state}`);
  }
}
