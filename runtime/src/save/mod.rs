//! The results that can be saved of a segmented image, a file each.

mod outline;
pub mod outputs;
mod rle;
pub mod volumes;

use std::borrow::Cow;
use std::io::{self, Write};
use std::ops::Range;

use image::GrayImage;
use ndarray::{ArrayView2, Axis};
use seg_contract::Class;
use seg_data::{ImageReader, OverlayStyle, Overlayer, PngKind, encode_png};
use seg_inference::Segmentation;
use serde::{Deserialize, Serialize};
use serde_json::json;

use outline::{Corner, polygons};
use rle::RunLengths;

/// A kind of result that can be saved of a segmented image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Save {
    /// A PNG file whose pixel values are class indices; its palette shows the classes' colours.
    Mask,
    /// A black and white PNG file for each class except the background.
    Binary,
    /// The image with each class tinted and outlined, as PNG.
    Overlay,
    /// The image with each class outlined, as PNG.
    Contours,
    /// A grey 16-bit PNG file of the probability of each class except the background; 65535 is 1.
    Probabilities,
    /// The probabilities of all classes as a NumPy file, `[classes, height, width]` in float32.
    ProbabilitiesNpy,
    /// The probabilities of all classes as a NIfTI file in float32 on the grid of a volume, with
    /// the classes as its fourth dimension, for each NIfTI file or DICOM series.
    ProbabilitiesNifti,
    /// A grey 16-bit PNG file of the uncertainty; 65535 is 1.
    Uncertainty,
    /// Each class as run lengths, in COCO's format.
    Rle,
    /// Each area as a polygon, as GeoJSON.
    Polygons,
    /// The masks of a DICOM series as a DICOM segmentation, a file for each series.
    DicomSeg,
    /// The masks of a DICOM series as a DICOM segmentation of labels, which newer viewers read, a
    /// file for each series.
    DicomLabelmap,
    /// The masks of a volume as a NIfTI file on its grid, for each NIfTI file or DICOM series.
    Nifti,
    /// The masks of a file's pages, or of a volume's slices, as pages of a TIFF file.
    Tiff,
}

impl Save {
    /// Returns whether the kind needs the probabilities.
    pub fn needs_probabilities(self) -> bool {
        matches!(self, Self::Probabilities | Self::ProbabilitiesNpy | Self::ProbabilitiesNifti)
    }

    /// Returns the kind of the files of pictures that a file of a volume is made of, if it is one.
    pub fn source(self) -> Option<Self> {
        match self {
            Self::ProbabilitiesNifti => Some(Self::ProbabilitiesNpy),
            _ => self.is_of_volumes().then_some(Self::Mask),
        }
    }

    /// Returns whether a file holds the results of a whole volume, and is written when all its
    /// pictures are complete.
    pub fn is_of_volumes(self) -> bool {
        matches!(self, Self::DicomSeg | Self::DicomLabelmap | Self::Nifti | Self::ProbabilitiesNifti | Self::Tiff)
    }

