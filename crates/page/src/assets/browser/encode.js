// Writes masks and probabilities as files, as `seg infer` writes them.

import { crc } from "./png.js";

/** Makes a chunk of a PNG file. */
function chunk(kind, data) {
  const bytes = new Uint8Array(12 + data.length), view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(kind), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

/** Writes the labels of an image as a PNG file of indices, whose palette has the classes' colours. */
export async function writeMask({ labels, width, height }, classes) {
  const rows = new Uint8Array(height * (width + 1));
  for (let y = 0; y < height; y++) rows.set(labels.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const stream = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const packed = new Uint8Array(await new Response(stream).arrayBuffer());
  const header = new Uint8Array(13), view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, 3, 0, 0, 0], 8);
  const start = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const palette = new Uint8Array(classes.flatMap((one) => one.color));
  const end = new Uint8Array(0);
  return new Blob([start, chunk("IHDR", header), chunk("PLTE", palette), chunk("IDAT", packed), chunk("IEND", end)], { type: "image/png" });
}

/** Writes probabilities as a NumPy file of float32. */
export function writeProbabilities({ shape, values }) {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(", ")}), }`;
  const length = Math.ceil((10 + text.length + 1) / 64) * 64 - 10;
  const header = new TextEncoder().encode(`\x00NUMPY\x01\x00\x00\x00${text.padEnd(length - 1)}\n`);
  header[0] = 0x93;
  new DataView(header.buffer).setUint16(8, length, true);
  return new Blob([header, values], { type: "application/octet-stream" });
}
