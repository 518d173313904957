import assert from "node:assert/strict";
import test from "node:test";
import { hide } from "../../../static/tc/app/presets.js";
import { DEFAULT_SERIES, FactorChoice, loadSeries, saveSeries } from "../../../static/tc/app/saved.js";

class Shelf {
  constructor(values = {}) {
    this.values = values;
  }
  getItem(key) {
    return this.values[key] ?? null;
  }
  setItem(key, text) {
    this.values[key] = text;
  }
}

const entry = (key, default_visible = true) => ({ key, label: key, default_visible });
const CATALOG = {
  factors: [
    { ...entry("pivot"), sub_features: [entry("pivot.major"), entry("pivot.minor", false)] },
    { ...entry("pen"), sub_features: [entry("pen.confirmed")] },
  ],
};

function choice(shelf = new Shelf()) {
  const made = new FactorChoice(shelf, CATALOG);
  return made;
}

test("a saved series of any version is opened, and unknown fields stay", () => {
  const state = { symbol: "X/USDT", timeframe: "5m", sidebarWidth: 12 };
  const shelf = new Shelf({ "trade-canvas-ui": JSON.stringify({ version: 7, state }) });
  assert.deepEqual(loadSeries(shelf), { ...DEFAULT_SERIES, symbol: "X/USDT", timeframe: "5m" });
  saveSeries(shelf, DEFAULT_SERIES);
  const { version, state: after } = JSON.parse(shelf.values["trade-canvas-ui"]);
  assert.deepEqual([version, after.sidebarWidth, after.symbol], [7, 12, "BTC/USDT"]);
});

for (const text of ["{", "null", "[]", '{"state":3}', '{"version":1,"state":null}', '{"state":{"symbol":5}}']) {
  test(`${text} counts as nothing saved`, () => {
    assert.deepEqual(loadSeries(new Shelf({ "trade-canvas-ui": text })), DEFAULT_SERIES);
  });
}

test("defaults come from the catalogue", () => {
  assert.deepEqual(choice().hidden(CATALOG), ["pivot.minor"]);
});

test("a feature shows only with its factor, and brings it along when switched on", () => {
  const made = choice();
  made.choose("pivot", false);
  assert.equal(made.isVisible("pivot.major"), false);
  made.choose("pivot.minor", true);
  assert.deepEqual(made.hidden(CATALOG), []);
});

test("switches are remembered", () => {
  const shelf = new Shelf();
  choice(shelf).choose("pen", false);
  assert.equal(choice(shelf).isVisible("pen.confirmed"), false);
});

test("a preset hides what it names, and what has nothing to show is switched off as a whole", () => {
  const shelf = new Shelf();
  const made = choice(shelf);
  hide(made, CATALOG, ["pen.confirmed"]);
  assert.deepEqual(made.hidden(CATALOG), ["pen.confirmed"]);
  assert.deepEqual([made.isOn("pen"), made.isOn("pen.confirmed")], [false, true]);
  hide(made, CATALOG, [""]);
  assert.deepEqual(choice(shelf).hidden(CATALOG), []);
});

test("a factor without features is hidden and shown by its own name", () => {
  const catalog = { factors: [{ ...entry("gap"), sub_features: [] }] };
  const made = new FactorChoice(new Shelf(), catalog);
  assert.deepEqual(made.hidden(catalog), []);
  hide(made, catalog, ["gap"]);
  assert.deepEqual(made.hidden(catalog), ["gap"]);
  assert.equal(made.isVisible("gap"), false);
});

test("a saved series that is none is not opened", () => {
  const state = { symbol: "X/USDT", timeframe: "abc" };
  const shelf = new Shelf({ "trade-canvas-ui": JSON.stringify({ version: 1, state }) });
  assert.deepEqual(loadSeries(shelf), DEFAULT_SERIES);
});
