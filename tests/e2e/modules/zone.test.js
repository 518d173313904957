import assert from "node:assert/strict";
import test from "node:test";
import { fromInput, toInput } from "../../../static/tc/app/calendar.js";
import { Words } from "../../../static/tc/app/i18n.js";
import { markText } from "../../../static/tc/app/zone.js";

const [YEAR, MONTH, DAY, TIME] = [0, 1, 2, 3];
const MIDNIGHT = Date.UTC(2026, 0, 30) / 1000;
const mark = (seconds, kind, zone) => markText(seconds, kind, "en", zone);

test("marks of the axis tell days and hours of the zone", () => {
  assert.equal(mark(MIDNIGHT, DAY, "UTC"), "30");
  assert.equal(mark(MIDNIGHT, DAY, "Asia/Shanghai"), "30 08:00");
  assert.equal(mark(MIDNIGHT, DAY, "America/New_York"), "29 19:00");
  assert.equal(mark(MIDNIGHT - 8 * 3600, TIME, "Asia/Shanghai"), "30");
  assert.equal(mark(MIDNIGHT + 3600, TIME, "Asia/Shanghai"), "09:00");
  assert.equal(mark(MIDNIGHT, MONTH, "Asia/Shanghai"), "Jan");
  assert.equal(mark(MIDNIGHT, YEAR, "Asia/Shanghai"), "2026");
});

test("a time names its zone, which changes with the season", () => {
  const words = new Words({}, "en");
  assert.match(words.zonedTime(MIDNIGHT), /Jan 30, 2026, 00:00 UTC$/);
  words.setZone("Europe/Berlin");
  assert.match(words.zonedTime(MIDNIGHT), /01:00 UTC\+1$/);
  assert.match(words.zonedTime(Date.UTC(2026, 6, 1) / 1000), /02:00 UTC\+2$/);
});

test("what the input of a date holds is the time that it was given", () => {
  for (const isUtc of [true, false]) {
    for (const time of [MIDNIGHT, Date.UTC(2026, 6, 1, 12, 34) / 1000]) {
      assert.equal(fromInput(toInput(time, isUtc), isUtc), time);
    }
  }
  assert.equal(toInput(MIDNIGHT, true), "2026-01-30T00:00");
  assert.ok(Number.isNaN(fromInput("", true)));
});
