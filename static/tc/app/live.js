// @ts-check
/** The page /live: puts feed, chart, controls, panel, card and texts together. */

import { ChartView } from "../chart/chart.js";
import { readPalette } from "../chart/palette.js";
import { Api } from "./api.js";
import { priceDecimals } from "./candles.js";
import { StructureCard, cardRows } from "./card.js";
import { ConnectionBadge } from "./connection.js";
import { SeriesControls } from "./controls.js";
import { attributesOf, writeAttributes } from "./dom-contract.js";
import { FactorPanel } from "./factor-panel.js";
import { LiveFeed } from "./feed.js";
import { Words, pageJson } from "./i18n.js";
import { Lamps } from "./lamps.js";
import { Legend } from "./legend.js";
import { FactorChoice, loadSeries, saveSeries } from "./saved.js";
import { candleSeconds, parseSeries, seriesId } from "./series.js";
import { anchorHighlight, buildShapes, countShapes, recordOf } from "./shapes.js";
import { MarketSocket } from "./socket.js";
import { Store } from "./store.js";
import { Toasts } from "./toasts.js";
/** @import {FactorCatalog} from "../types/api" */
/** @import {Keys} from "./keys.js" */
/** @import {Change, LoadStatus, Notice, Series, Shape} from "../types/page" */

const LAG_SHOWN_AFTER_MS = 5000;
const OLDER_WHEN_LEFT = 200;

/** @param {string} testid */
function element(testid) {
  return /** @type {HTMLElement} */ (document.querySelector(`[data-testid="${testid}"]`));
}

/** @param {string} part */
function partOf(part) {
  return /** @type {HTMLElement} */ (document.querySelector(`[data-part="${part}"]`));
}

function marketSocket() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  return new WebSocket(`${scheme}://${location.host}/ws/market`);
}

export class LivePage {
  words = new Words(pageJson("texts"), document.documentElement.lang);
  /** @type {string[]} */
  known = pageJson("known-series");
  store = new Store({ hovered: "", selected: "", note: "", error: "" });
  api = new Api();
  /** @type {FactorCatalog} */
  catalog = pageJson("catalog");
  /** @type {Shape[]} */
  shapes = [];
  /** @type {Keys | null} */
  keys = null;
  /** @type {number | null} The bar under the crosshair. */
  bar = null;
  decimals = 2;
  ready = false;
  hadCandles = false;
  count = 0;
  /** @type {number | null} */
  paintMs = null;
  openedAt = 0;
  lagSince = 0;
  writePending = false;

  constructor() {
    this.view = element("chart-view");
    this.choice = new FactorChoice(localStorage, this.catalog);
    this.toasts = new Toasts(partOf("toasts"), this.words.say("dismiss"));
    this.chart = new ChartView(partOf("canvas"), readPalette(this.view), this.words.locale);
    this.chart.layer.setStyle({
      isVisible: (feature) => this.choice.isVisible(feature),
      formatPrice: (price) => this.price(price),
    });
    this.legend = new Legend(partOf("legend"), this.words);
    this.panel = new FactorPanel(partOf("factors"), this.choice, () => this.redraw());
    this.controls = new SeriesControls(partOf("series"), this.known, (series) => this.open(series));
    this.card = new StructureCard(element("structure-card"), this.words, () => this.select(""));
    this.socket = this.makeSocket();
    this.feed = this.makeFeed();
    this.badge = new ConnectionBadge(
      element("connection-badge"),
      partOf("connection-detail"),
      partOf("connection-facts"),
      this.words,
      () => this.feed.candles.lastClosedTime,
      () => this.socket.heardAt,
    );
    this.lamps = new Lamps(partOf("lamps"), partOf("feed"), this.words.say("lamp.unknown"));
    this.listen();
  }

  makeSocket() {
    return new MarketSocket(marketSocket, {
      state: (state, about) => {
        if (state === "reconnecting") this.feed.lost();
        this.view.classList.toggle("dimmed", state !== "open" && state !== "connecting");
        this.badge.show(state, about);
        this.scheduleWrite();
      },
      message: (message) => {
        this.feed.take(message);
        this.lamps.heardAt = performance.now();
        if (message.type !== "candle_forming") this.lamps.soon();
      },
      connected: () => this.feed.connected(),
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
    this.store.subscribe(["note", "error"], () => this.showMessage());
    this.store.subscribe(["hovered", "selected"], () => {
      this.chart.layer.setFocus(this.store.get("hovered"), this.store.get("selected"));
      this.scheduleWrite();
    });
    this.store.subscribe(["hovered", "selected"], () => void this.showCard());
    this.chart.onPointer(({ index, hovered }) => {
      this.bar = index;
      this.store.set({ hovered });
      this.legend.show(this.feed.candles.all, index, this.decimals);
    });
    this.chart.onClick(({ hovered }) => this.select(hovered));
    this.chart.onView(() => this.scheduleWrite());
    partOf("retry").addEventListener("click", () => void this.feed.retry());
    partOf("latest").addEventListener("click", () => this.chart.goToLatest());
    document.addEventListener("themechange", () => this.chart.setPalette(readPalette(this.view)));
    for (const type of ["keydown", "click"]) document.addEventListener(type, this);
    addEventListener("online", () => this.socket.retryNow());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.socket.retryNow();
    });
  }

  /** @param {Event} event */
  async handleEvent(event) {
    if (event.type === "click" && !(/** @type {Element} */ (event.target).closest("[data-key]"))) return;
    if (!this.keys) {
      const { Keys } = await import("./keys.js");
      this.keys ??= new Keys(this);
    }
    this.keys.handle(event);
  }

