// @ts-check
/** Light or dark: the system's choice, unless the user made one; and the language form. */

const KEY = "trade-canvas-theme";

/** @param {HTMLSelectElement} select */
export function setUpTheme(select) {
  select.value = document.documentElement.dataset["theme"] ?? "system";
  select.addEventListener("change", () => {
    if (select.value === "system") {
      localStorage.removeItem(KEY);
      delete document.documentElement.dataset["theme"];
    } else {
      localStorage.setItem(KEY, select.value);
      document.documentElement.dataset["theme"] = select.value;
    }
    document.dispatchEvent(new Event("themechange"));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    document.dispatchEvent(new Event("themechange")),
  );
}

/** @param {HTMLFormElement} form */
export function setUpLanguage(form) {
  form.addEventListener("change", () => {
    const next = form.elements.namedItem("next");
    if (next instanceof HTMLInputElement) next.value = location.pathname + location.search;
    form.submit();
  });
}

setUpTheme(/** @type {HTMLSelectElement} */ (document.querySelector("[data-testid=theme-select]")));
setUpLanguage(/** @type {HTMLFormElement} */ (document.querySelector("#language")));
