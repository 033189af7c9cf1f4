//! The images that a model has learned from, by digests of their pixels, so that scores on them can
//! be told from scores on others.

use std::collections::BTreeSet;

use image::Rgb32FImage;
use serde_json::{Map, Value, json};

use crate::{Provenance, Sha256};

/// The key among the settings of the training.
const KEY: &str = "image_digests";

/// The bytes of a digest: few enough for thousands of images, and too many for two images to agree
/// by chance.
const DIGEST_BYTES: usize = 8;

/// The digest of an image's pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageDigest([u8; DIGEST_BYTES]);

/// The images that a model has learned from, and those by which its epoch was chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LearnedFrom {
    /// The training images.
    pub training: BTreeSet<ImageDigest>,
    /// The validation images.
    pub validation: BTreeSet<ImageDigest>,
}

impl ImageDigest {
    /// Computes the digest of an image with values in [0, 1]: the first bytes of the SHA-256 of its
    /// width, its height and its values in 16 bits, all little-endian.
    ///
    /// Files of other formats with the same pixels have the same digest, also of 8 and 16 bits.
    pub fn of(image: &Rgb32FImage) -> Self {
        let mut hash = Sha256::new();
        hash.update(image.width().to_le_bytes());
        hash.update(image.height().to_le_bytes());
        let value = |value: &f32| ((f64::from(*value) * 65_535.0).round() as u16).to_le_bytes();
        hash.update(image.iter().flat_map(value).collect::<Vec<u8>>());
        let digest = hash.digest();
        Self(std::array::from_fn(|index| digest[index]))
    }
}

impl LearnedFrom {
    /// Reads the digests from a model's origin; `None` if it does not say them.
    pub fn read(provenance: &Provenance) -> Option<Self> {
        let Some(Value::Object(digests)) = provenance.training.get(KEY) else { return None };
        Some(Self { training: parse(digests, "training"), validation: parse(digests, "validation") })
    }

    /// Writes the digests to a model's origin.
    pub fn write(&self, provenance: &mut Provenance) {
        let value = json!({"training": text(&self.training), "validation": text(&self.validation)});
        provenance.training.insert(KEY.into(), value);
    }

    /// Adds the images of another model, whose weights were the beginning of this one's.
    pub fn extend(&mut self, other: Self) {
        self.training.extend(other.training);
        self.validation.extend(other.validation);
    }
}

/// Returns the settings of a training without the digests, for people.
pub fn settings_without_digests(settings: &Map<String, Value>) -> Map<String, Value> {
    settings.iter().filter(|(key, _)| *key != KEY).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Returns digests in hexadecimal, one behind the other.
fn text(digests: &BTreeSet<ImageDigest>) -> String {
    digests.iter().flat_map(|digest| digest.0).map(|byte| format!("{byte:02x}")).collect()
}

fn parse(digests: &Map<String, Value>, part: &str) -> BTreeSet<ImageDigest> {
    let text = digests.get(part).and_then(Value::as_str).unwrap_or_default();
    let bytes: Vec<u8> =
        (0..text.len() / 2).filter_map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()).collect();
    let digests = bytes.chunks_exact(DIGEST_BYTES);
    digests.map(|bytes| ImageDigest(std::array::from_fn(|index| bytes[index]))).collect()
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn picture(value: f32, width: u32) -> Rgb32FImage {
        Rgb32FImage::from_fn(width, 2, |x, _| Rgb([value, x as f32 / 255.0, 0.0]))
    }

    #[test]
    fn pixels_decide_the_digest() {
        let own = ImageDigest::of(&picture(51.0 / 255.0, 4));
        assert_eq!(own, ImageDigest::of(&picture(13_107.0 / 65_535.0, 4)), "the same value of 16 bits");
        assert_ne!(own, ImageDigest::of(&picture(52.0 / 255.0, 4)));
        assert_ne!(ImageDigest::of(&Rgb32FImage::new(2, 6)), ImageDigest::of(&Rgb32FImage::new(6, 2)));
    }

    #[test]
    fn digests_come_back_from_a_contract() {
        let mut learned = LearnedFrom::default();
        learned.training.extend([0.1, 0.2, 0.3].map(|value| ImageDigest::of(&picture(value, 3))));
        learned.validation.insert(ImageDigest::of(&picture(0.4, 3)));
        let mut contract = crate::example::contract();
        assert_eq!(LearnedFrom::read(&contract.provenance), None);
        contract.provenance.training.insert("epochs".into(), 3.into());
        learned.write(&mut contract.provenance);
        let read = crate::Contract::from_json(&contract.to_json()).unwrap();
        assert_eq!(LearnedFrom::read(&read.provenance), Some(learned));
        let shown = settings_without_digests(&read.provenance.training);
        assert_eq!(shown.keys().collect::<Vec<_>>(), ["epochs"]);
    }
}
