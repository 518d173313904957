// @ts-check
/** Counts down to the times that a page names; without it the page shows the plain time. */

/** @type {WeakMap<Element, number>} When it is over, by the clock of the page, in milliseconds. */
const ends = new WeakMap();

function show() {
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (
    document.querySelectorAll("[data-left]")
  )) {
    const end = ends.get(element) ?? performance.now() + Number(element.dataset["left"]) * 1000;
    ends.set(element, end);
    const text = `${Math.max(0, Math.round((end - performance.now()) / 1000))} s`;
    if (element.textContent !== text) element.textContent = text;
  }
}

const main = document.querySelector("main");
if (main) new MutationObserver(show).observe(main, { childList: true, subtree: true });
setInterval(show, 1000);
show();
