// @ts-check
/** The prices of the zhongshu under study. Loaded after the chart: none is chosen before. */

/** @import {Palette} from "./palette.js" */

/**
 * Write both prices outside of the edges, at their right end.
 * @param {CanvasRenderingContext2D} context
 * @param {string[]} prices the upper one first
 * @param {[number, number, number]} place right, top and bottom
 * @param {Palette} palette
 */
export function paintEdges(context, [zg, zd], [right, top, bottom], palette) {
  context.globalAlpha = 1;
  context.fillStyle = palette.text;
  context.font = `11px ${palette.font}`;
  context.textAlign = "right";
  const x = Math.min(right, context.canvas.clientWidth - 4);
  context.fillText(`ZG ${zg}`, x, top - 7);
  context.fillText(`ZD ${zd}`, x, bottom + 15);
}
