// @ts-check
/** The API reference: each operation can be sent from the page with the key given above. */

const key = /** @type {HTMLInputElement} */ (document.getElementById("key"));
const demo = /** @type {HTMLSelectElement | null} */ (document.getElementById("demo-key"));
demo?.addEventListener("change", () => {
  key.value = demo.value;
});

/** @param {HTMLFormElement} form @returns {Request} */
const requestOf = (form) => {
  let path = form.dataset.path ?? "/";
  const query = new URLSearchParams();
  const headers = new Headers();
  for (const input of form.querySelectorAll("input")) {
    const value = input.value.trim();
    if (input.dataset.place === "path") {
      const parts = value.split("/").map(encodeURIComponent).join("/");
      path = path.replace(`{${input.name}}`, parts);
    } else if (value && input.dataset.place === "query") query.set(input.name, value);
    else if (value && input.dataset.place === "header") headers.set(input.name, value);
  }
  if (key.value.trim()) headers.set("Authorization", `Bearer ${key.value.trim()}`);
  const body = form.querySelector("textarea")?.value;
  if (body !== undefined) headers.set("Content-Type", "application/json");
  const asked = query.size > 0 ? `?${query}` : "";
  const method = (form.dataset.method ?? "get").toUpperCase();
  return new Request(path + asked, { method, headers, body, credentials: "omit" });
};

/** @param {Response} response @returns {Promise<string>} */
const textOf = async (response) => {
  const type = response.headers.get("content-type") ?? "";
  if (type.includes("json")) {
    const text = await response.text();
    try {
      return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      return text;
    }
  }
  if (type.startsWith("text/") || type.includes("svg")) return response.text();
  const size = (await response.arrayBuffer()).byteLength;
  return size > 0 ? `${type}: ${size} bytes` : "";
};

document.addEventListener("submit", async (event) => {
  const form = /** @type {HTMLFormElement} */ (event.target);
  if (!form.matches(".try")) return;
  event.preventDefault();
  const answer = /** @type {HTMLElement} */ (form.querySelector(".answer"));
  const status = /** @type {HTMLElement} */ (answer.querySelector(".status"));
  const shown = /** @type {HTMLElement} */ (answer.querySelector("code"));
  answer.hidden = false;
  status.textContent = "…";
  shown.textContent = "";
  try {
    const response = await fetch(requestOf(form));
    status.textContent = `${response.status} ${response.statusText}`;
    shown.textContent = await textOf(response);
  } catch (error) {
    status.textContent = "未送达 not delivered";
    shown.textContent = String(error);
  }
});

/** Opens the operation that the address names. */
const open = () => {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named instanceof HTMLDetailsElement) named.open = true;
};
window.addEventListener("hashchange", open);
open();

document.documentElement.classList.add("js");
for (const element of document.querySelectorAll(".with-js")) {
  /** @type {HTMLElement} */ (element).hidden = false;
}
