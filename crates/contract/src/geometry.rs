//! The relation of the network's pixels to the image's, and the way back from one to the other.

use ndarray::{Array3, ArrayView3, s};

use crate::resampling::{Restoring, nearest};
use crate::{Input, PreprocessError, SizePolicy};

/// The relation of the network's pixels to the image's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Height and width of the image, in pixels.
    pub image: [usize; 2],
    /// Height and width at which the network runs, in pixels.
    pub network: [usize; 2],
    /// The way in which the image was brought to that size.
    pub placement: Placement,
}

/// The way in which an image was brought to the network's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Placed at the top left corner, and extended to the right and below if necessary.
    Extended,
    /// Stretched, with a triangle filter that is widened if the image shrinks.
    Stretched,
    /// Resampled to a [spacing](crate::Reading::resample) with that filter, placed at the top left
    /// corner, and extended to the right and below if necessary.
    Resampled {
        /// Height and width to which the image was resampled, in pixels.
        size: [usize; 2],
    },
}

impl Input {
    /// Returns the geometry of an image of the given height and width whose pixels have the
    /// [spacing](crate::Reading::resample) that the network sees, where it has one.
    pub fn geometry(&self, image: [usize; 2]) -> Geometry {
        match self.size {
            SizePolicy::Native => Geometry { image, network: self.next_size(image), placement: Placement::Extended },
            SizePolicy::Resize { height, width } => {
                Geometry { image, network: [height, width], placement: Placement::Stretched }
            }
        }
    }

    /// Returns the height and width to which an image is resampled; its own where the contract
    /// names no spacing.
    ///
    /// # Errors
    /// When the contract names a spacing, and the image none, or one that makes it too large.
    pub fn resampled(&self, image: [usize; 2], own: Option<[f64; 2]>) -> Result<[usize; 2], PreprocessError> {
        let Some(spacing) = self.reading.resample else { return Ok(image) };
        let own = own.ok_or(PreprocessError::NoSpacing { spacing })?;
        spacing.size(image, own).ok_or(PreprocessError::Spacing { image, own, spacing })
    }
}

impl Geometry {
    /// Returns the geometry of the image of the given height and width that was resampled to the
    /// image of this one.
    pub(super) fn of_resampled(self, image: [usize; 2]) -> Self {
        if image == self.image {
            return self;
        }
        Self { image, placement: Placement::Resampled { size: self.image }, ..self }
    }

    /// Returns the height and width of the part of the network's input that shows the image.
    pub fn shown(&self) -> [usize; 2] {
        match self.placement {
            Placement::Extended => self.image,
            Placement::Stretched => self.network,
            Placement::Resampled { size } => size,
        }
    }

    /// Returns the row (axis 0) or column (axis 1) of the network that is nearest to one of the
    /// image.
    pub(super) fn nearest(&self, place: u32, axis: usize) -> usize {
        nearest(place as usize, self.shown()[axis], self.image[axis])
    }

    /// Resizes planes `[n, height, width]` from the network's size to the image's.
    pub fn restore(&self, planes: ArrayView3<'_, f32>) -> Array3<f32> {
        let [height, width] = self.image;
        let mut restored = Array3::zeros((planes.dim().0, height, width));
        let mut top = 0;
        self.restore_bands(planes, |rows| {
            let bottom = top + rows.dim().1;
            restored.slice_mut(s![.., top..bottom, ..]).assign(&rows);
            top = bottom;
        });
        restored
    }

    /// Resizes planes `[n, height, width]` from the network's size to the image's, and calls `see`
    /// with some rows of all planes at a time, `[n, rows, width]`, from top to bottom. Where the
    /// image was stretched or resampled, these are as many as lie between two rows of the network,
    /// so that a large image needs little memory.
    pub fn restore_bands(&self, planes: ArrayView3<'_, f32>, mut see: impl FnMut(Array3<f32>)) {
        let shown = self.shown();
        let planes = planes.slice_move(s![.., ..shown[0], ..shown[1]]);
        if self.placement == Placement::Extended {
            return see(planes.to_owned());
        }
        let mut restoring = Restoring::new(planes.dim().0, shown, self.image);
        for row in 0..shown[0] {
            let rows = restoring.push(planes.slice(s![.., row..=row, ..]));
            if rows.dim().1 > 0 {
                see(rows);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Axis;

    use super::*;

    #[test]
    fn planes_are_restored_in_few_rows_with_the_bits_of_the_image_crate() {
        for (name, network, image) in [
            ("grown", [16, 24], [400, 30]),
            ("grown by rows that repeat", [2, 3], [500, 4]),
            ("shrunk", [40, 30], [7, 9]),
            ("as large", [5, 6], [5, 6]),
            ("flat", [16, 24], [1, 500]),
            ("upright", [16, 24], [500, 1]),
        ] {
            let geometry = Geometry { image, network, placement: Placement::Stretched };
            let value = |(plane, y, x): (usize, usize, usize)| ((plane * 7 + y * 31 + x * 17) % 64) as f32 / 64.0;
            let planes = Array3::from_shape_fn((2, network[0], network[1]), value);
            let mut bands = Vec::new();
            geometry.restore_bands(planes.view(), |rows| bands.push(rows));
            let restored = geometry.restore(planes.view());
            for (plane, restored) in planes.outer_iter().zip(restored.outer_iter()) {
                let gray =
                    image::ImageBuffer::<image::Luma<f32>, _>::from_fn(network[1] as u32, network[0] as u32, |x, y| {
                        image::Luma([plane[[y as usize, x as usize]]])
                    });
                let filter = image::imageops::FilterType::Triangle;
                let expected = image::imageops::resize(&gray, image[1] as u32, image[0] as u32, filter).into_raw();
                assert!(restored.iter().eq(&expected), "{name}");
            }
            let views: Vec<_> = bands.iter().map(|rows| rows.view()).collect();
            assert!(ndarray::concatenate(Axis(1), &views).unwrap() == restored, "{name}");
            let most = bands.iter().map(|rows| rows.dim().1).max().unwrap();
            assert!(most <= 2 * image[0].div_ceil(network[0]), "{name}: {most} rows at once");
        }
    }

    #[test]
    fn what_was_resampled_comes_back_over_the_whole_image() {
        // The network shows 8x6 of its 16x16; the image has 4x12.
        let geometry = Geometry { image: [4, 12], network: [16, 16], placement: Placement::Resampled { size: [8, 6] } };
        let planes = Array3::from_shape_fn((1, 16, 16), |(_, y, x)| if y < 8 && x < 6 { x as f32 / 8.0 } else { 1.0 });
        let restored = geometry.restore(planes.view());
        assert_eq!(restored.dim(), (1, 4, 12));
        // Half pixels between the columns, and the first and last beyond the centres of the outer
        // ones.
        let expected = [0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4.25, 4.75, 5.0].map(|value| value / 8.0);
        for row in restored.index_axis(Axis(0), 0).outer_iter() {
            assert!(row.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6), "{row}");
        }
        let places = |axis: usize| (0..geometry.image[axis] as u32).map(move |place| geometry.nearest(place, axis));
        assert_eq!(places(0).collect::<Vec<_>>(), [1, 3, 5, 7]);
        assert_eq!(places(1).collect::<Vec<_>>(), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    }
}
