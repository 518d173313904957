import assert from "node:assert/strict";
import test from "node:test";
import { placeIn, timeOf } from "../../../static/tc/app/place.js";

const place = (query) => placeIn(new URLSearchParams(query));

test("bars outside of those held have the time that their candle would have", () => {
  const times = [600, 660, 900];
  assert.deepEqual([-2, 0, 1, 2, 5].map((bar) => timeOf(times, 60, bar)), [480, 600, 660, 900, 1080]);
});

test("a view counts before a single time", () => {
  assert.deepEqual(place("from=60&to=120&at=90"), { from: 60, to: 120 });
  assert.deepEqual(place("at=90"), { at: 90 });
});

for (const query of ["", "from=60", "from=120&to=60", "at=soon", "at=-1", "from=0&to=60", "at=Infinity"]) {
  test(`"${query}" is no place`, () => assert.equal(place(query), null));
}
