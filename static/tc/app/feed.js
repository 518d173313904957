// @ts-check
/**
 * One series on the chart: load its candles and structures, then follow it.
 *
 * The page hears what changed through a listener and reads `candles`, `overlay` and `slices`;
 * nothing here knows the document.
 */

import { ApiError, WINDOW, patiently, pause } from "./api.js";
import { CandleStore, isContiguous } from "./candles.js";
import { Overlay } from "./overlay.js";
import { candleSeconds } from "./series.js";
/** @import {Api} from "./api.js" */
/** @import {MarketSocket} from "./socket.js" */
/** @import {Candle, CandlesAnswer, FactorSlices, MarketMessage} from "../types/api" */
/** @import {FeedListener, LoadStatus} from "../types/page" */

export const EMPTY_TRIES = 5;
const UNSTABLE_TRIES = 20;
export const DELTA_SPACING_MS = 1000;
export const REPAIR_WAIT_MS = 5000;
const TRY_WAIT_MS = 200;
const TRY_WAIT_LIMIT_MS = 1000;
const PAGE_LIMIT = 5000;

/**
 * Whether the answer may still be growing: it is short, has holes, or ends before the head.
 * @param {CandlesAnswer} answer
 * @param {number} seconds
 * @returns {boolean}
 */
export function looksUnfinished(answer, seconds) {
  const last = answer.candles.at(-1)?.candle_time ?? 0;
  return (
    answer.candles.length < 2 ||
    !isContiguous(answer.candles, seconds) ||
    last < (answer.server_head_time ?? 0)
  );
}

/**
 * @param {Candle[]} a
 * @param {Candle[]} b
 * @returns {boolean}
 */
function sameCandles(a, b) {
  const [lastA, lastB] = [a.at(-1), b.at(-1)];
  return (
    a.length === b.length &&
    lastA?.candle_time === lastB?.candle_time &&
    lastA?.close === lastB?.close
  );
}

export class LiveFeed {
  candles = new CandleStore();
  overlay = new Overlay();
  /** @type {FactorSlices | null} */
  slices = null;
  seriesId = "";
  /** @type {LoadStatus} */
  status = "idle";
  /** @type {number | null} The last closed time that came over the socket. */
  lastSocketTime = null;
  #work = new AbortController();
  #deltaWanted = false;
  #deltaRunning = false;
  #repairPlanned = false;
  #olderRunning = false;
  /** Whether candles older than those held may be stored. */
  olderExists = false;
  #olderWork = Promise.resolve();
  /** From where on a gap is being filled. */
  #gapFrom = -Infinity;
  /** Whether a repair reads everything again. */
  #isBroken = false;
  /** From when on there are structures. */
  drawnFrom = -Infinity;
  /** @type {FactorSlices[]} Those of candles before the window, the newest first. */
  olderSlices = [];
  #closedAtLoss = -Infinity;

  /**
   * @param {Api} api
   * @param {MarketSocket} socket
   * @param {FeedListener} listener
   */
  constructor(api, socket, listener) {
    this.api = api;
    this.socket = socket;
    this.listener = listener;
  }

  /** The candles that are newer than the drawing. */
  get structureLag() {
    const { time } = this.overlay;
    if (time === null) return 0;
    const newer = this.candles.closed.findLastIndex((candle) => candle.candle_time <= time);
    return this.candles.closed.length - 1 - newer;
  }

