import assert from "node:assert/strict";
import test from "node:test";
import { buildShapes } from "../../../static/tc/app/shapes.js";
import { sentences, storyOf } from "../../../static/tc/app/why.js";
import { candles, polyline } from "./fakes.js";

const HELD = candles(60, 120, 180, 240, 300, 360);
const FORMAT = {
  price: (value) => String(value),
  time: (seconds) => `t${seconds}`,
  say: (key, values = {}) => [key, ...Object.values(values)].join(" "),
};
const PENS = [[60, 100], [120, 120], [180, 108], [240, 116], [300, 110], [360, 130]];

/** The zone of an entry pen 100 → 120 and the pens 120 → 108 → 116 → 110, from 60 to 300. */
function zone(feature = "zhongshu.dead", zg = 116, zd = 110) {
  const edge = (side, value) =>
    polyline(`${feature}:60:300:${side}`, [[60, value], [300, value]], { entryDirection: 1 }, 360);
  return [edge("top", zg), edge("bottom", zd)];
}

function shapesWith(pens, box = zone()) {
  const shapes = buildShapes([...box, polyline("pen.confirmed", pens)], HELD);
  return { shapes, box: shapes.find(({ kind }) => kind === "box") };
}

test("the pens of a zhongshu are its entry, the three it is the overlap of, and the one that left", () => {
  const { shapes, box } = shapesWith([...PENS, [420, 117]]);
  const story = storyOf(box, { formed_reason: "pen_confirmed" }, shapes);
  assert.equal(story.entry.id, "pen.confirmed:60:120");
  assert.deepEqual(
    story.inner.map(({ id }) => id),
    ["pen.confirmed:120:180", "pen.confirmed:180:240", "pen.confirmed:240:300"],
  );
  assert.equal(story.crossed, false);
  assert.equal(story.ending.id, "pen.confirmed:360:420");
});

test("the story is told in the order in which it happened", () => {
  const { shapes, box } = shapesWith([...PENS, [420, 117]]);
  const record = { formed_reason: "pen_confirmed", formed_time: 330 };
  assert.deepEqual(sentences(box, record, storyOf(box, record, shapes), FORMAT), [
    "why.entry 100 → 120 t60",
    "why.pen 1 120 → 108",
    "why.pen 2 108 → 116",
    "why.pen 3 116 → 110",
    "why.confirmed t330",
    "why.edges 116 110",
    "why.ended 130 → 117",
  ]);
});

test("a price that crossed the end of the first pen is named, the third pen still missing", () => {
  const { shapes, box } = shapesWith(PENS.slice(0, 4), zone("zhongshu.alive", 116, 108));
  const record = { formed_reason: "price_cross", formed_time: 270 };
  const story = storyOf(box, record, shapes);
  assert.deepEqual([story.inner.length, story.ending], [2, null]);
  assert.deepEqual(sentences(box, record, story, FORMAT).slice(3), ["why.crossed 108 t270", "why.edges 116 108"]);
});

test("pens of an alive zhongshu have not ended it, and unknown pens tell no story", () => {
  const alive = shapesWith([...PENS, [420, 117]], zone("zhongshu.alive"));
  assert.equal(storyOf(alive.box, null, alive.shapes).ending, null);
  const late = shapesWith(PENS.slice(1));
  assert.equal(storyOf(late.box, null, late.shapes), null);
});
