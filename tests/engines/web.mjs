// Runs a model in ONNX Runtime Web: node web.mjs MODEL INPUT N,C,H,W OUTPUT. The input is a file of float32; the output is written as
// float32, and its shape is printed.
import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [model, input, shape, target] = process.argv.slice(2);
const ort = createRequire(join(process.env.MODULES, "package.json"))("onnxruntime-web");
ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";
const session = await ort.InferenceSession.create(readFileSync(model), { executionProviders: ["wasm"], logSeverityLevel: 3 });
const bytes = readFileSync(input);
const values = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
const feeds = { [session.inputNames[0]]: new ort.Tensor("float32", values, shape.split(",").map(Number)) };
const found = (await session.run(feeds))[session.outputNames[0]];
writeFileSync(target, Buffer.from(Float32Array.from(found.data).buffer));
console.log(found.dims.join(","));
