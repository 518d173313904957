// @ts-check
/** Every structure on the chart, painted by one series primitive. */

import { Layout } from "./layout.js";
import { strokeOf } from "./palette.js";
/** @import {CanvasRenderingTarget2D} from "fancy-canvas" */
/** @import {AutoscaleInfo, IChartApi, IPrimitivePaneView, ISeriesApi, ISeriesPrimitive, Logical, PrimitiveHoveredItem, PrimitivePaneViewZOrder, SeriesAttachedParameter, Time} from "lightweight-charts" */
/** @import {Palette} from "./palette.js" */
/** @import {Gap, Later, Paint, Placed, Scales, Shape, Spot, Stroke, Target} from "../types/page" */

const MARK_OFFSET = 9;
const SWITCH_OFFSET = 24;
const SIMPLE_BELOW = 2;
const SKELETON_BELOW = 0.5;
/** Thousands of them can be in view: those that look the same are painted at once. */
const PENS = "pen.confirmed";
const SKELETON = new Set(["pen.confirmed", "zhongshu.alive", "zhongshu.dead"]);
// The provisional pens stay: they are two lines, and where the market is now.
const FINE = new Set(["pivot.minor"]);
/** @type {string[]} Painted in this order, so that anchors lie on top. */
const ORDER = ["", "sr", "pen", "pivot", "anchor"];

/** @param {Placed} placed */
function orderOf({ shape }) {
  return Math.max(0, ORDER.indexOf(shape.feature.split(".")[0] ?? ""));
}

