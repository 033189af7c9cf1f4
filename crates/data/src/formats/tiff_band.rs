//! A row of a TIFF file's strips or tiles in one piece.

/// A row of chunks: red, green and blue at full width.
pub(super) enum Band {
    Bits8(Vec<[u8; 3]>),
    Bits16(Vec<[u16; 3]>),
    Float(Vec<[f32; 3]>),
}

/// The position of a chunk in its band.
pub(super) struct Place {
    /// The samples of a pixel that lie in the chunk.
    pub(super) channels: usize,
    /// The rows and columns that are copied.
    pub(super) size: [usize; 2],
    /// The first column in the band.
    pub(super) left: usize,
    /// The columns of the band.
    pub(super) width: usize,
}

impl Place {
    /// Copies a chunk's red, green and blue, or its grey three times.
    pub(super) fn copy<T: Copy>(&self, values: &[T], band: &mut [[T; 3]]) {
        let colors = if self.channels < 3 { [0, 0, 0] } else { [0, 1, 2] };
        self.copy_colors(values, band, colors.map(Some));
    }

    /// Copies the values of these channels to red, green and blue; a colour without one is kept.
    pub(super) fn copy_colors<T: Copy>(&self, values: &[T], band: &mut [[T; 3]], colors: [Option<usize>; 3]) {
        let lines = values.chunks_exact(self.size[1] * self.channels).take(self.size[0]);
        for (line, target) in lines.zip(band.chunks_exact_mut(self.width)) {
            for (pixel, target) in line.chunks_exact(self.channels).zip(&mut target[self.left..]) {
                for (target, color) in target.iter_mut().zip(colors) {
                    if let Some(color) = color {
                        *target = pixel[color];
                    }
                }
            }
        }
    }
}
