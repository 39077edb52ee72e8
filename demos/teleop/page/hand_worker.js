// Finds a hand in images, in a thread of its own, so that the page and the robot never wait for it.

const FOLDER = "/hand/";

// The package draws on a canvas and loads its parts as scripts of a page. In a worker both have other names.
self.window = self;
self.document = {
  createElement(name) {
    if (name === "canvas") return new OffscreenCanvas(1, 1);
    const loaded = [], script = { loaded };
    script.setAttribute = (key, value) => { script[key] = value; };
    script.addEventListener = (event, handler) => { if (event === "load") loaded.push(handler); };
    return script;
  },
  body: { appendChild(script) { importScripts(script.src); script.loaded.forEach((handler) => handler()); } },
};

const failed = (error) => postMessage({ error: String(error?.message ?? error) });
// The package reports progress as warnings.
for (const name of ["log", "info", "warn"]) console[name] = () => {};

let hands;
try {
  importScripts(`${FOLDER}hands.js`);
  hands = new self.Hands({ locateFile: (name) => FOLDER + name });
  // The small network on the processor: fast enough everywhere, also without a graphics processor.
  hands.setOptions({
    useCpuInference: true, maxNumHands: 1, modelComplexity: 0, minDetectionConfidence: 0.7, minTrackingConfidence: 0.6,
  });
  hands.onResults(({ multiHandLandmarks: [hand] }) => {
    postMessage({ landmarks: hand ? hand.map(({ x, y, z }) => [x, y, z]) : null });
  });
  hands.initialize().then(() => postMessage({ ready: true }), failed);
} catch (error) {
  failed(error);
}

addEventListener("message", async ({ data }) => {
  // The package sends messages to itself.
  if (!(data?.image instanceof ImageBitmap)) return;
  try {
    await hands.send({ image: data.image });
  } catch (error) {
    failed(error);
  }
  data.image.close();
});
