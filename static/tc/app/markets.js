// @ts-check
/**
 * The list of markets: the symbols that have candles here, and those that are traded most, which
 * the server hears from the exchange and sends on as they change.
 */

/** @import {LivePage} from "./live.js" */
/** @import {TopMarket, TopMarkets} from "../types/api" */
/** @import {Series} from "../types/page" */

const MARKETS = new Set(["spot", "futures"]);
const MOST = 20;
const EVERY_SECONDS = 5;
const RETRY_MS = 5000;

export default class Markets {
  /** @type {EventSource | null} */
  #source = null;
  /** @type {TopMarket[]} */
  #top = [];
  #market = "";
  #shown = "";

  /**
   * @param {LivePage} page
   * @param {HTMLElement} element
   */
  constructor(page, element) {
    this.page = page;
    this.known = this.#part(element, "known");
    this.top = this.#part(element, "top");
    this.state = this.#part(element, "state");
    this.filter = /** @type {HTMLInputElement} */ (element.querySelector("input"));
    this.filter.addEventListener("input", () => this.#show());
    this.#part(element, "refresh").addEventListener("click", () => void this.#refresh());
    this.follow = () => this.#update();
    // A browser has few connections to a server; a page that nobody sees needs none of them.
    this.look = () => (document.hidden ? this.#leave() : this.#update());
    const { locale } = page.words;
    this.short = new Intl.NumberFormat(locale, { notation: "compact", maximumFractionDigits: 1 });
  }

  open() {
    this.page.followers.add(this.follow);
    document.addEventListener("visibilitychange", this.look);
    this.look();
  }

  close() {
    this.page.followers.delete(this.follow);
    document.removeEventListener("visibilitychange", this.look);
    this.#leave();
  }

  /**
   * @param {HTMLElement} element
   * @param {string} name
   */
  #part(element, name) {
    return /** @type {HTMLElement} */ (element.querySelector(`[data-part="${name}"]`));
  }

  #leave() {
    this.#source?.close();
    this.#source = null;
    this.#market = "";
  }

  /** Listen to the market of the chart, and mark its symbol. */
  #update() {
    const { market = "futures", symbol = "" } = this.page.controls.series ?? {};
    if (market !== this.#market && !document.hidden) this.#listen(market);
    if (this.#shown !== `${market} ${symbol}`) this.#show();
  }

  /** @param {string} market */
  #listen(market) {
    this.#leave();
    this.#market = market;
    this.#top = [];
    this.#say(MARKETS.has(market) ? "markets.asking" : "events.none");
    if (!MARKETS.has(market)) return;
    const query = new URLSearchParams({ market, limit: `${MOST}`, interval_s: `${EVERY_SECONDS}` });
    const source = new EventSource(`/api/market/top_markets/stream?${query}`);
    this.#source = source;
    source.addEventListener("top_markets", ({ data }) => this.#take(JSON.parse(data)));
    // The server's own word of a failure has data; a lost connection, which comes back, has none.
    source.addEventListener("error", (event) => {
      if (event instanceof MessageEvent) this.#fail(JSON.parse(event.data).message);
      else this.#say("events.lost");
      // What the server refuses, the browser does not ask for again.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.#again(source), RETRY_MS);
    });
  }

  /** @param {EventSource} source that has ended */
  #again(source) {
    if (this.#source !== source) return;
    this.#leave();
    this.#update();
  }

  /**
   * @param {string} key of the text that says how the list stands
   * @param {Record<string, string>} values
   */
  #say(key, values = {}) {
    const text = this.page.words.say(key, values);
    if (this.state.textContent !== text) this.state.textContent = text;
  }

  /** @param {TopMarkets} answer */
  #take({ items, generated_at_ms: at, market }) {
    if (market !== this.#market) return;
    this.#top = items;
    const time = this.page.words.time(Math.floor(at / 1000));
    this.#say("markets.of", { time });
    this.#show();
  }

  /** @param {string} reason */
  #fail(reason) {
    this.page.log("page.markets.failed", { reason }, "error");
    this.#say("markets.failed");
  }

  /** Ask the exchange again at once. */
  async #refresh() {
    const query = new URLSearchParams({ market: this.#market, limit: `${MOST}`, force: "1" });
    const answer = await fetch(`/api/market/top_markets?${query}`).catch(() => null);
    if (answer?.ok) this.#take(await answer.json());
    else if (answer?.status !== 429) this.#fail(`${answer?.status ?? 0}`);
  }

  #show() {
    const { exchange = "", market = "", symbol = "", timeframe = "" } = this.page.controls.series ?? {};
    this.#shown = `${market} ${symbol}`;
    const wanted = this.filter.value.trim().toUpperCase();
    const isWanted = (/** @type {string} */ name) => name.toUpperCase().includes(wanted);
    const known = this.#known(exchange, market);
    const here = [...known].filter(([name]) => isWanted(name));
    const chosen = (/** @type {string[]} */ all) => (all.includes(timeframe) ? timeframe : all[0]) ?? timeframe;
    this.#fill(
      this.known,
      here.map(([name, frames]) => this.#row(name, [frames.join(" ")], { timeframe: chosen(frames) })),
    );
    const top = this.#top.filter((one) => isWanted(one.symbol));
    this.#fill(this.top, top.map((one) => this.#ranked(one, known.has(one.symbol))));
  }

  /**
   * The symbols of a market that have candles here, with their timeframes.
   * @param {string} exchange
   * @param {string} market
   */
  #known(exchange, market) {
    /** @type {Map<string, string[]>} */
    const found = new Map();
    for (const one of this.page.controls.known) {
      if (one.exchange !== exchange || one.market !== market) continue;
      found.set(one.symbol, [...(found.get(one.symbol) ?? []), one.timeframe]);
    }
    return found;
  }

  /**
   * @param {TopMarket} item
   * @param {boolean} isHere whether it has candles here
   */
  #ranked({ symbol, last_price: price, price_change_percent: change, quote_volume: volume }, isHere) {
    const { words } = this.page;
    const parts = [
      price === null ? "" : words.number(price),
      change === null ? "" : words.percent(change / 100),
      this.short.format(volume),
    ];
    const row = this.#row(symbol, parts);
    row.classList.toggle("here", isHere);
    row.dataset["trend"] = (change ?? 0) < 0 ? "down" : "up";
    return row;
  }

  /**
   * @param {string} symbol
   * @param {string[]} parts
   * @param {Partial<Series>} choice what is chosen with it
   */
  #row(symbol, parts, choice = {}) {
    const row = document.createElement("button");
    row.type = "button";
    row.dataset["testid"] = "market-row";
    row.dataset["symbol"] = symbol;
    if (symbol === this.page.controls.series?.symbol) row.setAttribute("aria-current", "true");
    row.append(
      ...[symbol, ...parts].map((text) =>
        Object.assign(document.createElement("span"), { textContent: text }),
      ),
    );
    row.addEventListener("click", () => this.page.controls.choose({ symbol, ...choice }));
    return row;
  }

  /**
   * Put rows into a list; the one that has the focus keeps it.
   * @param {HTMLElement} list
   * @param {HTMLElement[]} rows
   */
  #fill(list, rows) {
    const active = /** @type {HTMLElement | null} */ (document.activeElement);
    const focused = active && list.contains(active) ? active.dataset["symbol"] : undefined;
    list.replaceChildren(
      ...rows.map((row) => {
        const item = document.createElement("li");
        item.append(row);
        return item;
      }),
    );
    if (focused) rows.find((row) => row.dataset["symbol"] === focused)?.focus({ preventScroll: true });
  }
}
