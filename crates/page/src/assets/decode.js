// Reads masks and probabilities as numbers. A canvas would change them: it knows colours and no classes.

/** Inflates zlib's format. */
export async function inflate(pieces) {
  const stream = new Blob(pieces).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Returns what a filter of PNG guesses of a byte by those to the left of it, above it, and above that on the left. */
export function guess(filter, left, up, corner) {
  if (filter === 1) return left;
  if (filter === 2) return up;
  if (filter === 3) return (left + up) >> 1;
  if (filter !== 4) return 0;
  const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

/** Reads the indices of a PNG file of 8 bits with a palette: { width, height, labels }. */
export async function readMask(buffer) {
  const bytes = new Uint8Array(buffer);
  const view = new DataView(buffer);
  let width = 0, height = 0;
  const pieces = [];
  for (let at = 8; at + 8 <= bytes.length;) {
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const data = bytes.subarray(at + 8, at + 8 + length);
    if (kind === "IHDR") {
      width = view.getUint32(at + 8);
      height = view.getUint32(at + 12);
      if (bytes[at + 16] !== 8 || bytes[at + 17] !== 3 || bytes[at + 20] !== 0) throw new Error("the mask is no indexed PNG file of 8 bits");
    } else if (kind === "IDAT") {
      pieces.push(data);
    }
    at += 12 + length;
  }
  const rows = await inflate(pieces);
  const labels = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const filter = rows[y * (width + 1)];
    const from = y * (width + 1) + 1, to = y * width;
    for (let x = 0; x < width; x++) {
      const left = x > 0 ? labels[to + x - 1] : 0;
      const up = y > 0 ? labels[to + x - width] : 0;
      const corner = x > 0 && y > 0 ? labels[to + x - width - 1] : 0;
      labels[to + x] = rows[from + x] + guess(filter, left, up, corner);
    }
  }
  return { width, height, labels };
}

/** Reads a NumPy file of float32: { shape, values }. */
export function readProbabilities(buffer) {
  const length = new DataView(buffer).getUint16(8, true);
  const header = new TextDecoder().decode(new Uint8Array(buffer, 10, length));
  const shape = /'shape': \(([^)]*)\)/.exec(header)[1].split(",").map(Number).filter((side) => side > 0);
  return { shape, values: new Float32Array(buffer, 10 + length) };
}

/** Returns the labels at a threshold for the second of two classes, as the server computes them. */
export function atThreshold(probabilities, threshold) {
  const [, height, width] = probabilities.shape;
  const pixels = height * width, least = Math.fround(threshold);
  const labels = new Uint8Array(pixels);
  for (let i = 0; i < pixels; i++) labels[i] = probabilities.values[pixels + i] >= least ? 1 : 0;
  return labels;
}

/** Counts the pixels of each class. */
export function areas(labels, classes) {
  const counts = new Array(classes).fill(0);
  for (const label of labels) counts[label]++;
  return counts;
}
