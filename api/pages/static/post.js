// @ts-check
/** One request to the server, which renders every verdict; and putting the answer on the page. */

/** The server gave no answer that could be shown. */
export class Refusal extends Error {}

/**
 * @param {{text?: string, image?: Blob, part: "verdict" | "frame"}} given
 * @returns {Promise<string | null>} HTML of the result; null where a frame showed no code
 */
export const submit = async ({ text, image, part }) => {
  const form = new FormData();
  form.set("part", part);
  if (text !== undefined) form.set("text", text);
  if (image !== undefined) form.set("image", image, "picture");
  let response;
  try {
    response = await fetch("/check", { method: "POST", body: form, credentials: "omit" });
  } catch (error) {
    throw new Refusal("no connection", { cause: error });
  }
  if (response.status === 204) return null;
  const type = response.headers.get("content-type") ?? "";
  if (!type.startsWith("text/html")) throw new Refusal(`status ${response.status}`);
  return response.text();
};

/** Shows a result and moves the focus to its headline. @param {string} html */
export const show = (html) => {
  const result = document.getElementById("result");
  if (result === null) throw new Error("the page has no place for a result");
  const parsed = new DOMParser().parseFromString(html, "text/html");
  for (const element of parsed.querySelectorAll(".with-js")) element.removeAttribute("hidden");
  result.replaceChildren(...parsed.body.childNodes);
  const headline = /** @type {HTMLElement | null} */ (result.querySelector("[tabindex]"));
  headline?.focus({ preventScroll: true });
  window.scrollTo(0, 0);
};
