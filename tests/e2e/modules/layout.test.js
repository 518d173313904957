import assert from "node:assert/strict";
import test from "node:test";
import { buildShapes } from "../../../static/tc/app/shapes.js";
import { Layout, barOf, findGaps } from "../../../static/tc/chart/layout.js";
import { candles, marker, polyline } from "./fakes.js";

const TIMES = [60, 120, 180, 420];

test("a time is mapped to its bar, a time between bars to the bar before", () => {
  assert.deepEqual([60, 120, 200, 420].map((t) => barOf(TIMES, 60, t)), [0, 1, 2, 3]);
});

test("a time outside keeps its distance, so that lines keep their slope", () => {
  assert.deepEqual([-60, 540].map((t) => barOf(TIMES, 60, t)), [-2, 5]);
});

test("a view finds what touches it, also a long one that began far before", () => {
  const items = [
    polyline("a.long", [[60, 1], [6000, 1]]),
    polyline("a.early", [[60, 1], [120, 1]]),
    polyline("a.late", [[5000, 1], [5060, 1]]),
  ];
  const times = Array.from({ length: 100 }, (_, i) => 60 * (i + 1));
  const layout = new Layout(buildShapes(items, []), times, 60);
  const found = (from, to) => layout.between(from, to).map(({ shape }) => shape.id);
  assert.deepEqual(found(40, 60), ["a.long"]);
  assert.deepEqual(found(0, 1), ["a.long", "a.early"]);
  assert.deepEqual(found(83, 90), ["a.long", "a.late"]);
  assert.deepEqual(found(-20, -10), []);
});

test("what a view finds is what a look at every shape finds", () => {
  const times = Array.from({ length: 300 }, (_, i) => 60 * (i + 1));
  const items = Array.from({ length: 200 }, (_, i) => {
    const start = 60 * (1 + ((i * 73) % 280));
    return polyline(`a.${i}`, [[start, 1], [start + 60 * (1 + ((i * i) % 90)), 2]]);
  });
  const layout = new Layout(buildShapes(items, []), times, 60);
  for (let from = -10; from < 310; from += 7) {
    const found = new Set(layout.between(from, from + 12).map(({ shape }) => shape.id));
    const all = layout.placed.filter((one) => one.to >= from && one.from <= from + 12);
    assert.deepEqual(found, new Set(all.map(({ shape }) => shape.id)));
  }
});

test("a pivot reaches to the bar that made it visible", () => {
  const shapes = buildShapes([marker("pivot.major:60:resistance:2", 60, {}, 180)], candles(60, 120, 180));
  const [pivot] = new Layout(shapes, [60, 120, 180], 60).placed;
  assert.deepEqual([pivot.from, pivot.seen, pivot.to], [0, 2, 2]);
});

test("holes are told with the number of missing candles", () => {
  assert.deepEqual(findGaps(TIMES, 60), [{ bar: 2, missing: 3 }]);
});
