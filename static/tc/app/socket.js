// @ts-check
/**
 * The connection to /ws/market: one series followed at a time, a silence that is noticed, and
 * a reconnection that resumes after the last closed candle.
 *
 * The protocol has no heartbeat, but the server answers an unknown message type with an error,
 * in order. So a silent connection is asked with such a message; the answer proves that it lives,
 * and after a resume it marks the end of the catch-up.
 */

/** @import {MarketMessage} from "../types/api" */
/** @import {SocketListener, SocketState} from "../types/page" */

export const SILENCE_MS = 20000;
export const STALE_MS = 5000;
export const DROP_MS = 10000;
const FIRST_DELAY_MS = 500;
const LAST_DELAY_MS = 15000;
const STEADY_MS = 10000;
const JITTER = 0.2;
const PROBE = "ping";
const PROBE_ANSWER = `unknown message type: ${PROBE}`;
const CAPACITY_MS = 30000;
const FINAL_CODES = [1008, 1009];

/** @typedef {ReturnType<typeof setTimeout>} Timer */

/**
 * How long to wait before the given try (1 is the first), jitter not included.
 * @param {number} attempt
 * @returns {number}
 */
export function backoff(attempt) {
  return Math.min(LAST_DELAY_MS, FIRST_DELAY_MS * 2 ** (attempt - 1));
}

export class MarketSocket {
  /** @type {SocketState} */
  #state = "connecting";
  /** @type {WebSocket | null} */
  #transport = null;
  /** @type {{seriesId: string, since: () => number | null} | null} */
  #followed = null;
  #hasFollowed = false;
  #attempt = 0;
  /** @type {number | null} When the last message came. */
  heardAt = null;
  #resuming = false;
  /** @type {Timer | undefined} */
  #retryTimer;
  /** @type {Timer | undefined} */
  #steadyTimer;
  /** @type {Timer | undefined} */
  #silenceTimer;

  /**
   * @param {() => WebSocket} connect
   * @param {SocketListener} listener
   * @param {() => number} random
   */
  constructor(connect, listener, random = Math.random) {
    this.connect = connect;
    this.listener = listener;
    this.random = random;
  }

  get state() {
    return this.#state;
  }

  start() {
    this.#become("connecting");
    this.#open();
  }

  /**
   * Subscribe to a series, now and again after every reconnection.
   * @param {string} seriesId
   * @param {() => number | null} since the last closed time held
   */
  follow(seriesId, since) {
    if (this.#followed?.seriesId === seriesId) return;
    this.#followed = { seriesId, since };
    if (this.#state === "closed") this.start();
    else if (this.#transport?.readyState === 1) this.#subscribe();
  }

  /** Stop following; messages that are still under way are ignored. */
  leave() {
    const series_id = this.#followed?.seriesId;
    this.#followed = null;
    this.#hasFollowed = false;
    this.#resuming = false;
    if (this.#transport) clearTimeout(this.#retryTimer);
    if (series_id === undefined || this.#transport?.readyState !== 1) return;
    this.#send({ type: "unsubscribe", series_id });
    this.#become("connecting");
  }

  /** Do not wait any longer: the machine is online again, or somebody looks. */
  retryNow() {
    if (this.#state !== "reconnecting" || this.#transport) return;
    this.#open();
  }

  /** Give up for good. @param {string} reason */
  stop(reason) {
    this.#drop();
    this.#become("closed", { reason });
  }

  /**
   * @param {SocketState} state
   * @param {{waitMs?: number, reason?: string}} about
   */
  #become(state, { waitMs = 0, reason = "" } = {}) {
    this.#state = state;
    this.listener.state(state, { waitMs, reason, attempt: this.#attempt });
  }

  #open() {
    clearTimeout(this.#retryTimer);
    const transport = this.connect();
    this.#transport = transport;
    transport.onopen = () => this.#opened();
    transport.onmessage = (event) => this.#received(String(event.data));
    transport.onclose = (event) => this.#closed(event.code, event.reason);
  }

  #opened() {
    this.#steadyTimer = setTimeout(() => {
      this.#attempt = 0;
    }, STEADY_MS);
    this.#watchSilence();
    this.listener.connected();
    if (this.#followed) this.#subscribe();
    else this.#become("connecting");
  }

  #subscribe() {
    clearTimeout(this.#retryTimer);
    if (!this.#followed) return;
    const { seriesId: series_id, since } = this.#followed;
    this.#send({ type: "subscribe", series_id, since: since(), supports_batch: true });
    this.#resuming = this.#hasFollowed;
    this.#hasFollowed = true;
    if (this.#resuming) this.#send({ type: PROBE });
    this.#become("open");
  }

  /** @param {object} message */
  #send(message) {
    this.#transport?.send(JSON.stringify(message));
  }

  /** @param {string} text */
  #received(text) {
    this.#watchSilence();
    this.heardAt = performance.now();
    if (this.#state === "stale") this.#become(this.#followed ? "open" : "connecting");
    /** @type {MarketMessage} */
    const message = JSON.parse(text);
    if (message.type === "error" && message.code === "bad_request") {
      this.#refused(message.message);
    } else if (message.series_id !== this.#followed?.seriesId) {
      return;
    } else if (message.type === "error") {
      this.#become("connecting", { reason: message.code });
      this.#retryTimer = setTimeout(() => this.#subscribe(), CAPACITY_MS);
    } else this.listener.message(message);
  }

  /** @param {string} reason */
  #refused(reason) {
    if (reason !== PROBE_ANSWER) {
      this.stop(reason);
    } else if (this.#resuming) {
      this.#resuming = false;
      this.listener.resumed();
    }
  }

  #watchSilence() {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => {
      this.#send({ type: PROBE });
      this.#silenceTimer = setTimeout(() => {
        this.#become("stale");
        this.#silenceTimer = setTimeout(() => this.#lost(), DROP_MS);
      }, STALE_MS);
    }, SILENCE_MS);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #closed(code, reason) {
    if (FINAL_CODES.includes(code)) this.stop(reason || String(code));
    else this.#lost();
  }

  #lost() {
    this.#drop();
    this.#attempt += 1;
    const waitMs = backoff(this.#attempt) * (1 + JITTER * (2 * this.random() - 1));
    this.#retryTimer = setTimeout(() => this.#open(), waitMs);
    this.#become("reconnecting", { waitMs });
  }

  /** Let go of the transport without hearing of it again. */
  #drop() {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#silenceTimer);
    clearTimeout(this.#steadyTimer);
    const transport = this.#transport;
    this.#transport = null;
    if (!transport) return;
    transport.onopen = transport.onmessage = transport.onclose = null;
    transport.close();
  }
}
