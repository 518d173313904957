import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { DROP_MS, MarketSocket, SILENCE_MS, STALE_MS, backoff } from "../../../static/tc/app/socket.js";
import { FakeTransport, candle } from "./fakes.js";

const SID = "binance:futures:AAA/USDT:1m";
const PONG = { type: "error", code: "bad_request", message: "unknown message type: ping" };
let transports, states, heard;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  [transports, states, heard] = [[], [], []];
});

function socket({ random = () => 0.5 } = {}) {
  const connect = () => {
    transports.push(new FakeTransport());
    return transports.at(-1);
  };
  const made = new MarketSocket(
    connect,
    {
      state: (state, about) => states.push([state, about]),
      message: (message) => heard.push(message),
      connected: () => heard.push("connected"),
      resumed: () => heard.push("resumed"),
    },
    random,
  );
  made.start();
  return made;
}

const state = () => states.at(-1)[0];
const closed = (series_id = SID) => ({ type: "candle_closed", series_id, candle: candle(60) });

function following(since = 120) {
  const made = socket();
  transports[0].open();
  made.follow(SID, () => since);
  return made;
}

test("it is open only after the subscribe has been sent", () => {
  const made = socket();
  transports[0].open();
  assert.equal(state(), "connecting");
  made.follow(SID, () => 120);
  assert.equal(state(), "open");
  assert.deepEqual(transports[0].sent, [
    { type: "subscribe", series_id: SID, since: 120, supports_batch: true },
  ]);
});

test("what is followed before the connection stands is subscribed once it does", () => {
  const made = socket();
  made.follow(SID, () => null);
  assert.deepEqual(transports[0].sent, []);
  transports[0].open();
  assert.equal(transports[0].sent[0].since, null);
});

test("what is followed already is not subscribed again", () => {
  following().follow(SID, () => 180);
  assert.equal(transports[0].sent.length, 1);
});

test("another series is left and followed on the same connection, its late frames ignored", () => {
  const made = following();
  made.leave();
  assert.equal(state(), "connecting");
  made.follow("binance:futures:BBB/USDT:1m", () => null);
  assert.deepEqual(transports[0].sent.map(({ type }) => type), ["subscribe", "unsubscribe", "subscribe"]);
  transports[0].receive(closed());
  assert.deepEqual(heard, ["connected"]);
});

test("a lost connection resumes after the last closed candle that is held by then", () => {
  let last = 120;
  const made = socket();
  transports[0].open();
  made.follow(SID, () => last);
  last = 180;
  transports[0].fail();
  assert.deepEqual(states.at(-1), ["reconnecting", { waitMs: 500, attempt: 1, reason: "" }]);
  mock.timers.tick(500);
  transports[1].open();
  assert.equal(transports[1].sent[0].since, 180);
  assert.equal(state(), "open");
});

test("the end of the catch-up is known by the answer to a probe", () => {
  following();
  transports[0].fail();
  mock.timers.tick(500);
  transports[1].open();
  assert.deepEqual(transports[1].sent[1], { type: "ping" });
  transports[1].receive({ type: "candles_batch", series_id: SID, candles: [candle(180)] });
  assert.equal(heard.includes("resumed"), false);
  transports[1].receive(PONG);
  assert.equal(heard.at(-1), "resumed");
});

test("waits double up to 15 seconds and vary by a fifth", () => {
  assert.deepEqual([1, 2, 3, 5, 6, 60].map(backoff), [500, 1000, 2000, 8000, 15000, 15000]);
  socket({ random: () => 1 });
  transports[0].fail();
  assert.equal(states.at(-1)[1].waitMs, 600);
});

test("the wait starts anew only after ten steady seconds", () => {
  following();
  transports[0].fail();
  mock.timers.tick(500);
  transports[1].open();
  mock.timers.tick(9999);
  transports[1].fail();
  assert.equal(states.at(-1)[1].attempt, 2);
  mock.timers.tick(1000);
  transports[2].open();
  mock.timers.tick(10000);
  transports[2].fail();
  assert.equal(states.at(-1)[1].attempt, 1);
});

test("it tries at once when asked to, and never twice at a time", () => {
  const made = following();
  transports[0].fail();
  made.retryNow();
  made.retryNow();
  assert.equal(transports.length, 2);
  transports[1].open();
  mock.timers.tick(500);
  assert.equal(transports.length, 2);
});

test("a silent connection is asked, called stale, then dropped", () => {
  following();
  mock.timers.tick(SILENCE_MS);
  assert.deepEqual(transports[0].sent.at(-1), { type: "ping" });
  assert.equal(state(), "open");
  mock.timers.tick(STALE_MS);
  assert.equal(state(), "stale");
  mock.timers.tick(DROP_MS);
  assert.equal(state(), "reconnecting");
  assert.equal(transports[0].isClosed, true);
});

test("an answer ends the doubt", () => {
  following();
  mock.timers.tick(SILENCE_MS + STALE_MS);
  transports[0].receive(PONG);
  assert.equal(state(), "open");
  mock.timers.tick(DROP_MS);
  assert.equal(state(), "open");
});

for (const code of [1008, 1009]) {
  test(`close code ${code} ends the attempts and says why`, () => {
    following();
    transports[0].fail(code, "policy");
    assert.deepEqual(states.at(-1), ["closed", { waitMs: 0, attempt: 0, reason: "policy" }]);
    mock.timers.tick(60000);
    assert.equal(transports.length, 1);
  });
}

test("a refused request ends the attempts and says why", () => {
  following();
  transports[0].receive({ type: "error", code: "bad_request", message: "invalid series_id" });
  assert.equal(state(), "closed");
  assert.equal(states.at(-1)[1].reason, "invalid series_id");
});

test("a shutdown of the server is a lost connection", () => {
  following();
  transports[0].fail(1001, "server_shutdown");
  assert.equal(state(), "reconnecting");
});

test("where the server follows no more series that is said, and asked again", () => {
  const made = following();
  transports[0].receive({ type: "error", code: "capacity", message: "full", series_id: SID });
  assert.deepEqual([state(), states.at(-1)[1].reason], ["connecting", "capacity"]);
  assert.deepEqual(heard, ["connected"]);
  mock.timers.tick(30000);
  assert.equal(transports[0].sent.filter(({ type }) => type === "subscribe").length, 2);
  assert.equal(state(), "open");
  transports[0].receive({ type: "error", code: "capacity", message: "full", series_id: SID });
  transports[0].fail();
  assert.equal(state(), "reconnecting");
  mock.timers.tick(30000);
  assert.deepEqual(transports.slice(1).flatMap(({ sent }) => sent), []);
  assert.equal(made.state, "reconnecting");
});

test("a series that was refused leaves the next one its chance", () => {
  const made = following();
  transports[0].receive({ type: "error", code: "bad_request", message: "invalid series_id" });
  assert.equal(state(), "closed");
  made.leave();
  made.follow("binance:futures:BBB/USDT:1m", () => null);
  transports[1].open();
  assert.equal(transports[1].sent[0].series_id, "binance:futures:BBB/USDT:1m");
  assert.equal(state(), "open");
});
