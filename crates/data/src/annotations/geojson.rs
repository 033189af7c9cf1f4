//! GeoJSON as QuPath writes it: polygons in pixels, holes as further rings, the class as
//! `properties.classification.name`.

use std::path::Path;

use serde_json::Value;

use super::polygon::Ring;
use super::{AnnotationError, Area, Shape};

/// The class of areas that have none.
pub(crate) const UNNAMED: &str = "target";

/// Reads the shapes, in the order of the file.
pub(super) fn read(path: &Path, text: &str) -> Result<Vec<Shape>, AnnotationError> {
    let refuse = |found: String, expected| AnnotationError::Form { path: path.into(), found, expected };
    let whole: Value = serde_json::from_str(text).map_err(|error| refuse(error.to_string(), "GeoJSON"))?;
    let features = match &whole {
        Value::Array(features) => features.clone(),
        Value::Object(object) => match object.get("features") {
            Some(Value::Array(features)) => features.clone(),
            _ => vec![whole.clone()],
        },
        _ => Vec::new(),
    };
    features
        .iter()
        .enumerate()
        .map(|(number, feature)| {
            let geometry = feature.get("geometry").unwrap_or(&Value::Null);
            let kind = geometry.get("type").and_then(Value::as_str).unwrap_or("nothing");
            let coordinates = geometry.get("coordinates").and_then(Value::as_array);
            let polygons = match (kind, coordinates) {
                ("Polygon", Some(rings)) => polygon(rings).map(|polygon| vec![polygon]),
                ("MultiPolygon", Some(polygons)) => {
                    polygons.iter().map(|rings| polygon(rings.as_array()?)).collect::<Option<Vec<_>>>()
                }
                _ => {
                    let found = format!("feature {number} is a {kind}");
                    return Err(refuse(found, "Polygon or MultiPolygon; take other objects out of the file"));
                }
            };
            let polygons = polygons
                .ok_or_else(|| refuse(format!("feature {number} has other coordinates"), "rings of x and y"))?;
            let properties = feature.get("properties").unwrap_or(&Value::Null);
            let class = properties.pointer("/classification/name").or_else(|| properties.get("classification"));
            let class = class.and_then(Value::as_str).unwrap_or(UNNAMED).to_owned();
            Ok(Shape { class, label: 0, area: Area::Rings(polygons) })
        })
        .collect()
}

fn polygon(rings: &[Value]) -> Option<Vec<Ring>> {
    let corner = |corner: &Value| -> Option<[f64; 2]> {
        let corner = corner.as_array()?;
        Some([corner.first()?.as_f64()?, corner.get(1)?.as_f64()?])
    };
    let ring = |ring: &Value| ring.as_array()?.iter().map(corner).collect::<Option<Ring>>();
    rings.iter().map(ring).collect()
}
