// @ts-check
/** The page /live: puts feed, chart, controls, panel, card and texts together. */

import { ChartView } from "../chart/chart.js";
import { readPalette } from "../chart/palette.js";
import { Api } from "./api.js";
import { priceDecimals } from "./candles.js";
import { ConnectionBadge } from "./connection.js";
import { SeriesControls } from "./controls.js";
import { attributesOf, writeAttributes } from "./dom-contract.js";
import { FactorPanel } from "./factor-panel.js";
import { LiveFeed } from "./feed.js";
import { Words, pageJson } from "./i18n.js";
import { FactorChoice, loadSeries, saveSeries } from "./saved.js";
import { candleSeconds, parseSeries, seriesId } from "./series.js";
import { anchorHighlight, buildShapes, countShapes } from "./shapes.js";
import { MarketSocket } from "./socket.js";
import { Store } from "./store.js";
/** @import {FactorCatalog} from "../types/api" */
/** @import DrawTools from "./draw.js" */
/** @import Lamps from "./lamps.js" */
/** @import Legend from "./legend.js" */
/** @import Speech from "./speech.js" */
/** @import {Change, LoadStatus, Notice, PageEvent, Series, Shape} from "../types/page" */

const OLDER_WHEN_LEFT = 200;
const LINK_AFTER_MS = 400;
const EVENTS_KEPT = 500;
const FIRST_READS_MS = 250;
/** What comes with its first use, so that the chart need not wait for it. */
const LATER = {
  calendar: () => import("./calendar.js"),
  card: () => import("./card.js"),
  draw: () => import("./draw.js"),
  facts: () => import("./facts.js"),
  keys: () => import("./keys.js"),
  lamps: () => import("./lamps.js"),
  legend: () => import("./legend.js"),
  place: () => import("./place.js"),
  presets: () => import("./presets.js"),
  rest: () => import("./rest.js"),
  side: () => import("./side.js"),
  speech: () => import("./speech.js"),
  tables: () => import("./tables.js"),
  toasts: () => import("./toasts.js"),
  zone: () => import("./zone.js"),
};

/** @param {string} testid */
function element(testid) {
  return /** @type {HTMLElement} */ (document.querySelector(`[data-testid="${testid}"]`));
}

/** @param {string} part */
function partOf(part) {
  return /** @type {HTMLElement} */ (document.querySelector(`[data-part="${part}"]`));
}

/** @param {string} id */
function linkTo(id) {
  return `?series_id=${encodeURIComponent(id)}`;
}

export class LivePage {
  words = new Words(pageJson("texts"), document.documentElement.lang);
  /** @type {string[]} */
  known = pageJson("known-series");
  store = new Store({ hovered: "", selected: "", hint: "", note: "", error: "" });
  api = new Api();
  /** @type {FactorCatalog} */
  catalog = pageJson("catalog");
  /** @type {Shape[]} */
  shapes = [];
  /** @type {Partial<Record<keyof typeof LATER, Promise<any>>>} */
  loaded = {};
  /** @type {DrawTools | null} */
  tools = null;
  /** @type {Lamps | null} */
  lamps = null;
  /** @type {Legend | null} */
  legend = null;
  /** @type {Speech | null} */
  speech = null;
  /** @type {PageEvent[]} What happened on this page, for the log of events. */
  events = [];
  /** @type {Set<() => void>} Called after the attributes were written. */
  followers = new Set();
  /** @type {URLSearchParams | null} Where a link wants to go. */
  goal = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  linking;
  /** @type {number | null} */
  #bar = null;
  /** @type {number | undefined} */
  #barTime;
  decimals = 2;
  ready = false;
  hadCandles = false;
  bars = 0;
  count = 0;
  /** @type {number | null} */
  paintMs = null;
  openedAt = 0;
  writePending = false;

  constructor() {
    this.view = element("chart-view");
    this.choice = new FactorChoice(localStorage, this.catalog);
    const tag = this.words.say("forming");
    this.chart = new ChartView(partOf("canvas"), readPalette(this.view), this.words.locale, tag);
    this.chart.layer.setStyle({
      isVisible: (feature) => this.choice.isVisible(feature),
      formatPrice: (price) => this.price(price),
    });
    this.panel = new FactorPanel(partOf("factors"), this.choice, () => this.redraw());
    this.controls = new SeriesControls(partOf("series"), this.known, (series) => this.open(series));
    this.socket = this.makeSocket();
    this.feed = this.makeFeed();
    this.badge = new ConnectionBadge(element("connection-badge"), this.words);
    this.listen();
  }

  makeSocket() {
    return new MarketSocket(() => new WebSocket("/ws/market"), {
      state: (state, about) => {
        if (state === "reconnecting") this.feed.lost();
        this.view.classList.toggle("dimmed", state !== "open" && state !== "connecting");
        this.badge.show(state, about);
        this.log(`page.socket.${state}`, about);
        this.scheduleWrite();
      },
      message: (message) => {
        this.feed.take(message);
        this.lamps?.hear(message.type !== "candle_forming");
        this.speech?.hear(message);
      },
      connected: () => {
        this.feed.connected();
        if (this.ready) this.bringRest();
      },
      resumed: () => this.feed.resumed(),
    });
  }

