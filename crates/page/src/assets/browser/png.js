// Reads PNG files of up to 8 bits as they are stored; a canvas would apply transparency and colours.

import { guess, inflate } from "./decode.js";

const CHANNELS = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
/** Of each pass of an interlaced image: its first pixel and its steps, along x and y. */
const PASSES = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

const CRC = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/** Computes the checksum of a chunk. */
export function crc(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = CRC[(value ^ byte) & 255] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

/** Reads the chunks: { header, palette, pieces }. */
function chunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const pieces = [];
  let header = null, palette = null;
  for (let at = 8; ;) {
    if (at + 12 > bytes.length) throw new Error("the PNG file is cut off");
    const length = view.getUint32(at), end = at + 8 + length;
    if (end + 4 > bytes.length) throw new Error("the PNG file is cut off");
    const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const data = bytes.subarray(at + 8, end);
    if (crc(bytes.subarray(at + 4, end)) !== view.getUint32(end)) throw new Error(`the PNG file is damaged: the checksum of ${kind} is wrong`);
    if (kind === "IHDR") header = { width: view.getUint32(at + 8), height: view.getUint32(at + 12), depth: data[8], color: data[9], interlaced: data[12] };
    else if (kind === "PLTE") palette = data;
    else if (kind === "IDAT") pieces.push(data);
    else if (kind === "acTL") throw new Error("it has several pictures (APNG); use `seg infer`");
    else if (isTurned(kind, data)) throw new Error("a note in it says that it lies turned; save it upright, or use `seg infer`");
    if (kind === "IEND") break;
    at = end + 4;
  }
  return { header, palette, pieces };
}

/** Returns whether a chunk says that the image is to be turned, or may say so. */
function isTurned(kind, data) {
  const start = new TextDecoder("latin1").decode(data.subarray(0, 1 << 16));
  if (kind === "eXIf") {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const little = start.startsWith("II");
    try {
      const first = view.getUint32(4, little), count = view.getUint16(first, little);
      for (let entry = first + 2; entry < first + 2 + 12 * count; entry += 12) {
        if (view.getUint16(entry, little) === 0x0112) return view.getUint16(entry + 8, little) !== 1;
      }
    } catch {
      // It ends too early to say anything.
    }
    return false;
  }
  return ["tEXt", "zTXt", "iTXt"].includes(kind) && (start.startsWith("Raw profile type ") || start.startsWith("XML:com.adobe.xmp"));
}

/** Undoes the filters of rows, in place; returns the place behind them. */
function unfilter(rows, from, count, length, step) {
  for (let y = 0; y < count; y++) {
    const filter = rows[from], line = from + 1, above = from - length;
    if (filter > 4) throw new Error(`the PNG file is damaged: there is no filter ${filter}`);
    for (let x = 0; x < length; x++) {
      const left = x >= step ? rows[line + x - step] : 0;
      const up = y > 0 ? rows[above + x] : 0;
      const corner = x >= step && y > 0 ? rows[above + x - step] : 0;
      rows[line + x] += guess(filter, left, up, corner);
    }
    from += length + 1;
  }
  return from;
}

/** Reads an image: { width, height, pixels } with red, green and blue of each pixel. */
export async function readPng(bytes) {
  const { header, palette, pieces } = chunks(bytes);
  if (!header || pieces.length === 0) throw new Error("the PNG file is damaged: it has no pixels");
  const { width, height, depth, color, interlaced } = header;
  if (depth === 16) throw new Error("it has 16 bits, and this page reads PNG of 8 bits; use `seg infer`");
  const channels = CHANNELS[color];
  if (!channels || ![1, 2, 4, 8].includes(depth) || width === 0 || height === 0) throw new Error("the PNG file is damaged: its header is wrong");
  if (color === 3 && !palette) throw new Error("the PNG file is damaged: it has no palette");
  const rows = await inflate(pieces).catch(() => {
    throw new Error("the PNG file is damaged: its pixels cannot be decompressed");
  });
  const pixels = new Uint8Array(3 * width * height);
  const step = Math.max(1, (channels * depth) >> 3), most = 2 ** depth - 1;
  let from = 0;
  for (const [left, top, right, down] of interlaced ? PASSES : [[0, 0, 1, 1]]) {
    const columns = Math.ceil((width - left) / right), lines = Math.ceil((height - top) / down);
    if (columns <= 0 || lines <= 0) continue;
    const length = Math.ceil((columns * channels * depth) / 8);
    if (from + lines * (length + 1) > rows.length) throw new Error("the PNG file is damaged: pixels are missing");
    const next = unfilter(rows, from, lines, length, step);
    for (let y = 0; y < lines; y++) {
      const line = from + y * (length + 1) + 1;
      for (let x = 0; x < columns; x++) {
        const to = 3 * ((top + y * down) * width + left + x * right);
        if (color === 2 || color === 6) {
          for (let channel = 0; channel < 3; channel++) pixels[to + channel] = rows[line + x * channels + channel];
          continue;
        }
        const bit = x * channels * depth;
        const value = depth === 8 ? rows[line + x * channels] : (rows[line + (bit >> 3)] >> (8 - depth - (bit & 7))) & most;
        if (color === 3) {
          if (3 * value + 3 > palette.length) throw new Error(`the PNG file is damaged: its palette has no colour ${value}`);
          pixels.set(palette.subarray(3 * value, 3 * value + 3), to);
        } else {
          pixels.fill((value * 255) / most, to, to + 3);
        }
      }
    }
    from = next;
  }
  return { width, height, pixels };
}
