// @ts-check
/** The colours of the chart, read from the page's style sheet so that themes live in one place. */

/** @import {Shape, Stroke} from "../types/page" */

const NAMES = /** @type {const} */ ([
  "background", "text", "muted", "grid", "border", "up", "down", "forming-up", "forming-down",
  "volume-up", "volume-down", "pen", "box-up", "box-down", "anchor", "anchor-history", "high", "low",
  "broken", "gap", "drawing",
]);

/** @typedef {Record<typeof NAMES[number], string> & {font: string}} Palette */

/**
 * Resolve the colours as the element has them now; the browser writes each as `rgb` or `rgba`.
 * @param {HTMLElement} element
 * @returns {Palette}
 */
export function readPalette(element) {
  const probe = element.appendChild(document.createElement("span"));
  probe.hidden = true;
  const colors = NAMES.map((name) => {
    probe.style.color = `var(--chart-${name})`;
    return [name, getComputedStyle(probe).color];
  });
  probe.remove();
  return { ...Object.fromEntries(colors), font: getComputedStyle(element).fontFamily };
}

const LONG_DASH = [9, 5];
const DOTS = [2, 4];
const SOLID = /** @type {number[]} */ ([]);

/**
 * Shape and weight tell first, colour second; an unknown feature keeps the server's look.
 * @param {Shape} shape
 * @param {Palette} palette
 * @returns {Stroke}
 */
export function strokeOf(shape, palette) {
  const edge = shape.up ? palette["box-up"] : palette["box-down"];
  const end = shape.up ? palette.low : palette.high;
  switch (shape.feature) {
    case "pen.confirmed":
      return { color: palette.pen, width: 2, dash: SOLID, alpha: 1 };
    case "pen.extending":
      return { color: palette.pen, width: 2, dash: LONG_DASH, alpha: 0.7 };
    case "pen.candidate":
      return { color: palette.pen, width: 2, dash: DOTS, alpha: 0.7 };
    case "zhongshu.alive":
      return { color: edge, width: 1.5, dash: [6, 4], alpha: 0.95 };
    case "zhongshu.dead":
      return { color: edge, width: 1, dash: SOLID, alpha: 0.6 };
    case "anchor.current":
      return { color: palette.anchor, width: 3, dash: shape.dashed ? LONG_DASH : SOLID, alpha: 1 };
    case "anchor.history":
      return { color: palette["anchor-history"], width: 1.5, dash: SOLID, alpha: 0.8 };
    case "anchor.switch":
      return { color: palette.anchor, width: 1, dash: SOLID, alpha: 1 };
    case "pivot.major":
    case "pivot.minor":
      return { color: end, width: 1.5, dash: SOLID, alpha: 1 };
    case "sr.broken":
      return { color: palette.broken, width: 1, dash: [4, 4], alpha: 1 };
    default: {
      const dash = shape.dashed ? LONG_DASH : SOLID;
      return { color: shape.color, width: shape.width, dash, alpha: 1 };
    }
  }
}
