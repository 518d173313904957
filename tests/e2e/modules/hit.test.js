import assert from "node:assert/strict";
import test from "node:test";
import { distanceToBox, distanceToSegment, hitTarget } from "../../../static/tc/chart/hit.js";

const at = (x, y) => ({ x, y });
const BOX = { id: "box", kind: "box", spots: [at(0, 0), at(100, 50)] };
const PEN = { id: "pen", kind: "line", spots: [at(0, 0), at(100, 50)] };
const PIVOT = { id: "pivot", kind: "mark", spots: [at(100, 50)] };

test("the distance to a line ends at its ends", () => {
  assert.equal(distanceToSegment(at(50, 10), at(0, 0), at(100, 0)), 10);
  assert.equal(distanceToSegment(at(103, 4), at(0, 0), at(100, 0)), 5);
  assert.equal(distanceToSegment(at(3, 4), at(0, 0), at(0, 0)), 5);
});

test("inside a box the distance is 0, whichever corners are given", () => {
  assert.equal(distanceToBox(at(50, 25), at(100, 0), at(0, 50)), 0);
  assert.equal(distanceToBox(at(103, 54), at(0, 0), at(100, 50)), 5);
});

test("a mark is hit before a line, a line before a box", () => {
  assert.equal(hitTarget(at(100, 50), [BOX, PEN, PIVOT]), "pivot");
  assert.equal(hitTarget(at(50, 25), [BOX, PEN, PIVOT]), "pen");
  assert.equal(hitTarget(at(80, 10), [BOX, PEN, PIVOT]), "box");
});

test("the nearest of a kind is hit, and nothing out of reach", () => {
  const other = { id: "other", kind: "line", spots: [at(0, 3), at(100, 53)] };
  assert.equal(hitTarget(at(50, 27.9), [PEN, other]), "other");
  assert.equal(hitTarget(at(300, 300), [BOX, PEN, PIVOT]), null);
});
