// @ts-check
/** Ready choices of what is drawn: each option of the list names the features that it hides. */

/** @import {FactorCatalog} from "../types/api" */
/** @import {LivePage} from "./live.js" */
/** @import {FactorChoice} from "./saved.js" */

/**
 * Hide these features and show all others. A factor that has nothing to show is switched off as a
 * whole, and shows again what it did when it is switched on.
 * @param {FactorChoice} choice
 * @param {FactorCatalog} catalog
 * @param {string[]} hidden
 */
export function hide(choice, catalog, hidden) {
  for (const { key, sub_features: features } of catalog.factors) {
    const isShown = (/** @type {{key: string}} */ one) => !hidden.includes(one.key);
    const shows = features.length ? features.some(isShown) : isShown({ key });
    if (shows) for (const feature of features) choice.choose(feature.key, isShown(feature));
    choice.choose(key, shows);
  }
}

export default class Presets {
  /** @param {LivePage} page */
  constructor({ catalog, choice, panel }) {
    const select = /** @type {HTMLSelectElement} */ (document.querySelector("#preset-select"));
    const show = () => {
      select.value = choice.hidden(catalog).join(" ");
      if (select.selectedIndex < 0) select.value = "own";
    };
    select.addEventListener("change", () => {
      hide(choice, catalog, select.value.split(" "));
      panel.refresh();
    });
    panel.followers.add(show);
    show();
  }
}
