//! Annotations of images as masks: COCO, YOLO segments, LabelMe, and GeoJSON as QuPath writes it.

mod coco;
mod geojson;
mod labelme;
mod polygon;
mod rle;
mod yolo;

use std::path::{Path, PathBuf};

use image::GrayImage;
use seg_contract::sha256;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub(crate) use coco::Coco;
use polygon::Ring;
pub(crate) use yolo::names as names_of_yolo;

use crate::formats::{ReadError, open_image};

/// An error in reading annotations.
#[derive(Debug, Error)]
pub enum AnnotationError {
    /// The file is not of a known form.
    #[error("cannot read `{path}` as annotations: {found}, expected {expected}")]
    Form {
        /// The file.
        path: PathBuf,
        /// The content.
        found: String,
        /// The expected content.
        expected: &'static str,
    },
    /// The size of the image cannot be read.
    #[error(transparent)]
    Image(#[from] ReadError),
}

/// The areas that are drawn on an image, in the order in which they are drawn: a later one covers
/// an earlier one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drawing {
    /// The image.
    #[serde(skip)]
    pub(crate) image: PathBuf,
    /// The file of the annotations, for messages.
    #[serde(skip)]
    pub(crate) file: PathBuf,
    /// Width and height, where the annotations say them.
    pub(crate) size: Option<[u32; 2]>,
    pub(crate) shapes: Vec<Shape>,
}

/// An area of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shape {
    /// The name of the class.
    pub(crate) class: String,
    /// Its label, once the classes of all images are known.
    pub(crate) label: u8,
    pub(crate) area: Area,
}

/// The pixels of a shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Area {
    /// Polygons, of which each is filled by COCO's rule.
    Coco(Vec<Ring>),
    /// Run lengths, of an image of a width and height.
    Runs { counts: Vec<u32>, size: [u32; 2] },
    /// Polygons of rings, the first of each around the others, filled by their pixels' centres.
    Rings(Vec<Vec<Ring>>),
    /// The same in shares of the image's width and height.
    Shares(Vec<Vec<Ring>>),
    /// A disc around a centre.
    Disc { center: [f64; 2], radius: f64 },
}

/// The form of a file of annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AnnotationForm {
    /// One file for many images.
    Coco,
    LabelMe,
    GeoJson,
    Yolo,
}

impl AnnotationForm {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Coco => "COCO",
            Self::LabelMe => "LabelMe",
            Self::GeoJson => "GeoJSON",
            Self::Yolo => "YOLO",
        }
    }

    /// Recognises a file by its content; `None` if it is something else.
    pub(crate) fn sniff(path: &Path, text: &str) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        if extension == "txt" {
            return yolo::is_one(text).then_some(Self::Yolo);
        }
        #[derive(Deserialize)]
        struct Keys {
            images: Option<serde::de::IgnoredAny>,
            annotations: Option<serde::de::IgnoredAny>,
            shapes: Option<serde::de::IgnoredAny>,
            #[serde(rename = "type")]
            kind: Option<serde_json::Value>,
            geometry: Option<serde::de::IgnoredAny>,
        }
        if text.trim_start().starts_with('[') {
            return serde_json::from_str::<Vec<Keys>>(text)
                .is_ok_and(|items| items.iter().all(|item| item.geometry.is_some()) && !items.is_empty())
                .then_some(Self::GeoJson);
        }
        let keys: Keys = serde_json::from_str(text).ok()?;
        let kind = keys.kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or_default();
        if keys.images.is_some() && keys.annotations.is_some() {
            Some(Self::Coco)
        } else if keys.shapes.is_some() {
            Some(Self::LabelMe)
        } else if ["FeatureCollection", "Feature"].contains(&kind) {
            Some(Self::GeoJson)
        } else {
            None
        }
    }

    /// Reads the annotations of one image; those of COCO are in a file for many.
    pub(crate) fn read(self, path: &Path, text: &str, image: &Path) -> Result<Drawing, AnnotationError> {
        let (size, shapes) = match self {
            Self::LabelMe => labelme::read(path, text)?,
            Self::GeoJson => (None, geojson::read(path, text)?),
            Self::Yolo => (None, yolo::read(path, text)?),
            Self::Coco => {
                let (found, expected) = ("it is a file for many images".into(), "one for this image");
                return Err(AnnotationError::Form { path: path.into(), found, expected });
            }
        };
        Ok(Drawing { image: image.into(), file: path.into(), size, shapes })
    }
}

impl Drawing {
    /// Returns the SHA-256 of everything that decides the labels.
    pub(crate) fn digest(&self) -> String {
        sha256(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Draws the labels, on an image of the size that the annotations say, or of its own.
    pub(crate) fn labels(&self) -> Result<GrayImage, AnnotationError> {
        let [width, height] = match self.size {
            Some(size) => size,
            None => {
                let image = open_image(&self.image)?;
                [image.info().width, image.info().height]
            }
        };
        let size = [width as usize, height as usize];
        let mut labels = GrayImage::new(width, height);
        let mut mask = vec![false; labels.len()];
        for shape in &self.shapes {
            mask.fill(false);
            self.fill(&shape.area, size, &mut mask)?;
            for (label, inside) in labels.iter_mut().zip(&mask) {
                if *inside {
                    *label = shape.label;
                }
            }
        }
        Ok(labels)
    }

    fn fill(&self, area: &Area, [width, height]: [usize; 2], mask: &mut [bool]) -> Result<(), AnnotationError> {
        let refuse = |found: String, expected| Err(AnnotationError::Form { path: self.file.clone(), found, expected });
        let rings: Vec<&Ring> = match area {
            Area::Coco(rings) => rings.iter().collect(),
            Area::Rings(polygons) | Area::Shares(polygons) => polygons.iter().flatten().collect(),
            Area::Runs { .. } | Area::Disc { .. } => Vec::new(),
        };
        if !rings.into_iter().all(polygon::is_usable) {
            return refuse("a corner is a million pixels away or more".into(), "coordinates in pixels of the image");
        }
        match area {
            Area::Coco(rings) => rings.iter().for_each(|ring| polygon::fill_as_coco(ring, [width, height], mask)),
            Area::Rings(polygons) => {
                for rings in polygons {
                    polygon::fill_centers(rings, [width, height], mask);
                }
            }
            Area::Shares(polygons) => {
                for rings in polygons {
                    let pixels = |[x, y]: &[f64; 2]| [x * width as f64, y * height as f64];
                    let rings: Vec<Ring> = rings.iter().map(|ring| ring.iter().map(pixels).collect()).collect();
                    polygon::fill_centers(&rings, [width, height], mask);
                }
            }
            Area::Runs { counts, size } => {
                let own = [size[0] as usize, size[1] as usize];
                if own != [width, height] || !rle::fill(counts, own, mask) {
                    return refuse(
                        format!("run lengths of an image of {}x{} on one of {width}x{height}", own[0], own[1]),
                        "as many pixels as the image has",
                    );
                }
            }
            Area::Disc { center: [x, y], radius } => {
                for (index, inside) in mask.iter_mut().enumerate() {
                    let (dx, dy) = ((index % width) as f64 + 0.5 - x, (index / width) as f64 + 0.5 - y);
                    *inside |= dx * dx + dy * dy <= radius * radius;
                }
            }
        }
        Ok(())
    }
}
