// @ts-check
/**
 * The switches of factors and their features: a checkbox each, the features in a disclosure; and
 * ready choices of them, each option with the features that it hides.
 */

/** @import {FactorCatalog} from "../types/api" */
/** @import {FactorChoice} from "./saved.js" */

export class FactorPanel {
  /**
   * @param {HTMLElement} element
   * @param {HTMLSelectElement} presets
   * @param {FactorChoice} choice
   * @param {FactorCatalog} catalog
   * @param {() => void} changed
   */
  constructor(element, presets, choice, catalog, changed) {
    this.element = element;
    this.presets = presets;
    this.choice = choice;
    this.catalog = catalog;
    presets.addEventListener("change", () => {
      choice.preset(catalog, presets.value.split(" "));
      this.#refresh();
      changed();
    });
    document.addEventListener("click", (event) => this.#closeOthers(event.target));
    element.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#closeOthers(null);
    });
    element.addEventListener("change", ({ target }) => {
      const box = /** @type {HTMLInputElement} */ (target);
      choice.choose(box.value, box.checked);
      this.#refresh();
      changed();
    });
    this.#refresh();
  }

  #refresh() {
    for (const box of this.element.querySelectorAll("input")) {
      box.checked = this.choice.isOn(box.value);
    }
    for (const count of this.element.querySelectorAll("[data-count]")) {
      const boxes = [...(count.closest("details")?.querySelectorAll("input") ?? [])];
      const on = boxes.filter((box) => this.choice.isVisible(box.value)).length;
      count.textContent = `${on}/${boxes.length}`;
    }
    this.presets.value = this.choice.hidden(this.catalog).join(" ");
    if (this.presets.selectedIndex < 0) this.presets.value = "own";
  }

  /** @param {EventTarget | null} target */
  #closeOthers(target) {
    for (const details of this.element.querySelectorAll("details[open]")) {
      if (!(target instanceof Node) || !details.contains(target)) details.removeAttribute("open");
    }
  }
}
