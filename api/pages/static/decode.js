// @ts-check
/** Reading a code on this device where the browser can; else the picture goes to the server. */

/** @typedef {{detect(source: CanvasImageSource): Promise<{rawValue: string}[]>}} Detector */

/** @type {Promise<Detector | null> | undefined} */
let detector;

const make = async () => {
  const known = /** @type {any} */ (globalThis).BarcodeDetector;
  if (known === undefined) return null;
  try {
    const formats = await known.getSupportedFormats();
    return formats.includes("qr_code") ? new known({ formats: ["qr_code"] }) : null;
  } catch {
    return null;
  }
};

const ready = () => (detector ??= make());

/** Whether codes are read on this device. @returns {Promise<boolean>} */
export const deviceReads = async () => (await ready()) !== null;

/**
 * @param {HTMLCanvasElement} canvas
 * @returns {Promise<{text?: string, image?: Blob}>} the code's text; or, where this device cannot
 *   read it, the picture; or neither: no code in view
 */
export const codeIn = async (canvas) => {
  const here = await ready();
  if (here !== null) {
    const codes = await here.detect(canvas);
    const ours = codes.find((code) => code.rawValue.startsWith("ZL1:")) ?? codes[0];
    return ours === undefined ? {} : { text: ours.rawValue };
  }
  const image = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.85));
  return image === null ? {} : { image };
};
