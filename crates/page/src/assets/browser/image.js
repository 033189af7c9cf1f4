// Reads an image as `seg infer` does: stored bytes, no colour profile, no transparency.

import { readPng } from "./png.js";

const text = (bytes, at, length) => String.fromCharCode(...bytes.subarray(at, at + length));

/** The formats that `seg infer` reads and this page does not, by their first bytes. */
const OTHERS = [
  ["TIFF", (bytes) => ["II*\0", "MM\0*", "II+\0", "MM\0+"].includes(text(bytes, 0, 4))],
  ["DICOM", (bytes) => text(bytes, 128, 4) === "DICM"],
  ["NIfTI", (bytes) => ["n+1\0", "ni1\0"].includes(text(bytes, 344, 4)) || ["n+2\0", "ni2\0"].includes(text(bytes, 4, 4))],
  ["gzip, as NIfTI often is", (bytes) => bytes[0] === 0x1f && bytes[1] === 0x8b],
  ["BMP", (bytes) => text(bytes, 0, 2) === "BM"],
  ["GIF", (bytes) => text(bytes, 0, 4) === "GIF8"],
  ["WebP", (bytes) => text(bytes, 0, 4) === "RIFF" && text(bytes, 8, 4) === "WEBP"],
  ["JPEG 2000", (bytes) => text(bytes, 4, 4) === "jP  " || (bytes[0] === 0xff && bytes[1] === 0x4f)],
];

/** Reads an image: { width, height, pixels } with red, green and blue of each pixel. */
export async function readImage(bytes) {
  if (text(bytes, 0, 8) === "\x89PNG\r\n\x1a\n") return readPng(bytes);
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return readJpeg(bytes);
  const other = OTHERS.find(([, is]) => is(bytes));
  throw new Error(other
    ? `it is ${other[0]}, and this page reads PNG of 8 bits and JPEG; use \`seg infer\``
    : "it is no image in a format that this page reads: PNG of 8 bits and JPEG");
}

/** Refuses what a browser shows in another way than `seg infer` reads it; returns the file without its colour profile. */
function withoutProfile(bytes) {
  const kept = [bytes.subarray(0, 2)];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 2;
  while (at + 4 <= bytes.length) {
    if (bytes[at] !== 0xff) throw new Error("the JPEG file is damaged: a marker is missing");
    const marker = bytes[at + 1];
    if (marker === 0xff) {
      at++;
      continue;
    }
    const length = view.getUint16(at + 2);
    if (at + 2 + length > bytes.length) throw new Error("the JPEG file is cut off");
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      if (bytes[at + 4] !== 8) throw new Error(`it has ${bytes[at + 4]} bits, and this page reads JPEG of 8 bits; use \`seg infer\``);
      if (![1, 3].includes(bytes[at + 9])) throw new Error("its colours are inks (CMYK), which this page does not read; use `seg infer`");
    }
    if (marker === 0xda) break;
    if (marker !== 0xe2 || text(bytes, at + 4, 11) !== "ICC_PROFILE") kept.push(bytes.subarray(at, at + 2 + length));
    at += 2 + length;
  }
  for (let end = bytes.length - 2; end > at; end--) {
    if (bytes[end] === 0xff && bytes[end + 1] === 0xd9) return [...kept, bytes.subarray(at)];
  }
  throw new Error("the JPEG file is cut off");
}

async function readJpeg(bytes) {
  const blob = new Blob(withoutProfile(bytes), { type: "image/jpeg" });
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" }).catch(() => {
    throw new Error("the browser cannot decode this JPEG file");
  });
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const pixels = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++) pixels.set(data.subarray(4 * i, 4 * i + 3), 3 * i);
  return { width, height, pixels };
}
