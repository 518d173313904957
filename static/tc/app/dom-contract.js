// @ts-check
/** The `data-*` attributes of the chart view: what end-to-end tests read, written in one place. */

/** @import {LiveFeed} from "./feed.js" */
/** @import {Facts} from "../types/page" */

/**
 * The attributes, without `data-`; an unknown value is the empty string.
 * @param {Facts} facts
 * @returns {Record<string, string>}
 */
export function attributesOf({ feed, counts, highlight, chart, ...facts }) {
  const { candles, overlay } = feed;
  const last = candles.all.at(-1);
  const values = {
    "series-id": feed.seriesId,
    "candles-len": candles.all.length,
    "last-time": last?.candle_time,
    "last-open": last?.open,
    "last-high": last?.high,
    "last-low": last?.low,
    "last-close": last?.close,
    "last-ws-candle-time": feed.lastSocketTime,
    "history-start": candles.all[0]?.candle_time,
    forming: Number(candles.forming !== null),
    "chart-epoch": chart.epoch,
    "bar-spacing": chart.barSpacing,
    "pivot-count": counts.pivots,
    "pen-point-count": counts.penPoints,
    "zhongshu-count": counts.zhongshu,
    "anchor-count": counts.anchors,
    "anchor-switch-count": counts.switches,
    "anchor-on": Number(counts.anchors > 0),
    "sr-count": counts.sr,
    "anchor-highlight-point-count": highlight ? 2 : 0,
    "anchor-highlight-start-time": highlight?.points[0]?.time,
    "anchor-highlight-end-time": highlight?.points.at(-1)?.time,
    "anchor-highlight-dashed": Number(highlight?.dashed ?? false),
    "anchor-top-layer": 1,
    "anchor-top-layer-path-count": counts.anchors,
    "structure-time": overlay.time,
    "structure-lag": overlay.time === null ? null : feed.structureLag,
    "hidden-features": facts.hidden.join(" "),
    hovered: facts.hovered,
    "live-load-status": feed.status,
    "live-load-message": facts.message,
    "ws-state": facts.wsState,
    "replay-mode": "live",
    ready: Number(facts.ready),
    "paint-ms": facts.paintMs,
    "drawing-count": facts.drawings,
    tool: facts.tool,
  };
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, String(value ?? "")]),
  );
}

/**
 * Write those attributes that differ.
 * @param {HTMLElement} element
 * @param {Record<string, string>} attributes
 */
export function writeAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (element.getAttribute(`data-${name}`) !== value) {
      element.setAttribute(`data-${name}`, value);
    }
  }
}
