// @ts-check
/**
 * What the page brings once the chart is painted, in the order in which it may be wanted. All of it
 * is fetched now, while the server surely answers.
 */

import { paintEdges } from "../chart/edges.js";
import { paintGaps } from "../chart/gaps.js";
import { hitTarget } from "../chart/hit.js";
import "./mend.js";
import { loadState } from "./saved.js";
import { setUpSearch } from "./search.js";
/** @import {LivePage} from "./live.js" */

export default class Rest {
  /** @param {LivePage} page */
  constructor(page) {
    this.page = page;
    page.chart.layer.complete({ find: hitTarget, paintGaps, paintEdges });
    setUpSearch(page.controls, (series) => {
      void page.toast(page.words.say("bad_series", { series }), "error");
    });
    document.addEventListener("keydown", async (event) => (await page.later("keys")).handle(event));
    document.addEventListener("click", async (event) => {
      const isKey = /** @type {Element} */ (event.target).closest("[data-key]") !== null;
      if (isKey) (await page.later("keys")).handle(event);
    });
  }

  /** Bring what is not there yet; the lamps come last: once they burn, all is there. */
  async bring() {
    const { page } = this;
    const names = /** @type {const} */ (["legend", "toasts", "presets", "facts"]);
    await Promise.all(names.map((name) => page.later(name)));
    await page.later("lamps");
    const { sidebarCollapsed, speakClosed } = loadState(localStorage);
    if (sidebarCollapsed === false) await page.later("side");
    if (speakClosed) await page.later("speech");
  }
}
