// @ts-check
/** The switches of factors and their features: a checkbox each, the features in a disclosure. */

/** @import {FactorCatalog, FactorEntry, FeatureEntry} from "../types/api" */
/** @import {FactorChoice} from "./saved.js" */
/** @import {Words} from "./i18n.js" */

export class FactorPanel {
  /**
   * @param {HTMLElement} element
   * @param {FactorChoice} choice
   * @param {Words} words
   * @param {() => void} changed
   */
  constructor(element, choice, words, changed) {
    this.element = element;
    this.choice = choice;
    this.words = words;
    this.changed = changed;
    document.addEventListener("click", (event) => this.#closeOthers(event.target));
    element.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#closeOthers(null);
    });
  }

  /** @param {FactorCatalog} catalog */
  show(catalog) {
    this.element.replaceChildren(...catalog.factors.map((factor) => this.#chip(factor)));
    this.#refresh();
  }

  /** @param {FactorEntry} factor */
  #chip(factor) {
    const chip = document.createElement("div");
    chip.className = "chip";
    chip.dataset["testid"] = `factor-${factor.key}`;
    chip.append(this.#switch(factor, `factor-toggle-${factor.key}`));
    if (factor.sub_features.length) chip.append(this.#disclosure(factor));
    return chip;
  }

  /** @param {FactorEntry} factor */
  #disclosure(factor) {
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    summary.dataset["count"] = factor.key;
    summary.setAttribute("aria-label", this.words.say("features_of", { factor: this.#name(factor) }));
    const menu = document.createElement("div");
    menu.className = "menu";
    for (const feature of factor.sub_features) {
      menu.append(this.#switch(feature, `feature-toggle-${feature.key}`));
    }
    details.append(summary, menu);
    return details;
  }

  /**
   * @param {FeatureEntry} entry
   * @param {string} testid
   */
  #switch(entry, testid) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.dataset["testid"] = testid;
    box.dataset["key"] = entry.key;
    box.addEventListener("change", () => {
      this.choice.choose(entry.key, box.checked);
      this.#refresh();
      this.changed();
    });
    label.append(box, this.#name(entry));
    return label;
  }

  /** @param {FeatureEntry} entry */
  #name(entry) {
    const key = `feature.${entry.key}`;
    return this.words.has(key) ? this.words.say(key) : entry.label;
  }

  #refresh() {
    for (const box of this.element.querySelectorAll("input")) {
      box.checked = this.choice.isOn(box.dataset["key"] ?? "");
    }
    for (const summary of this.element.querySelectorAll("summary")) {
      const key = summary.dataset["count"] ?? "";
      const boxes = [...summary.parentElement?.querySelectorAll("input") ?? []];
      const on = this.choice.isOn(key) ? boxes.filter((box) => box.checked).length : 0;
      summary.textContent = `${on}/${boxes.length}`;
    }
  }

  /** @param {EventTarget | null} target */
  #closeOthers(target) {
    for (const details of this.element.querySelectorAll("details[open]")) {
      if (!(target instanceof Node) || !details.contains(target)) details.removeAttribute("open");
    }
  }
}
