//! Data sets whose masks are annotations: areas in files of text beside the images.
//!
//! Without `classes.json` the classes are the names in all annotations in alphabetic order, those
//! of COCO in the order of their ids, those of YOLO in that of `data.yaml`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use seg_contract::{Class, Reading};

use super::affix::Name;
use super::listing::{File, Listing};
use super::selection::Selection;
use super::text::{decode, read_text};
use super::words::{Kind, Portion, Word, plain};
use super::{Dataset, DatasetError, Layout, Sample, classes, tree};
use crate::annotations::{AnnotationForm, Coco, Drawing, names_of_yolo};
use crate::masks::{MaskCoding, MaskError};

/// The largest file that is read to see whether it is an annotation, in bytes.
const BYTES_MAX: u64 = 1 << 31;

/// A file of annotations.
struct Annotation {
    file: File,
    form: AnnotationForm,
    text: String,
}

/// Finds the annotations in a folder, of the one form that it has.
fn find(root: &Path, listing: &Listing, selection: &Selection) -> Result<Vec<Annotation>, DatasetError> {
    let mut found = Vec::new();
    for file in &listing.annotations {
        let file = match &selection.masks {
            Some(text) if file.relative == text.trim_start_matches("./") => file.clone(),
            Some(text) => match tree::selected(file, text) {
                Some(file) => file,
                None => continue,
            },
            None => file.clone(),
        };
        let is_small = fs::metadata(&file.path).is_ok_and(|data| data.len() <= BYTES_MAX);
        let Some(text) = fs::read(&file.path).ok().filter(|_| is_small).and_then(|bytes| decode(&bytes)) else {
            continue;
        };
        if let Some(form) = AnnotationForm::sniff(&file.path, &text) {
            found.push(Annotation { file, form, text });
        }
    }
    let forms: BTreeMap<AnnotationForm, &File> = found.iter().map(|found| (found.form, &found.file)).collect();
    if let [(first, one), (second, other)] = forms.iter().collect::<Vec<_>>()[..] {
        return Err(DatasetError::Ambiguous {
            root: root.into(),
            readings: [(first, one), (second, other)]
                .map(|(form, file)| format!("{} in `{}`", form.name(), file.relative)),
            remedy: "choose by `--masks` with the file or the folder of one of them".into(),
        });
    }
    Ok(found)
}

/// Returns what annotations a folder has beside its masks, for a message.
pub(super) fn rival(root: &Path, listing: &Listing) -> Result<Option<String>, DatasetError> {
    // Lists, descriptions and settings are small; only files that say much are looked into.
    let found = find(root, listing, &Selection::default())?;
    let images = listing.pictures.len() / 2;
    let covers = |found: &[Annotation]| {
        found.first().is_some_and(|first| first.form == AnnotationForm::Coco || 2 * found.len() >= images)
    };
    Ok(found
        .first()
        .filter(|_| covers(&found))
        .map(|first| format!("{} in `{}`", first.form.name(), first.file.relative)))
}

/// Surveys a folder with annotations; `None` if it has none.
pub(super) fn survey(
    root: &Path,
    name: &str,
    listing: &Listing,
    images: &[File],
    selection: &Selection,
    problems: &mut Vec<DatasetError>,
) -> Result<Option<Dataset>, DatasetError> {
    let found = find(root, listing, selection)?;
    let Some(first) = found.first() else { return Ok(None) };
    let form = first.form;
    let files: Vec<File> = found.iter().map(|found| found.file.clone()).collect();
    let reading = format!("images in {}, {} annotations in {}", tree::place(images), form.name(), tree::place(&files));
    let mut notes = Vec::new();
    let mut drawn = match form {
        AnnotationForm::Coco => of_coco(images, &found, problems, &mut notes)?,
        _ => of_each(images, form, found, &mut notes)?,
    };
    if drawn.samples.is_empty() {
        return Ok(None);
    }
    let described = classes::read(root, "target", selection.border.unwrap_or_default())?;
    if form == AnnotationForm::Yolo {
        name_yolo(root, &mut drawn);
    }
    let classes = if described.is_assumed { drawn.classes() } else { described.classes };
    let labels: BTreeMap<&str, u8> = (0..).zip(&classes).map(|(label, class)| (class.name.as_str(), label)).collect();
    let mut by_portion = BTreeMap::<Option<Portion>, Vec<Sample>>::new();
    for (portion, image, mut drawing) in drawn.samples {
        for shape in &mut drawing.shapes {
            shape.label = *labels.get(shape.class.as_str()).ok_or_else(|| DatasetError::Classes {
                path: drawing.file.clone(),
                found: format!("an area is of the class `{}`", shape.class),
                expected: "a class that `classes.json` names",
            })?;
        }
        let sample = Sample {
            name: tree::shown_name(&image.name),
            image: image.path,
            mask: drawing.file.clone(),
            coding: MaskCoding::Drawn(Arc::new(drawing)),
            field_of_view: None,
            reading: Reading::default(),
        };
        by_portion.entry(portion).or_default().push(sample);
    }
    let parts = tree::divide(root, by_portion, problems)?;
    let mut dataset = parts.into_dataset(name.to_owned(), root, Layout::Folder, classes);
    (dataset.reading, dataset.notes) = (reading, notes);
    Ok(Some(dataset))
}

