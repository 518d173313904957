import assert from "node:assert/strict";
import test from "node:test";
import { CandleStore } from "../../../static/tc/app/candles.js";
import { attributesOf } from "../../../static/tc/app/dom-contract.js";
import { candle } from "./fakes.js";

const COUNTS = { pivots: 3, penPoints: 2, zhongshu: 1, anchors: 0, switches: 0, sr: 0 };

function facts(candles) {
  const store = new CandleStore();
  store.replace(candles);
  const feed = {
    candles: store, overlay: { time: null }, seriesId: "a:b:c:1m", status: "ready",
    lastSocketTime: null, structureLag: 0,
  };
  return {
    feed, counts: COUNTS, highlight: null, chart: { epoch: 1, barSpacing: 6.5 }, message: "",
    wsState: "open", hovered: "", hidden: ["pivot.minor", "sr.broken"], ready: true, paintMs: 12,
  };
}

test("numbers are written as JavaScript writes them, unknown values as nothing", () => {
  const written = attributesOf(facts([candle(1700000180, 44.0)]));
  assert.deepEqual(
    [written["last-close"], written["last-time"], written["last-ws-candle-time"], written["structure-time"]],
    ["44", "1700000180", "", ""],
  );
  assert.equal(written["hidden-features"], "pivot.minor sr.broken");
  assert.deepEqual([written["anchor-on"], written["pivot-count"], written["ready"]], ["0", "3", "1"]);
});

test("without candles the last one is unknown and the length 0", () => {
  const written = attributesOf(facts([]));
  assert.deepEqual([written["candles-len"], written["last-time"], written["history-start"]], ["0", "", ""]);
});
