import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { ApiError, patiently } from "../../../static/tc/app/api.js";
import {
  DELTA_SPACING_MS, EMPTY_TRIES, LiveFeed, REPAIR_WAIT_MS, looksUnfinished,
} from "../../../static/tc/app/feed.js";
import "../../../static/tc/app/history.js";
import "../../../static/tc/app/mend.js";
import { candle, candles, draw, frame, marker, settle } from "./fakes.js";

const SID = "binance:futures:AAA/USDT:1m";
const OTHER = "binance:futures:AAA/USDT:5m";
const BEHIND = () => new ApiError(409, "ledger_out_of_sync:overlay");
const PIVOT = marker("pivot.major:60:resistance:2", 60);
let calls, statuses, notices;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  [calls, statuses, notices] = [[], [], []];
});

/** Answers in turn, the last one for ever; an error is thrown, a function is called. */
function turns(name, answers) {
  return async (...args) => {
    calls.push([name, ...args.slice(0, -1)]);
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    const value = typeof answer === "function" ? await answer() : answer;
    if (value instanceof Error) throw value;
    return value;
  };
}

const held = (list) => ({ candles: list, server_head_time: list.at(-1)?.candle_time ?? null });

function feed({ candles: c = [held(candles(60, 120))], frame: f = [frame(120, 2, [PIVOT])], delta = [draw(180, 3, [PIVOT])] } = {}) {
  const socket = {
    follow: (id, since) => calls.push(["follow", id, since()]),
    leave: () => calls.push(["leave"]),
  };
  const api = {
    candles: turns("candles", c),
    frame: turns("frame", f),
    delta: turns("delta", delta),
    slices: turns("slices", [{ at_time: 180, snapshots: {} }]),
  };
  return new LiveFeed(api, socket, {
    status: (status, count) => statuses.push(count ? `${status} ${count}` : status),
    candles: () => {},
    structures: () => {},
    notice: (notice) => notices.push(notice),
  });
}

/** Let time pass in small steps, with everything that then runs. */
async function pass(ms) {
  await settle();
  for (let left = ms; left > 0; left -= 100) {
    mock.timers.tick(Math.min(100, left));
    await settle();
  }
}

async function opened(answers) {
  const made = feed(answers);
  void made.open(SID);
  await settle();
  return made;
}

const names = () => calls.map(([name]) => name);
const count = (name) => names().filter((one) => one === name).length;
const closed = (...list) => ({ type: "candles_batch", series_id: SID, candles: list });

test("a good load reads candles once, then the frame, then follows from the last candle", async () => {
  const made = await opened();
  assert.deepEqual(names(), ["leave", "candles", "frame", "follow"]);
  assert.deepEqual(calls.at(-1), ["follow", SID, 120]);
  assert.equal(statuses.at(-1), "ready 2");
  assert.equal(made.overlay.time, 120);
});

test("one candle alone is read again until it stays the same", async () => {
  await opened({ candles: [held(candles(60)), held(candles(60, 120)), held(candles(60, 120))] });
  await pass(1000);
  assert.equal(count("candles"), 2);
  assert.deepEqual(statuses, ["loading", "backfilling 1", "ready 2"]);
});

test("stored holes are read twice, not for ever", async () => {
  await opened({ candles: [held(candles(60, 240))] });
  await pass(20000);
  assert.equal(count("candles"), 2);
});

test("an empty series is tried a few times, then followed, and comes alive with its first candle", async () => {
  const made = await opened({ candles: [held([])] });
  await pass(5000);
  assert.equal(count("candles"), EMPTY_TRIES);
  assert.equal(statuses.at(-1), "empty");
  assert.deepEqual(calls.at(-1), ["follow", SID, null]);
  made.take({ type: "candle_closed", series_id: SID, candle: candle(60) });
  await settle();
  assert.equal(statuses.at(-1), "ready 1");
  assert.equal(count("frame"), 1);
});

test("another series ends the load of the first one unheard", async () => {
  let answer;
  const made = await opened({ candles: [() => new Promise((resolve) => (answer = resolve)), held(candles(300, 600))] });
  void made.open(OTHER);
  answer(held(candles(60, 120, 180)));
  await settle();
  assert.equal(made.seriesId, OTHER);
  assert.deepEqual(made.candles.all.map((one) => one.candle_time), [300, 600]);
  assert.deepEqual(calls.filter(([name]) => name === "follow"), [["follow", OTHER, 600]]);
});

