// @ts-check
/** The side bar: markets to choose from, or the log of events. Loaded when it is opened. */

import { loadState, saveState } from "./saved.js";
/** @import {LivePage} from "./live.js" */
/** @import {SidePanel} from "../types/page" */

/** @type {Record<string, () => Promise<{default: new (page: LivePage, element: HTMLElement) => SidePanel}>>} */
const PANELS = {
  Market: () => import("./markets.js"),
  Debug: () => import("./events.js"),
};

export default class Side {
  /** @type {Record<string, Promise<SidePanel>>} */
  #panels = {};
  #open = "";

  /** @param {LivePage} page */
  constructor(page) {
    this.page = page;
    this.element = /** @type {HTMLElement} */ (document.querySelector("[data-part=side]"));
    for (const button of this.element.querySelectorAll("[data-part=close]")) {
      button.addEventListener("click", () => void this.#show("", true));
    }
    const { activeSidebarTab: name, sidebarCollapsed } = loadState(localStorage);
    if (sidebarCollapsed === false) void this.#show(this.#has(name) ? String(name) : "Market");
  }

  /**
   * Open a panel, or close it if it is the one that is open.
   * @param {string} name
   */
  async toggle(name) {
    await this.#show(name === this.#open ? "" : name, true);
  }

  /** @param {unknown} name */
  #has(name) {
    return this.#sections().some((section) => section.dataset["panel"] === name);
  }

  #sections() {
    return [.../** @type {NodeListOf<HTMLElement>} */ (this.element.querySelectorAll("[data-panel]"))];
  }

  /** @param {string} name */
  async #show(name, byHand = false) {
    const before = this.#open;
    this.#open = name;
    this.element.hidden = !name;
    const change = name ? { activeSidebarTab: name } : {};
    if (byHand) saveState(localStorage, { sidebarCollapsed: !name, ...change });
    for (const section of this.#sections()) section.hidden = section.dataset["panel"] !== name;
    for (const button of document.querySelectorAll("[data-tab]")) {
      button.setAttribute("aria-pressed", String(button.getAttribute("data-tab") === name));
    }
    await this.#panels[before]?.then((panel) => panel.close());
    if (name && name === this.#open) (await this.#panel(name)).open();
    if (!byHand) return;
    const tab = `[data-tab="${before}"]`;
    const next = name ? this.element.querySelector(`[data-panel="${name}"] input`) : document.querySelector(tab);
    if (next instanceof HTMLElement) next.focus();
  }

  /** @param {string} name */
  async #panel(name) {
    const section = this.#sections().find((one) => one.dataset["panel"] === name);
    const load = /** @type {() => Promise<any>} */ (PANELS[name]);
    const loading = (this.#panels[name] ??= load().then((it) => new it.default(this.page, section)));
    loading.catch(() => delete this.#panels[name]);
    return loading;
  }
}
