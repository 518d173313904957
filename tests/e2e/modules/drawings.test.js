import assert from "node:assert/strict";
import test from "node:test";
import { DRAWINGS_KEY, Drawings } from "../../../static/tc/app/drawings.js";
import { Words } from "../../../static/tc/app/i18n.js";
import { durationText, measureText } from "../../../static/tc/app/measure.js";

const A = { time: 60, value: 10 };
const B = { time: 660, value: 12.5 };
const BARS = { "measure.bars": { one: "{n} candle", other: "{n} candles" } };

class Shelf {
  values = {};
  getItem(key) {
    return this.values[key] ?? null;
  }
  setItem(key, text) {
    this.values[key] = text;
  }
}

test("drawings are remembered per series", () => {
  const shelf = new Shelf();
  new Drawings(shelf, "one").add("line", [A, B]);
  new Drawings(shelf, "two").add("level", [A]);
  assert.deepEqual(new Drawings(shelf, "one").all, [{ id: "drawing:1", kind: "line", points: [A, B] }]);
  assert.equal(new Drawings(shelf, "two").all[0].kind, "level");
});

test("adding and removing can be undone, one after the other", () => {
  const shelf = new Shelf();
  const drawings = new Drawings(shelf, "one");
  const { id } = drawings.add("line", [A, B]);
  drawings.add("level", [B]);
  drawings.remove(id);
  drawings.remove("unknown");
  drawings.undo();
  assert.deepEqual(drawings.all.map((one) => one.kind), ["line", "level"]);
  drawings.undo();
  drawings.undo();
  assert.deepEqual([drawings.all, drawings.canUndo], [[], false]);
  drawings.undo();
  assert.deepEqual(new Drawings(shelf, "one").all, []);
});

test("an id is never given twice while it is in use", () => {
  const drawings = new Drawings(new Shelf(), "one");
  drawings.add("level", [A]);
  const second = drawings.add("level", [A]);
  drawings.remove("drawing:1");
  assert.notEqual(drawings.add("level", [B]).id, second.id);
});

test("what is stored and is no drawing is left out", () => {
  const shelf = new Shelf();
  const good = { id: "drawing:1", kind: "level", points: [A] };
  const bad = [null, 5, { ...good, kind: "text" }, { ...good, points: [{ time: "x", value: 1 }] }, { ...good, points: [] }];
  shelf.setItem(DRAWINGS_KEY, JSON.stringify({ version: 9, state: { one: [...bad, good], two: "?" } }));
  assert.deepEqual(new Drawings(shelf, "one").all, [good]);
  assert.deepEqual(new Drawings(shelf, "two").all, []);
});

test("a measure says price, per cent, candles and time", () => {
  const words = new Words(BARS, "en");
  assert.deepEqual(measureText([A, B], 10, words, 2), ["+2.50 (+25.00%)", "10 candles, 10 min"]);
  assert.deepEqual(measureText([B, A], -10, words, 2), ["-2.50 (-20.00%)", "10 candles, 10 min"]);
});

test("a span of time is told in its two largest units", () => {
  const told = [0, 45, 60, 3660, 86400 * 3 + 7200 + 60, 86400 + 60].map((s) => durationText(s, "en"));
  assert.deepEqual(told, ["0", "45 sec", "1 min", "1 hr 1 min", "3 days 2 hr", "1 day"]);
  assert.equal(durationText(3660, "zh-Hans"), "1小时 1分钟");
});

test("what another tab has drawn meanwhile stays", () => {
  const shelf = new Shelf();
  const [one, two] = [new Drawings(shelf, "one"), new Drawings(shelf, "one")];
  one.add("line", [A, B]);
  two.add("level", [A]);
  assert.deepEqual(two.all.map(({ id }) => id), ["drawing:1", "drawing:2"]);
  assert.deepEqual([one.read(), one.read()], [true, false]);
  assert.deepEqual(one.all, two.all);
  assert.equal(one.canUndo, false);
});