/// The images with their annotations, and the classes in an order that the annotations say.
#[derive(Default)]
struct Drawn {
    samples: Vec<(Option<Portion>, File, Drawing)>,
    order: Vec<String>,
}

impl Drawn {
    /// Returns the background and the classes of all areas.
    fn classes(&self) -> Vec<Class> {
        let shapes = || self.samples.iter().flat_map(|(.., drawing)| &drawing.shapes);
        let used: BTreeSet<&str> = shapes().map(|shape| shape.class.as_str()).collect();
        let is_background = |name: &str| name.eq_ignore_ascii_case("background");
        let others =
            used.iter().filter(|name| !self.order.iter().any(|known| known == *name)).map(|name| (*name).to_owned());
        let mut names: Vec<String> = self.order.iter().cloned().chain(others).collect();
        let background = names.iter().position(|name| is_background(name)).map(|place| names.remove(place));
        names.insert(0, background.unwrap_or_else(|| "background".into()));
        if names.len() == 1 {
            names.push("target".into());
        }
        names.into_iter().enumerate().map(|(index, name)| Class::new(seg_text::control::escape(&name), index)).collect()
    }
}

/// Reads the annotations of each image in a file of its own.
fn of_each(
    images: &[File],
    form: AnnotationForm,
    found: Vec<Annotation>,
    notes: &mut Vec<String>,
) -> Result<Drawn, DatasetError> {
    let mut by_name = BTreeMap::<Name, Annotation>::new();
    for annotation in found {
        by_name.insert(annotation.file.key(), annotation);
    }
    let mut drawn = Drawn::default();
    let mut without = Vec::new();
    let mut blank = 0;
    for image in images {
        // Annotations beside a file may have its whole name: `a.png.json`.
        let key = image.key();
        let whole = Name { stem: super::name_of(&image.path), ..key.clone() };
        match by_name.remove(&key).or_else(|| by_name.remove(&whole)) {
            Some(Annotation { file, form, text }) => {
                let drawing = form.read(&file.path, &text, &image.path).map_err(MaskError::from)?;
                drawn.samples.push((image.portion, image.clone(), drawing));
            }
            // An image without objects has no file of segments.
            None if form == AnnotationForm::Yolo => {
                blank += 1;
                let drawing =
                    Drawing { image: image.path.clone(), file: image.path.clone(), size: None, shapes: Vec::new() };
                drawn.samples.push((image.portion, image.clone(), drawing));
            }
            None => without.push(image.clone()),
        }
    }
    if blank > 0 && blank < images.len() {
        notes.push(format!("{blank} images have no file of segments and count as images without objects"));
    } else if blank > 0 {
        drawn.samples.clear();
    }
    if let Some(first) = without.first() {
        notes.push(format!(
            "{} images have no annotations and are not used, such as `{}`",
            without.len(),
            first.relative
        ));
    }
    if let Some(first) = by_name.values().next() {
        notes.push(format!("{} annotations have no image, such as `{}`", by_name.len(), first.file.relative));
    }
    Ok(drawn)
}

/// Reads files for many images each.
fn of_coco(
    images: &[File],
    found: &[Annotation],
    problems: &mut Vec<DatasetError>,
    notes: &mut Vec<String>,
) -> Result<Drawn, DatasetError> {
    let mut by_file = BTreeMap::<&str, Vec<&File>>::new();
    for image in images {
        by_file.entry(image.relative.rsplit('/').next().unwrap_or_default()).or_default().push(image);
    }
    let mut drawn = Drawn::default();
    for Annotation { file, text, .. } in found {
        let coco = Coco::read(&file.path, text).map_err(MaskError::from)?;
        for class in coco.classes() {
            if !drawn.order.contains(&class) {
                drawn.order.push(class);
            }
        }
        let portion = portion_of(file);
        let mut missing = Vec::new();
        for annotated in coco.images(&file.path).map_err(MaskError::from)? {
            let wanted = annotated.file_name.replace('\\', "/");
            let last = wanted.rsplit('/').next().unwrap_or_default();
            let mut near: Vec<&&File> = by_file.get(last).into_iter().flatten().collect();
            if near.len() > 1 {
                // The longer path, or the folder of the annotations, tells equal names apart.
                let ends = |image: &&&File| format!("/{}", image.relative).ends_with(&format!("/{wanted}"));
                let beside = |image: &&&File| image.path.parent() == file.path.parent() || image.portion == portion;
                let chosen: Vec<_> = near.iter().copied().filter(ends).collect();
                near = if chosen.len() == 1 { chosen } else { near.into_iter().filter(beside).collect() };
            }
            match near[..] {
                [image] => {
                    let image = (*image).clone();
                    let portion = portion.or(image.portion);
                    drawn.samples.push((portion, image.clone(), annotated.drawing(&file.path, &image.path)));
                }
                _ => missing.push(annotated.file_name),
            }
        }
        if !missing.is_empty() {
            let folder = file.path.clone();
            problems.push(DatasetError::ListUnknown { list: folder, names: missing });
        }
    }
    let used: BTreeSet<&Path> = drawn.samples.iter().map(|(_, image, _)| image.path.as_path()).collect();
    let unused: Vec<&File> = images.iter().filter(|image| !used.contains(image.path.as_path())).collect();
    if let Some(first) = unused.first() {
        notes.push(format!(
            "{} images are in no annotations and are not used, such as `{}`",
            unused.len(),
            first.relative
        ));
    }
    Ok(drawn)
}

