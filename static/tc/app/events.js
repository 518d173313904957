// @ts-check
/**
 * The log of events: what the server does with each candle and read, what this page does, and how
 * whole the series is. For who may see the debug routes.
 */

/** @import {Words} from "./i18n.js" */
/** @import {LivePage} from "./live.js" */
/** @import {LogEvent, SeriesHealth} from "../types/api" */
/** @import {PageEvent} from "../types/page" */

const KEPT = 2000;
const SHOWN = 300;
const HEALTH_MS = 10_000;
const RETRY_MS = 5000;

/**
 * Whether the log shows an event.
 * @param {LogEvent} event
 * @param {string} pipe `all`, `read` or `write`
 * @param {string} wanted a text that it must hold
 */
export function isShown(event, pipe, wanted) {
  if (pipe !== "all" && event.pipe !== pipe) return false;
  return !wanted || lineOf(event).toLowerCase().includes(wanted.toLowerCase());
}

/**
 * An event in one line.
 * @param {LogEvent} event
 */
export function lineOf({ ts_ms: at, source, pipe, event, series_id: id, level, message, data }) {
  const said = message && message !== event ? message : "";
  const parts = [new Date(at).toISOString().slice(11, 23), source, pipe, level, event, id ?? "", said];
  return [...parts, data ? JSON.stringify(data) : ""].filter(Boolean).join(" ");
}

export default class EventLog {
  /** @type {LogEvent[]} */
  #events = [];
  /** @type {WebSocket | null} */
  #socket = null;
  #isOpen = false;
  #pipe = "all";
  #planned = false;
  /** The series whose health is shown. */
  #looked = "";
  /** @type {PageEvent | undefined} The last of the page's own. */
  #taken;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #looking;

  /**
   * @param {LivePage} page
   * @param {HTMLElement} element
   */
  constructor(page, element) {
    this.page = page;
    this.element = element;
    this.rows = this.#find("[data-testid=debug-drawer]");
    this.search = /** @type {HTMLInputElement} */ (this.#find("input[type=search]"));
    this.follows = /** @type {HTMLInputElement} */ (this.#find("input[type=checkbox]"));
    this.health = this.#find("[data-part=health]");
    this.state = this.#find("[data-part=state]");
    this.copy = this.#find("[data-part=copy]");
    this.copy.hidden = !("clipboard" in navigator);
    this.copy.addEventListener("click", () => void this.#copy());
    this.search.addEventListener("input", () => this.#plan());
    for (const button of this.#filters()) {
      button.addEventListener("click", () => this.#filter(button.value));
    }
    this.follow = () => {
      this.#takeOwn();
      if (page.feed.seriesId !== this.#looked) void this.#look();
    };
    new PerformanceObserver((list) => this.#add(list.getEntries().flatMap(readEvent))).observe({
      type: "resource",
      buffered: true,
    });
  }

  open() {
    this.#isOpen = true;
    this.page.followers.add(this.follow);
    this.#connect();
    this.#looking = setInterval(() => void this.#look(), HEALTH_MS);
    void this.#look();
    this.#takeOwn();
  }

  close() {
    this.#isOpen = false;
    this.page.followers.delete(this.follow);
    clearInterval(this.#looking);
    this.#socket?.close();
  }

  /** @param {string} selector */
  #find(selector) {
    return /** @type {HTMLElement} */ (this.element.querySelector(selector));
  }

  #filters() {
    return this.element.querySelectorAll(/** @type {"button"} */ ("button[value]"));
  }

  /** @param {string} pipe */
  #filter(pipe) {
    this.#pipe = pipe;
    for (const button of this.#filters()) {
      button.setAttribute("aria-pressed", String(button.value === pipe));
    }
    this.#plan();
  }

  #connect() {
    const socket = new WebSocket("/ws/debug");
    this.#socket = socket;
    socket.onopen = () => (this.state.textContent = "");
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      // What was kept is sent again after a reconnection.
      if (message.type === "debug_snapshot") {
        this.#events = this.#events.filter((event) => event.source !== "backend");
      }
      this.#add(message.events ?? (message.event ? [message.event] : []));
    };
    socket.onclose = () => {
      if (!this.#isOpen) return;
      this.state.textContent = this.page.words.say("events.lost");
      setTimeout(() => {
        if (this.#isOpen && this.#socket === socket) this.#connect();
      }, RETRY_MS);
    };
  }

  /** Take what the page has to tell since the last time. */
  #takeOwn() {
    const { events } = this.page;
    const fresh = this.#taken ? events.slice(events.indexOf(this.#taken) + 1) : events;
    this.#taken = events.at(-1);
    if (!fresh.length) return;
    this.#add(
      fresh.map((event) => ({ ...event, source: "frontend", pipe: "read", message: event.event })),
    );
  }

  /** @param {LogEvent[]} events */
  #add(events) {
    this.#events = [...this.#events, ...events].sort((a, b) => a.ts_ms - b.ts_ms).slice(-KEPT);
    this.#plan();
  }