/** @implements {ISeriesPrimitive<Time>} */
export class StructureLayer {
  /** @type {IChartApi | null} */
  #chart = null;
  /** @type {ISeriesApi<"Candlestick"> | null} */
  #series = null;
  #requestUpdate = () => {};
  #layout = new Layout([], [], 60);
  /** @type {Gap[]} */
  #gaps = [];
  /** @type {Palette} */
  #palette;
  #isVisible = (/** @type {string} */ _feature) => true;
  #formatPrice = (/** @type {number} */ price) => String(price);
  /** @type {Later} */
  #later = { find: () => null, paintGaps: () => {}, paintEdges: () => {} };
  #hovered = "";
  #selected = "";
  /** @type {Set<string>} What made the selected one. */
  #causes = new Set();
  #views = [
    view("bottom", (paint) => this.#paintBottom(paint), () => this.#scales()),
    view("top", (paint) => this.#paintTop(paint), () => this.#scales()),
  ];

  /** @param {Palette} palette */
  constructor(palette) {
    this.#palette = palette;
  }

  /** @param {SeriesAttachedParameter<Time>} parameter */
  attached({ chart, series, requestUpdate }) {
    this.#chart = /** @type {IChartApi} */ (chart);
    this.#series = /** @type {ISeriesApi<"Candlestick">} */ (series);
    this.#requestUpdate = requestUpdate;
  }

  detached() {
    this.#chart = null;
    this.#series = null;
  }

  paneViews() {
    return this.#views;
  }

  /**
   * Structures do not squeeze the candles; only the box under study is shown whole.
   * @param {Logical} from
   * @param {Logical} to
   * @returns {AutoscaleInfo | null}
   */
  autoscaleInfo(from, to) {
    if (!this.#selected) return null;
    const studied = this.#layout.between(from, to).find(({ shape }) => shape.id === this.#selected);
    if (studied?.shape.kind !== "box") return null;
    const values = studied.shape.points.map(({ value }) => value);
    return { priceRange: { minValue: Math.min(...values), maxValue: Math.max(...values) } };
  }

  /**
   * @param {Layout} layout
   * @param {Gap[]} gaps
   */
  setLayout(layout, gaps) {
    this.#layout = layout;
    this.#gaps = gaps;
    this.#requestUpdate();
  }

  /**
   * @param {{palette?: Palette, isVisible?: (feature: string) => boolean,
   *   formatPrice?: (price: number) => string}} style
   */
  setStyle({ palette, isVisible, formatPrice }) {
    this.#palette = palette ?? this.#palette;
    this.#isVisible = isVisible ?? this.#isVisible;
    this.#formatPrice = formatPrice ?? this.#formatPrice;
    this.#requestUpdate();
  }

  /**
   * @param {string} hovered
   * @param {string} selected
   */
  setFocus(hovered, selected) {
    if (hovered === this.#hovered && selected === this.#selected) return;
    this.#hovered = hovered;
    this.#selected = selected;
    this.#requestUpdate();
  }

  /** @param {Later} later what the first painting does without */
  complete(later) {
    this.#later = later;
    this.#requestUpdate();
  }

  /** @param {Iterable<string>} ids */
  setCauses(ids) {
    this.#causes = new Set(ids);
    this.#requestUpdate();
  }

  /**
   * @param {number} x
   * @param {number} y
   * @returns {PrimitiveHoveredItem | null}
   */
  hitTest(x, y) {
    const scales = this.#scales();
    if (!scales) return null;
    const bar = (x - scales.x(0)) / scales.spacing;
    const reach = 10 / scales.spacing + 1;
    const near = this.#layout.between(bar - reach, bar + reach);
    const targets = near.filter(({ shape }) => this.#shows(shape, scales)).map((i) => target(i, scales));
    const externalId = this.#later.find({ x, y }, targets);
    return externalId === null ? null : { externalId, zOrder: "top", cursorStyle: "pointer" };
  }

  /**
   * The structures that are shown at a bar, or in a range of bars.
   * @param {number} from
   * @param {number} to
   */
  at(from, to = from) {
    const scales = this.#scales();
    const found = this.#layout.between(from, to).map(({ shape }) => shape);
    return found.filter((shape) => scales && this.#shows(shape, scales));
  }

  /** @returns {Scales | null} */
  #scales() {
    const time = this.#chart?.timeScale();
    const series = this.#series;
    const range = time?.getVisibleLogicalRange();
    const zero = time?.logicalToCoordinate(/** @type {Logical} */ (0)) ?? null;
    const one = time?.logicalToCoordinate(/** @type {Logical} */ (1)) ?? null;
    if (!series || !range || zero === null || one === null) return null;
    if (series.priceToCoordinate(1) === null) return null;
    return {
      x: (bar) => zero + bar * (one - zero),
      y: (price) => series.priceToCoordinate(price) ?? 0,
      spacing: one - zero,
      from: range.from,
      to: range.to,
    };
  }

  /**
   * @param {Shape} shape
   * @param {Scales} scales
   */
  #shows({ feature }, { spacing }) {
    if (!this.#isVisible(feature)) return false;
    if (spacing < SKELETON_BELOW) return SKELETON.has(feature);
    return spacing >= SIMPLE_BELOW || !FINE.has(feature);
  }

  /** @param {Paint} paint */
  #paintBottom(paint) {
    if (paint.scales.spacing >= SIMPLE_BELOW) this.#later.paintGaps(paint, this.#gaps, this.#palette);
    for (const placed of this.#inView(paint.scales)) {
      if (placed.shape.kind === "box") this.#paintBox(paint, placed);
    }
  }

  /** @param {Paint} paint */
  #paintTop(paint) {
    const items = this.#inView(paint.scales).filter(({ shape }) => shape.kind !== "box");
    items.sort((a, b) => orderOf(a) - orderOf(b));
    const isPlain = (/** @type {Placed} */ placed) => placed.shape.feature === PENS && !this.#isFocus(placed);
    const pens = items.filter(isPlain);
    for (const placed of items) {
      const stroke = this.#stroke(placed);
      if (placed === pens[0]) paintLines(paint, pens, stroke);
      if (isPlain(placed)) continue;
      if (placed.shape.kind === "line") paintLines(paint, [placed], stroke);
      else if (placed.shape.glyph === "arrow") paintArrow(paint, placed, stroke, this.#palette);
      else paintPivot(paint, placed, stroke, this.#isFocus(placed));
    }
  }

  /** @param {Scales} scales */
  #inView(scales) {
    const found = this.#layout.between(scales.from - 1, scales.to + 1);
    return found.filter(({ shape }) => this.#shows(shape, scales));
  }

  /** @param {Placed} placed */
  #isFocus({ shape }) {
    return shape.id === this.#hovered || shape.id === this.#selected || this.#causes.has(shape.id);
  }

  /** @param {Placed} placed */
  #stroke(placed) {
    const stroke = strokeOf(placed.shape, this.#palette);
    return this.#isFocus(placed) ? { ...stroke, width: stroke.width + 1.5, alpha: 1 } : stroke;
  }

  /**
   * @param {Paint} paint
   * @param {Placed} placed
   */
  #paintBox({ context, scales }, placed) {
    const { shape } = placed;
    const [a, b] = /** @type {[Spot, Spot]} */ (target(placed, scales).spots);
    const [width, height] = [Math.max(1, b.x - a.x), Math.max(1, b.y - a.y)];
    const stroke = this.#stroke(placed);
    const filled = shape.feature === "zhongshu.alive" ? 0.16 : 0.08;
    context.fillStyle = stroke.color;
    context.globalAlpha = this.#isFocus(placed) ? filled + 0.06 : filled;
    context.fillRect(a.x, a.y, width, height);
    applyStroke(context, stroke);
    context.strokeRect(a.x, a.y, width, height);
    if (shape.id === this.#selected) {
      const prices = shape.points.map(({ value }) => this.#formatPrice(value));
      this.#later.paintEdges(context, prices, [b.x, a.y, b.y], this.#palette);
    }
    resetStroke(context);
  }
}

/**
 * @param {PrimitivePaneViewZOrder} zOrder
 * @param {(paint: Paint) => void} paint
 * @param {() => Scales | null} measure
 * @returns {IPrimitivePaneView}
 */
function view(zOrder, paint, measure) {
  const draw = (/** @type {CanvasRenderingTarget2D} */ canvas) =>
    canvas.useMediaCoordinateSpace(({ context, mediaSize }) => {
      const scales = measure();
      if (!scales) return;
      context.save();
      paint({ context, scales, height: mediaSize.height });
      context.restore();
    });
  return { zOrder: () => zOrder, renderer: () => ({ draw }) };
}

/**
 * @param {Placed} placed
 * @param {Scales} scales
 * @returns {Target}
 */
function target({ shape, bars }, scales) {
  const spots = shape.points.map((point, i) => ({
    x: scales.x(bars[i] ?? 0),
    y: scales.y(point.value) + markOffset(shape.kind, shape.glyph, shape.up),
  }));
  return { id: shape.id, kind: shape.kind, spots };
}

/**
 * Marks stand clear of their candle: a high above it, a low below it.
 * @param {string} kind
 * @param {string | null} glyph
 * @param {boolean} up
 */
function markOffset(kind, glyph, up) {
  if (kind !== "mark") return 0;
  return (glyph === "arrow" ? SWITCH_OFFSET : MARK_OFFSET) * (up ? 1 : -1);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Stroke} stroke
 */
function applyStroke(context, { color, width, dash, alpha }) {
  context.globalAlpha = alpha;
  context.strokeStyle = color;
  context.fillStyle = color;
  context.lineWidth = width;
  context.setLineDash(dash);
}

/** @param {CanvasRenderingContext2D} context */
function resetStroke(context) {
  context.globalAlpha = 1;
  context.setLineDash([]);
}

/**
 * @param {Paint} paint
 * @param {Placed[]} lines that look the same
 * @param {Stroke} stroke
 */
function paintLines({ context, scales }, lines, stroke) {
  context.beginPath();
  for (const line of lines) {
    const [a, b] = /** @type {[Spot, Spot]} */ (target(line, scales).spots);
    context.moveTo(a.x, a.y);
    context.lineTo(b.x, b.y);
  }
  if (lines[0]?.shape.feature === "anchor.current") {
    applyStroke(context, { ...stroke, width: stroke.width + 6, dash: [], alpha: 0.22 });
    context.stroke();
  }
  applyStroke(context, stroke);
  context.lineJoin = "round";
  context.lineCap = "round";
  context.stroke();
  resetStroke(context);
}

/**
 * A pivot: a disc, or a ring for a minor one, and a faint tail to the bar that made it visible.
 * @param {Paint} paint
 * @param {Placed} placed
 * @param {Stroke} stroke
 * @param {boolean} focus
 */
function paintPivot({ context, scales }, placed, stroke, focus) {
  const spot = /** @type {Spot} */ (target(placed, scales).spots[0]);
  const minor = placed.shape.feature === "pivot.minor";
  if (placed.seen !== null && scales.spacing >= SIMPLE_BELOW && (!minor || focus)) {
    applyStroke(context, { ...stroke, width: 1, dash: [1, 3], alpha: focus ? 0.9 : 0.35 });
    context.beginPath();
    context.moveTo(spot.x, spot.y);
    context.lineTo(scales.x(placed.seen), spot.y);
    context.stroke();
  }
  applyStroke(context, { ...stroke, dash: [] });
  context.beginPath();
  context.arc(spot.x, spot.y, (minor ? 2.5 : 4) + (focus ? 1 : 0), 0, 2 * Math.PI);
  if (minor) context.stroke();
  else context.fill();
  resetStroke(context);
}

/**
 * @param {Paint} paint
 * @param {Placed} placed
 * @param {Stroke} stroke
 * @param {Palette} palette
 */
function paintArrow({ context, scales }, placed, stroke, palette) {
  const { x, y } = /** @type {Spot} */ (target(placed, scales).spots[0]);
  const away = placed.shape.up ? 1 : -1;
  applyStroke(context, stroke);
  context.beginPath();
  context.moveTo(x, y - 6 * away);
  context.lineTo(x - 5, y + 2 * away);
  context.lineTo(x + 5, y + 2 * away);
  context.closePath();
  context.fill();
  context.font = `600 10px ${palette.font}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText("A", x, y + 9 * away);
  context.textBaseline = "alphabetic";
  resetStroke(context);
}
