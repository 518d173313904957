// @ts-check
/** What is drawn: a catalogue of instructions, the ids that are active, and the cursor. */

/** @import {DrawDelta, Instruction} from "../types/api" */

const GENERATION = 2 ** 32;

/**
 * The part of a version that rises when history was recomputed.
 * @param {number} version
 * @returns {number}
 */
export function generationOf(version) {
  return Math.floor(version / GENERATION);
}

export class Overlay {
  /** @type {Map<string, Instruction>} */
  #catalogue = new Map();
  /** @type {string[]} */
  #activeIds = [];
  /** The version from which the next delta is read. */
  cursor = 0;
  /** @type {number | null} The candle time that the drawing belongs to. */
  time = null;

  clear() {
    this.#catalogue.clear();
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

  /** @param {DrawDelta} draw */
  #take(draw) {
    for (const item of draw.instruction_catalog_patch) {
      this.#catalogue.set(item.instruction_id, item);
    }
    this.#activeIds = draw.active_ids;
    this.cursor = draw.next_cursor.version_id;
    this.time = draw.to_candle_time;
  }

  /** The instructions to draw, exactly the active ones. */
  active() {
    return this.#activeIds.flatMap((id) => this.#catalogue.get(id) ?? []);
  }
}
