// @ts-check
/**
 * Tools to measure and to draw: clicks place points, or Enter at the crosshair. Loaded with the
 * first tool, or where the browser remembers drawings.
 */

import { DrawingLayer } from "../chart/drawing-layer.js";
import { barOf } from "../chart/layout.js";
import { readPalette } from "../chart/palette.js";
import { DRAWINGS_KEY, Drawings, POINTS } from "./drawings.js";
import { measureText } from "./measure.js";
import { timeOf } from "./place.js";
import { candleSeconds } from "./series.js";
/** @import {LivePage} from "./live.js" */
/** @import {Point} from "../types/api" */
/** @import {Drawing, Place} from "../types/page" */

/** How far the pointer may move in a click; what moves further moves the chart. */
const CLICK_REACH = 6;
const CLICK_MS = 500;

export default class DrawTools {
  /** @type {Drawing["kind"] | ""} The tool in hand. */
  active = "";
  /** @type {Point[]} What was placed with it so far. */
  #placed = [];
  /** @type {Point | null} Where the next point would be. */
  #next = null;
  #tookAt = -Infinity;
  /** @type {PointerEvent | null} */
  #pressed = null;

  /** @param {LivePage} page */
  constructor(page) {
    this.page = page;
    this.drawings = new Drawings(localStorage, page.feed.seriesId);
    this.layer = new DrawingLayer(
      readPalette(page.view),
      (time) => barOf(this.#times, this.#seconds, time),
      (drawing) => this.#text(drawing),
    );
    page.tools = this;
    page.chart.attach(this.layer);
    this.#listen(/** @type {HTMLElement} */ (document.querySelector("[data-part=canvas]")));
    page.followers.add(() => this.#followSeries());
    page.store.subscribe(["selected"], () => this.#show());
    addEventListener("storage", ({ key }) => {
      if (key === DRAWINGS_KEY && this.drawings.read()) this.#show();
    });
    document.addEventListener("themechange", () => {
      this.layer.palette = readPalette(page.view);
      this.#show();
    });
    this.#show();
  }

  /** Whether a click belongs to a tool. */
  get isBusy() {
    return this.active !== "" || performance.now() - this.#tookAt < CLICK_MS;
  }

  /**
   * The chart library takes two quick clicks for one double click; a tool takes both.
   * @param {HTMLElement} canvas
   */
  #listen(canvas) {
    const place = (/** @type {PointerEvent} */ { clientX, clientY }) => {
      const { left, top } = canvas.getBoundingClientRect();
      return this.page.chart.placeAt(clientX - left, clientY - top);
    };
    canvas.addEventListener("pointerdown", (event) => (this.#pressed = event), true);
    canvas.addEventListener("pointermove", (event) => this.preview(place(event)), true);
    canvas.addEventListener(
      "pointerup",
      (event) => {
        const { clientX: x, clientY: y } = this.#pressed ?? event;
        if (event.button === 0 && Math.hypot(event.clientX - x, event.clientY - y) < CLICK_REACH) this.take(place(event));
      },
      true,
    );
  }

  /**
   * Take a tool in hand, or put it away where it is already.
   * @param {Drawing["kind"]} kind
   */
  start(kind) {
    const isSame = this.active === kind;
    this.cancel();
    if (isSame) return;
    this.active = kind;
    this.page.select("");
    this.#hint("tool.first");
    this.#show();
  }

  /** Put the tool away; false where there is none in hand. */
  cancel() {
    if (!this.active) return false;
    this.active = "";
    this.#placed = [];
    this.#next = null;
    this.page.store.set({ hint: "" });
    this.#show();
    return true;
  }

  /**
   * Place a point with the tool in hand.
   * @param {Place | null} place
   */
  take(place) {
    const point = this.#point(place);
    if (!this.active || !point) return;
    this.#tookAt = performance.now();
    this.#placed.push(point);
    if (this.#placed.length < POINTS[this.active]) this.#hint("tool.second");
    else this.#finish(this.active);
    this.#show();
  }

  /**
   * Show what would be drawn to here.
   * @param {Place | null} place
   */
  preview(place) {
    if (!this.active) return;
    this.#next = this.#point(place);
    this.#show();
  }

  /**
   * The close of the bar under the crosshair, for who has no mouse.
   * @returns {Place | null}
   */
  get atCrosshair() {
    const { feed, bar } = this.page;
    const { all } = feed.candles;
    const index = bar ?? all.length - 1;
    const candle = all[index];
    return candle ? { bar: index, price: candle.close } : null;
  }

  /** Remove the drawing that is selected. */
  remove() {
    this.drawings.remove(this.page.store.get("selected"));
    this.page.select("");
    this.#show();
  }

  undo() {
    if (!this.cancel()) this.drawings.undo();
    this.#show();
  }

  get #times() {
    return this.page.feed.candles.all.map((candle) => candle.candle_time);
  }

  get #seconds() {
    return candleSeconds(this.page.feed.seriesId);
  }

  /** @param {Drawing["kind"]} kind */
  #finish(kind) {
    const drawing = this.drawings.add(kind, this.#placed);
    this.cancel();
    this.#say(this.#text(drawing).join(", ") || this.page.words.say("tool.drawn"));
  }

  #followSeries() {
    const { seriesId } = this.page.feed;
    if (seriesId === this.drawings.seriesId) return;
    this.cancel();
    this.drawings = new Drawings(localStorage, seriesId);
    this.#show();
  }

  /**
   * @param {Place | null} place
   * @returns {Point | null}
   */
  #point(place) {
    if (!place || !this.#times.length) return null;
    return { time: timeOf(this.#times, this.#seconds, place.bar), value: place.price };
  }

  /** @param {Drawing} drawing */
  #text({ kind, points }) {
    const { page } = this;
    if (kind === "level") return [page.price(points[0]?.value ?? 0)];
    if (kind !== "measure" || points.length < 2) return [];
    const [from, to] = points.map(({ time }) => barOf(this.#times, this.#seconds, time));
    const bars = Math.round((to ?? 0) - (from ?? 0));
    return measureText(points, bars, page.words, page.decimals);
  }

  /** Paint what is drawn and what is being drawn, and set the buttons. */
  #show() {
    const { page, drawings } = this;
    const selected = page.store.get("selected");
    const ends = this.#next ? [...this.#placed, this.#next] : this.#placed;
    const shown = [...drawings.all];
    if (this.active && ends.length) shown.push({ id: "", kind: this.active, points: ends });
    this.layer.show(shown, selected);
    for (const kind of Object.keys(POINTS)) {
      this.#button(kind).setAttribute("aria-pressed", String(kind === this.active));
    }
    this.#button("undo").disabled = !drawings.canUndo;
    this.#button("delete").disabled = !drawings.all.some(({ id }) => id === selected);
    page.scheduleWrite();
  }

  /** @param {string} key */
  #hint(key) {
    const hint = this.page.words.say(key);
    this.page.store.set({ hint });
    this.#say(hint);
  }

  /** @param {string} text */
  #say(text) {
    const spoken = document.querySelector("[data-part=spoken]");
    if (spoken) spoken.textContent = text;
  }

  /** @param {string} key */
  #button(key) {
    return /** @type {HTMLButtonElement} */ (document.querySelector(`[data-key="${key}"]`));
  }
}
