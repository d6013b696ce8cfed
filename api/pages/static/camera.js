// @ts-check
/** The camera: one frame at a time to whoever reads it, never two at once, never in the dark. */

const PAUSE_MS = 250;
const LIMIT_MS = 90_000;
const LONG_SIDE = 1280;

/** @type {Record<string, [string, string]>} */
const PROBLEMS = {
  NotAllowedError: ["未获准使用摄像头。", "The camera was not allowed."],
  NotFoundError: ["没有找到摄像头。", "No camera was found."],
  NotReadableError: ["摄像头正被占用。", "The camera is in use elsewhere."],
};

/**
 * @typedef {object} Listener
 * @property {(frame: HTMLCanvasElement) => Promise<void>} onFrame
 * @property {(running: boolean) => void} onChange
 * @property {(zh: string, en: string) => void} onProblem
 */

export class Camera {
  /** @type {MediaStream | null} */
  #stream = null;
  #canvas = document.createElement("canvas");

  /** @param {HTMLVideoElement} video @param {Listener} listener */
  constructor(video, listener) {
    this.video = video;
    this.listener = listener;
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.stop();
    });
  }

  get running() {
    return this.#stream !== null;
  }

  async start() {
    if (!navigator.mediaDevices) {
      this.listener.onProblem("摄像头需要安全连接（HTTPS）。", "The camera needs HTTPS.");
      return;
    }
    try {
      const stream = await navigator.mediaDevices.getUserMedia({
        audio: false,
        video: { facingMode: "environment", width: { ideal: 1920 }, height: { ideal: 1080 } },
      });
      this.#stream = stream;
      this.video.srcObject = stream;
      this.listener.onChange(true);
      await this.video.play();
      await this.#look(stream);
    } catch (error) {
      this.stop();
      const name = error instanceof DOMException ? error.name : "";
      const [zh, en] = PROBLEMS[name] ?? ["摄像头中断，请重试。", "The camera stopped; try again."];
      this.listener.onProblem(zh, en);
    }
  }

  stop() {
    if (this.#stream === null) return;
    for (const track of this.#stream.getTracks()) track.stop();
    this.#stream = null;
    this.video.srcObject = null;
    this.listener.onChange(false);
  }

  /** Hands on frames until the camera is stopped. @param {MediaStream} stream */
  async #look(stream) {
    const until = performance.now() + LIMIT_MS;
    while (this.#stream === stream) {
      if (performance.now() > until) {
        this.stop();
        this.listener.onProblem(
          "未识读到二维码，摄像头已关闭。可拍照后选择图片。",
          "No code was read, and the camera is off. A still picture may work better.",
        );
        return;
      }
      const { videoWidth: width, videoHeight: height } = this.video;
      if (width > 0) {
        const scale = Math.min(1, LONG_SIDE / Math.max(width, height));
        this.#canvas.width = Math.round(width * scale);
        this.#canvas.height = Math.round(height * scale);
        const context = this.#canvas.getContext("2d");
        context?.drawImage(this.video, 0, 0, this.#canvas.width, this.#canvas.height);
        await this.listener.onFrame(this.#canvas);
      }
      await new Promise((done) => setTimeout(done, PAUSE_MS));
    }
  }
}
