// @ts-check
/** The switches of factors and their features: a checkbox each, the features in a disclosure. */

/** @import {FactorChoice} from "./saved.js" */

export class FactorPanel {
  /** @type {Set<() => void>} Called after each change of the choice. */
  followers = new Set();

  /**
   * @param {HTMLElement} element
   * @param {FactorChoice} choice
   * @param {() => void} changed
   */
  constructor(element, choice, changed) {
    this.element = element;
    this.choice = choice;
    document.addEventListener("click", (event) => this.#closeOthers(event.target));
    element.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#closeOthers(null);
    });
    element.addEventListener("change", ({ target }) => {
      const box = /** @type {HTMLInputElement} */ (target);
      choice.choose(box.value, box.checked);
      this.refresh();
    });
    this.refresh();
    this.followers.add(changed);
  }

  /** Show the choice as it is now. */
  refresh() {
    for (const box of this.element.querySelectorAll("input")) {
      box.checked = this.choice.isOn(box.value);
    }
    for (const count of this.element.querySelectorAll("[data-count]")) {
      const boxes = [...(count.closest("details")?.querySelectorAll("input") ?? [])];
      const on = boxes.filter((box) => this.choice.isVisible(box.value)).length;
      count.textContent = `${on}/${boxes.length}`;
    }
    for (const follower of this.followers) follower();
  }

  /** @param {EventTarget | null} target */
  #closeOthers(target) {
    for (const details of this.element.querySelectorAll("details[open]")) {
      if (!(target instanceof Node) || !details.contains(target)) details.removeAttribute("open");
    }
  }
}
