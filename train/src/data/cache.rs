//! The pictures of a set of samples, kept in memory as far as there is room.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use seg_contract::SizePolicy;
use seg_data::{Sample, SampleError};

use crate::data::picture::Picture;

/// The pictures of a set of samples.
///
/// Images that were loaded first stay, and those that find no room are loaded each time: as every
/// round asks for every sample once, throwing one out for another would gain nothing.
#[derive(Debug)]
pub struct Cache {
    size: SizePolicy,
    /// The most pixels that are kept in each direction, in times those that the network sees.
    detail: u32,
    kept: Vec<OnceLock<Arc<Picture>>>,
    /// The bytes that are still free.
    room: AtomicUsize,
}

impl Cache {
    /// Creates a cache for a number of samples, to be seen at a size and kept in some
    /// [detail](Picture::load), of at most `bytes` in memory.
    pub fn new(samples: usize, size: SizePolicy, detail: u32, bytes: usize) -> Self {
        Self { size, detail, kept: vec![OnceLock::new(); samples], room: AtomicUsize::new(bytes) }
    }

    /// Returns the picture of the sample at a position in the set.
    ///
    /// # Errors
    /// When it is not in memory and cannot be loaded.
    pub fn get(&self, place: usize, sample: &Sample) -> Result<Arc<Picture>, SampleError> {
        if let Some(picture) = self.kept[place].get() {
            return Ok(Arc::clone(picture));
        }
        let picture = Arc::new(Picture::load(sample, self.size, self.detail)?);
        let bytes = picture.bytes();
        let takes = |room: usize| room.checked_sub(bytes);
        if self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, takes).is_ok()
            && self.kept[place].set(Arc::clone(&picture)).is_err()
        {
            // Another thread kept the same picture meanwhile.
            self.room.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(picture)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::{GrayImage, Luma, Rgb, RgbImage};
    use seg_data::{Dataset, write_mask_png, write_png};

    use super::*;

    #[test]
    fn pictures_are_kept_while_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["images", "masks"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for number in 0..3u8 {
            let image = RgbImage::from_pixel(10, 10, Rgb([number; 3]));
            let mask = GrayImage::from_fn(10, 10, |x, _| Luma([u8::from(x > 4)]));
            write_png(&folder.path().join(format!("images/{number}.png")), &image).unwrap();
            write_mask_png(&folder.path().join(format!("masks/{number}.png")), &mask, &[[0; 3], [255; 3]]).unwrap();
        }
        let samples = Dataset::open(folder.path()).unwrap().train;
        // Each takes 400 bytes.
        for (name, bytes, kept) in [("room for none", 399, 0), ("for two", 900, 2), ("for all", 1200, 3)] {
            let cache = Cache::new(3, SizePolicy::Native, 1, bytes);
            let load = || -> Vec<_> { (0..3).map(|place| cache.get(place, &samples[place]).unwrap()).collect() };
            let (first, second) = (load(), load());
            assert_eq!(first, second, "{name}");
            let same = first.iter().zip(&second).filter(|(first, second)| Arc::ptr_eq(first, second)).count();
            assert_eq!(same, kept, "{name}");
        }
    }
}
