// Makes the network's input of an image, as the contract says, in the arithmetic of `seg infer`.

import { stretch } from "./stretch.js";

const round = Math.fround;
/** The largest image that `seg infer` does not cut into tiles. */
const WHOLE_PIXELS_MAX = 1536 * 1536;

/** Returns the size at which an image is run, and whether it is stretched to it. */
function geometryOf(input, [height, width]) {
  if (input.size.policy === "resize") return { image: [height, width], network: [input.size.height, input.size.width], stretched: true };
  const multiple = input.side_multiple ?? 1;
  const network = [height, width].map((side) => Math.ceil(Math.max(side, input.side_min) / multiple) * multiple);
  return { image: [height, width], network, stretched: false };
}

/** Refuses an image that `seg infer` would cut into tiles, or that the model does not take. */
function check({ input, output }, { image, network, stretched }) {
  const [height, width] = image, only = input.form?.size;
  const isOther = only && (only[0] !== network[0] || only[1] !== network[1]);
  if (!stretched && output.kind !== "mask" && (isOther || (!only && height * width > WHOLE_PIXELS_MAX))) {
    throw new Error(`it has ${width}x${height} pixels and would be cut into tiles, which this page does not do; use \`seg infer\``);
  }
  if (isOther) throw new Error(`the model takes images of ${only[1]}x${only[0]} only, this one has ${width}x${height}`);
}

/** Returns the place that is read for each place along a side: the last pixel again, or mirrored. */
function places(image, network, multiple) {
  const last = image - 1, period = 2 * Math.max(last, 1);
  return Int32Array.from({ length: network }, (_, place) => {
    if (multiple === 1) return Math.min(place, last);
    const within = place % period;
    return Math.min(within, period - within, last);
  });
}

/** Makes the input of an image { width, height, pixels }: { data, dims, geometry }. */
export function prepare({ width, height, pixels }, contract) {
  const { input } = contract;
  const geometry = geometryOf(input, [height, width]);
  check(contract, geometry);
  const { network } = geometry;
  let values = Float32Array.from(pixels, (byte) => round(byte / 255));
  let size = [height, width];
  if (geometry.stretched) {
    values = stretch(values, 3, size, network);
    size = network;
  }
  const multiple = input.side_multiple ?? 1;
  const rows = places(size[0], network[0], multiple), columns = places(size[1], network[1], multiple);
  const channels = input.color === "gray" ? 1 : 3;
  const order = input.color === "bgr" ? [2, 1, 0] : [0, 1, 2];
  const luma = [0.2126, 0.7152, 0.0722].map(round);
  const isBytes = input.form?.element === "u8", batch = input.form?.batch ?? 1;
  const plane = network[0] * network[1], one = channels * plane;
  const data = isBytes ? new Uint8Array(batch * one) : new Float32Array(batch * one);
  for (let channel = 0; channel < channels; channel++) {
    const mean = round(input.mean[channel]), std = round(input.std[channel]);
    const scale = round(255 * std), shift = round(255 * mean);
    for (let y = 0; y < network[0]; y++) {
      for (let x = 0; x < network[1]; x++) {
        const from = 3 * (rows[y] * size[1] + columns[x]);
        const [red, green, blue] = [values[from], values[from + 1], values[from + 2]];
        const value = channels === 3
          ? values[from + order[channel]]
          : round(round(round(luma[0] * red) + round(luma[1] * green)) + round(luma[2] * blue));
        const normal = round(round(value - mean) / std);
        const pixel = y * network[1] + x;
        if (isBytes) data[pixel * channels + channel] = Math.min(Math.max(Math.floor(round(round(normal * scale) + shift) + 0.5), 0), 255);
        else data[channel * plane + pixel] = normal;
      }
    }
  }
  // A file for several images gets the same one again.
  for (let copy = 1; copy < batch; copy++) data.copyWithin(copy * one, 0, one);
  const dims = isBytes ? [batch, ...network, channels] : [batch, channels, ...network];
  return { data, dims, geometry };
}
