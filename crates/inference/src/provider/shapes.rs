//! The sizes of input that a TensorRT engine is built for.

use std::fmt;
use std::str::FromStr;

use seg_contract::{Element, Input, SizePolicy};

/// The smallest, the most frequent and the largest batch of images that an engine takes.
///
/// TensorRT chooses its kernels for the most frequent one, and takes any between the other two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shapes {
    min: Shape,
    best: Shape,
    max: Shape,
}

/// A batch of images: their number, their height and their width.
type Shape = [usize; 3];

/// The most images that go into an engine at once, by default.
const BATCH_SIZE_MAX: usize = 8;

/// The most frequent and the longest side, in pixels, of a model that runs images at their own
/// size, by default.
const SIDE_BEST: usize = 512;
const SIDE_MAX: usize = 1024;

impl Shapes {
    /// Makes the shapes for batches of images or tiles of one height and width, most of them full.
    pub fn fixed(height: usize, width: usize, batch_max: usize) -> Self {
        let batch = |size| [size, height, width];
        Self { min: batch(1), best: batch(batch_max), max: batch(batch_max) }
    }

    /// Derives the shapes from a model's contract, for `batch` images or tiles at once; tiles have
    /// one height and width.
    pub fn from_contract(input: &Input, tile: Option<[usize; 2]>, batch: usize) -> Self {
        let batch_max = batch.max(BATCH_SIZE_MAX);
        let shapes = match (tile, input.form.size, input.size) {
            (Some([height, width]), ..) => Self::fixed(height, width, batch),
            (None, Some([height, width]), _) | (None, None, SizePolicy::Resize { height, width }) => {
                Self { best: [1, height, width], ..Self::fixed(height, width, batch_max) }
            }
            (None, None, SizePolicy::Native) => {
                let [min, best, max] = [0, SIDE_BEST, SIDE_MAX].map(|side| input.next_size([side; 2]));
                let of = |batch, [height, width]: [usize; 2]| [batch, height, width];
                Self { min: of(1, min), best: of(1, best), max: of(batch_max, max) }
            }
        };
        let Some(batch) = input.form.batch else { return shapes };
        let [min, best, max] = [shapes.min, shapes.best, shapes.max].map(|[_, height, width]| [batch, height, width]);
        Self { min, best, max }
    }

    /// Returns the most frequent height and width.
    pub fn best_size(&self) -> [usize; 2] {
        let [_, height, width] = self.best;
        [height, width]
    }

    /// Returns whether an image of this height and width lies between the smallest and the largest.
    pub(crate) fn take_size(&self, size: [usize; 2]) -> bool {
        self.nearest_size(size) == size
    }

    /// Returns the height and width nearest to these that lie between the smallest and the largest.
    pub(crate) fn nearest_size(&self, size: [usize; 2]) -> [usize; 2] {
        [0, 1].map(|axis| size[axis].clamp(self.min[axis + 1], self.max[axis + 1]))
    }

    /// Returns whether an input `[n, c, h, w]` lies between the smallest and the largest.
    pub fn contain(&self, [n, _, h, w]: [usize; 4]) -> bool {
        (0..3).all(|axis| (self.min[axis]..=self.max[axis]).contains(&[n, h, w][axis]))
    }

    /// Formats TensorRT's options for the smallest, the most frequent and the largest shape of a
    /// graph's input.
    pub(super) fn profile(&self, input: &Input) -> [String; 3] {
        let (name, c) = (&input.name, input.color.channels());
        [self.min, self.best, self.max].map(|[n, h, w]| match input.form.element {
            Element::Float => format!("{name}:{n}x{c}x{h}x{w}"),
            Element::U8 => format!("{name}:{n}x{h}x{w}x{c}"),
        })
    }
}

impl fmt::Display for Shapes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [min, best, max] = [self.min, self.best, self.max].map(|[n, h, w]| format!("{n}x{h}x{w}"));
        write!(f, "{min},{best},{max}")
    }
}

/// Reads `BATCHxHEIGHTxWIDTH`.
fn parse_shape(text: &str) -> Option<Shape> {
    let sides: Option<Vec<usize>> = text.split('x').map(|side| side.parse().ok()).collect();
    sides?.try_into().ok()
}