    /// Returns the folder for the kind's files.
    fn folder(self) -> &'static str {
        match self {
            Self::Mask => "masks",
            Self::Binary => "binary",
            Self::Overlay => "overlays",
            Self::Contours => "contours",
            Self::Probabilities | Self::ProbabilitiesNpy => "probabilities",
            Self::ProbabilitiesNifti => "probabilities-nifti",
            Self::Uncertainty => "uncertainty",
            Self::Rle => "rle",
            Self::Polygons => "polygons",
            Self::DicomSeg => "dicom-seg",
            Self::DicomLabelmap => "dicom-labelmap",
            Self::Nifti => "nifti",
            Self::Tiff => "tiff",
        }
    }

    /// Returns the extension of the kind's files, without a dot.
    fn extension(self) -> &'static str {
        match self {
            Self::Mask | Self::Binary | Self::Overlay | Self::Contours | Self::Probabilities | Self::Uncertainty => {
                "png"
            }
            Self::ProbabilitiesNpy => "npy",
            Self::Rle => "json",
            Self::Polygons => "geojson",
            Self::DicomSeg | Self::DicomLabelmap => "dcm",
            Self::Nifti | Self::ProbabilitiesNifti => "nii.gz",
            Self::Tiff => "tif",
        }
    }

    /// Returns whether there is a file for each class.
    fn is_by_class(self) -> bool {
        matches!(self, Self::Binary | Self::Probabilities)
    }

    /// Returns whether a writer of the kind, for any classes, may write the file of the image
    /// `name` at `path` in the folder of the results.
    pub(crate) fn may_write(self, path: &str, name: &str) -> bool {
        let ending = format!("/{name}.{}", self.extension());
        if self.is_of_volumes() {
            return false;
        }
        let Some(folder) = path.strip_suffix(&ending) else { return false };
        match folder.strip_prefix(self.folder()) {
            Some("") => !self.is_by_class(),
            Some(class) => {
                let class = class.strip_prefix('/').and_then(|class| class.split_once('-'));
                let is_class =
                    |(label, class): (&str, &str)| label.parse::<u8>().is_ok() && file_name_of(class) == class;
                self.is_by_class() && class.is_some_and(is_class)
            }
            None => false,
        }
    }

    /// Returns the place of the kind's files, or of those for one class.
    pub(crate) fn place(self, class: Option<(&Class, u8)>) -> Place {
        let folder = match class {
            Some((class, label)) => format!("{}/{label}-{}", self.folder(), file_name_of(&class.name)),
            None => self.folder().into(),
        };
        Place { save: self, folder, extension: self.extension() }
    }

    /// Makes the writers of the kind's files for a model of these classes.
    pub fn writers(self, classes: &[Class]) -> Vec<Box<dyn ResultWriter>> {
        let targets = || classes.iter().zip(0..=u8::MAX).skip(1);
        let palette = || classes.iter().map(|class| class.color).collect();
        match self {
            Self::Mask => vec![Box::new(MaskPng { place: self.place(None), palette: palette() })],
            Self::Binary => {
                let writers = targets().map(|class| -> Box<dyn ResultWriter> {
                    Box::new(BinaryPng { place: self.place(Some(class)), label: class.1 })
                });
                writers.collect()
            }
            Self::Overlay | Self::Contours => {
                let style = if self == Self::Overlay { OverlayStyle::Tinted } else { OverlayStyle::Contours };
                vec![Box::new(OverlayPng { place: self.place(None), palette: palette(), style })]
            }
            Self::Probabilities => {
                let writers = targets().map(|class| -> Box<dyn ResultWriter> {
                    Box::new(MapPng { place: self.place(Some(class)), plane: Plane::Class(class.1) })
                });
                writers.collect()
            }
            Self::ProbabilitiesNpy => vec![Box::new(ProbabilitiesNpy { place: self.place(None) })],
            Self::Uncertainty => {
                vec![Box::new(MapPng { place: self.place(None), plane: Plane::Uncertainty })]
            }
            Self::Rle => vec![Box::new(CocoRle { place: self.place(None), classes: classes.to_vec() })],
            Self::DicomSeg | Self::DicomLabelmap | Self::Nifti | Self::ProbabilitiesNifti | Self::Tiff => Vec::new(),
            Self::Polygons => vec![Box::new(GeoJson { place: self.place(None), classes: classes.to_vec() })],
        }
    }
}

/// Replaces the characters that a file name cannot hold in the name of a class.
fn file_name_of(class: &str) -> String {
    class.chars().map(|c| if c.is_alphanumeric() || "-_. ".contains(c) { c } else { '_' }).collect()
}

/// A segmented image, ready to be written.
pub struct Finished<'a> {
    /// The name of the image's files, without an extension.
    pub name: &'a str,
    /// The image.
    pub image: &'a mut dyn ImageReader,
    /// The result of segmenting.
    pub segmentation: &'a Segmentation,
}

/// A writer of one file of a segmented image, in one file format.
pub trait ResultWriter: Send + Sync {
    /// Returns the place of the writer's files.
    fn place(&self) -> &Place;

