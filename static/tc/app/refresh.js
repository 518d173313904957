// @ts-check
/** Keeps a part of a page that the server renders up to date; without it the page still works. */

/** @type {WeakMap<Element, string>} What the server sent last; other modules may have changed it. */
const sent = new WeakMap();

/** @param {HTMLElement} part */
async function refresh(part) {
  // Nothing is taken from under the fingers of somebody who steers.
  if (document.hidden || part.contains(document.activeElement)) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const next = fresh.querySelector("[data-refresh]");
  if (!next || next.innerHTML === (sent.get(part) ?? part.innerHTML)) return;
  part.innerHTML = next.innerHTML;
  sent.set(part, next.innerHTML);
}

for (const part of /** @type {NodeListOf<HTMLElement>} */ (
  document.querySelectorAll("[data-refresh]")
)) {
  const every = Number(part.dataset["refresh"]);
  setInterval(() => void refresh(part).catch(() => undefined), every);
}