  /** Show the rows with the next frame. */
  #plan() {
    if (this.#planned) return;
    this.#planned = true;
    requestAnimationFrame(() => {
      this.#planned = false;
      this.#show();
    });
  }

  #matching() {
    const wanted = this.search.value.trim();
    return this.#events.filter((event) => isShown(event, this.#pipe, wanted));
  }

  #show() {
    if (!this.#isOpen) return;
    const found = this.#matching();
    this.rows.replaceChildren(...found.slice(-SHOWN).map(rowOf));
    if (!found.length) this.rows.textContent = this.page.words.say("events.none");
    if (this.follows.checked) this.rows.scrollTop = this.rows.scrollHeight;
  }

  async #copy() {
    await navigator.clipboard.writeText(this.#matching().map(lineOf).join("\n"));
    this.copy.textContent = this.page.words.say("card.copied");
  }

  /** Ask how whole the series is. */
  async #look() {
    const { feed, words } = this.page;
    const id = feed.seriesId;
    if (id !== this.#looked) this.health.replaceChildren();
    this.#looked = id;
    const query = new URLSearchParams({ series_id: id });
    const answer = await fetch(`/api/market/debug/series_health?${query}`).catch(() => null);
    /** @type {SeriesHealth | null} */
    const health = answer?.ok ? await answer.json() : null;
    if (id !== feed.seriesId) return;
    const values = health ? healthRows(health, words) : [];
    this.health.replaceChildren(
      ...values.flatMap(([name, value]) => [
        Object.assign(document.createElement("dt"), { textContent: words.say(name) }),
        Object.assign(document.createElement("dd"), { textContent: value }),
      ]),
    );
  }
}

/**
 * @param {SeriesHealth} health
 * @param {Words} words
 * @returns {[string, string][]}
 */
function healthRows(health, words) {
  const { head_time: head, lag_seconds: lag, gap_count, max_gap_seconds, base_bucket_completeness: buckets } = health;
  const whole = buckets.filter(({ missing_minutes: missing }) => missing === 0).length;
  /** @type {[string, string][]} */
  const rows = [
    ["events.head", head === null ? "—" : words.time(head)],
    ["events.lag", lag === null ? "—" : `${words.number(lag)} s`],
    ["events.gaps", gap_count ? `${gap_count} (≤ ${max_gap_seconds} s)` : "0"],
  ];
  if (buckets.length) rows.push(["events.buckets", `${whole}/${buckets.length}`]);
  return rows;
}

/**
 * A read that this page made, as an event.
 * @param {PerformanceEntry} entry
 * @returns {LogEvent[]}
 */
function readEvent(entry) {
  const { initiatorType, responseStatus: status, name, duration, startTime } =
    /** @type {PerformanceResourceTiming} */ (entry);
  if (initiatorType !== "fetch") return [];
  const url = new URL(name);
  const event = `page.fetch ${url.pathname}`;
  const at = Math.round(performance.timeOrigin + startTime);
  const data = { query: decodeURIComponent(url.search.slice(1)), status, ms: Math.round(duration) };
  const level = status && status < 400 ? "info" : "warn";
  return [{ ts_ms: at, source: "frontend", pipe: "read", event, series_id: null, level, message: event, data }];
}

/** @param {LogEvent} event */
function rowOf(event) {
  const row = document.createElement("li");
  row.dataset["testid"] = "debug-log-row";
  row.dataset["event"] = event.event;
  row.dataset["pipe"] = event.pipe;
  row.dataset["source"] = event.source;
  row.dataset["level"] = event.level;
  row.textContent = lineOf(event);
  return row;
}
