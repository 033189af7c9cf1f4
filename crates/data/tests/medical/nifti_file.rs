//! NIfTI files of a few voxels.

/// A file that is being made.
pub(crate) struct File {
    pub(crate) version: u8,
    pub(crate) is_big_endian: bool,
    pub(crate) dimensions: Vec<i64>,
    /// The code of the type and its bytes.
    pub(crate) kind: (i16, usize),
    /// The values as integers, or as the bits of floats.
    pub(crate) values: Vec<u64>,
    pub(crate) scale: [f64; 2],
    /// The codes of quaternion and matrix.
    pub(crate) codes: [i16; 2],
    pub(crate) matrix: [f64; 12],
    pub(crate) quaternion: [f64; 6],
    pub(crate) sides: [f64; 4],
    pub(crate) units: u8,
    /// The bytes of an extension.
    pub(crate) extension: usize,
}

impl File {
    /// Makes a volume of 16-bit integers whose axes run to the right, the front and up.
    pub(crate) fn volume(size: [i64; 3], values: &[i16]) -> Self {
        Self {
            version: 1,
            is_big_endian: false,
            dimensions: size.to_vec(),
            kind: (4, 2),
            values: values.iter().map(|value| u64::from(*value as u16)).collect(),
            scale: [1.0, 0.0],
            codes: [0, 1],
            matrix: [2.0, 0.0, 0.0, -5.0, 0.0, 3.0, 0.0, -6.0, 0.0, 0.0, 4.0, -7.0],
            quaternion: [0.0; 6],
            sides: [1.0, 2.0, 3.0, 4.0],
            units: 2,
            extension: 0,
        }
    }

    /// Returns the content of the file.
    pub(crate) fn content(&self) -> Vec<u8> {
        let is_first = self.version == 1;
        let size = if is_first { 348 } else { 540 };
        let offset = size + 4 + self.extension;
        let mut bytes = vec![0; offset];
        let mut put = |place: usize, length: usize, number: u64| {
            let mut content = number.to_le_bytes()[..length].to_vec();
            if self.is_big_endian {
                content.reverse();
            }
            bytes[place..place + length].copy_from_slice(&content);
        };
        put(0, 4, size as u64);
        let mut sizes = vec![self.dimensions.len() as i64];
        sizes.extend(&self.dimensions);
        for (index, size) in sizes.iter().enumerate() {
            if is_first { put(40 + 2 * index, 2, *size as u64) } else { put(16 + 8 * index, 8, *size as u64) }
        }
        put(if is_first { 70 } else { 12 }, 2, self.kind.0 as u64);
        put(if is_first { 72 } else { 14 }, 2, 8 * self.kind.1 as u64);
        let mut float = |first: usize, second: usize, index: usize, number: f64| {
            if is_first {
                put(first + 4 * index, 4, u64::from((number as f32).to_bits()));
            } else {
                put(second + 8 * index, 8, number.to_bits());
            }
        };
        self.sides.iter().enumerate().for_each(|(index, side)| float(76, 104, index, *side));
        float(112, 176, 0, self.scale[0]);
        float(116, 184, 0, self.scale[1]);
        self.matrix.iter().enumerate().for_each(|(index, number)| float(280, 400, index, *number));
        self.quaternion.iter().enumerate().for_each(|(index, number)| float(256, 352, index, *number));
        if is_first {
            float(108, 0, 0, offset as f64);
        }
        if is_first {
            put(123, 1, self.units.into());
            put(252, 2, self.codes[0] as u64);
            put(254, 2, self.codes[1] as u64);
            bytes[344..348].copy_from_slice(b"n+1\0");
        } else {
            put(168, 8, offset as u64);
            put(344, 4, self.codes[0] as u64);
            put(348, 4, self.codes[1] as u64);
            put(500, 4, self.units.into());
            bytes[4..12].copy_from_slice(b"n+2\0\r\n\x1a\n");
        }
        for value in &self.values {
            let mut content = value.to_le_bytes()[..self.kind.1].to_vec();
            if self.is_big_endian {
                content.reverse();
            }
            bytes.extend(content);
        }
        bytes
    }
}
