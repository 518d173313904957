// @ts-check
/** The lines that somebody has drawn, painted over everything else by one series primitive. */

import { hitTarget } from "./hit.js";
/** @import {CanvasRenderingTarget2D} from "fancy-canvas" */
/** @import {IChartApi, IPrimitivePaneView, ISeriesApi, ISeriesPrimitive, Logical, PrimitiveHoveredItem, SeriesAttachedParameter, Time} from "lightweight-charts" */
/** @import {Point} from "../types/api" */
/** @import {Palette} from "./palette.js" */
/** @import {Drawing, Spot} from "../types/page" */

const HANDLE = 4;
const LINE_HEIGHT = 17;
const PADDING = 8;

/** @implements {ISeriesPrimitive<Time>} */
export class DrawingLayer {
  /** @type {IChartApi | null} */
  #chart = null;
  /** @type {ISeriesApi<"Candlestick"> | null} */
  #series = null;
  #requestUpdate = () => {};
  /** @type {Drawing[]} */
  #drawings = [];
  #selected = "";
  /** @type {IPrimitivePaneView[]} */
  #views;

  /**
   * @param {Palette} palette
   * @param {(time: number) => number} barOf
   * @param {(drawing: Drawing) => string[]} textOf the lines of text beside a drawing
   */
  constructor(palette, barOf, textOf) {
    this.palette = palette;
    this.barOf = barOf;
    this.textOf = textOf;
    const draw = (/** @type {CanvasRenderingTarget2D} */ canvas) =>
      canvas.useMediaCoordinateSpace(({ context, mediaSize }) => {
        context.save();
        for (const drawing of this.#drawings) this.#paint(context, drawing, mediaSize.width);
        context.restore();
      });
    this.#views = [{ zOrder: () => "top", renderer: () => ({ draw }) }];
  }

  /** @param {SeriesAttachedParameter<Time>} parameter */
  attached({ chart, series, requestUpdate }) {
    this.#chart = /** @type {IChartApi} */ (chart);
    this.#series = /** @type {ISeriesApi<"Candlestick">} */ (series);
    this.#requestUpdate = requestUpdate;
  }

  paneViews() {
    return this.#views;
  }

  /**
   * @param {Drawing[]} drawings
   * @param {string} selected
   */
  show(drawings, selected) {
    this.#drawings = drawings;
    this.#selected = selected;
    this.#requestUpdate();
  }

  /**
   * @param {number} x
   * @param {number} y
   * @returns {PrimitiveHoveredItem | null}
   */
  hitTest(x, y) {
    const width = this.#chart?.timeScale().width() ?? 0;
    const targets = this.#drawings.flatMap((drawing) => {
      const spots = this.#spots(drawing, width);
      return drawing.id && spots ? [{ id: drawing.id, kind: /** @type {const} */ ("line"), spots }] : [];
    });
    const externalId = hitTarget({ x, y }, targets);
    return externalId === null ? null : { externalId, zOrder: "top", cursorStyle: "pointer" };
  }

  /**
   * The two ends of a drawing on the canvas; null while the chart has no scales.
   * @param {Drawing} drawing
   * @param {number} width
   * @returns {[Spot, Spot] | null}
   */
  #spots({ kind, points }, width) {
    const [a, b] = [points[0], points.at(-1)].map((point) => point && this.#spot(point));
    if (!a || !b) return null;
    return kind === "level" ? [{ x: 0, y: a.y }, { x: width, y: a.y }] : [a, b];
  }

  /**
   * @param {Point} point
   * @returns {Spot | null}
   */
  #spot({ time, value }) {
    const scale = this.#chart?.timeScale();
    // Between two bars the scale knows no place, beyond the last one it does.
    const bar = /** @type {Logical} */ (Math.round(this.barOf(time)));
    const x = scale?.logicalToCoordinate(bar) ?? null;
    const y = this.#series?.priceToCoordinate(value) ?? null;
    return x === null || y === null ? null : { x, y };
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Drawing} drawing
   * @param {number} width
   */
  #paint(context, drawing, width) {
    const spots = this.#spots(drawing, width);
    if (!spots) return;
    const [a, b] = spots;
    const isSelected = drawing.id === this.#selected;
    context.strokeStyle = this.palette.drawing;
    context.fillStyle = this.palette.drawing;
    context.lineWidth = isSelected ? 3 : 1.5;
    if (drawing.kind === "measure") {
      context.globalAlpha = 0.12;
      context.fillRect(a.x, a.y, b.x - a.x, b.y - a.y);
      context.globalAlpha = 1;
    }
    context.setLineDash(drawing.kind === "measure" ? [5, 4] : []);
    context.beginPath();
    context.moveTo(a.x, a.y);
    context.lineTo(b.x, b.y);
    context.stroke();
    context.setLineDash([]);
    if (drawing.kind !== "level") for (const spot of spots) this.#paintHandle(context, spot);
    this.#paintText(context, this.textOf(drawing), drawing.kind === "level" ? a : b, width);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Spot} spot
   */
  #paintHandle(context, { x, y }) {
    context.beginPath();
    context.arc(x, y, HANDLE, 0, 2 * Math.PI);
    context.fill();
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {string[]} lines
   * @param {Spot} at
   * @param {number} width
   */
  #paintText(context, lines, at, width) {
    if (!lines.length) return;
    context.font = `12px ${this.palette.font}`;
    const wide = Math.max(...lines.map((line) => context.measureText(line).width)) + 2 * PADDING;
    const high = lines.length * LINE_HEIGHT + PADDING;
    const x = Math.min(Math.max(4, at.x + 10), Math.max(4, width - wide - 4));
    const y = Math.max(30, at.y - high - 10);
    context.fillStyle = this.palette.background;
    context.fillRect(x, y, wide, high);
    context.lineWidth = 1;
    context.strokeRect(x, y, wide, high);
    context.fillStyle = this.palette.text;
    context.textAlign = "left";
    context.textBaseline = "middle";
    lines.forEach((line, i) => {
      context.fillText(line, x + PADDING, y + PADDING / 2 + (i + 0.5) * LINE_HEIGHT);
    });
    context.textBaseline = "alphabetic";
  }
}
