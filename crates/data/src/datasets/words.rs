//! The words by which folders say what they hold.

use std::path::Path;

/// The content of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Image,
    Mask,
    /// Fields of view.
    Field,
}

/// The part that a folder says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Portion {
    Train,
    Validation,
    Test,
}

const KINDS: [(Kind, &[&str]); 3] = [
    (
        Kind::Image,
        &["images", "image", "imgs", "img", "jpegimages", "pngimages", "inputs", "input", "originals", "original"],
    ),
    (
        Kind::Mask,
        &[
            "masks",
            "mask",
            "labels",
            "label",
            "annotations",
            "annotation",
            "annots",
            "annot",
            "segmentationclass",
            "segmentations",
            "segmentation",
            "segs",
            "seg",
            "groundtruths",
            "groundtruth",
            "gts",
            "gt",
            "targets",
            "target",
        ],
    ),
    (Kind::Field, &["fieldsofview", "fieldofview", "fov"]),
];

const PORTIONS: [(Portion, &[&str]); 3] = [
    (Portion::Train, &["training", "train"]),
    (Portion::Validation, &["validation", "valid", "val"]),
    (Portion::Test, &["testing", "test"]),
];

/// The ends by which nnU-Net says the part of a folder: `imagesTr`.
const SHORT: [(Portion, &str); 2] = [(Portion::Train, "tr"), (Portion::Test, "ts")];

/// The statement of a folder's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// The content, and the word for it without the part: `masks` of `train_masks`.
    pub(super) kind: Option<(Kind, String)>,
    pub(super) portion: Option<Portion>,
}

impl Word {
    /// Reads a name: a word for the content, for a part, or both in either order, in any case and
    /// with any signs between.
    pub(super) fn read(name: &str) -> Self {
        let plain = plain(name);
        let kind = |text: &str| kind(text).map(|kind| (kind, text.to_owned()));
        if let Some(found) = kind(&plain) {
            return Self { kind: Some(found), portion: None };
        }
        for (portion, words) in PORTIONS {
            for word in words {
                if plain == *word {
                    return Self { kind: None, portion: Some(portion) };
                }
                let rest = [plain.strip_prefix(word), plain.strip_suffix(word)];
                if let Some(found) = rest.into_iter().flatten().find_map(kind) {
                    return Self { kind: Some(found), portion: Some(portion) };
                }
            }
        }
        for (portion, end) in SHORT {
            if let Some(found) = plain.strip_suffix(end).and_then(kind) {
                return Self { kind: Some(found), portion: Some(portion) };
            }
        }
        Self::default()
    }
}

/// Returns the content that a word stands for.
fn kind(text: &str) -> Option<Kind> {
    KINDS.iter().find(|(_, words)| words.contains(&text)).map(|(kind, _)| *kind)
}

/// Returns a name without case and signs.
pub(super) fn plain(name: &str) -> String {
    name.chars().filter(|sign| sign.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Returns true if the end or the beginning of a name says that it is a mask: `_mask`, `_1stHO`
/// does not.
pub(super) fn speaks_of_masks(affix: &str) -> bool {
    let parts = affix.split(|sign: char| !sign.is_alphanumeric()).map(plain);
    parts.into_iter().any(|part| {
        let part = part.trim_end_matches(|sign: char| sign.is_ascii_digit());
        kind(part) == Some(Kind::Mask) || ["manual", "anno", "annot", "lab", "lbl", "labelids"].contains(&part)
    })
}

/// Returns the part whose list a file is, by its name: `train.txt`.
pub(super) fn portion_of_file(path: &Path) -> Option<Portion> {
    let stem = path.file_stem()?.to_str()?;
    let Word { kind: None, portion } = Word::read(stem) else { return None };
    portion
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_say_what_they_hold() {
        let (image, mask) = (Some(Kind::Image), Some(Kind::Mask));
        let (train, validation, test) = (Some(Portion::Train), Some(Portion::Validation), Some(Portion::Test));
        for (name, kind, portion) in [
            ("images", image, None),
            ("Images", image, None),
            ("IMGS", image, None),
            ("JPEGImages", image, None),
            ("Original", image, None),
            ("labels", mask, None),
            ("Ground Truth", mask, None),
            ("SegmentationClass", mask, None),
            ("gt", mask, None),
            ("train", None, train),
            ("Validation", None, validation),
            ("val_images", image, validation),
            ("images-test", image, test),
            ("trainannot", mask, train),
            ("imagesTr", image, train),
            ("labelsTs", mask, test),
            ("fields_of_view", Some(Kind::Field), None),
            ("patient_7", None, None),
            ("SegmentationObject", None, None),
        ] {
            let word = Word::read(name);
            assert_eq!((word.kind.map(|(kind, _)| kind), word.portion), (kind, portion), "{name}");
        }
        assert_eq!(Word::read("train_masks").kind.unwrap().1, "masks");
    }

    #[test]
    fn some_ends_say_that_a_file_is_a_mask() {
        for (end, expected) in [
            ("_mask", true),
            ("_Segmentation", true),
            ("-label", true),
            ("_manual1", true),
            ("_sat", false),
            ("_a", false),
        ] {
            assert_eq!(speaks_of_masks(end), expected, "{end}");
        }
    }
}
