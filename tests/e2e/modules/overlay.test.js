import assert from "node:assert/strict";
import test from "node:test";
import { Overlay, generationOf } from "../../../static/tc/app/overlay.js";
import { draw, marker, polyline } from "./fakes.js";

const PIVOT = marker("pivot.major:60:resistance:2", 60);
const ids = (overlay) => overlay.active().map((item) => item.instruction_id);

function after(first) {
  const overlay = new Overlay();
  overlay.replace(first);
  return overlay;
}

test("a delta adds to the catalogue, and exactly the active ids are drawn", () => {
  const overlay = after(draw(120, 3, [PIVOT]));
  const pen = polyline("pen.extending", [[60, 1], [180, 2]]);
  assert.equal(overlay.apply(draw(180, 4, [pen], [PIVOT.instruction_id, "pen.extending"])), true);
  assert.deepEqual(ids(overlay), [PIVOT.instruction_id, "pen.extending"]);
  assert.equal(overlay.apply(draw(240, 5, [], [PIVOT.instruction_id])), true);
  assert.deepEqual(ids(overlay), [PIVOT.instruction_id]);
  assert.deepEqual([overlay.cursor, overlay.time], [5, 240]);
});

test("a later version of an instruction takes the place of the earlier one", () => {
  const overlay = after(draw(120, 3, [polyline("pen.confirmed", [[60, 1], [120, 2]])]));
  overlay.apply(draw(180, 4, [polyline("pen.confirmed", [[60, 1], [180, 5]])]));
  assert.equal(overlay.active()[0].definition.points.at(-1).value, 5);
});

test("the same patch twice changes nothing", () => {
  const overlay = after(draw(120, 3, [PIVOT]));
  overlay.apply(draw(120, 3, [PIVOT]));
  assert.deepEqual(ids(overlay), [PIVOT.instruction_id]);
});

test("a delta of another generation is refused and changes nothing", () => {
  const overlay = after(draw(120, 3, [PIVOT]));
  assert.equal(overlay.apply(draw(180, 2 ** 32 + 4, [])), false);
  assert.deepEqual([overlay.cursor, overlay.time], [3, 120]);
  assert.deepEqual(ids(overlay), [PIVOT.instruction_id]);
});

test("a delta that names an unknown instruction is refused", () => {
  assert.equal(after(draw(120, 3, [PIVOT])).apply(draw(180, 4, [], ["pen.confirmed"])), false);
});

test("the generation is what stands above 32 bits", () => {
  assert.deepEqual([0, 2 ** 32 - 1, 2 ** 32, 5 * 2 ** 32 + 7].map(generationOf), [0, 0, 1, 5]);
});

test("what is settled stays drawn when the window has left it behind", () => {
  const line = (...points) => polyline("pen.confirmed", points);
  const anchor = polyline("anchor.current", [[60, 1], [120, 2]]);
  const overlay = after(draw(120, 3, [PIVOT, anchor, line([60, 1], [120, 2], [180, 1])]));
  overlay.apply(draw(240, 5, [line([120, 2], [180, 1], [240, 3])]));
  assert.deepEqual(ids(overlay), ["pen.confirmed", PIVOT.instruction_id]);
  const times = overlay.active()[0].definition.points.map((point) => point.time);
  assert.deepEqual(times, [60, 120, 180, 240]);
});

test("a new frame forgets what was kept", () => {
  const overlay = after(draw(120, 3, [PIVOT]));
  overlay.keep([marker("pivot.major:0:support:2", 0)]);
  assert.equal(ids(overlay).length, 2);
  overlay.replace(draw(120, 3, []));
  assert.deepEqual(ids(overlay), []);
});
