//! Data sets: the images, the mask of each, and the test part.

mod affix;
mod annotated;
mod classes;
mod dataset;
mod described_elsewhere;
mod drive;
mod entries;
mod error;
mod fingerprint;
mod glob;
mod isic;
mod kvasir;
mod layout;
mod listing;
mod lists;
mod matching;
mod one_folder;
mod overlap;
mod pairs;
mod palettes;
mod part;
mod parts;
mod pictures;
mod sample;
mod selection;
mod table;
mod text;
mod tree;
mod words;

pub use dataset::Dataset;
pub use error::DatasetError;
pub use layout::Layout;
pub use overlap::{Overlap, image_digests};
pub use part::{Part, PartError};
pub use sample::{Sample, SampleError, SizedSample};
pub use selection::Selection;

use entries::{entries, name_of, unknown_layout};
use parts::{Parts, merge, two_classes};
