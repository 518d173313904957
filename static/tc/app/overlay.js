// @ts-check
/** What is drawn: a catalogue of instructions, the ids that are active, and the cursor. */

/** @import {DrawDelta, Instruction} from "../types/api" */

const GENERATION = 2 ** 32;
const PENS = "pen.confirmed";
/** What stays true once it was drawn, and is kept when the window moves on. */
const KEPT = /^(pivot\.|zhongshu\.dead:|anchor\.switch:|pen\.confirmed$)/;

/**
 * The part of a version that rises when history was recomputed.
 * @param {number} version
 * @returns {number}
 */
export function generationOf(version) {
  return Math.floor(version / GENERATION);
}

/**
 * The line of confirmed pens through the points of both.
 * @param {Instruction | undefined} older
 * @param {Instruction} newer
 * @returns {Instruction}
 */
function joined(older, newer) {
  const [a, b] = [older?.definition, newer.definition];
  if (a?.type !== "polyline" || b.type !== "polyline") return newer;
  const points = new Map([...a.points, ...b.points].map((point) => [point.time, point]));
  const definition = { ...b, points: [...points.values()].sort((p, q) => p.time - q.time) };
  return { ...newer, definition };
}

export class Overlay {
  /** @type {Map<string, Instruction>} */
  #catalogue = new Map();
  /** @type {string[]} */
  #activeIds = [];
  /** @type {Map<string, Instruction>} What is older than the window of the drawing. */
  #kept = new Map();
  /** The version from which the next delta is read. */
  cursor = 0;
  /** @type {number | null} The candle time that the drawing belongs to. */
  time = null;

  clear() {
    this.#catalogue.clear();
    this.#kept.clear();
    this.#activeIds = [];
    this.cursor = 0;
    this.time = null;
  }

  /**
   * Start again from a frame's drawing.
   * @param {DrawDelta} draw
   */
  replace(draw) {
    this.clear();
    this.#take(draw);
  }

  /**
   * Take a delta read from our cursor. False, and nothing changed, where it does not fit what
   * is held: history was recomputed, or an active instruction is unknown.
   * @param {DrawDelta} draw
   * @returns {boolean}
   */
  apply(draw) {
    const next = draw.next_cursor.version_id;
    const patched = new Set(draw.instruction_catalog_patch.map((item) => item.instruction_id));
    const known = (/** @type {string} */ id) => patched.has(id) || this.#catalogue.has(id);
    if (generationOf(next) !== generationOf(this.cursor) || !draw.active_ids.every(known)) {
      return false;
    }
    this.#take(draw);
    return true;
  }

  /**
   * Keep what of these is settled, though the window does not reach it.
   * @param {Instruction[]} items
   */
  keep(items) {
    for (const item of items) {
      const id = item.instruction_id;
      if (KEPT.test(id)) this.#kept.set(id, joined(this.#kept.get(id), item));
    }
  }

  /** @param {DrawDelta} draw */
  #take(draw) {
    const stays = new Set(draw.active_ids);
    const leaves = (/** @type {string} */ id) => id === PENS || !stays.has(id);
    this.keep(this.#activeIds.filter(leaves).flatMap((id) => this.#catalogue.get(id) ?? []));
    for (const item of draw.instruction_catalog_patch) {
      this.#catalogue.set(item.instruction_id, item);
    }
    this.#activeIds = draw.active_ids;
    this.cursor = draw.next_cursor.version_id;
    this.time = draw.to_candle_time;
  }

  /** The instructions to draw: exactly the active ones, and what is kept from before them. */
  active() {
    const items = this.#activeIds.flatMap((id) => this.#catalogue.get(id) ?? []);
    const shown = new Map(items.map((item) => [item.instruction_id, item]));
    for (const [id, item] of this.#kept) {
      const now = shown.get(id);
      if (!now) shown.set(id, item);
      else if (id === PENS) shown.set(id, joined(item, now));
    }
    return [...shown.values()];
  }
}