impl FromStr for Shapes {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shapes: Option<Vec<Shape>> = text.split(',').map(parse_shape).collect();
        let ordered = |small: &Shape, large: &Shape| (0..3).all(|axis| 1 <= small[axis] && small[axis] <= large[axis]);
        match shapes.as_deref() {
            Some(&[min, best, max]) if ordered(&min, &best) && ordered(&best, &max) => Ok(Self { min, best, max }),
            _ => Err("expected the smallest, the most frequent and the largest BATCHxHEIGHTxWIDTH, as in \
                      1x64x64,1x512x512,4x1024x1024"),
        }
    }
}

#[cfg(test)]
mod tests {
    use seg_contract::{ColorOrder, InputForm, Reading};

    use super::*;

    fn input(size: SizePolicy) -> Input {
        Input {
            name: "input".into(),
            color: ColorOrder::Rgb,
            mean: vec![0.5; 3],
            std: vec![0.5; 3],
            size,
            side_min: 16,
            side_multiple: 1,
            form: InputForm::default(),
            reading: Reading::default(),
        }
    }

    #[test]
    fn a_contract_says_what_an_engine_is_built_for() {
        let stretched = SizePolicy::Resize { height: 64, width: 96 };
        for (size, tile, batch, text, profile) in [
            (
                SizePolicy::Native,
                None,
                1,
                "1x16x16,1x512x512,8x1024x1024",
                ["input:1x3x16x16", "input:1x3x512x512", "input:8x3x1024x1024"],
            ),
            (stretched, None, 1, "1x64x96,1x64x96,8x64x96", ["input:1x3x64x96", "input:1x3x64x96", "input:8x3x64x96"]),
            (
                stretched,
                None,
                32,
                "1x64x96,1x64x96,32x64x96",
                ["input:1x3x64x96", "input:1x3x64x96", "input:32x3x64x96"],
            ),
            (
                SizePolicy::Native,
                Some([128, 64]),
                4,
                "1x128x64,4x128x64,4x128x64",
                ["input:1x3x128x64", "input:4x3x128x64", "input:4x3x128x64"],
            ),
        ] {
            let shapes = Shapes::from_contract(&input(size), tile, batch);
            assert_eq!(shapes.to_string(), text);
            assert_eq!(shapes.profile(&input(size)), profile);
            assert_eq!(text.parse(), Ok(shapes));
        }
    }

    #[test]
    fn the_form_of_the_input_goes_before_the_policy() {
        let fixed = InputForm { batch: Some(2), size: Some([32, 48]), element: Element::U8 };
        let input = Input { form: fixed, ..input(SizePolicy::Native) };
        for tile in [None, Some([32, 48])] {
            let shapes = Shapes::from_contract(&input, tile, 4);
            assert_eq!(shapes.to_string(), "2x32x48,2x32x48,2x32x48", "{tile:?}");
        }
        let shapes = Shapes::from_contract(&input, None, 1);
        assert_eq!(shapes.profile(&input), ["input:2x32x48x3"; 3]);
    }

    #[test]
    fn shapes_are_three_that_grow() {
        for text in
            ["", "1x2x3", "1x2x3,1x2x3", "0x2x3,1x2x3,1x2x3", "1x9x3,1x2x3,1x9x3", "1x2,1x2,1x2", "ax1x1,1x1x1,1x1x1"]
        {
            assert!(text.parse::<Shapes>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_input_outside_is_told_from_one_inside() {
        let shapes: Shapes = "1x16x16,2x64x64,4x128x256".parse().unwrap();
        for (shape, inside) in [
            ([1, 3, 16, 16], true),
            ([4, 3, 128, 256], true),
            ([5, 3, 64, 64], false),
            ([1, 3, 15, 64], false),
            ([1, 3, 64, 257], false),
        ] {
            assert_eq!(shapes.contain(shape), inside, "{shape:?}");
        }
        for (size, nearest) in
            [([16, 256], [16, 256]), ([200, 15], [128, 16]), ([64, 512], [64, 256]), ([64, 64], [64, 64])]
        {
            assert_eq!(shapes.nearest_size(size), nearest);
            assert_eq!(shapes.take_size(size), size == nearest, "{size:?}");
        }
    }
}
