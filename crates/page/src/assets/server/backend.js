// Segments images on the server that the page comes from.

import { readMask, readProbabilities } from "./decode.js";

export const DOWNLOADS = [
  ["mask", "Mask", "png"], ["overlay", "Overlay", "png"], ["polygons", "GeoJSON", "geojson"], ["rle", "COCO RLE", "json"],
  ["probabilities", "Probabilities", "npy"],
];
export const AT_ONCE = 2;

const find = (id) => document.getElementById(id);
const later = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));
let bytesMax = Infinity;

/** Asks the server; an error has the server's own words. */
async function ask(path, options = {}) {
  const token = sessionStorage.getItem("token");
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("the server does not answer");
  }
  if (response.ok) return response;
  const text = await response.text();
  let message = `the server answers with status ${response.status}`;
  try {
    message = JSON.parse(text).error ?? message;
  } catch {
    // It is no answer of this server.
  }
  throw Object.assign(new Error(message), { status: response.status, retry: Number(response.headers.get("retry-after")) });
}

/** Asks for a token, and waits until it is given. */
function token() {
  const form = find("token-form");
  form.hidden = false;
  return new Promise((done) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      sessionStorage.setItem("token", find("token").value);
      form.hidden = true;
      done();
    };
  });
}

/** Lists the models: { models, settings, image_formats }. */
export async function models(say, problem) {
  for (;;) {
    try {
      const answer = await (await ask("/v1/models")).json();
      bytesMax = answer.body_bytes_max;
      return answer;
    } catch (error) {
      if (error.status === 401) {
        say("");
        if (sessionStorage.getItem("token")) problem(error.message);
        await token();
        problem(null);
      } else if (error.status === 503) {
        say("The models are being opened…");
        await later(1);
      } else {
        throw error;
      }
    }
  }
}

/** Shows what belongs to a model. */
export function chosen(model) {
  find("example").textContent = `curl --data-binary @image.png '${location.origin}/v1/segment?model=${model.name}&output=mask' -o mask.png`;
}

async function request(file, model, outputs, threshold = null) {
  const query = new URLSearchParams({ model: model.name, version: model.version, output: outputs.join(","), name: file.name });
  if (threshold !== null) query.set("threshold", String(threshold));
  const response = await ask(`/v1/segment?${query}`, { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } });
  return outputs.length > 1 ? response.formData() : response.blob();
}

/** Segments an image: { record, picture, labels, width, height, probabilities }. */
export async function segment(file, model) {
  if (file.size > bytesMax) throw new Error(`the file has ${file.size} bytes, this server takes ${bytesMax}`);
  for (;;) {
    try {
      return await segmentNow(file, model);
    } catch (error) {
      if (error.status !== 503) throw error;
      // The server has too much to do: it says how long to wait.
      await later(error.retry || 1);
    }
  }
}

async function segmentNow(file, model) {
  let picture = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" }).catch(() => null);
  const outputs = ["record", "mask", ...(model.probabilities ? ["probabilities"] : [])];
  const form = await request(file, model, picture ? outputs : [...outputs, "image"]);
  const record = JSON.parse(await form.get("record").text());
  // A browser may turn an image in another way than the server: the server's pixels count.
  if (picture && (picture.width !== record.width || picture.height !== record.height)) {
    picture = null;
    const image = await request(file, model, ["record", "image"]);
    form.append("image", image.get("image"));
  }
  picture ??= await createImageBitmap(form.get("image"));
  const { labels, width, height } = await readMask(await form.get("mask").arrayBuffer());
  const maps = form.get("probabilities");
  const probabilities = maps ? readProbabilities(await maps.arrayBuffer()) : null;
  return { record, picture, labels, width, height, probabilities };
}

/** Makes a file of an output, as the server makes it at a threshold. */
export function download(file, result, model, name, threshold) {
  return request(file, model, [name], threshold);
}
