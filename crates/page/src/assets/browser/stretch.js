// Resizes with a triangle filter, in the arithmetic of `seg infer`: each step is rounded to 32 bits.

const round = Math.fround;

/** Returns the pixels and weights from which each pixel along an axis is computed. */
function windows(from, to) {
  const ratio = round(from / to), scale = Math.max(ratio, 1);
  return Array.from({ length: to }, (_, index) => {
    let center = round(round(index + 0.5) * ratio);
    const first = Math.min(Math.max(Math.floor(round(center - scale)), 0), from - 1);
    const last = Math.min(Math.max(Math.ceil(round(center + scale)), first + 1), from);
    center = round(center - 0.5);
    const weights = new Float32Array(last - first);
    let sum = 0;
    for (let place = first; place < last; place++) {
      const distance = Math.abs(round(round(place - center) / scale));
      weights[place - first] = distance < 1 ? round(1 - distance) : 0;
      sum = round(sum + weights[place - first]);
    }
    for (let i = 0; i < weights.length; i++) weights[i] = round(weights[i] / sum);
    return { first, weights };
  });
}

/** Resizes values `[height, width, channels]` from one height and width to another. */
export function stretch(values, channels, from, to) {
  if (from[0] === to[0] && from[1] === to[1]) return values;
  const rows = windows(from[0], to[0]), columns = windows(from[1], to[1]);
  const length = from[1] * channels;
  const found = new Float32Array(to[0] * to[1] * channels);
  const sums = new Float32Array(length);
  let at = 0;
  for (const { first, weights } of rows) {
    sums.fill(0);
    for (let row = 0; row < weights.length; row++) {
      const line = (first + row) * length, weight = weights[row];
      for (let i = 0; i < length; i++) sums[i] = sums[i] + round(values[line + i] * weight);
    }
    for (const { first: left, weights: shares } of columns) {
      for (let channel = 0; channel < channels; channel++) {
        let sum = 0;
        for (let i = 0; i < shares.length; i++) sum = round(sum + round(sums[(left + i) * channels + channel] * shares[i]));
        found[at++] = Math.min(Math.max(sum, 0), 1);
      }
    }
  }
  return found;
}
