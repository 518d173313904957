import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { Api, ApiError, getJson } from "../../../static/tc/app/api.js";

const [URL, OTHER] = ["/api/frame/live?series_id=a", "/api/frame/live?series_id=b"];
const FRESH = { from: "network" };
let asked;

beforeEach(() => {
  asked = [];
  mock.method(globalThis, "fetch", async (url) => {
    asked.push(url);
    return Response.json(FRESH);
  });
});

afterEach(() => {
  mock.restoreAll();
  delete globalThis.firstReads;
});

const signal = () => new AbortController().signal;

test("what the page asked for first is used once, and then read again", async () => {
  globalThis.firstReads = { [URL]: Promise.resolve({ from: "page" }) };
  assert.deepEqual(await getJson(URL, signal()), { from: "page" });
  assert.deepEqual(await getJson(URL, signal()), FRESH);
  assert.deepEqual(asked, [URL]);
});

test("once something else was read, the first reads are too old", async () => {
  globalThis.firstReads = { [URL]: Promise.resolve({ from: "page" }) };
  assert.deepEqual(await getJson(OTHER, signal()), FRESH);
  assert.deepEqual(await getJson(URL, signal()), FRESH);
  assert.deepEqual(asked, [OTHER, URL]);
});

test("a first read that was refused is the first try", async () => {
  const answer = Response.json({ detail: "ledger_out_of_sync:overlay" }, { status: 409 });
  globalThis.firstReads = { [URL]: Promise.resolve(answer) };
  await assert.rejects(getJson(URL, signal()), (error) => error instanceof ApiError && error.outOfSync);
  assert.deepEqual(asked, []);
});

test("a first read without an answer is read again", async () => {
  globalThis.firstReads = { [URL]: Promise.resolve(null) };
  assert.deepEqual(await getJson(URL, signal()), FRESH);
  assert.deepEqual(asked, [URL]);
});

test("a first read that is given up gives the reason, and nothing is asked", async () => {
  const giving = new AbortController();
  globalThis.firstReads = { [URL]: new Promise((resolve) => setTimeout(resolve, 5, { from: "page" })) };
  const reading = getJson(URL, giving.signal);
  giving.abort(new Error("another series"));
  await assert.rejects(reading, /another series/);
  assert.deepEqual(asked, []);
});

test("an answer that is no JSON is no answer", async () => {
  mock.method(globalThis, "fetch", async () => new Response("<html>"));
  await assert.rejects(getJson(URL, signal()), (error) => error instanceof ApiError && error.status === 0);
});

test("the addresses are those that the page's first reads have", async () => {
  const id = "binance:futures:BTC/USDT:1m";
  await new Api().candles(id, {}, signal());
  await new Api().frame(id, signal());
  const series = "series_id=binance%3Afutures%3ABTC%2FUSDT%3A1m";
  assert.deepEqual(asked, [
    `/api/market/candles?${series}&limit=2000`,
    `/api/frame/live?${series}&window_candles=2000`,
  ]);
});