test("a change of the series empties candles and structures before the new ones come", async () => {
  const made = await opened();
  void made.open(OTHER);
  assert.equal(made.candles.all.length, 0);
  assert.equal(made.overlay.active().length, 0);
  assert.equal(made.lastSocketTime, null);
});

test("a candle that closed between candles and frame brings one delta", async () => {
  const made = await opened({ candles: [held(candles(60, 120, 180))] });
  assert.deepEqual(names(), ["leave", "candles", "frame", "delta", "follow"]);
  assert.deepEqual([count("delta"), made.overlay.time, made.structureLag], [1, 180, 0]);
});

test("a closed candle is drawn and brings one delta from the cursor", async () => {
  const made = await opened();
  made.take(closed(candle(180)));
  assert.equal(made.structureLag, 1);
  await settle();
  assert.deepEqual(calls.at(-1), ["delta", SID, 2]);
  assert.deepEqual([made.lastSocketTime, made.overlay.time, made.structureLag], [180, 180, 0]);
});

test("a burst of 120 closed candles brings fewer than 15 deltas and no slices", async () => {
  const made = await opened();
  for (let i = 0; i < 120; i += 1) {
    made.take(closed(candle(180 + 60 * i)));
    await pass(50);
  }
  await pass(DELTA_SPACING_MS);
  assert.equal(made.candles.all.length, 122);
  assert.ok(count("delta") >= 2 && count("delta") < 15, `${count("delta")} deltas`);
  assert.equal(count("slices"), 0);
});

test("a candle that closes while a delta is read brings one more", async () => {
  const made = await opened();
  made.take(closed(candle(180)));
  made.take(closed(candle(240)));
  await pass(DELTA_SPACING_MS);
  assert.equal(count("delta"), 2);
});

test("a forming candle moves no socket time and reads no structures", async () => {
  const made = await opened();
  made.take({ type: "candle_forming", series_id: SID, candle: candle(180, 7) });
  await pass(1000);
  assert.deepEqual([made.lastSocketTime, count("delta"), made.candles.all.length], [null, 0, 3]);
});

test("a ledger that is behind is asked six more times", async () => {
  let tries = 0;
  const read = async () => {
    tries += 1;
    throw BEHIND();
  };
  const failed = assert.rejects(patiently(read, new AbortController().signal), ApiError);
  await pass(1200);
  await failed;
  assert.equal(tries, 7);
});

test("other errors are not tried again", async () => {
  let tries = 0;
  const read = async () => {
    tries += 1;
    throw new ApiError(404, "no_data");
  };
  await assert.rejects(patiently(read, new AbortController().signal), ApiError);
  assert.equal(tries, 1);
});

test("a frame that stays behind leaves candles and socket alone, is told, and is repaired", async () => {
  const late = Array.from({ length: 7 }, BEHIND);
  const made = await opened({ frame: [...late, frame(120, 2, [PIVOT])] });
  await pass(1200);
  assert.equal(notices.at(-1).kind, "behind");
  assert.equal(names().at(-1), "follow");
  await pass(REPAIR_WAIT_MS);
  assert.equal(made.overlay.time, 120);
  assert.equal(notices.at(-1).kind, "drawn");
});

test("however many reads fail, one repair is planned", async () => {
  const made = await opened({ delta: [new ApiError(500, "x")] });
  for (let i = 0; i < 4; i += 1) {
    made.take(closed(candle(180 + 60 * i)));
    await pass(DELTA_SPACING_MS);
  }
  const before = count("delta");
  await pass(REPAIR_WAIT_MS);
  assert.equal(count("delta"), before + 1);
});

test("another generation means candles and frame again", async () => {
  const again = [held(candles(60, 120, 180)), held(candles(60, 120, 180))];
  const made = await opened({
    candles: [held(candles(60, 120)), ...again],
    frame: [frame(120, 2, [PIVOT]), frame(180, 2 ** 32 + 3, [PIVOT])],
    delta: [draw(180, 2 ** 32 + 3, [PIVOT])],
  });
  made.take(closed(candle(180, 9)));
  await settle();
  assert.deepEqual(names().slice(4), ["delta", "candles", "frame", "follow"]);
  assert.equal(made.overlay.cursor, 2 ** 32 + 3);
  assert.equal(made.candles.all.at(-1).close, 3);
});