    /// Writes the content of the file.
    ///
    /// # Errors
    /// When the image cannot be read again, or `out` fails.
    fn write(&self, finished: &mut Finished<'_>, out: &mut dyn Write) -> io::Result<()>;
}

/// The place of the files of one kind.
#[derive(Clone, Debug)]
pub struct Place {
    /// The kind of result.
    pub save: Save,
    /// The folder in the folder of the results, with `/` between names.
    pub folder: String,
    /// The extension, without a dot.
    pub extension: &'static str,
}

impl Place {
    /// Returns the path of an image's file in the folder of the results, with `/` between names.
    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}.{}", self.folder, self.extension)
    }
}

struct MaskPng {
    place: Place,
    palette: Vec<[u8; 3]>,
}

impl ResultWriter for MaskPng {
    fn place(&self) -> &Place {
        &self.place
    }

    fn write(&self, finished: &mut Finished<'_>, out: &mut dyn Write) -> io::Result<()> {
        let mask = &finished.segmentation.mask;
        let mut rows = |rows: Range<u32>| Ok(Cow::Borrowed(labels(mask, rows)));
        encode_png(out, PngKind::Indexed(&self.palette), mask.dimensions(), &mut rows)
    }
}

/// Returns the labels of some rows.
fn labels(mask: &GrayImage, rows: Range<u32>) -> &[u8] {
    let width = mask.width() as usize;
    &mask.as_raw()[rows.start as usize * width..rows.end as usize * width]
}

struct BinaryPng {
    place: Place,
    label: u8,
}

impl ResultWriter for BinaryPng {
    fn place(&self) -> &Place {
        &self.place
    }

    fn write(&self, finished: &mut Finished<'_>, out: &mut dyn Write) -> io::Result<()> {
        let mask = &finished.segmentation.mask;
        let white = |label: &u8| if *label == self.label { 255 } else { 0 };
        let mut rows = |rows| Ok(labels(mask, rows).iter().map(white).collect());
        encode_png(out, PngKind::Gray, mask.dimensions(), &mut rows)
    }
}

struct OverlayPng {
    place: Place,
    palette: Vec<[u8; 3]>,
    style: OverlayStyle,
}

impl ResultWriter for OverlayPng {
    fn place(&self) -> &Place {
        &self.place
    }

    fn write(&self, finished: &mut Finished<'_>, out: &mut dyn Write) -> io::Result<()> {
        let mask = &finished.segmentation.mask;
        let overlayer = Overlayer::new(mask, &self.palette, self.style).map_err(io::Error::other)?;
        encode_png(out, PngKind::Rgb, mask.dimensions(), &mut |rows| {
            let image = finished.image.rows(rows.clone()).map_err(io::Error::other)?;
            Ok(Cow::Owned(overlayer.rows(rows.start, image.pixels()).map_err(io::Error::other)?.into_raw()))
        })
    }
}

struct MapPng {
    place: Place,
    plane: Plane,
}

/// The map that is written.
enum Plane {
    Class(u8),
    Uncertainty,
}

impl ResultWriter for MapPng {
    fn place(&self) -> &Place {
        &self.place
    }

    fn write(&self, finished: &mut Finished<'_>, out: &mut dyn Write) -> io::Result<()> {
        let Segmentation { probabilities, uncertainty, .. } = finished.segmentation;
        let plane = match self.plane {
            Plane::Class(label) => probabilities.as_ref().map(|all| all.index_axis(Axis(0), label.into())),
            Plane::Uncertainty => uncertainty.as_ref().map(|plane| plane.view()),
        };
        write_map(plane.ok_or_else(|| not_asked_for(self.place.save))?, out)
    }
}

/// Makes the error for a map that the settings did not ask for.
fn not_asked_for(save: Save) -> io::Error {
    io::Error::other(format!("the segmentation has no {save:?}; its settings must ask for it"))
}

