import assert from "node:assert/strict";
import test from "node:test";
import { cardRows } from "../../../static/tc/app/card.js";
import { Words } from "../../../static/tc/app/i18n.js";
import { buildShapes } from "../../../static/tc/app/shapes.js";
import { candles, marker, polyline } from "./fakes.js";

const TEXTS = { gap: { one: "{n} candle before {time}", other: "{n} candles before {time}" }, hello: "{who}" };

test("the number chooses the plural and placeholders are filled", () => {
  const words = new Words(TEXTS, "en");
  assert.equal(words.say("gap", { n: 1, time: "noon" }), "1 candle before noon");
  assert.equal(words.say("gap", { n: 1200, time: "noon" }), "1,200 candles before noon");
  assert.equal(new Words(TEXTS, "zh-hans").say("gap", { n: 1, time: "noon" }), "1 candles before noon");
});

test("a text cannot be changed by what is filled in", () => {
  assert.equal(new Words(TEXTS, "en").say("hello", { who: "{who} $& <b>" }), "{who} $& <b>");
});

test("a missing text is an error, not a blank", () => {
  assert.throws(() => new Words(TEXTS, "en").say("nope"), /no text for nope/);
});

test("times are shown in UTC, with 24 hours", () => {
  assert.match(new Words(TEXTS, "en").time(1700000180), /22:16/);
});

const format = {
  price: (value) => value.toFixed(1),
  time: (seconds) => `t${seconds}`,
  bars: (from, to) => (to - from) / 60,
  say: (key, values = {}) => `${key}${values.n ?? ""}`,
};
const rowsOf = (items, record = null) => {
  const [shape] = buildShapes(items, candles(60, 120, 180));
  return Object.fromEntries(cardRows(shape, record, format));
};

test("the card of a pivot says since when it was visible and how long after", () => {
  const rows = rowsOf([marker("pivot.major:60:resistance:2", 60, {}, 180)]);
  assert.deepEqual(rows, {
    "card.time": "t60",
    "card.price": "1.0",
    "card.visible": "t180 · card.delay2",
  });
});

test("the card of a pen takes that time from the factor's record", () => {
  const pen = [polyline("pen.confirmed", [[60, 1], [120, 5]])];
  assert.equal(rowsOf(pen, { visible_time: 180 })["card.visible"], "t180 · card.delay1");
  assert.equal(rowsOf(pen)["card.visible"], "unknown");
});

test("the card of a zhongshu that lives says when it formed, and that it may still change", () => {
  const edges = [
    polyline("zhongshu.alive:top", [[60, 9], [180, 9]], { entryDirection: 1 }),
    polyline("zhongshu.alive:bottom", [[60, 5], [180, 5]], { entryDirection: 1 }),
  ];
  const rows = rowsOf(edges, { visible_time: 180, formed_time: 120 });
  assert.deepEqual([rows["card.zg"], rows["card.zd"], rows["card.entry"]], ["9.0", "5.0", "up"]);
  assert.equal(rows["card.visible"], "t120 · card.provisional");
  assert.equal(rowsOf(edges)["card.visible"], "card.provisional");
});
