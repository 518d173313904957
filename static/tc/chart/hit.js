// @ts-check
/**
 * What is under the pointer: distances in pixels, and the nearest of several things. Loaded after
 * the chart: nobody points at what is not there yet.
 */

/** @import {Spot, Target} from "../types/page" */

const TOLERANCE = { mark: 8, line: 5, box: 3 };
/** @type {Target["kind"][]} What lies on top is asked first. */
const ORDER = ["mark", "line", "box"];

/**
 * @param {Spot} p
 * @param {Spot} a
 * @param {Spot} b
 * @returns {number}
 */
export function distanceToSegment(p, a, b) {
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const length = dx * dx + dy * dy;
  const along = length === 0 ? 0 : ((p.x - a.x) * dx + (p.y - a.y) * dy) / length;
  const t = Math.min(1, Math.max(0, along));
  return Math.hypot(p.x - a.x - t * dx, p.y - a.y - t * dy);
}

/**
 * The distance to a box with these opposite corners, 0 inside.
 * @param {Spot} p
 * @param {Spot} a
 * @param {Spot} b
 * @returns {number}
 */
export function distanceToBox(p, a, b) {
  const dx = Math.max(Math.min(a.x, b.x) - p.x, 0, p.x - Math.max(a.x, b.x));
  const dy = Math.max(Math.min(a.y, b.y) - p.y, 0, p.y - Math.max(a.y, b.y));
  return Math.hypot(dx, dy);
}

/**
 * @param {Spot} p
 * @param {Target} target
 * @returns {number}
 */
function distance(p, { kind, spots }) {
  const a = spots[0];
  if (!a) return Infinity;
  const b = spots[1] ?? a;
  return kind === "box" ? distanceToBox(p, a, b) : distanceToSegment(p, a, b);
}

/**
 * The id under the pointer: the nearest mark in reach, else line, else box.
 * @param {Spot} p
 * @param {Target[]} targets
 * @returns {string | null}
 */
export function hitTarget(p, targets) {
  for (const kind of ORDER) {
    /** @type {string | null} */
    let best = null;
    let nearest = TOLERANCE[kind];
    for (const target of targets) {
      if (target.kind !== kind) continue;
      const d = distance(p, target);
      if (d < nearest || (d === nearest && best === null)) {
        nearest = d;
        best = target.id;
      }
    }
    if (best !== null) return best;
  }
  return null;
}
