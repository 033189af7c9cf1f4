// Runs the model: an image's bytes in, its mask and probabilities out.

import { readImage } from "./image.js";
import { prepare } from "./input.js";
import { finish } from "./output.js";

const RUNTIMES = {
  wasm: ["./ort/ort.wasm.js", "ort-wasm-simd-threaded.wasm"],
  webgpu: ["./ort/ort.webgpu.js", "ort-wasm-simd-threaded.asyncify.wasm"],
};
const sessions = new Map();

/** Opens the model once for each engine. */
async function open(engine) {
  const [script, wasm] = RUNTIMES[engine];
  const ort = await import(script);
  ort.env.wasm.wasmPaths = { wasm: new URL(`./ort/${wasm}`, import.meta.url).href };
  // It writes warnings as errors, such as that shapes are computed beside the GPU.
  ort.env.logLevel = "error";
  // Threads share memory, which a browser allows only to a page that its server isolates.
  if (!self.crossOriginIsolated) ort.env.wasm.numThreads = 1;
  const response = await fetch("model.onnx");
  if (!response.ok) throw new Error(`cannot read model.onnx: status ${response.status}`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  const session = await ort.InferenceSession.create(bytes, { executionProviders: [engine], logSeverityLevel: 3 });
  return { ort, session };
}

async function segment({ name, bytes, engine, contract }) {
  const started = performance.now();
  const image = await readImage(new Uint8Array(bytes));
  const decoded = performance.now();
  const input = prepare(image, contract);
  const prepared = performance.now();
  if (!sessions.has(engine)) sessions.set(engine, open(engine));
  let output, opened;
  try {
    const { ort, session } = await sessions.get(engine);
    opened = performance.now();
    const tensor = new ort.Tensor(input.data instanceof Uint8Array ? "uint8" : "float32", input.data, input.dims);
    const { [contract.output.name]: found } = await session.run({ [contract.input.name]: tensor });
    output = { data: found.data, dims: found.dims };
  } catch (error) {
    sessions.delete(engine);
    const text = String(error.message ?? error);
    const { image: [height, width] } = input.geometry;
    if (/bad_alloc|memory|allocat/i.test(text)) throw new Error(`an image of ${width}x${height} needs more memory than this browser gives: ${text}`);
    throw new Error(`cannot run the model with ${engine === "wasm" ? "WebAssembly" : "WebGPU; choose WebAssembly above"}: ${text}`);
  }
  const inferred = performance.now();
  const { labels, probabilities } = finish(output, input.geometry, contract);
  const { width, height } = image;
  const rgba = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let i = 0; i < width * height; i++) rgba.set(image.pixels.subarray(3 * i, 3 * i + 3), 4 * i);
  const picture = await createImageBitmap(new ImageData(rgba, width, height));
  const record = {
    name, width, height, tiles: null, decode_ms: decoded - started, preprocess_ms: prepared - decoded, infer_ms: inferred - opened,
    postprocess_ms: performance.now() - inferred,
  };
  return { record, picture, labels, width, height, probabilities };
}

let last = Promise.resolve();
self.onmessage = ({ data }) => {
  last = last.then(async () => {
    try {
      const answer = await segment(data);
      self.postMessage({ id: data.id, answer }, [answer.picture]);
    } catch (error) {
      self.postMessage({ id: data.id, error: String(error.message ?? error) });
    }
  });
};
