// @ts-check
/** The lines that somebody has drawn on a series: remembered by the browser, with undo. */

import { readState, writeState } from "./saved.js";
/** @import {Drawing} from "../types/page" */
/** @import {Point} from "../types/api" */

export const DRAWINGS_KEY = "trade-canvas-drawings";
/** How many points each kind has. */
export const POINTS = { measure: 2, line: 2, level: 1 };

/**
 * Whether what was stored is a drawing.
 * @param {any} value
 * @returns {value is Drawing}
 */
function isDrawing(value) {
  const count = POINTS[/** @type {Drawing["kind"]} */ (value?.kind)];
  const { id, points } = value ?? {};
  if (count === undefined || typeof id !== "string" || !Array.isArray(points)) return false;
  const isPoint = (/** @type {any} */ p) => Number.isFinite(p?.time) && Number.isFinite(p?.value);
  return points.length === count && points.every(isPoint);
}

export class Drawings {
  /** @type {Drawing[]} */
  all = [];
  /** @type {Drawing[][]} */
  #before = [];

  /**
   * @param {Storage} storage
   * @param {string} seriesId
   */
  constructor(storage, seriesId) {
    this.storage = storage;
    this.seriesId = seriesId;
    this.read();
  }

  /** Take what is stored, as another tab may have changed it; say whether it has. */
  read() {
    const stored = readState(this.storage, DRAWINGS_KEY).state[this.seriesId];
    const all = Array.isArray(stored) ? stored.filter(isDrawing) : [];
    const isOther = JSON.stringify(all) !== JSON.stringify(this.all);
    if (isOther) {
      this.all = all;
      this.#before = [];
    }
    return isOther;
  }

  get canUndo() {
    return this.#before.length > 0;
  }

  /**
   * @param {Drawing["kind"]} kind
   * @param {Point[]} points
   * @returns {Drawing}
   */
  add(kind, points) {
    this.read();
    const used = this.all.map(({ id }) => Number(id.split(":")[1]) || 0);
    const drawing = { id: `drawing:${Math.max(0, ...used) + 1}`, kind, points };
    this.#change([...this.all, drawing]);
    return drawing;
  }

  /** @param {string} id */
  remove(id) {
    this.read();
    const left = this.all.filter((one) => one.id !== id);
    if (left.length < this.all.length) this.#change(left);
  }

  /** Take the last change back. */
  undo() {
    const before = this.#before.pop();
    if (before) this.#save(before);
  }

  /** @param {Drawing[]} drawings */
  #change(drawings) {
    this.#before.push(this.all);
    this.#save(drawings);
  }

  /** @param {Drawing[]} drawings */
  #save(drawings) {
    this.all = drawings;
    writeState(this.storage, DRAWINGS_KEY, { [this.seriesId]: drawings });
  }
}