  /**
   * Show this series; whatever is under way for another one ends unheard.
   * @param {string} seriesId
   */
  async open(seriesId) {
    this.#restart();
    this.socket.leave();
    this.seriesId = seriesId;
    this.slices = null;
    this.lastSocketTime = null;
    this.overlay.clear();
    this.listener.candles(this.candles.clear());
    this.listener.structures();
    await this.#guard(async (signal) => {
      await this.#loadCandles(signal);
      await this.#loadFrame(signal);
      this.#follow();
    });
  }

  /** Read candles and frame of the same series again; what is drawn stays until then. */
  async reload() {
    this.#restart();
    this.#isBroken = true;
    await this.#guard(async (signal) => {
      const count = await (await import("./mend.js")).readAgain(this, signal);
      this.#isBroken = false;
      this.#setStatus(count ? "ready" : "empty", count);
      await this.#loadFrame(signal);
      this.#follow();
    });
  }

  /** Bring one more block of older candles, with the structures that belong to them. */
  async loadOlder() {
    if (this.#olderRunning) return this.#olderWork;
    if (!this.olderExists || this.overlay.time === null || this.candles.isFull) return;
    this.#olderRunning = true;
    this.#olderWork = this.#guard(async (signal) => {
      await (await import("./history.js")).addBlock(this, signal);
      this.#olderRunning = false;
    });
    await this.#olderWork;
  }

  /** Ends with what is shown. */
  get signal() {
    return this.#work.signal;
  }

  /** Try again what failed; candles that are drawn stay. */
  async retry() {
    await (this.candles.all.length ? this.reload() : this.open(this.seriesId));
  }

  /** The connection is up: a load that failed without it is tried again. */
  connected() {
    if (this.status === "error") void this.open(this.seriesId);
  }

  /** The connection is lost: remember up to where we know. */
  lost() {
    this.#closedAtLoss = this.candles.lastClosedTime ?? -Infinity;
  }

  /** The catch-up after a reconnection is complete. */
  resumed() {
    const count = this.candles.closed.filter(
      (candle) => candle.candle_time > this.#closedAtLoss,
    ).length;
    this.listener.notice({ kind: "resumed", count });
    if (count >= PAGE_LIMIT) void this.reload();
    else this.#wantDelta();
  }

  /** @param {MarketMessage} message */
  take(message) {
    if (message.type === "candle_closed") this.#closed([message.candle]);
    else if (message.type === "candles_batch") this.#closed(message.candles);
    else if (message.type === "candle_forming") {
      this.listener.candles(this.candles.form(message.candle));
    } else if (message.type === "gap") {
      void this.#fillGap(message.expected_next_time, message.actual_time);
    } else if (message.type === "system" && message.event === "factor.rebuild") {
      this.listener.notice({ kind: "rebuild", reason: message.message });
      void this.reload();
    }
  }

  /** @param {Candle[]} candles */
  #closed(candles) {
    const [seconds, last] = [candleSeconds(this.seriesId), this.candles.lastClosedTime];
    const first = candles[0]?.candle_time ?? 0;
    if (last !== null && first > last + seconds) void this.#fillGap(last + seconds, first);
    this.lastSocketTime = candles.at(-1)?.candle_time ?? this.lastSocketTime;
    this.listener.candles(this.candles.append(candles));
    if (this.status === "empty") this.#setStatus("ready", this.candles.closed.length);
    this.#wantDelta();
  }

  #restart() {
    this.#work.abort();
    this.#work = new AbortController();
    this.#deltaWanted = false;
    this.#deltaRunning = false;
    this.#repairPlanned = false;
    this.#olderRunning = false;
    this.#gapFrom = -Infinity;
    this.#isBroken = false;
  }

  #follow() {
    this.socket.follow(this.seriesId, () => this.candles.lastClosedTime);
  }

  /**
   * @param {LoadStatus} status
   * @param {number} count
   */
  #setStatus(status, count = 0) {
    this.status = status;
    this.listener.status(status, count);
  }

  /**
   * Run a load; a failure becomes the status, an abort ends it in silence.
   * @param {(signal: AbortSignal) => Promise<void>} load
   */
  async #guard(load) {
    const { signal } = this.#work;
    try {
      await load(signal);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.listener.notice({ kind: "failed", part: "candles", error });
      if (this.candles.all.length) void this.#repairLater(signal);
      else this.#setStatus("error");
    }
  }

  /** @param {AbortSignal} signal */
  async #loadCandles(signal) {
    this.#setStatus("loading");
    let answer = await this.api.candles(this.seriesId, {}, signal);
    let wait = TRY_WAIT_MS;
    for (let tries = 1; looksUnfinished(answer, candleSeconds(this.seriesId)); tries += 1) {
      const count = answer.candles.length;
      if (tries >= (count ? UNSTABLE_TRIES : EMPTY_TRIES)) break;
      if (count) this.#setStatus("backfilling", count);
      await pause(wait, signal);
      wait = Math.min(wait * 1.2, TRY_WAIT_LIMIT_MS);
      const before = answer.candles;
      answer = await this.api.candles(this.seriesId, {}, signal);
      if (count && sameCandles(before, answer.candles)) break;
    }
    this.olderExists = answer.candles.length >= WINDOW;
    this.listener.candles(this.candles.replace(answer.candles));
    this.#setStatus(answer.candles.length ? "ready" : "empty", answer.candles.length);
  }

  /**
   * Read the frame. Its failure leaves the candles alone, and it is tried again later.
   * @param {AbortSignal} signal
   */
  async #loadFrame(signal) {
    if (this.candles.lastClosedTime === null) {
      this.listener.notice({ kind: "drawn" });
      return;
    }
    await this.#structures(signal, async () => {
      const read = () => this.api.frame(this.seriesId, signal);
      const frame = await patiently(read, signal);
      this.overlay.replace(frame.draw_state);
      this.slices = frame.factor_slices;
      this.drawnFrom = frame.time.aligned_time - WINDOW * candleSeconds(this.seriesId);
      this.olderSlices = [];
      const isDeeper = (this.candles.all[0]?.candle_time ?? Infinity) < this.drawnFrom;
      if (isDeeper) await (await import("./history.js")).drawOlder(this, signal);
      // Both may have been asked for at once: a candle may have closed between the two.
      if (this.structureLag > 0) this.#wantDelta();
    });
  }

  /**
   * Run a read of structures, tell what came of it, and repair a failure in a while.
   * @param {AbortSignal} signal
   * @param {() => Promise<void>} read
   */
  async #structures(signal, read) {
    try {
      await read();
      this.listener.structures();
      this.listener.notice({ kind: "drawn" });
    } catch (error) {
      if (signal.aborted || !(error instanceof ApiError)) throw error;
      this.listener.notice(
        error.outOfSync
          ? { kind: "behind", time: this.candles.lastClosedTime }
          : { kind: "failed", part: "structures", error },
      );
      void this.#repairLater(signal);
    }
  }

  /** @param {AbortSignal} signal */
  async #repairLater(signal) {
    if (this.#repairPlanned) return;
    this.#repairPlanned = true;
    await pause(REPAIR_WAIT_MS, signal).then(
      () => {
        this.#repairPlanned = false;
        this.#olderRunning = false;
        if (this.#isBroken) void this.reload();
        else this.#wantDelta();
      },
      () => undefined,
    );
  }

  /** Ask for one delta read; what is asked while one runs or rests becomes one more. */
  #wantDelta() {
    this.#deltaWanted = true;
    if (this.#deltaRunning) return;
    this.#deltaRunning = true;
    void this.#guard((signal) => this.#readDeltas(signal));
  }

  /** @param {AbortSignal} signal */
  async #readDeltas(signal) {
    while (this.#deltaWanted) {
      this.#deltaWanted = false;
      const again = await this.#readDelta(signal);
      if (again) return;
      await pause(DELTA_SPACING_MS, signal);
    }
    this.#deltaRunning = false;
  }

  /**
   * Read one delta; true where it does not fit, and everything is read again instead.
   * @param {AbortSignal} signal
   */
  async #readDelta(signal) {
    if (this.overlay.time === null) {
      await this.#loadFrame(signal);
      return false;
    }
    let fits = true;
    await this.#structures(signal, async () => {
      const read = () => this.api.delta(this.seriesId, this.overlay.cursor, signal);
      fits = this.overlay.apply(await patiently(read, signal));
    });
    if (!fits) void this.reload();
    return !fits;
  }

  /**
   * Fetch what a message left out; the server says so, or the page sees it by itself.
   * @param {number} expected
   * @param {number} actual
   */
  async #fillGap(expected, actual) {
    if (expected === this.#gapFrom) return;
    this.#gapFrom = expected;
    this.#isBroken = true;
    await this.#guard(async (signal) => {
      await (await import("./mend.js")).fillGap(this, expected, actual, signal);
      this.#isBroken = false;
      await this.#loadFrame(signal);
    });
  }
}