  makeFeed() {
    return new LiveFeed(this.api, this.socket, {
      status: (status, count) => this.showStatus(status, count),
      candles: (change) => this.showCandles(change),
      structures: () => this.redraw(),
      notice: (notice) => this.hear(notice),
    });
  }

  listen() {
    this.store.subscribe(["hint", "note", "error"], () => this.showMessage());
    this.store.subscribe(["hovered", "selected"], () => {
      this.chart.layer.setFocus(this.store.get("hovered"), this.store.get("selected"));
      this.scheduleWrite();
    });
    this.store.subscribe(["hovered", "selected"], async () => (await this.later("card")).update());
    this.chart.onPointer(({ index, hovered }) => {
      this.bar = index;
      this.store.set({ hovered });
      this.legend?.show();
    });
    this.chart.onClick(({ hovered }) => {
      if (!this.tools?.isBusy) this.select(hovered);
    });
    this.chart.onView(() => {
      this.scheduleWrite();
      clearTimeout(this.linking);
      this.linking = setTimeout(() => void this.writeLink(), LINK_AFTER_MS);
    });
    partOf("retry").addEventListener("click", () => void this.feed.retry());
    partOf("latest").addEventListener("click", () => this.chart.goToLatest());
    document.addEventListener("themechange", async () => {
      this.chart.setPalette(readPalette(this.view));
      (await this.later("zone")).update();
    });
    addEventListener("online", () => this.socket.retryNow());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.socket.retryNow();
    });
  }

  /**
   * What comes with its first use.
   * @template {keyof typeof LATER} K
   * @param {K} name
   * @returns {Promise<InstanceType<Awaited<ReturnType<typeof LATER[K]>>["default"]>>}
   */
  later(name) {
    // What could not be loaded is asked for again the next time.
    const loading = (this.loaded[name] ??= LATER[name]().then((it) => new it.default(this)));
    loading.catch(() => delete this.loaded[name]);
    return loading;
  }

  start() {
    const query = new URLSearchParams(location.search);
    const asked = query.get("series_id");
    const linked = asked === null ? null : parseSeries(asked);
    if (asked !== null && !linked) {
      this.toast(this.words.say("bad_series", { series: asked }), "error");
    }
    const series = linked ?? loadSeries(localStorage);
    if (document.documentElement.dataset["zone"]) void this.later("zone");
    this.controls.show(series);
    this.open(series, query.has("from") || query.has("at") ? query : null);
    this.socket.start();
    if (localStorage.getItem("trade-canvas-drawings")) void this.later("draw");
  }

  /**
   * @param {Series} series
   * @param {URLSearchParams | null} goal
   */
  open(series, goal = null) {
    const id = seriesId(series);
    saveSeries(localStorage, series);
    this.goal = goal;
    if (!goal) history.replaceState(null, "", linkTo(id));
    document.title = `${series.symbol} ${series.timeframe} · trade_canvas`;
    const { symbol, timeframe } = series;
    this.view.setAttribute("aria-label", this.words.say("chart_label", { symbol, timeframe }));
    this.bar = null;
    this.ready = false;
    this.paintMs = null;
    this.openedAt = performance.now();
    this.select("");
    this.store.set({ error: "", note: this.words.say("loading_structures") });
    this.lamps?.watch(id);
    void this.feed.open(id);
    this.write();
  }

  /** Bring what comes after the chart; what fails is tried again with the next connection. */
  bringRest() {
    this.later("rest").then((rest) => rest.bring()).catch(() => undefined);
  }

  /**
   * Say something at the edge of the page.
   * @param {string} text
   * @param {"info" | "error"} level
   */
  async toast(text, level = "info") {
    (await this.later("toasts")).show(text, level);
  }

  /**
   * Keep what happened for the log of events.
   * @param {string} event
   * @param {object} data
   * @param {"info" | "error"} level
   */
  log(event, data, level = "info") {
    this.events.push({ ts_ms: Date.now(), series_id: this.feed?.seriesId ?? null, event, level, data });
    if (this.events.length > EVENTS_KEPT) this.events.shift();
  }

  /** Say that the page is ready once what was loaded has been painted. */
  async announceReady() {
    if (this.ready) return;
    const id = this.feed.seriesId;
    if (this.goal) await (await this.later("place")).follow();
    const painted = () => {
      if (this.feed.seriesId !== id) return;
      this.ready = true;
      this.paintMs = Math.round(performance.now() - this.openedAt);
      performance.mark("chart-painted");
      this.write();
      this.bringRest();
    };
    requestAnimationFrame(() => requestAnimationFrame(painted));
  }

  /** @param {Change} change */
  showCandles(change) {
    const { candles } = this.feed;
    const { length } = candles.all;
    const isSameBar = change.kind === "tail" && change.from === candles.closed.length && length === this.bars;
    this.bars = length;
    this.chart.setCandles(candles.all, change, candles.forming?.candle_time ?? null);
    if (change.kind === "all" || !this.hadCandles) {
      this.decimals = priceDecimals(candles.all);
      this.chart.setDecimals(this.decimals);
    }
    const isFirst = !this.hadCandles;
    this.hadCandles = length > 0;
    if (isFirst) this.chart.fit();
    if (isFirst && this.goal) void this.later("place").then((place) => place.begin());
    // Older candles may have come before it.
    if (change.kind === "all") this.bar = candles.all.findIndex((one) => one.candle_time === this.#barTime);
    this.legend?.show();
    // Other prices of the last bar move no structure.
    if (isSameBar) this.scheduleWrite();
    else this.redraw();
  }

  redraw() {
    const { candles, overlay, seriesId: id } = this.feed;
    this.shapes = buildShapes(overlay.active(), candles.all);
    this.chart.setShapes(this.shapes, candleSeconds(id));
    if (this.store.get("selected")) void this.later("card").then((card) => card.update());
    this.scheduleWrite();
  }

  /**
   * @param {LoadStatus} status
   * @param {number} count
   */
  showStatus(status, count) {
    this.count = count;
    this.log(`page.load.${status}`, { count });
    if (status !== "error") this.store.set({ error: "" });
    if (status !== "loading" && status !== "ready") this.bringRest();
    this.showMessage();
    this.scheduleWrite();
  }

  /** @param {Notice} notice */
  hear(notice) {
    const { words } = this;
    if (notice.kind === "drawn") this.store.set({ note: "", error: "" });
    else if (notice.kind === "behind") {
      const time = notice.time === null ? "" : words.time(notice.time);
      this.store.set({ note: words.say("behind", { time }) });
    } else if (notice.kind === "failed") {
      const { status, detail } = notice.error;
      this.log(`page.failed.${notice.part}`, { status, detail }, "error");
      const error = words.say(`failed.${notice.part}`, { code: status || words.say("no_answer") });
      this.store.set({ error });
    } else void this.later("toasts").then((toasts) => toasts.tell(notice));
    if (this.feed.status !== "error" && this.feed.status !== "loading") void this.announceReady();
  }

  /** The text for the state of the chart; empty when there is nothing to say. */
  message() {
    const { words, feed } = this;
    const note = this.store.get("hint") || this.store.get("note");
    if (this.store.get("error")) return this.store.get("error");
    if (feed.status === "ready") return note;
    if (feed.status === "backfilling") return words.say("backfilling", { n: this.count });
    if (feed.status !== "empty") return words.say(feed.status === "idle" ? "idle" : "loading");
    if (!this.known.length) return words.say("no_series");
    return words.say("empty", { series: feed.seriesId });
  }

  showMessage() {
    const text = this.message();
    const box = partOf("message");
    box.hidden = text === "";
    box.dataset["place"] = this.feed.candles.all.length ? "corner" : "middle";
    partOf("message-text").textContent = text;
    partOf("retry").hidden = this.store.get("error") === "";
    this.scheduleWrite();
  }

  /** The bar under the crosshair. */
  get bar() {
    return this.#bar;
  }

  /** @param {number | null} index */
  set bar(index) {
    this.#barTime = this.feed.candles.all[index ?? -1]?.candle_time;
    this.#bar = this.#barTime ? index : null;
  }

  /** @param {string} id */
  select(id) {
    this.store.set({ selected: id });
  }

  /** Put the view into the address, so that a link opens it again. */
  async writeLink() {
    if (!this.ready) return;
    const view = this.chart.isHome ? "" : (await this.later("place")).query();
    history.replaceState(null, "", linkTo(this.feed.seriesId) + view);
  }

  /** @param {number} value */
  price(value) {
    return this.words.number(value, this.decimals);
  }

  /** Write the attributes with the next painted frame. */
  scheduleWrite() {
    if (this.writePending) return;
    this.writePending = true;
    requestAnimationFrame(() => {
      this.writePending = false;
      this.write();
    });
  }

  write() {
    const { feed, shapes, choice, chart } = this;
    const held = feed.candles.all;
    const isVisible = (/** @type {string} */ feature) => choice.isVisible(feature);
    const [first, last] = [held[0]?.candle_time ?? Infinity, held.at(-1)?.candle_time ?? -Infinity];
    partOf("latest").hidden = chart.showsHead;
    if (this.ready && chart.barsBefore < OLDER_WHEN_LEFT) void feed.loadOlder();
    writeAttributes(
      this.view,
      attributesOf({
        feed,
        chart,
        counts: countShapes(shapes, isVisible, first, last),
        highlight: anchorHighlight(shapes, isVisible, held),
        message: this.message(),
        wsState: this.socket.state,
        hovered: this.store.get("hovered"),
        hidden: choice.hidden(this.catalog),
        ready: this.ready,
        paintMs: this.paintMs,
        drawings: this.tools?.drawings.all.length ?? 0,
        tool: this.tools?.active ?? "",
      }),
    );
    for (const follower of this.followers) follower();
  }
}

// Made with its candles, the chart is not painted empty first; a slow server is not waited for.
await Promise.race([
  Promise.all(Object.values(globalThis.firstReads ?? {})),
  new Promise((resolve) => setTimeout(resolve, FIRST_READS_MS)),
]);
new LivePage().start();
