import assert from "node:assert/strict";
import test from "node:test";
import { blockBefore } from "../../../static/tc/app/history.js";
import { candle } from "./fakes.js";

const BLOCK = 2000;

/** A store of one-minute candles at these minutes, read as the API reads it. */
function store(minutes) {
  const reads = [];
  const read = async (since, limit) => {
    reads.push(since);
    const after = minutes.filter((minute) => minute * 60 > since).slice(0, limit);
    return { candles: after.map((minute) => candle(minute * 60)) };
  };
  return { read, reads };
}

const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);
const ends = (found) => [found.length, found[0].candle_time / 60, found.at(-1).candle_time / 60];

test("the block before the first candle is read at once", async () => {
  const { read, reads } = store(range(10000, 20000));
  assert.deepEqual(ends(await blockBefore(read, 15000 * 60, 60, BLOCK)), [BLOCK, 13000, 14999]);
  assert.equal(reads.length, 1);
});

test("what is left at the beginning is less than a block", async () => {
  const { read } = store(range(10000, 20000));
  assert.deepEqual(ends(await blockBefore(read, 10500 * 60, 60, BLOCK)), [500, 10000, 10499]);
});

test("two reads show that nothing older is stored", async () => {
  const { read, reads } = store(range(1000000, 1002000));
  assert.deepEqual(await blockBefore(read, 1000000 * 60, 60, BLOCK), []);
  assert.equal(reads.length, 2);
});

for (const before of [1, 700, 9000]) {
  test(`a hole of 50,000 candles is crossed to the ${before} before it`, async () => {
    const { read } = store([...range(1000000 - before, 1000000), ...range(1050000, 1052000)]);
    const found = await blockBefore(read, 1050000 * 60, 60, BLOCK);
    assert.equal(found.at(-1).candle_time, 999999 * 60);
    assert.ok(found.length <= BLOCK && found.length >= Math.min(before, 1));
  });
}
