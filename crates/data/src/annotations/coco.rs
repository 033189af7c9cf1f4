//! COCO: one JSON file for many images, with polygons or run lengths.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::polygon::Ring;
use super::{AnnotationError, Area, Drawing, Shape, rle};

/// A COCO file.
#[derive(Deserialize)]
pub(crate) struct Coco {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    #[serde(default)]
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Image {
    id: Value,
    file_name: String,
    width: u32,
    height: u32,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: Value,
    category_id: i64,
    segmentation: Option<Value>,
}

#[derive(Deserialize)]
struct Category {
    id: i64,
    name: String,
}

/// An image of a COCO file: its name, width and height, and the shapes on it.
pub(crate) struct Annotated {
    pub(crate) file_name: String,
    pub(crate) size: [u32; 2],
    pub(crate) shapes: Vec<Shape>,
}

impl Coco {
    /// Parses a file.
    pub(crate) fn read(path: &Path, text: &str) -> Result<Self, AnnotationError> {
        serde_json::from_str(text).map_err(|error| AnnotationError::Form {
            path: path.into(),
            found: error.to_string(),
            expected: "COCO's `images`, `annotations` and `categories`",
        })
    }

    /// Returns the names of the categories that have a segmentation, in the order of their ids.
    pub(crate) fn classes(&self) -> Vec<String> {
        let names = self.names();
        let used = |id: &i64| self.annotations.iter().any(|annotation| annotation.category_id == *id);
        names.iter().filter(|(id, _)| used(id)).map(|(_, name)| name.clone()).collect()
    }

    fn names(&self) -> BTreeMap<i64, String> {
        self.categories.iter().map(|category| (category.id, category.name.clone())).collect()
    }

    /// Returns each image with its shapes, in the order of the annotations.
    pub(crate) fn images(&self, path: &Path) -> Result<Vec<Annotated>, AnnotationError> {
        let names = self.names();
        let mut by_image = BTreeMap::<String, Vec<Shape>>::new();
        for (number, annotation) in self.annotations.iter().enumerate() {
            let refuse = |found: String, expected| {
                Err(AnnotationError::Form {
                    path: path.into(),
                    found: format!("annotation {number} {found}"),
                    expected,
                })
            };
            let Some(class) = names.get(&annotation.category_id) else {
                return refuse(format!("is of the category {}", annotation.category_id), "an id among `categories`");
            };
            let Some(segmentation) = &annotation.segmentation else {
                return refuse("has no `segmentation`".into(), "polygons or run lengths, not boxes alone");
            };
            let Some(area) = area(segmentation) else {
                return refuse("has a segmentation of another form".into(), "lists of x, y, x, y, ... or run lengths");
            };
            let shape = Shape { class: class.clone(), label: 0, area };
            by_image.entry(annotation.image_id.to_string()).or_default().push(shape);
        }
        let images = self.images.iter().map(|image| Annotated {
            file_name: image.file_name.clone(),
            size: [image.width, image.height],
            shapes: by_image.remove(&image.id.to_string()).unwrap_or_default(),
        });
        Ok(images.collect())
    }
}

impl Annotated {
    pub(crate) fn drawing(self, file: &Path, image: &Path) -> Drawing {
        Drawing { image: image.into(), file: file.into(), size: Some(self.size), shapes: self.shapes }
    }
}

/// Reads a segmentation.
fn area(value: &Value) -> Option<Area> {
    match value {
        Value::Array(polygons) => {
            let ring = |polygon: &Value| -> Option<Ring> {
                let values: Option<Vec<f64>> = polygon.as_array()?.iter().map(Value::as_f64).collect();
                let values = values.filter(|values| values.len() % 2 == 0 && values.len() >= 6)?;
                Some(values.chunks_exact(2).map(|corner| [corner[0], corner[1]]).collect())
            };
            Some(Area::Coco(polygons.iter().map(ring).collect::<Option<_>>()?))
        }
        Value::Object(runs) => {
            let size: Vec<u64> = runs.get("size")?.as_array()?.iter().filter_map(Value::as_u64).collect();
            let [height, width] = size[..] else { return None };
            let counts = match runs.get("counts")? {
                Value::String(text) => rle::decompress(text)?,
                Value::Array(counts) => {
                    counts.iter().map(|count| u32::try_from(count.as_u64()?).ok()).collect::<Option<_>>()?
                }
                _ => return None,
            };
            Some(Area::Runs { counts, size: [u32::try_from(width).ok()?, u32::try_from(height).ok()?] })
        }
        _ => None,
    }
}