  start() {
    const asked = new URLSearchParams(location.search).get("series_id");
    const linked = asked === null ? null : parseSeries(asked);
    if (asked !== null && !linked) {
      this.toasts.show(this.words.say("bad_series", { series: asked }), "error");
    }
    const series = linked ?? loadSeries(localStorage);
    this.controls.show(series);
    this.open(series);
    this.socket.start();
  }

  /** @param {Series} series */
  open(series) {
    const id = seriesId(series);
    saveSeries(localStorage, series);
    history.replaceState(null, "", `?series_id=${encodeURIComponent(id)}`);
    document.title = `${series.symbol} ${series.timeframe} · trade_canvas`;
    const { symbol, timeframe } = series;
    this.view.setAttribute("aria-label", this.words.say("chart_label", { symbol, timeframe }));
    this.bar = null;
    this.ready = false;
    this.paintMs = null;
    this.openedAt = performance.now();
    this.select("");
    this.store.set({ error: "", note: this.words.say("loading_structures") });
    void this.feed.open(id);
    this.lamps.watch(id);
    this.write();
  }

  /** Say that the page is ready once what was loaded has been painted. */
  announceReady() {
    if (this.ready) return;
    const id = this.feed.seriesId;
    requestAnimationFrame(() =>
      requestAnimationFrame(() => {
        if (this.feed.seriesId !== id) return;
        this.ready = true;
        this.paintMs = Math.round(performance.now() - this.openedAt);
        this.write();
      }),
    );
  }

  /** @param {Change} change */
  showCandles(change) {
    const { candles } = this.feed;
    this.chart.setCandles(candles.all, change, candles.forming?.candle_time ?? null);
    if (change.kind === "all" || !this.hadCandles) {
      this.decimals = priceDecimals(candles.all);
      this.chart.setDecimals(this.decimals);
    }
    if (!this.hadCandles) this.chart.fit();
    this.hadCandles = candles.all.length > 0;
    this.legend.show(candles.all, null, this.decimals);
    this.redraw();
  }

  redraw() {
    const { candles, overlay, seriesId: id } = this.feed;
    this.shapes = buildShapes(overlay.active(), candles.all);
    this.chart.setShapes(this.shapes, candleSeconds(id));
    this.watchLag();
    this.scheduleWrite();
  }

  /**
   * @param {LoadStatus} status
   * @param {number} count
   */
  showStatus(status, count) {
    this.count = count;
    if (status !== "error") this.store.set({ error: "" });
    this.showMessage();
    this.scheduleWrite();
  }

  /** @param {Notice} notice */
  hear(notice) {
    const { words, toasts } = this;
    if (notice.kind === "drawn") this.store.set({ note: "", error: "" });
    else if (notice.kind === "behind") {
      const time = notice.time === null ? "" : words.time(notice.time);
      this.store.set({ note: words.say("behind", { time }) });
    } else if (notice.kind === "failed") {
      const { status } = notice.error;
      const error = words.say(`failed.${notice.part}`, { code: status || words.say("no_answer") });
      this.store.set({ error });
    } else if (notice.kind === "gap") {
      toasts.show(words.say("gap", { n: notice.missing, time: words.time(notice.time) }));
    } else if (notice.kind === "rebuild") {
      toasts.show(words.say("rebuild", { reason: words.say(notice.reason) }));
    } else {
      toasts.show(words.say("resumed", { n: notice.count }));
    }
    if (this.feed.status !== "error" && this.feed.status !== "loading") this.announceReady();
  }

  /** Say that structures are behind once they have been so for a while. */
  watchLag() {
    if (this.feed.structureLag === 0) {
      this.lagSince = 0;
      return;
    }
    if (this.lagSince) return;
    const since = performance.now();
    this.lagSince = since;
    setTimeout(() => {
      if (this.lagSince !== since) return;
      this.lagSince = 0;
      this.store.set({ note: this.words.say("lag", { n: this.feed.structureLag }) });
    }, LAG_SHOWN_AFTER_MS);
  }

  /** The text for the state of the chart; empty when there is nothing to say. */
  message() {
    const { words, feed } = this;
    const [error, note] = [this.store.get("error"), this.store.get("note")];
    if (error) return error;
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

  /** @param {string} id */
  select(id) {
    this.store.set({ selected: id });
  }

  /** Show the card of what was clicked, else of the line or mark that the pointer is on. */
  async showCard() {
    const selected = this.store.get("selected");
    const id = selected || this.store.get("hovered");
    const shape = this.shapes.find((one) => one.id === id);
    if (!shape || (!selected && shape.kind === "box")) {
      this.card.hide();
      return;
    }
    this.fillCard(shape);
    if (!selected || this.recordOf(shape)) return;
    await this.feed.readSlices();
    if (this.store.get("selected") === id) this.fillCard(shape);
  }

  /** @param {string} id */
  nameOf(id) {
    const shape = this.shapes.find((one) => one.id === id);
    return shape ? this.card.nameOf(shape) : id;
  }

  /** @param {Shape} shape */
  recordOf(shape) {
    return this.feed.allSlices.map((slices) => recordOf(shape, slices)).find(Boolean) ?? null;
  }

  /** @param {Shape} shape */
  fillCard(shape) {
    const record = this.recordOf(shape);
    const { words, feed } = this;
    const rows = cardRows(shape, record, {
      price: (value) => this.price(value),
      time: (seconds) => words.time(seconds),
      bars: (from, to) => feed.candles.distance(from, to),
      say: (key, values) => words.say(key, values),
    });
    this.card.show(shape, rows, record, this.store.get("selected") === shape.id);
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
      }),
    );
  }
}

new LivePage().start();
