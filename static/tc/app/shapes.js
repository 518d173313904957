// @ts-check
/**
 * From instructions to shapes: the two edges of a zhongshu become one box, the line of pens
 * becomes one shape per pen, and each shape knows its prices, its times and since when it is known.
 */

import { floorIndex } from "./candles.js";
/** @import {Candle, Instruction, Point} from "../types/api" */
/** @import {Counts, Shape} from "../types/page" */

/** Features whose polylines come in pairs, an upper and a lower edge. */
const BOX_FEATURES = new Set(["zhongshu.alive", "zhongshu.dead"]);
/** Features that are settled once drawn: their `visible_time` is the truth, not "now". */
const SETTLED = new Set([
  "pivot.major",
  "pivot.minor",
  "zhongshu.dead",
  "anchor.switch",
  "anchor.history",
]);

/**
 * @param {Instruction} item
 * @param {Partial<Shape> & Pick<Shape, "id" | "kind" | "points">} rest
 * @returns {Shape}
 */
function shapeOf(item, rest) {
  const { feature, color } = item.definition;
  return {
    feature,
    color,
    visibleTime: SETTLED.has(feature) ? item.visible_time : null,
    dashed: false,
    up: true,
    width: 2,
    glyph: null,
    items: [item],
    ...rest,
  };
}

/**
 * @param {Instruction} item
 * @param {Candle[]} candles
 * @param {number[]} times
 * @returns {Shape[]}
 */
function markShapes(item, candles, times) {
  const { definition } = item;
  if (definition.type !== "marker") return [];
  const candle = candles[floorIndex(times, definition.time)];
  if (candle?.candle_time !== definition.time) return [];
  const above = definition.position === "aboveBar";
  const point = { time: definition.time, value: above ? candle.high : candle.low };
  const glyph = definition.shape === "circle" ? "circle" : "arrow";
  const id = item.instruction_id;
  return [shapeOf(item, { id, kind: "mark", points: [point], up: !above, glyph })];
}

/**
 * @param {Instruction} item
 * @returns {Shape[]}
 */
function lineShapes(item) {
  const { definition } = item;
  if (definition.type !== "polyline") return [];
  const { points, lineStyle, lineWidth: width } = definition;
  const many = points.length > 2;
  return points.slice(1).map((end, i) => {
    const start = /** @type {Point} */ (points[i]);
    const single = !many && item.instruction_id !== "pen.confirmed";
    return shapeOf(item, {
      id: single ? item.instruction_id : `${item.instruction_id}:${start.time}:${end.time}`,
      kind: "line",
      points: [start, end],
      dashed: lineStyle === "dashed",
      up: end.value >= start.value,
      width,
    });
  });
}

/**
 * @param {string} id
 * @param {Instruction[]} edges
 * @returns {Shape[]}
 */
function boxShapes(id, edges) {
  const [first, second] = edges;
  if (!first || !second) return edges.flatMap(lineShapes);
  const ends = edges.flatMap(({ definition }) =>
    definition.type === "polyline" ? definition.points : [],
  );
  const times = ends.map((point) => point.time);
  const prices = ends.map((point) => point.value);
  const { definition } = first;
  return [
    shapeOf(first, {
      id,
      kind: "box",
      points: [
        { time: Math.min(...times), value: Math.max(...prices) },
        { time: Math.max(...times), value: Math.min(...prices) },
      ],
      up: definition.type !== "polyline" || (definition.entryDirection ?? 1) >= 0,
      items: [first, second],
    }),
  ];
}

/**
 * The shapes of these instructions. A mark whose candle is not held is left out, as it has no price.
 * @param {Instruction[]} items
 * @param {Candle[]} candles
 * @returns {Shape[]}
 */
export function buildShapes(items, candles) {
  const times = candles.map((candle) => candle.candle_time);
  /** @type {Map<string, Instruction[]>} */
  const boxes = new Map();
  /** @type {Shape[]} */
  const shapes = [];
  for (const item of items) {
    if (BOX_FEATURES.has(item.definition.feature)) {
      const id = item.instruction_id.replace(/:(top|bottom)$/, "");
      boxes.set(id, [...(boxes.get(id) ?? []), item]);
    } else {
      const isMark = item.kind === "marker";
      shapes.push(...(isMark ? markShapes(item, candles, times) : lineShapes(item)));
    }
  }
  for (const [id, edges] of boxes) shapes.push(...boxShapes(id, edges));
  return shapes;
}

/**
 * Count the visible shapes that touch the held candles.
 * @param {Shape[]} shapes
 * @param {(feature: string) => boolean} isVisible
 * @param {number} first
 * @param {number} last
 * @returns {Counts}
 */
export function countShapes(shapes, isVisible, first, last) {
  const inside = (/** @type {Point} */ point) => point.time >= first && point.time <= last;
  const drawn = shapes.filter(
    ({ feature, points }) =>
      isVisible(feature) && points.some((p) => p.time >= first) && points.some((p) => p.time <= last),
  );
  const number = (/** @type {RegExp} */ pattern) =>
    drawn.filter(({ feature }) => pattern.test(feature)).length;
  const pens = drawn.filter(({ feature }) => feature === "pen.confirmed");
  const penTimes = new Set(pens.flatMap(({ points }) => points.filter(inside).map((p) => p.time)));
  return {
    pivots: number(/^pivot\./),
    penPoints: penTimes.size,
    zhongshu: number(/^zhongshu\./),
    anchors: number(/^anchor\.(current|history)$/),
    switches: number(/^anchor\.switch$/),
    sr: number(/^sr\./),
  };
}

/**
 * The pen of the current anchor, if it is drawn and both its ends are held candles.
 * @param {Shape[]} shapes
 * @param {(feature: string) => boolean} isVisible
 * @param {Candle[]} candles
 * @returns {Shape | null}
 */
export function anchorHighlight(shapes, isVisible, candles) {
  const anchor = shapes.find(({ feature }) => feature === "anchor.current");
  if (!anchor || !isVisible(anchor.feature)) return null;
  const held = new Set(candles.map((candle) => candle.candle_time));
  return anchor.points.every((point) => held.has(point.time)) ? anchor : null;
}
