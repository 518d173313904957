import assert from "node:assert/strict";
import { test } from "node:test";

import { isOffline } from "../../../static/tc/app/facts.js";

test("a machine without network is offline once its socket is gone", () => {
  assert.equal(isOffline(false, "reconnecting", "chart.example"), true);
});

test("an open socket is proof of a connection", () => {
  assert.equal(isOffline(false, "open", "chart.example"), false);
});

test("a server on this machine needs no network", () => {
  for (const host of ["localhost", "127.0.0.1", "[::1]"]) {
    assert.equal(isOffline(false, "reconnecting", host), false);
  }
});

test("with a network the machine is not offline", () => {
  assert.equal(isOffline(true, "reconnecting", "chart.example"), false);
});