/// Writes values in [0, 1] with 16 bits.
fn write_map(plane: ArrayView2<'_, f32>, out: &mut dyn Write) -> io::Result<()> {
    let (height, width) = plane.dim();
    let word = |value: &f32| ((value * 65535.0).round() as u16).to_be_bytes();
    encode_png(out, PngKind::Gray16, (width as u32, height as u32), &mut |rows| {
        let part = plane.slice(ndarray::s![rows.start as usize..rows.end as usize, ..]);
        Ok(part.iter().flat_map(word).collect())
    })
}

struct ProbabilitiesNpy {
    place: Place,
}

impl ResultWriter for ProbabilitiesNpy {
    fn place(&self) -> &Place {
        &self.place
    }

    /// Writes NumPy's format 1.0: a magic number, the header's length, the header as Python's text,
    /// the values.
    fn write(&self, finished: &mut Finished<'_>, out: &mut dyn Write) -> io::Result<()> {
        let probabilities =
            finished.segmentation.probabilities.as_ref().ok_or_else(|| not_asked_for(self.place.save))?;
        let (classes, height, width) = probabilities.dim();
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({classes}, {height}, {width}), }}");
        // The header, the ten bytes before it and the line end must be a multiple of 64 bytes.
        let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
        out.write_all(b"\x93NUMPY\x01\x00")?;
        out.write_all(&(length as u16).to_le_bytes())?;
        writeln!(out, "{header:<0$}", length - 1)?;
        for row in probabilities.rows() {
            let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
            out.write_all(&bytes)?;
        }
        Ok(())
    }
}

struct CocoRle {
    place: Place,
    classes: Vec<Class>,
}

impl ResultWriter for CocoRle {
    fn place(&self) -> &Place {
        &self.place
    }

    fn write(&self, finished: &mut Finished<'_>, out: &mut dyn Write) -> io::Result<()> {
        let mask = &finished.segmentation.mask;
        let (width, height) = mask.dimensions();
        let targets = || self.classes.iter().zip(0..=u8::MAX).skip(1);
        let annotations = targets().map(|(_, label)| {
            let runs = RunLengths::from_mask(mask, label);
            json!({
                "id": label, "image_id": 1, "category_id": label, "iscrowd": 1, "area": runs.area, "bbox": runs.bounds,
                "segmentation": {"size": [height, width], "counts": runs.compressed()},
            })
        });
        let categories = targets().map(|(class, label)| json!({"id": label, "name": class.name}));
        let file = json!({
            "images": [{"id": 1, "file_name": finished.name, "width": width, "height": height}],
            "categories": categories.collect::<Vec<_>>(),
            "annotations": annotations.collect::<Vec<_>>(),
        });
        Ok(serde_json::to_writer(out, &file)?)
    }
}

struct GeoJson {
    place: Place,
    classes: Vec<Class>,
}

impl ResultWriter for GeoJson {
    fn place(&self) -> &Place {
        &self.place
    }

    /// Writes a feature for each area, with the class as QuPath reads it.
    fn write(&self, finished: &mut Finished<'_>, out: &mut dyn Write) -> io::Result<()> {
        let closed = |ring: &Vec<Corner>| ring.iter().chain(ring.first()).copied().collect::<Vec<_>>();
        out.write_all(b"{\"type\":\"FeatureCollection\",\"features\":[")?;
        let mut separator = "\n";
        for (class, label) in self.classes.iter().zip(0..=u8::MAX).skip(1) {
            for polygon in polygons(&finished.segmentation.mask, label) {
                let rings: Vec<_> = std::iter::once(&polygon.exterior).chain(&polygon.holes).map(closed).collect();
                let feature = json!({
                    "type": "Feature",
                    "geometry": {"type": "Polygon", "coordinates": rings},
                    "properties": {
                        "objectType": "annotation", "area_px": polygon.area,
                        "classification": {"name": class.name, "color": class.color},
                    },
                });
                write!(out, "{separator}{feature}")?;
                separator = ",\n";
            }
        }
        out.write_all(b"\n]}\n")
    }
}
