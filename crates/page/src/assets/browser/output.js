// Makes mask and probabilities of the network's output, as the contract says, in the arithmetic of `seg infer`.

import { stretch } from "./stretch.js";

const round = Math.fround;

/** Returns the class with the greatest score at each pixel, the lowest on a tie. */
function mostProbable(planes, classes, pixels) {
  const labels = new Uint8Array(pixels);
  for (let i = 0; i < pixels; i++) {
    let best = planes[i];
    for (let label = 1; label < classes; label++) {
      const score = planes[label * pixels + i];
      if (score > best) [best, labels[i]] = [score, label];
    }
  }
  return labels;
}

/** Computes the softmax over the classes. */
function softmax(logits, classes, pixels) {
  const found = new Float32Array(classes * pixels);
  for (let i = 0; i < pixels; i++) {
    let most = -Infinity, sum = 0;
    for (let label = 0; label < classes; label++) most = Math.max(most, logits[label * pixels + i]);
    for (let label = 0; label < classes; label++) {
      const share = round(Math.exp(round(logits[label * pixels + i] - most)));
      found[label * pixels + i] = share;
      sum = round(sum + share);
    }
    for (let label = 0; label < classes; label++) found[label * pixels + i] = round(found[label * pixels + i] / sum);
  }
  return found;
}

/** Makes { labels, probabilities } of the image; a model that gives masks gives no probabilities. */
export function finish({ data, dims }, { image, network, stretched }, contract) {
  const classes = contract.classes.length, [height, width] = image, pixels = height * width;
  const expected = contract.output.kind === "mask" ? network : [classes, ...network];
  if (dims.slice(1).join() !== expected.join()) throw new Error(`the model's output has the shape ${dims.slice(1).join("x")}, expected ${expected.join("x")}`);
  if (contract.output.kind === "mask") {
    const place = (at, axis) => (stretched ? Math.floor(((2 * at + 1) * network[axis]) / (2 * image[axis])) : at);
    const labels = new Uint8Array(pixels);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) labels[y * width + x] = data[place(y, 0) * network[1] + place(x, 1)];
    }
    const wrong = labels.find((label) => label >= classes);
    if (wrong !== undefined) throw new Error(`the model's mask holds the class ${wrong}, but the model has ${classes} classes`);
    return { labels, probabilities: null };
  }
  const isLogits = contract.output.kind === "logits", shape = [classes, height, width];
  if (stretched) {
    const places = network[0] * network[1];
    const planes = isLogits ? softmax(data, classes, places) : data;
    const values = new Float32Array(classes * pixels);
    for (let label = 0; label < classes; label++) {
      values.set(stretch(planes.subarray(label * places, (label + 1) * places), 1, network, image), label * pixels);
    }
    return { labels: mostProbable(values, classes, pixels), probabilities: { shape, values } };
  }
  const scores = new Float32Array(classes * pixels);
  for (let label = 0; label < classes; label++) {
    for (let y = 0; y < height; y++) {
      const from = (label * network[0] + y) * network[1];
      scores.set(data.subarray(from, from + width), label * pixels + y * width);
    }
  }
  const values = isLogits ? softmax(scores, classes, pixels) : scores;
  return { labels: mostProbable(scores, classes, pixels), probabilities: { shape, values } };
}
