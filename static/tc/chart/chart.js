// @ts-check
/** The chart itself: candles, volume, structures, theme, place and zoom. */

import {
  CandlestickSeries,
  ColorType,
  CrosshairMode,
  HistogramSeries,
  createChart,
} from "lightweight-charts";
import { Layout, findGaps } from "./layout.js";
import { StructureLayer } from "./structure-layer.js";
/** @import {CandlestickData, DeepPartial, HistogramData, IChartApi, ISeriesApi, ISeriesPrimitive, MouseEventParams, Time, TimeChartOptions, UTCTimestamp} from "lightweight-charts" */
/** @import {Candle} from "../types/api" */
/** @import {Palette} from "./palette.js" */
/** @import {Change, Place, Pointer, Shape} from "../types/page" */

const FIRST_BARS = 260;
const RIGHT_BARS = 8;
/** Room for most prices, before there are any. */
const AXIS_WIDTH = 72;
const WIDEST_BAR = 20;
const SET_DATA_ABOVE = 50;
const CONFLATE_FROM = 20000;

export class ChartView {
  /** @type {IChartApi} */
  #chart;
  /** @type {ISeriesApi<"Candlestick">} */
  #bars;
  /** @type {ISeriesApi<"Histogram">} */
  #volume;
  /** @type {StructureLayer} */
  #layer;
  /** @type {ISeriesPrimitive<Time>[]} What lies on top first. */
  #layers = [];
  /** @type {Palette} */
  #palette;
  /** @type {Candle[]} */
  #candles = [];
  /** @type {number | null} */
  #formingTime = null;
  #formingTag;
  /** The width of a bar when the view was last fitted. */
  #fitted = 0;
  #putting = 0;
  /** How often the chart was made anew. */
  epoch = 1;