test("a frame that fails after another generation is asked for with patience", async () => {
  const made = await opened({
    candles: [held(candles(60, 120)), held(candles(60, 120, 180))],
    frame: [frame(120, 2, [PIVOT]), new ApiError(500, "internal_error")],
    delta: [draw(180, 2 ** 32 + 3, [PIVOT])],
  });
  made.take(closed(candle(180)));
  await pass(10_000);
  assert.ok(count("frame") <= 5, `${count("frame")} frames in ten seconds`);
  assert.ok(count("frame") > 1);
});

test("a rebuild is told, and candles that came meanwhile stay", async () => {
  let answer;
  const made = await opened({
    candles: [held(candles(60, 120)), () => new Promise((resolve) => (answer = resolve))],
  });
  made.take({ type: "system", series_id: SID, event: "factor.rebuild", message: "why", data: {} });
  made.take(closed(candle(180)));
  await settle();
  answer(held(candles(60, 120)));
  await settle();
  assert.deepEqual(notices.find(({ kind }) => kind === "rebuild"), { kind: "rebuild", reason: "why" });
  assert.deepEqual(made.candles.all.map((one) => one.candle_time), [60, 120, 180]);
});

test("a gap is told and filled from the candle before it", async () => {
  const made = await opened({ candles: [held(candles(60, 120)), held(candles(180, 240, 300))] });
  made.take({ type: "gap", series_id: SID, expected_next_time: 180, actual_time: 300 });
  made.take(closed(candle(300)));
  await settle();
  assert.deepEqual(notices.find(({ kind }) => kind === "gap"), { kind: "gap", missing: 2, time: 300 });
  assert.deepEqual(calls.filter(([name]) => name === "candles").at(-1), ["candles", SID, { since: 120, limit: 5000 }]);
  assert.deepEqual(made.candles.all.map((one) => one.candle_time), [60, 120, 180, 240, 300]);
});

test("a hole that nobody told of is seen and filled, and told of once", async () => {
  const whole = held(candles(60, 120, 180, 240, 300));
  const made = await opened({ candles: [held(candles(60, 120)), whole] });
  made.take(closed(candle(300, 5)));
  made.take({ type: "gap", series_id: SID, expected_next_time: 180, actual_time: 300 });
  await settle();
  assert.deepEqual(notices.filter(({ kind }) => kind === "gap"), [{ kind: "gap", missing: 2, time: 300 }]);
  assert.equal(count("candles"), 2);
  assert.deepEqual(made.candles.closed.map((one) => one.candle_time), [60, 120, 180, 240, 300]);
});

test("after a reconnection it tells how many candles came, and reads the delta", async () => {
  const made = await opened();
  made.lost();
  made.take(closed(candle(180), candle(240)));
  await pass(DELTA_SPACING_MS);
  made.resumed();
  await settle();
  assert.deepEqual(notices.find(({ kind }) => kind === "resumed"), { kind: "resumed", count: 2 });
  assert.equal(count("delta"), 2);
});

test("a load without an answer is an error, and the next connection tries again", async () => {
  const made = await opened({ candles: [new ApiError(0, "network"), held(candles(60, 120))] });
  assert.equal(statuses.at(-1), "error");
  assert.equal(notices.at(-1).kind, "failed");
  made.connected();
  await settle();
  assert.equal(statuses.at(-1), "ready 2");
});

test("a failed reload leaves what is drawn", async () => {
  const made = await opened({ candles: [held(candles(60, 120)), new ApiError(500, "x")] });
  void made.reload();
  await settle();
  assert.equal(made.candles.all.length, 2);
  assert.equal(made.status, "ready");
});

test("an answer may be unfinished when it is short, has holes or ends before the head", () => {
  assert.equal(looksUnfinished(held(candles(60, 120)), 60), false);
  assert.equal(looksUnfinished(held(candles(60)), 60), true);
  assert.equal(looksUnfinished(held(candles(60, 180)), 60), true);
  assert.equal(looksUnfinished({ candles: candles(60, 120), server_head_time: 180 }, 60), true);
});

test("a gap that could not be fetched is closed by the repair, and tried until it is", async () => {
  const whole = held(candles(60, 120, 180, 240, 300));
  const failed = () => new ApiError(503, "");
  const made = await opened({ candles: [held(candles(60, 120)), failed, failed, whole] });
  made.take({ type: "candle_closed", series_id: SID, candle: candle(300) });
  await settle();
  assert.deepEqual(made.candles.closed.map((one) => one.candle_time), [60, 120, 300]);
  await pass(2 * REPAIR_WAIT_MS + 200);
  assert.deepEqual(made.candles.closed.map((one) => one.candle_time), [60, 120, 180, 240, 300]);
  assert.equal(count("candles"), 4);
});
