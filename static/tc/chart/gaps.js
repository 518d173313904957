// @ts-check
/** Holes between candles: hatched bands with the number of those missing. Loaded after the chart. */

/** @import {Palette} from "./palette.js" */
/** @import {Gap, Paint} from "../types/page" */

/** The pixels that a number needs. */
const LABEL = 30;

/**
 * Paint the gaps in view, with their numbers where there is room.
 * @param {Paint} paint
 * @param {Gap[]} gaps
 * @param {Palette} palette
 */
export function paintGaps(paint, gaps, palette) {
  const { from, to, spacing } = paint.scales;
  let labelled = -Infinity;
  for (const gap of gaps.filter(({ bar }) => bar >= from - 1 && bar <= to)) {
    const hasRoom = (gap.bar - labelled) * spacing > LABEL;
    if (hasRoom) labelled = gap.bar;
    paintGap(paint, gap, palette, hasRoom);
  }
}

/**
 * A hatched band between two bars.
 * @param {Paint} paint
 * @param {Gap} gap
 * @param {Palette} palette
 * @param {boolean} hasRoom
 */
function paintGap({ context, scales, height }, { bar, missing }, palette, hasRoom) {
  const middle = (scales.x(bar) + scales.x(bar + 1)) / 2;
  const half = Math.min(6, Math.max(3, scales.spacing / 3));
  context.save();
  context.beginPath();
  context.rect(middle - half, 0, 2 * half, height);
  context.clip();
  context.globalAlpha = 0.8;
  context.strokeStyle = palette.gap;
  context.lineWidth = 1;
  context.setLineDash([]);
  context.beginPath();
  for (let y = -2 * half; y < height; y += 6) {
    context.moveTo(middle - half, y + 2 * half);
    context.lineTo(middle + half, y);
  }
  context.stroke();
  context.restore();
  if (!hasRoom) return;
  context.fillStyle = palette.text;
  context.font = `11px ${palette.font}`;
  context.textAlign = "center";
  context.fillText(String(missing), middle, height - 6);
}
