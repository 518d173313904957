import assert from "node:assert/strict";
import test from "node:test";
import {
  CandleStore, HELD_LIMIT, floorIndex, isContiguous, mergeCandles, priceDecimals,
} from "../../../static/tc/app/candles.js";
import { distance } from "../../../static/tc/app/records.js";
import { candle, candles } from "./fakes.js";

function holding(...times) {
  const store = new CandleStore();
  store.replace(candles(...times));
  return store;
}

const times = (store) => store.all.map((one) => one.candle_time);

test("a later candle is appended, and only its bar changes", () => {
  const store = holding(60, 120);
  assert.deepEqual(store.append([candle(180)]), { kind: "tail", from: 2 });
  assert.deepEqual(times(store), [60, 120, 180]);
});

test("a candle of the last time replaces it", () => {
  const store = holding(60, 120);
  assert.deepEqual(store.append([candle(120, 44)]), { kind: "tail", from: 1 });
  assert.equal(store.all.at(-1).close, 44);
  assert.equal(store.all.length, 2);
});

test("an older candle from the socket is dropped", () => {
  const store = holding(60, 180);
  assert.deepEqual(store.append([candle(120)]), { kind: "none" });
  assert.deepEqual(times(store), [60, 180]);
});

test("candles that fill a hole are merged in order, and the newer text of a time counts", () => {
  const store = holding(60, 240);
  assert.equal(store.merge([candle(120), candle(180), candle(240, 9)]).kind, "all");
  assert.deepEqual(times(store), [60, 120, 180, 240]);
  assert.equal(store.all.at(-1).close, 9);
});

test("a forming candle follows its prices, and its close takes its place", () => {
  const store = holding(60);
  for (const close of [10, 11, 12]) {
    assert.deepEqual(store.form(candle(120, close)), { kind: "tail", from: 1 });
    assert.equal(store.all.at(-1).close, close);
    assert.equal(store.lastClosedTime, 60);
  }
  assert.deepEqual(store.append([candle(120, 13)]), { kind: "tail", from: 1 });
  assert.equal(store.forming, null);
  assert.deepEqual(times(store), [60, 120]);
});

test("a forming candle of a time that has closed is dropped", () => {
  const store = holding(60, 120);
  assert.deepEqual(store.form(candle(120, 99)), { kind: "none" });
  assert.equal(store.forming, null);
});

test("a close beside the forming candle redraws every bar, since the chart cannot go back", () => {
  const store = holding(60);
  store.form(candle(180));
  assert.equal(store.append([candle(120)]).kind, "all");
  assert.deepEqual(times(store), [60, 120, 180]);
});

test("the oldest block goes once too many are held", () => {
  const store = new CandleStore();
  store.replace(Array.from({ length: HELD_LIMIT }, (_, i) => candle(60 * (i + 1))));
  assert.equal(store.append([candle(60 * (HELD_LIMIT + 1))]).kind, "all");
  assert.equal(store.all.length, HELD_LIMIT - 100);
  assert.equal(store.lastClosedTime, 60 * (HELD_LIMIT + 1));
});

test("the distance counts bars, not time, and needs two held candles", () => {
  const held = candles(60, 120, 600);
  assert.equal(distance(held, 60, 600), 2);
  assert.equal(distance(held, 60, 180), null);
});

test("merging keeps one candle per time", () => {
  const merged = mergeCandles(candles(60, 180), [candle(120), candle(180, 7)]);
  assert.deepEqual(merged.map((one) => [one.candle_time, one.close]), [[60, 1], [120, 1], [180, 7]]);
});

test("the floor of a time is the last one at or before it", () => {
  assert.deepEqual([59, 60, 119, 120, 999].map((t) => floorIndex([60, 120], t)), [-1, 0, 0, 1, 1]);
});

test("a missing candle breaks the row; unaligned times do not", () => {
  assert.equal(isContiguous(candles(20, 80, 140), 60), true);
  assert.equal(isContiguous(candles(20, 80, 200), 60), false);
});

test("prices show as many decimals as they have", () => {
  assert.equal(priceDecimals([candle(60, 44)]), 1);
  assert.equal(priceDecimals([candle(60, 105090.35)]), 2);
  assert.equal(priceDecimals([candle(60, 0.00001234)]), 8);
});
