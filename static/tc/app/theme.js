// @ts-check
/** Theme, colours and time zone: the first choice of each list, unless the user made another; the language. */

/** @param {HTMLSelectElement} select its name is that of the page's attribute */
export function setUpChoice(select) {
  const { name, options } = select;
  const { dataset } = document.documentElement;
  select.value = dataset[name] ?? options[0]?.value ?? "";
  select.addEventListener("change", () => {
    const key = `trade-canvas-${name}`;
    if (select.selectedIndex) localStorage.setItem(key, (dataset[name] = select.value));
    else {
      localStorage.removeItem(key);
      delete dataset[name];
    }
    document.dispatchEvent(new Event("themechange"));
  });
}

/** @param {HTMLFormElement} form */
export function setUpLanguage(form) {
  form.addEventListener("change", () => {
    const next = form.elements.namedItem("next");
    if (next instanceof HTMLInputElement) next.value = location.pathname + location.search;
    form.submit();
  });
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
  document.dispatchEvent(new Event("themechange")),
);
for (const select of document.querySelectorAll("select[name=theme], select[name=colors], select[name=zone]")) {
  setUpChoice(/** @type {HTMLSelectElement} */ (select));
}
setUpLanguage(/** @type {HTMLFormElement} */ (document.querySelector("#language")));
