// Segments images in this browser: a worker runs the model, so that the page stays alive.

import { writeMask, writeProbabilities } from "./encode.js";

export const DOWNLOADS = [["mask", "Mask", "png"], ["probabilities", "Probabilities", "npy"]];
export const AT_ONCE = 1;

const ENGINES = { wasm: "WebAssembly", webgpu: "WebGPU" };
const find = (id) => document.getElementById(id);
const waiting = new Map();
let worker = null, engine = null, asked = 0;

/** Asks the worker, which answers in the order of the questions. */
function ask(question, transfer = []) {
  if (!worker) {
    worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    worker.onmessage = ({ data: { id, error, answer } }) => {
      const { done, fail } = waiting.get(id);
      waiting.delete(id);
      if (error === undefined) done(answer);
      else fail(new Error(error));
    };
    worker.onerror = (event) => {
      const error = new Error(`cannot run the model here: ${event.message || "its scripts cannot be loaded"}`);
      for (const { fail } of waiting.values()) fail(error);
      waiting.clear();
      worker.terminate();
      worker = null;
    };
  }
  const id = asked++;
  return new Promise((done, fail) => {
    waiting.set(id, { done, fail });
    worker.postMessage({ id, ...question }, transfer);
  });
}

/** Returns whether there is a GPU; a processor that stands in for one is slower than WebAssembly. */
async function hasGpu() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return Boolean(adapter) && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
}

/** Lists the only model: { models, settings, image_formats }. */
export async function models() {
  const response = await fetch("model.json");
  if (!response.ok) throw new Error(`cannot read model.json: status ${response.status}`);
  const model = await response.json();
  const { input, output, classes } = model.contract;
  const channels = input.color === "gray" ? 1 : 3;
  const batch = input.form?.batch ?? -1, [height, width] = input.form?.size ?? [-1, -1];
  const isBytes = input.form?.element === "u8";
  const shape = isBytes ? [batch, height, width, channels] : [batch, channels, height, width];
  model.inputs = [{ name: input.name, datatype: isBytes ? "UINT8" : "FP32", shape }];
  const isMask = output.kind === "mask";
  const scores = [batch, classes.length, height, width];
  model.outputs = [{ name: output.name, datatype: isMask ? "UINT8" : "FP32", shape: isMask ? [batch, height, width] : scores }];
  model.probabilities = !isMask;
  engine ??= new URLSearchParams(location.search).get("engine") ?? ((await hasGpu()) ? "webgpu" : "wasm");
  if (!(engine in ENGINES)) throw new Error(`there is no engine ${engine}; there are ${Object.keys(ENGINES).join(" and ")}`);
  name(model);
  return { models: [model], settings: { cleanup: {} }, image_formats: "PNG of 8 bits, JPEG" };
}

function name(model) {
  model.runs_on = { provider: ENGINES[engine], precision: "in this browser", onnx_runtime: `Web ${model.onnx_runtime_web}` };
}

/** Offers the engines for a model. */
export function chosen(model, choose) {
  const select = find("engine");
  select.value = engine;
  select.onchange = () => {
    engine = select.value;
    name(model);
    choose(model);
  };
}

/** Segments an image: { record, picture, labels, width, height, probabilities }. */
export async function segment(file, model) {
  const bytes = await file.arrayBuffer();
  return ask({ name: file.name, bytes, engine, contract: model.contract }, [bytes]);
}

/** Makes a file of an output. */
export async function download(file, result, model, name) {
  return name === "mask" ? writeMask(result, model.contract.classes) : writeProbabilities(result.probabilities);
}
