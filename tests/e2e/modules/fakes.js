// What the tests of the modules stand on: candles, instructions, a socket and a server by hand.

/** A candle whose four prices are `close`, unless `rest` says otherwise. */
export function candle(candle_time, close = 1, rest = {}) {
  return { candle_time, open: close, high: close, low: close, close, volume: 10, ...rest };
}

/** Candles at these times; the close is the position from 1 on. */
export function candles(...times) {
  return times.map((time, i) => candle(time, i + 1));
}

export function marker(instruction_id, time, rest = {}, visible_time = time + 120) {
  const feature = instruction_id.split(":")[0];
  const definition = { type: "marker", feature, time, position: "aboveBar", shape: "circle", ...rest };
  return { version_id: 1, instruction_id, kind: "marker", visible_time, definition };
}

export function polyline(instruction_id, points, rest = {}, visible_time = 0) {
  const feature = instruction_id.split(":")[0];
  const pairs = points.map(([time, value]) => ({ time, value }));
  const definition = { type: "polyline", feature, points: pairs, lineWidth: 2, ...rest };
  return { version_id: 1, instruction_id, kind: "polyline", visible_time, definition };
}

/** A draw answer at `time` whose version is `version`; every item of the patch is active. */
export function draw(time, version, patch = [], active = patch.map((item) => item.instruction_id)) {
  return {
    to_candle_time: time,
    active_ids: active,
    instruction_catalog_patch: patch,
    next_cursor: { version_id: version, point_time: null },
  };
}

export function frame(time, version, patch) {
  const factor_slices = { at_time: time, factors: [], snapshots: {} };
  return { time: { at_time: time, aligned_time: time }, factor_slices, draw_state: draw(time, version, patch) };
}

/** A WebSocket that the test opens, feeds and closes. */
export class FakeTransport {
  readyState = 0;
  sent = [];
  isClosed = false;

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.isClosed = true;
    this.readyState = 3;
  }

  open() {
    this.readyState = 1;
    this.onopen?.();
  }

  receive(message) {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  fail(code = 1006, reason = "") {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
}

/** Let everything run that waits for nothing but other promises. */
export async function settle() {
  for (let i = 0; i < 50; i += 1) await Promise.resolve();
}
