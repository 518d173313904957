// @ts-check
/** Short messages at the edge of the page: newest first, three at most; errors stay. */

const LIFE_MS = 3200;
const MOST = 3;

export class Toasts {
  /**
   * @param {HTMLElement} region
   * @param {string} dismissLabel
   */
  constructor(region, dismissLabel) {
    this.region = region;
    this.dismissLabel = dismissLabel;
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
    button.setAttribute("aria-label", this.dismissLabel);
    button.addEventListener("click", () => toast.remove());
    return button;
  }
}