  /**
   * @param {HTMLElement} container
   * @param {Palette} palette
   * @param {string} locale
   * @param {string} formingTag what the price axis calls the price of a candle that has not closed
   */
  constructor(container, palette, locale, formingTag = "") {
    this.#palette = palette;
    this.#formingTag = formingTag;
    this.#chart = createChart(container, {
      ...themeOptions(palette),
      autoSize: true,
      localization: { locale },
      crosshair: { mode: CrosshairMode.Normal },
      timeScale: { ...themeOptions(palette).timeScale, rightOffset: RIGHT_BARS, minBarSpacing: 0.1 },
    });
    this.#bars = this.#chart.addSeries(CandlestickSeries, barColors(palette));
    this.#bars.priceScale().applyOptions({ scaleMargins: { top: 0.1, bottom: 0.25 } });
    this.#volume = this.#chart.addSeries(HistogramSeries, {
      priceScaleId: "",
      priceFormat: { type: "volume" },
      lastValueVisible: false,
      priceLineVisible: false,
    });
    this.#volume.priceScale().applyOptions({ scaleMargins: { top: 0.8, bottom: 0 } });
    this.#layer = new StructureLayer(palette);
    this.attach(this.#layer);
  }

  get barSpacing() {
    return this.#chart.timeScale().options().barSpacing;
  }

  get layer() {
    return this.#layer;
  }

  /** The bars in view, as positions among those held; null before there are any. */
  get range() {
    return this.#chart.timeScale().getVisibleLogicalRange();
  }

  /**
   * Show these bars.
   * @param {number} from
   * @param {number} to
   */
  setRange(from, to) {
    this.#chart.timeScale().setVisibleLogicalRange({ from, to });
  }

  /** Whether place and zoom are those that the page begins with. */
  get isHome() {
    const aside = Math.abs(this.#chart.timeScale().scrollPosition() - RIGHT_BARS);
    return aside < 1 && Math.abs(this.barSpacing / this.#fitted - 1) < 0.01;
  }

  /** Whether the newest bar is in view. */
  get showsHead() {
    const { range } = this;
    return !range || !this.#candles.length || range.to >= this.#candles.length - 1;
  }

  /** How many bars there are to the left of the view. */
  get barsBefore() {
    return this.range?.from ?? Infinity;
  }

  /**
   * Bring the bars to what is held now. A few new ones are added; more are set at once.
   * @param {Candle[]} candles
   * @param {Change} change
   * @param {number | null} formingTime
   */
  setCandles(candles, change, formingTime) {
    const isForming = formingTime !== null;
    if (isForming !== (this.#formingTime !== null)) {
      this.#bars.applyOptions({ title: isForming ? this.#formingTag : "" });
    }
    this.#candles = candles;
    this.#formingTime = formingTime;
    if (change.kind === "none") return;
    if (change.kind === "tail" && candles.length - change.from <= SET_DATA_ABOVE) {
      for (const candle of candles.slice(change.from)) {
        this.#bars.update(this.#bar(candle));
        this.#volume.update(this.#volumeBar(candle));
      }
      return;
    }
    this.#bars.setData(candles.map((candle) => this.#bar(candle)));
    this.#volume.setData(candles.map((candle) => this.#volumeBar(candle)));
    this.#chart.timeScale().applyOptions({ enableConflation: candles.length >= CONFLATE_FROM });
  }

  /**
   * @param {Shape[]} shapes
   * @param {number} seconds
   */
  setShapes(shapes, seconds) {
    const times = this.#candles.map((candle) => candle.candle_time);
    this.#layer.setLayout(new Layout(shapes, times, seconds), findGaps(times, seconds));
  }

  /** @param {number} decimals */
  setDecimals(decimals) {
    const priceFormat = { type: /** @type {const} */ ("price"), precision: decimals, minMove: 10 ** -decimals };
    this.#bars.applyOptions({ priceFormat });
  }

  /** @param {Palette} palette */
  setPalette(palette) {
    this.#palette = palette;
    this.#chart.applyOptions(themeOptions(palette));
    this.#bars.applyOptions(barColors(palette));
    this.#layer.setStyle({ palette });
    this.setCandles(this.#candles, { kind: "all" }, this.#formingTime);
  }

  /**
   * What lies at a place of the canvas; null beside the candles' pane.
   * @param {number} x
   * @param {number} y
   * @returns {Place | null}
   */
  placeAt(x, y) {
    const timeScale = this.#chart.timeScale();
    const [bar, price] = [timeScale.coordinateToLogical(x), this.#bars.coordinateToPrice(y)];
    const inside = x <= timeScale.width() && y <= this.#chart.paneSize().height;
    return inside && bar !== null && price !== null ? { bar: Math.round(bar), price } : null;
  }

  /** @param {ISeriesPrimitive<Time>} layer painted over what is there */
  attach(layer) {
    this.#bars.attachPrimitive(layer);
    this.#layers.unshift(layer);
  }

  /** @param {DeepPartial<TimeChartOptions>} formats of times */
  setFormats(formats) {
    this.#chart.applyOptions(formats);
  }

  /** Show the newest bars, none wider than 20 pixels. */
  fit() {
    const timeScale = this.#chart.timeScale();
    const shown = Math.min(this.#candles.length, FIRST_BARS) + RIGHT_BARS;
    const barSpacing = Math.min(WIDEST_BAR, timeScale.width() / shown || WIDEST_BAR);
    this.#bars.priceScale().applyOptions({ autoScale: true });
    timeScale.applyOptions({ barSpacing });
    this.#fitted = barSpacing;
    timeScale.scrollToPosition(RIGHT_BARS, false);
  }

  goToLatest() {
    this.#chart.timeScale().scrollToPosition(RIGHT_BARS, false);
  }

  /**
   * Put the crosshair on a bar.
   * @param {number} index
   */
  setCrosshair(index) {
    const candle = this.#candles[index];
    if (!candle) return;
    const put = () => this.#chart.setCrosshairPosition(candle.close, timestamp(candle), this.#bars);
    put();
    // The next frame moves the view, but not the crosshair.
    cancelAnimationFrame(this.#putting);
    this.#putting = requestAnimationFrame(() => this.#candles[index] === candle && put());
  }

  /**
   * Begin the view at this bar; the zoom stays.
   * @param {number} from
   */
  beginAt(from) {
    const { range } = this;
    if (range) this.setRange(from, from + range.to - range.from);
  }

  /** @param {() => void} listener called when place or zoom have changed */
  onView(listener) {
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange(listener);
    this.#chart.timeScale().subscribeSizeChange(listener);
  }

  /** @param {(pointer: Pointer) => void} listener */
  onPointer(listener) {
    this.#chart.subscribeCrosshairMove((event) => {
      if (event.sourceEvent) cancelAnimationFrame(this.#putting);
      // A crosshair that was put somewhere has a place, but nothing that moved it there.
      if (event.sourceEvent || !event.point) listener(this.#pointer(event));
    });
  }

  /** @param {(pointer: Pointer) => void} listener */
  onClick(listener) {
    this.#chart.subscribeClick((event) => {
      // A finger hovers over nothing before it taps.
      const { x, y } = event.point ?? { x: -1, y: -1 };
      const hit = this.#layers.map((layer) => layer.hitTest?.(x, y)).find(Boolean);
      listener({ ...this.#pointer(event), hovered: hit?.externalId ?? "" });
    });
  }

  /**
   * @param {MouseEventParams} event
   * @returns {Pointer}
   */
  #pointer({ logical, point, hoveredInfo }) {
    const index = logical === undefined ? -1 : Math.round(logical);
    const inside = point !== undefined && index >= 0 && index < this.#candles.length;
    const id = hoveredInfo?.objectId;
    return { index: inside ? index : null, hovered: typeof id === "string" ? id : "" };
  }

  /**
   * @param {Candle} candle
   * @returns {CandlestickData}
   */
  #bar(candle) {
    const { open, high, low, close } = candle;
    const bar = { time: timestamp(candle), open, high, low, close };
    if (candle.candle_time !== this.#formingTime) return bar;
    const faded = this.#palette[close >= open ? "forming-up" : "forming-down"];
    return { ...bar, color: "transparent", borderColor: faded, wickColor: faded };
  }

  /**
   * @param {Candle} candle
   * @returns {HistogramData}
   */
  #volumeBar(candle) {
    const name = candle.close >= candle.open ? "volume-up" : "volume-down";
    return { time: timestamp(candle), value: candle.volume, color: this.#palette[name] };
  }
}

/**
 * @param {Candle} candle
 * @returns {UTCTimestamp}
 */
function timestamp(candle) {
  return /** @type {UTCTimestamp} */ (candle.candle_time);
}

/** @param {Palette} palette */
function barColors(palette) {
  const { up, down } = palette;
  return {
    upColor: up,
    downColor: down,
    borderUpColor: up,
    borderDownColor: down,
    wickUpColor: up,
    wickDownColor: down,
  };
}

/**
 * @param {Palette} palette
 * @returns {DeepPartial<TimeChartOptions> & {timeScale: object}}
 */
function themeOptions(palette) {
  const line = { color: palette.grid };
  const cross = { color: palette.muted, labelBackgroundColor: palette.muted };
  return {
    layout: {
      background: { type: ColorType.Solid, color: palette.background },
      textColor: palette.text,
      fontFamily: palette.font,
      fontSize: 11,
      attributionLogo: true,
    },
    grid: { vertLines: line, horzLines: line },
    crosshair: { vertLine: cross, horzLine: cross },
    rightPriceScale: { borderColor: palette.border, minimumWidth: AXIS_WIDTH },
    timeScale: { borderColor: palette.border, timeVisible: true, secondsVisible: false },
  };
}
