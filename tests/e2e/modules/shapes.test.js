import assert from "node:assert/strict";
import test from "node:test";
import { anchorHighlight, buildShapes, countShapes } from "../../../static/tc/app/shapes.js";
import { recordOf } from "../../../static/tc/app/records.js";
import { candle, candles, marker, polyline } from "./fakes.js";

const HELD = candles(60, 120, 180, 240, 300);
const all = () => true;
const counts = (items, isVisible = all, held = HELD) =>
  countShapes(buildShapes(items, held), isVisible, held[0].candle_time, held.at(-1).candle_time);

const BOX = [
  polyline("zhongshu.dead:60:240:9.000000:5.000000:top", [[60, 9], [240, 9]], { entryDirection: -1 }, 300),
  polyline("zhongshu.dead:60:240:9.000000:5.000000:bottom", [[60, 5], [240, 5]], { entryDirection: -1 }, 300),
];

test("two edges become one box that knows its prices and since when it is known", () => {
  const [box, ...rest] = buildShapes(BOX, HELD);
  assert.equal(rest.length, 0);
  assert.equal(box.id, "zhongshu.dead:60:240:9.000000:5.000000");
  assert.deepEqual(box.points, [{ time: 60, value: 9 }, { time: 240, value: 5 }]);
  assert.deepEqual([box.up, box.visibleTime], [false, 300]);
});

test("the line of pens becomes one shape per pen", () => {
  const pens = buildShapes([polyline("pen.confirmed", [[60, 1], [120, 5], [240, 2]])], HELD);
  assert.deepEqual(pens.map((pen) => [pen.id, pen.up]), [
    ["pen.confirmed:60:120", true],
    ["pen.confirmed:120:240", false],
  ]);
});

test("a mark sits at the high or the low of its candle, and is left out without it", () => {
  const held = [candle(60, 5, { high: 8, low: 2 })];
  const [high, low, none] = [
    marker("pivot.major:60:resistance:2", 60),
    marker("pivot.major:60:support:2", 60, { position: "belowBar" }),
    marker("pivot.major:120:support:2", 120),
  ].map((item) => buildShapes([item], held)[0]);
  assert.deepEqual([high.points[0].value, low.points[0].value, none], [8, 2, undefined]);
});

test("what may still change has no visible time", () => {
  const [pen] = buildShapes([polyline("pen.extending", [[60, 1], [120, 5]])], HELD);
  assert.equal(pen.visibleTime, null);
});

test("a factor that we do not know is drawn as the server says", () => {
  const [line] = buildShapes([polyline("wave.main", [[60, 1], [120, 5]], { color: "#abc", lineWidth: 4 })], HELD);
  assert.deepEqual([line.kind, line.color, line.width], ["line", "#abc", 4]);
});

test("counts are of what is visible and touches the held candles", () => {
  const items = [
    ...BOX,
    marker("pivot.major:120:resistance:2", 120),
    polyline("pen.confirmed", [[-60, 1], [60, 5], [120, 3]]),
    polyline("anchor.current", [[60, 1], [120, 5]]),
    polyline("anchor.history:60:0:30:1", [[0, 1], [30, 5]]),
  ];
  const found = { pivots: 1, penPoints: 2, zhongshu: 1, anchors: 1, switches: 0, sr: 0 };
  assert.deepEqual(counts(items), found);
  assert.deepEqual(counts(items, (feature) => feature !== "pivot.major"), { ...found, pivots: 0 });
});

test("the anchor is highlighted only when both its ends are held and it is visible", () => {
  const anchor = buildShapes([polyline("anchor.current", [[60, 1], [240, 5]])], HELD);
  assert.equal(anchorHighlight(anchor, all, HELD).id, "anchor.current");
  assert.equal(anchorHighlight(anchor, all, HELD.slice(1)), null);
  assert.equal(anchorHighlight(anchor, () => false, HELD), null);
});

test("a shape finds the factor's own record", () => {
  const confirmed = [
    { start_time: 60, end_time: 120, visible_time: 180 },
    { start_time: 120, end_time: 240, visible_time: 300 },
  ];
  const slices = { snapshots: { pen: { history: { confirmed }, head: {} } } };
  const [, second] = buildShapes([polyline("pen.confirmed", [[60, 1], [120, 5], [240, 2]])], HELD);
  assert.equal(recordOf(second, slices).visible_time, 300);
  assert.equal(recordOf(second, null), null);
});

test("of two pivots on one candle each finds its own record", () => {
  const major = [
    { pivot_time: 60, direction: "resistance" },
    { pivot_time: 60, direction: "support" },
  ];
  const slices = { snapshots: { pivot: { history: { major, minor: [] }, head: {} } } };
  const [low] = buildShapes([marker("pivot.major:60:support:2", 60)], HELD);
  assert.equal(recordOf(low, slices).direction, "support");
});

test("a zhongshu that lives has the record of no other", () => {
  const alive = [{ start_time: 120, formed_time: 240 }];
  const slices = { snapshots: { zhongshu: { history: {}, head: { alive } } } };
  const shape = (time) => ({ feature: "zhongshu.alive", kind: "box", points: [{ time, value: 1 }] });
  assert.equal(recordOf(shape(120), slices).formed_time, 240);
  assert.equal(recordOf(shape(60), slices), null);
});