/// Returns the part that a file of annotations names: `instances_val2017.json`, or its folder.
fn portion_of(file: &File) -> Option<Portion> {
    let words = file.name.stem.split(|sign: char| !sign.is_alphabetic());
    words.map(|word| Word::read(&plain(word))).find_map(|word| word.portion).or(file.portion)
}

/// Gives the classes of YOLO the names in `data.yaml`, `dataset.yaml` or `classes.txt`.
fn name_yolo(root: &Path, drawn: &mut Drawn) {
    let of_yaml = ["data.yaml", "dataset.yaml", "data.yml"].iter().find_map(|file| {
        let names = names_of_yolo(&read_text(&root.join(file)).ok()?);
        (!names.is_empty()).then_some(names)
    });
    let of_list = || {
        let text = read_text(&root.join("classes.txt")).ok()?;
        Some(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
    };
    let Some(names) = of_yaml.or_else(of_list) else { return };
    for (.., drawing) in &mut drawn.samples {
        for shape in &mut drawing.shapes {
            let number = shape.class.strip_prefix("class ").and_then(|number| number.parse::<usize>().ok());
            if let Some(name) = number.and_then(|number| names.get(number)) {
                shape.class.clone_from(name);
            }
        }
    }
    drawn.order = names;
}

/// Returns the images that annotations may be of: those of folders for images, or all.
pub(super) fn images_of(listing: &Listing, images: &[File]) -> Vec<File> {
    if !images.is_empty() {
        return images.to_vec();
    }
    let is_mask = |file: &&File| file.kind.as_ref().is_none_or(|(kind, _)| *kind == Kind::Image);
    listing.pictures.iter().filter(is_mask).cloned().collect()
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, RgbImage};
    use tempfile::TempDir;

    use super::*;

    /// Writes images of 8x6 pixels and files of text.
    fn folder(images: &[&str], texts: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        let prepare = |file: &str| {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        };
        for image in images {
            RgbImage::new(8, 6).save(prepare(image)).unwrap();
        }
        for (file, text) in texts {
            fs::write(prepare(file), text).unwrap();
        }
        root
    }

    /// Returns the names of the classes, and the labels of the first image by rows.
    fn read(root: &TempDir) -> (Vec<String>, Vec<String>) {
        let dataset = Dataset::open(root.path()).unwrap_or_else(|error| panic!("{error}"));
        let (_, labels): (_, GrayImage) = dataset.train[0].load().unwrap();
        let rows = labels.as_raw().chunks(8).map(|row| row.iter().map(|label| char::from(b'0' + label)).collect());
        (dataset.classes.into_iter().map(|class| class.name).collect(), rows.collect())
    }

    #[test]
    fn annotations_of_each_tool_are_masks() {
        let labelme = |label: &str| {
            format!(
                r#"{{"version": "5.0", "imagePath": "a.png", "imageHeight": 6, "imageWidth": 8, "shapes": [
                {{"label": "{label}", "points": [[1, 1], [7, 1], [7, 5], [1, 5]], "shape_type": "polygon"}},
                {{"label": "cup", "points": [[3, 2], [5, 4]], "shape_type": "rectangle"}}]}}"#
            )
        };
        let qupath = r#"{"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": {"type": "Polygon",
            "coordinates": [[[1, 1], [7, 1], [7, 5], [1, 5], [1, 1]], [[3, 2], [5, 2], [5, 4], [3, 4], [3, 2]]]},
            "properties": {"objectType": "annotation", "classification": {"name": "disc", "color": [1, 2, 3]}}}]}"#;
        let coco = r#"{"images": [{"id": 1, "file_name": "a.png", "height": 6, "width": 8},
            {"id": 2, "file_name": "b.png", "height": 6, "width": 8}],
            "categories": [{"id": 7, "name": "disc"}, {"id": 3, "name": "cup"}, {"id": 9, "name": "unused"}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "iscrowd": 0, "bbox": [1, 1, 6, 4],
            "segmentation": [[1, 1, 7, 1, 7, 5, 1, 5]]}, {"id": 2, "image_id": 1, "category_id": 3, "iscrowd": 1,
            "segmentation": {"size": [6, 8], "counts": [20, 2, 4, 2, 20]}},
            {"id": 3, "image_id": 2, "category_id": 3, "segmentation": {"size": [6, 8], "counts": "7420000000005"}}]}"#;
        let (segments, names) = (
            "0 0.125 0.1667 0.875 0.1667 0.875 0.8333 0.125 0.8333\n1 0.375 0.3334 0.625 0.3334 0.625 0.6666 0.375 0.6666\n",
            "names: [disc, cup]\n",
        );
        let (disc, cup) = (labelme("disc"), labelme("cup"));
        let inner = ["00000000", "01111110", "01122110", "01122110", "01111110", "00000000"];
        let turned = ["00000000", "02222220", "02211220", "02211220", "02222220", "00000000"];
        let holed = ["00000000", "01111110", "01100110", "01100110", "01111110", "00000000"];
        for (name, images, texts, classes, expected) in [
            (
                "LabelMe",
                ["a.png", "b.png"],
                vec![("a.json", disc.as_str()), ("b.json", &cup)],
                &["background", "cup", "disc"][..],
                turned,
            ),
            (
                "QuPath",
                ["images/a.png", "images/b.png"],
                vec![("annotations/a.geojson", qupath), ("annotations/b.geojson", qupath)],
                &["background", "disc"],
                holed,
            ),
            (
                "COCO",
                ["train/a.png", "train/b.png"],
                vec![("annotations/instances_train.json", coco)],
                &["background", "cup", "disc"],
                turned,
            ),
            (
                "COCO beside",
                ["train/a.png", "train/b.png"],
                vec![("train/_annotations.coco.json", coco)],
                &["background", "cup", "disc"],
                turned,
            ),
            (
                "YOLO",
                ["images/train/a.png", "images/train/b.png"],
                vec![("labels/train/a.txt", segments), ("data.yaml", names)],
                &["background", "disc", "cup"],
                inner,
            ),
        ] {
            let root = folder(&images, &texts);
            let (found, rows) = read(&root);
            assert_eq!(found, classes, "{name}");
            assert_eq!(rows, expected, "{name}");
            let dataset = Dataset::open(root.path()).unwrap();
            assert_eq!(dataset.train.len(), 2, "{name}");
            assert_eq!(dataset.fingerprint().unwrap(), dataset.fingerprint().unwrap(), "{name}");
        }
    }

    #[test]
    fn masks_beside_annotations_must_be_chosen() {
        let segments = "0 0.1 0.1 0.9 0.1 0.5 0.9\n";
        let root = folder(&["images/a.png", "masks/a.png"], &[("labels/a.txt", segments)]);
        let message = Dataset::open(root.path()).unwrap_err().to_string();
        assert!(message.contains("masks in `masks`") && message.contains("YOLO in `labels/a.txt`"), "{message}");
        for (masks, part) in [("masks", "masks of"), ("labels", "YOLO"), ("labels/a.txt", "YOLO")] {
            let selection = Selection { masks: Some(masks.into()), ..Selection::default() };
            let reading = Dataset::open_with(root.path(), &selection).unwrap().reading;
            assert!(reading.contains(part) || masks == "masks", "{masks}: {reading}");
        }
    }

    #[test]
    fn what_is_no_area_is_named() {
        for (file, text, part) in [
            (
                "images/a.json",
                r#"{"shapes": [{"label": "x", "points": [[1, 1]], "shape_type": "point"}]}"#,
                "`x` is a point",
            ),
            ("labels/a.txt", "0 0.5 0.5 0.2 0.2\n", "is a box"),
            (
                "coco.json",
                r#"{"images": [{"id": 1, "file_name": "a.png", "height": 6, "width": 8}], "categories": [{"id": 1, "name": "x"}],
                "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]}]}"#,
                "no `segmentation`",
            ),
        ] {
            let root = folder(&["images/a.png"], &[(file, text)]);
            let message = Dataset::open(root.path()).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
        let wrong = r#"{"images": [{"id": 1, "file_name": "a.png", "height": 9, "width": 8}], "annotations": []}"#;
        let root = folder(&["images/a.png"], &[("coco.json", wrong)]);
        let message = Dataset::open(root.path()).unwrap().train[0].load().unwrap_err().to_string();
        assert!(message.contains("is 8x9, but its image"), "{message}");
    }
}
