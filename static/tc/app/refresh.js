// @ts-check
/**
 * Keeps a part of a page that the server renders up to date, and says when it last was; without it
 * the page still works.
 */

const STEERED = ":is(a, button, input, select, textarea):focus";
const PATIENCE = 10_000;

/** @param {number} time in milliseconds */
function clockText(time) {
  const isLocal = document.documentElement.dataset["zone"] === "local";
  return new Intl.DateTimeFormat("en", {
    timeStyle: "medium",
    hourCycle: "h23",
    timeZone: isLocal ? undefined : "UTC",
  }).format(time);
}

/** @returns {Promise<string | null>} the part as the server has it now; null without an answer */
async function ask() {
  const options = { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(PATIENCE) };
  const link = /** @type {HTMLAnchorElement} */ (document.querySelector("[data-part=again]"));
  const answer = await fetch(link.href, options);
  if (!answer.ok) return null;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return page.querySelector("[data-refresh]")?.innerHTML ?? null;
}

class Refresher {
  /** @param {HTMLElement} part */
  constructor(part) {
    this.part = part;
    this.sent = "";
    this.isAsking = this.isLost = false;
    this.shownAt = this.answeredAt = Date.now();
  }

  async refresh() {
    if (document.hidden || this.isAsking) return;
    this.isAsking = true;
    const next = await ask().catch(() => null);
    this.isAsking = false;
    this.isLost = next === null;
    if (next !== null) {
      this.answeredAt = Date.now();
      if (!this.#isHeld()) {
        this.#put(next);
        this.shownAt = this.answeredAt;
      }
    }
    this.tell();
  }

  tell() {
    const [shown, lost] = ["refreshed", "lost"].map((name) =>
      /** @type {HTMLElement} */ (document.querySelector(`[data-part=${name}]`)),
    );
    if (!shown || !lost) return;
    shown.textContent = clockText(this.shownAt);
    const text = lost.dataset["text"]?.replace("{time}", clockText(this.answeredAt)) ?? "";
    lost.textContent = this.isLost ? text : "";
  }

  /** Nothing is taken from under the fingers of somebody who steers or copies. */
  #isHeld() {
    const selection = getSelection();
    const isCopied = selection?.isCollapsed === false && this.part.contains(selection.anchorNode);
    return isCopied || this.part.querySelector(STEERED) !== null;
  }

  /**
   * Show what the server sent. What is open, focused and scrolled stays so; it is known by its id.
   * @param {string} html
   */
  #put(html) {
    if (html === this.sent) return;
    const { part } = this;
    const left = part.querySelector(".scroll")?.scrollLeft ?? 0;
    const open = Array.from(part.querySelectorAll("details[open]"), ({ id }) => id);
    const focused = part.querySelector(":focus")?.closest("[id]")?.id;
    part.innerHTML = this.sent = html;
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    const at = focused ? document.getElementById(focused) : null;
    (at?.querySelector("summary") ?? at)?.focus({ preventScroll: true });
    part.querySelector(".scroll")?.scrollTo(left, 0);
  }
}

const part = /** @type {HTMLElement} */ (document.querySelector("[data-refresh]"));
const refresher = new Refresher(part);
setInterval(() => void refresher.refresh(), Number(part.dataset["refresh"]));
document.addEventListener("visibilitychange", () => void refresher.refresh());
document.addEventListener("themechange", () => refresher.tell());
refresher.tell();
