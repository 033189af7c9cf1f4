//! Convolution and correlation of single planes, in registers.
//!
//! A plane is copied once into a frame of zeros, so that no tap needs to ask whether it lies inside. Then a block of
//! neighbouring pixels stays in registers while all taps go over it.

/// How many neighbouring pixels are computed together: 64 bytes, one or two registers.
const LANES: usize = 16;

/// Planes that lie one behind the other.
pub(super) struct Planes<'a> {
    values: &'a [f32],
    pixels: usize,
}

impl<'a> Planes<'a> {
    /// Planes of a height and a width.
    pub(super) fn new(values: &'a [f32], [h, w]: [usize; 2]) -> Self {
        Self { values, pixels: h * w }
    }

    /// The plane of an index.
    pub(super) fn plane(&self, index: usize) -> &'a [f32] {
        &self.values[index * self.pixels..(index + 1) * self.pixels]
    }
}

/// The taps of a kernel over a framed plane.
pub(super) struct Taps {
    /// Where each tap reads, relative to the top left of its window.
    offsets: Vec<usize>,
    /// Rows of zeros above and below, columns left and right.
    frame: [usize; 2],
    /// The width of a framed row.
    stride: usize,
}

impl Taps {
    /// The taps of a kernel with odd sides over planes of width `w`.
    pub(super) fn new(kernel: [usize; 2], dilation: [usize; 2], w: usize) -> Self {
        let frame = [0, 1].map(|axis| dilation[axis] * (kernel[axis] - 1) / 2);
        let stride = w + 2 * frame[1];
        let rows = (0..kernel[0]).map(|row| row * dilation[0] * stride);
        let offsets = rows.flat_map(|row| (0..kernel[1]).map(move |column| row + column * dilation[1])).collect();
        Self { offsets, frame, stride }
    }

    /// The number of taps.
    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// `y = bias + sum over taps of weight * shifted x`, for one plane of `h` x `w`.
    pub(super) fn convolve(&self, x: &[f32], weight: &[f32], bias: f32, size: [usize; 2], y: &mut [f32]) {
        let framed = self.framed(x, size);
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has both features.
            return unsafe { self.convolve_avx2(&framed, weight, bias, size, y) };
        }
        self.convolve_with(&framed, weight, bias, size, y, |a, b, sum| a * b + sum);
    }

    /// `weight += sum over pixels of gradient * shifted x`, tap by tap, for one plane of `h` x `w`.
    pub(super) fn correlate(&self, x: &[f32], gradient: &[f32], size: [usize; 2], weight: &mut [f32]) {
        let framed = self.framed(x, size);
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has both features.
            return unsafe { self.correlate_avx2(&framed, gradient, size, weight) };
        }
        self.correlate_with(&framed, gradient, size, weight, |a, b, sum| a * b + sum);
    }

    /// The plane in its frame of zeros, with room for a last block that reaches beyond it.
    fn framed(&self, x: &[f32], [h, w]: [usize; 2]) -> Vec<f32> {
        let [rows, columns] = self.frame;
        let mut framed = vec![0.0; (h + 2 * rows) * self.stride + LANES];
        for (y, row) in x.chunks_exact(w).enumerate() {
            let start = (y + rows) * self.stride + columns;
            framed[start..start + w].copy_from_slice(row);
        }
        framed
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn convolve_avx2(&self, framed: &[f32], weight: &[f32], bias: f32, size: [usize; 2], y: &mut [f32]) {
        self.convolve_with(framed, weight, bias, size, y, f32::mul_add);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn correlate_avx2(&self, framed: &[f32], gradient: &[f32], size: [usize; 2], weight: &mut [f32]) {
        self.correlate_with(framed, gradient, size, weight, f32::mul_add);
    }

    /// Inlined into a function per instruction set, so that the loops become its vectors.
    #[inline(always)]
    fn convolve_with(
        &self,
        framed: &[f32],
        weight: &[f32],
        bias: f32,
        [_, w]: [usize; 2],
        y: &mut [f32],
        multiply_add: impl Fn(f32, f32, f32) -> f32 + Copy,
    ) {
        for (row, y) in y.chunks_exact_mut(w).enumerate() {
            let window = &framed[row * self.stride..];
            for (block, y) in y.chunks_mut(LANES).enumerate() {
                let mut sums = [bias; LANES];
                for (offset, weight) in self.offsets.iter().zip(weight) {
                    let x = lanes(window, block * LANES + offset);
                    for lane in 0..LANES {
                        sums[lane] = multiply_add(x[lane], *weight, sums[lane]);
                    }
                }
                y.copy_from_slice(&sums[..y.len()]);
            }
        }
    }

    /// Inlined into a function per instruction set, so that the loops become its vectors.
    #[inline(always)]
    fn correlate_with(
        &self,
        framed: &[f32],
        gradient: &[f32],
        [_, w]: [usize; 2],
        weight: &mut [f32],
        multiply_add: impl Fn(f32, f32, f32) -> f32 + Copy,
    ) {
        // Four taps at a time share the gradient's block; their sums stay in registers along the whole plane.
        for (offsets, weight) in self.offsets.chunks(TAPS_TOGETHER).zip(weight.chunks_mut(TAPS_TOGETHER)) {
            // A chunk that is not full repeats its first tap, whose surplus sums are dropped.
            let offsets: [usize; TAPS_TOGETHER] =
                std::array::from_fn(|tap| offsets.get(tap).copied().unwrap_or(offsets[0]));
            // Separate variables, not rows of an array: only these stay in registers.
            let [mut first, mut second, mut third, mut fourth] = [[0.0; LANES]; TAPS_TOGETHER];
            for (row, gradient) in gradient.chunks_exact(w).enumerate() {
                let window = &framed[row * self.stride..];
                let mut add = |start: usize, gradient: &[f32; LANES]| {
                    let x = offsets.map(|offset| lanes(window, start + offset));
                    for lane in 0..LANES {
                        first[lane] = multiply_add(x[0][lane], gradient[lane], first[lane]);
                        second[lane] = multiply_add(x[1][lane], gradient[lane], second[lane]);
                        third[lane] = multiply_add(x[2][lane], gradient[lane], third[lane]);
                        fourth[lane] = multiply_add(x[3][lane], gradient[lane], fourth[lane]);
                    }
                };
                let (blocks, rest) = gradient.as_chunks();
                for (block, gradient) in blocks.iter().enumerate() {
                    add(block * LANES, gradient);
                }
                if !rest.is_empty() {
                    let mut padded = [0.0; LANES];
                    padded[..rest.len()].copy_from_slice(rest);
                    add(blocks.len() * LANES, &padded);
                }
            }
            let sums = [first, second, third, fourth];
            for (weight, sums) in weight.iter_mut().zip(&sums) {
                *weight += sums.iter().sum::<f32>();
            }
        }
    }
}

/// How many taps share one pass over the gradient.
const TAPS_TOGETHER: usize = 4;

/// The block of `values` that begins at `start`.
#[inline(always)]
fn lanes(values: &[f32], start: usize) -> &[f32; LANES] {
    values[start..].first_chunk().expect("a framed plane has room for its last block")
}
