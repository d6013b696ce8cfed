// @ts-check
/** The check page: three ways in, one way out. Without this script plain forms do the same. */

import { Camera } from "./camera.js";
import { codeIn, deviceReads } from "./decode.js";
import { Refusal, show, submit } from "./post.js";

/** @template {HTMLElement} T @param {string} selector @returns {T} */
const find = (selector) => {
  const element = /** @type {T | null} */ (document.querySelector(selector));
  if (element === null) throw new Error(`the page has no ${selector}`);
  return element;
};

const ways = find("#ways");
const progress = find("#progress");
const text = /** @type {HTMLTextAreaElement} */ (find("#text"));
const image = /** @type {HTMLInputElement} */ (find("#image"));
const drop = find(".drop");
const cameraButton = /** @type {HTMLButtonElement} */ (find("#camera"));
const cameraHint = find("#camera-hint");
const maxBytes = Number(ways.dataset.maxBytes);

/** @param {string} zh @param {string} en */
const say = (zh, en) => {
  progress.replaceChildren(zh, " ");
  const english = document.createElement("span");
  english.lang = "en";
  english.textContent = en;
  progress.append(english);
  progress.hidden = zh === "";
};

let busy = false;

/** Sends what was given and shows the answer. @param {{text?: string, image?: Blob}} given */
const check = async (given) => {
  if (busy) return;
  if (given.image && given.image.size > maxBytes) {
    say(
      `图片过大，最多 ${maxBytes >> 20} MB。`,
      `The picture is too large: at most ${maxBytes >> 20} MB.`,
    );
    return;
  }
  busy = true;
  camera.stop();
  ways.setAttribute("aria-busy", "true");
  say("正在核验…", "Checking…");
  try {
    const answer = await submit({ ...given, part: "verdict" });
    if (answer !== null) show(answer);
    say("", "");
  } catch (error) {
    say("无法连接核验服务，请稍后重试。", "The service cannot be reached; try again.");
    if (!(error instanceof Refusal)) throw error;
  } finally {
    busy = false;
    ways.removeAttribute("aria-busy");
  }
};

// --- camera --------------------------------------------------------------------------------------

const camera = new Camera(/** @type {HTMLVideoElement} */ (find("video")), {
  onFrame: async (canvas) => {
    const found = await codeIn(canvas);
    if (found.text !== undefined) {
      await check({ text: found.text });
    } else if (found.image !== undefined) {
      const answer = await submit({ image: found.image, part: "frame" });
      if (answer === null || !camera.running) return;
      camera.stop();
      show(answer);
    }
  },
  onChange: (running) => {
    find("video").hidden = !running;
    cameraButton.setAttribute("aria-pressed", String(running));
    if (!running) say("", "");
  },
  onProblem: (zh, en) => say(zh, en),
});
cameraButton.addEventListener("click", () => {
  if (camera.running) camera.stop();
  else void camera.start();
});
void deviceReads().then((here) => {
  const [zh, en] = here
    ? ["画面只在本机识读，不离开设备。", "Pictures are read on this device and never leave it."]
    : [
        "画面逐帧发送至本服务识读，随即丢弃。",
        "Pictures are sent to this service to be read, and then dropped.",
      ];
  cameraHint.replaceChildren(zh, " ");
  const english = document.createElement("span");
  english.lang = "en";
  english.textContent = en;
  cameraHint.append(english);
});

// --- pictures ------------------------------------------------------------------------------------

image.addEventListener("change", () => {
  const file = image.files?.[0];
  if (file) void check({ image: file });
});
find("#image-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const file = image.files?.[0];
  if (file) void check({ image: file });
});
for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", type === "dragover");
  });
}
document.addEventListener("drop", (event) => take(event.dataTransfer));

// --- text and clipboard --------------------------------------------------------------------------

/** Checks a dropped or pasted picture or text. @param {DataTransfer | null} data */
const take = (data) => {
  const file = data?.files[0];
  const words = data?.getData("text/plain").trim();
  if (file) void check({ image: file });
  else if (words) void check({ text: (text.value = words) });
};
document.addEventListener("paste", (event) => {
  if (event.target === text && !event.clipboardData?.files.length) return;
  event.preventDefault();
  take(event.clipboardData);
});
find("#text-form").addEventListener("submit", (event) => {
  event.preventDefault();
  void check({ text: text.value });
});
text.addEventListener("keydown", (event) => {
  // A hand scanner types the code and ends it with Enter.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (text.value.trim()) void check({ text: text.value });
});
find("#clipboard").addEventListener("click", async () => {
  try {
    for (const item of await navigator.clipboard.read()) {
      const kind = item.types.find((type) => type.startsWith("image/"));
      if (kind) return void check({ image: await item.getType(kind) });
      if (item.types.includes("text/plain")) {
        text.value = (await (await item.getType("text/plain")).text()).trim();
        if (text.value) return void check({ text: text.value });
      }
    }
    say("剪贴板中没有图片或文字。", "The clipboard holds neither picture nor text.");
  } catch {
    say("浏览器未允许读取剪贴板，请按 Ctrl+V 粘贴。", "Not allowed here: press Ctrl+V instead.");
  }
});

// --- after a verdict -----------------------------------------------------------------------------

document.addEventListener("click", (event) => {
  const button = /** @type {Element} */ (event.target).closest("button");
  if (button?.id === "print") window.print();
  if (button?.id === "again") {
    find("#result").replaceChildren();
    text.value = "";
    image.value = "";
    history.replaceState(null, "", "/check");
    find("#ways").scrollIntoView();
    cameraButton.focus();
  }
});

document.documentElement.classList.add("js");
for (const element of document.querySelectorAll(".with-js")) {
  /** @type {HTMLElement} */ (element).hidden = false;
}
