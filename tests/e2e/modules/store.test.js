import assert from "node:assert/strict";
import test from "node:test";
import { Store } from "../../../static/tc/app/store.js";

test("a listener hears its keys, once per change, and not of equal values", () => {
  const store = new Store({ a: 1, b: 2, c: 3 });
  let heard = 0;
  store.subscribe(["a", "b"], () => (heard += 1));
  store.set({ a: 5, b: 6 });
  store.set({ a: 5 });
  store.set({ c: 9 });
  assert.equal(heard, 1);
  assert.deepEqual([store.get("a"), store.get("c")], [5, 9]);
});
