// @ts-check
/**
 * Short messages at the edge of the page: newest first, three at most; errors stay. Loaded after
 * the chart, or with the first message.
 */

/** @import {LivePage} from "./live.js" */
/** @import {Notice} from "../types/page" */

const LIFE_MS = 3200;
const MOST = 3;

export default class Toasts {
  /** @param {LivePage} page */
  constructor(page) {
    this.region = /** @type {HTMLElement} */ (document.querySelector("[data-part=toasts]"));
    this.words = page.words;
  }

  /** @param {Notice} notice of something that passes */
  tell(notice) {
    const { words } = this;
    if (notice.kind === "gap") {
      this.show(words.say("gap", { n: notice.missing, time: words.time(notice.time) }));
    } else if (notice.kind === "rebuild") {
      this.show(words.say("rebuild", { reason: words.say(notice.reason) }));
    } else if (notice.kind === "resumed") this.show(words.say("resumed", { n: notice.count }));
  }

  /**
   * @param {string} text
   * @param {"info" | "error"} level
   */
  show(text, level = "info") {
    const toast = document.createElement("div");
    toast.className = "toast";
    toast.dataset["testid"] = "toast";
    toast.dataset["level"] = level;
    toast.setAttribute("role", level === "error" ? "alert" : "status");
    const words = document.createElement("span");
    words.textContent = text;
    toast.append(words, this.#button(toast));
    this.region.prepend(toast);
    while (this.region.children.length > MOST) this.region.lastElementChild?.remove();
    if (level === "info") setTimeout(() => toast.remove(), LIFE_MS);
  }

  /** @param {HTMLElement} toast */
  #button(toast) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = "×";
    button.setAttribute("aria-label", this.words.say("dismiss"));
    button.addEventListener("click", () => toast.remove());
    return button;
  }
}
