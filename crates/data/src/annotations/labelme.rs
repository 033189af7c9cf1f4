//! LabelMe: a JSON file for each image, with polygons, rectangles and circles.

use std::path::Path;

use serde::Deserialize;

use super::{AnnotationError, Area, Shape};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    shapes: Vec<Drawn>,
    image_height: Option<u32>,
    image_width: Option<u32>,
}

#[derive(Deserialize)]
struct Drawn {
    label: String,
    points: Vec<[f64; 2]>,
    shape_type: Option<String>,
}

/// Reads the size of the image and the shapes, in the order of the file.
pub(super) fn read(path: &Path, text: &str) -> Result<(Option<[u32; 2]>, Vec<Shape>), AnnotationError> {
    let refuse = |found: String, expected| AnnotationError::Form { path: path.into(), found, expected };
    let file: File =
        serde_json::from_str(text).map_err(|error| refuse(error.to_string(), "LabelMe's `shapes` with `points`"))?;
    let shapes = file.shapes.into_iter().map(|drawn| {
        let kind = drawn.shape_type.as_deref().unwrap_or("polygon");
        let area = match (kind, drawn.points.as_slice()) {
            ("polygon", points) if points.len() >= 3 => Area::Rings(vec![vec![points.to_vec()]]),
            ("rectangle", [[left, top], [right, bottom]]) => {
                Area::Rings(vec![vec![vec![[*left, *top], [*right, *top], [*right, *bottom], [*left, *bottom]]]])
            }
            ("rectangle", points) if points.len() == 4 => Area::Rings(vec![vec![points.to_vec()]]),
            ("circle", [center, edge]) => {
                let radius = (edge[0] - center[0]).hypot(edge[1] - center[1]);
                Area::Disc { center: *center, radius }
            }
            (kind, points) => {
                let found = format!("`{}` is a {kind} of {} points", drawn.label, points.len());
                return Err(refuse(found, "polygons of at least 3 points, rectangles and circles"));
            }
        };
        Ok(Shape { class: drawn.label, label: 0, area })
    });
    let size = file.image_width.zip(file.image_height).map(|(width, height)| [width, height]);
    Ok((size, shapes.collect::<Result<_, _>>()?))
}
