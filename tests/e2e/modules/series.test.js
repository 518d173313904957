import assert from "node:assert/strict";
import test from "node:test";
import { candleSeconds, parseSeries, seriesId, timeframeSeconds } from "../../../static/tc/app/series.js";

test("a symbol may hold a colon", () => {
  const text = "binance:futures:BTC/USDT:USDT:15m";
  const series = parseSeries(text);
  assert.equal(series.symbol, "BTC/USDT:USDT");
  assert.equal(seriesId(series), text);
  assert.equal(candleSeconds(text), 900);
});

for (const text of ["", "a:b:c", "a::c:1m", "a:b:c:1w", "a:b:c:0m", "a:b:c d:1m", `a:b:${"x".repeat(128)}:1m`]) {
  test(`${JSON.stringify(text.slice(0, 20))} is no series`, () => assert.equal(parseSeries(text), null));
}

test("timeframes are counted in seconds", () => {
  assert.deepEqual(["1m", "4h", "1d", "1s"].map(timeframeSeconds), [60, 14400, 86400, null]);
});
