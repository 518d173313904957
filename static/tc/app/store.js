// @ts-check
/** A small store: values by key, and listeners that hear of the keys they name. */

/** @template {object} T */
export class Store {
  /** @type {T} */
  #values;
  /** @type {Map<keyof T, Set<() => void>>} */
  #listeners = new Map();

  /** @param {T} values */
  constructor(values) {
    this.#values = { ...values };
  }

  /**
   * @template {keyof T} K
   * @param {K} key
   * @returns {T[K]}
   */
  get(key) {
    return this.#values[key];
  }

  /**
   * Change some values; listeners of a key run once, and only if its value is another.
   * @param {Partial<T>} values
   */
  set(values) {
    /** @type {Set<() => void>} */
    const toRun = new Set();
    for (const key of /** @type {(keyof T)[]} */ (Object.keys(values))) {
      const value = /** @type {T[keyof T]} */ (values[key]);
      if (Object.is(this.#values[key], value)) continue;
      this.#values[key] = value;
      for (const listener of this.#listeners.get(key) ?? []) toRun.add(listener);
    }
    for (const listener of toRun) listener();
  }

  /**
   * @param {(keyof T)[]} keys
   * @param {() => void} listener
   */
  subscribe(keys, listener) {
    for (const key of keys) {
      const listeners = this.#listeners.get(key) ?? new Set();
      this.#listeners.set(key, listeners.add(listener));
    }
  }
}
