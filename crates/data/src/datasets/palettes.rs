//! Classes of a data set that nothing describes, from the palettes of its masks.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use rayon::prelude::*;
use seg_contract::{Class, IGNORE_LABEL};

use super::{Dataset, DatasetError};
use crate::colors::to_luma8;
use crate::masks::{MaskCoding, read_indices};

/// Takes the classes from the palettes of indexed PNG masks: the indices up to the largest that
/// occurs, with the colours of the first mask. Masks in grey palettes stay what they are.
///
/// All masks are read for it, because only they say how many classes there are.
pub(super) fn take_classes(dataset: &mut Dataset) -> Result<(), DatasetError> {
    let samples = || dataset.train.iter().chain(&dataset.test);
    let Some(palette) = samples().next().and_then(|sample| palette(&sample.mask)) else { return Ok(()) };
    if palette.iter().all(|[red, green, blue]| red == green && green == blue) {
        return Ok(());
    }
    let masks: Vec<&Path> = samples().map(|sample| sample.mask.as_path()).collect();
    // What cannot be read is named where it is read as a mask.
    let largest = masks.par_iter().filter_map(|mask| largest_index(mask)).max().unwrap_or(0);
    let classes = largest.max(1) + 1;
    let name = |index: u8| match (index, classes) {
        (0, _) => "background".into(),
        (_, 2) => "target".into(),
        _ => format!("class {index}"),
    };
    let color = |index: u8| palette.get(usize::from(index)).copied();
    dataset.classes = (0..classes)
        .map(|index| match color(index) {
            Some(color) => Class { color, ..Class::new(name(index), index.into()) },
            None => Class::new(name(index), index.into()),
        })
        .collect();
    dataset.reading += &format!(", {classes} classes by the palettes of the masks");
    let coding = MaskCoding::Index { classes };
    dataset.train.iter_mut().chain(&mut dataset.test).for_each(|sample| sample.coding = coding.clone());
    Ok(())
}

/// Returns the palette of an indexed PNG file.
fn palette(path: &Path) -> Option<Vec<[u8; 3]>> {
    let reader = png::Decoder::new(BufReader::new(File::open(path).ok()?)).read_info().ok()?;
    let info = reader.info();
    let colors = info.palette.as_ref().filter(|_| info.color_type == png::ColorType::Indexed)?;
    Some(colors.chunks_exact(3).map(|color| [color[0], color[1], color[2]]).collect())
}

/// Returns the largest index of a mask below [`IGNORE_LABEL`].
fn largest_index(path: &Path) -> Option<u8> {
    let indices = to_luma8(&read_indices(path).ok()?);
    indices.iter().copied().filter(|index| *index < IGNORE_LABEL).max()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Writes an indexed PNG of one row.
    fn write(path: &Path, palette: &[[u8; 3]], row: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut encoder = png::Encoder::new(File::create(path).unwrap(), row.len() as u32, 1);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette(palette.concat());
        encoder.write_header().unwrap().write_image_data(row).unwrap();
    }

    #[test]
    fn palettes_say_the_classes() {
        // The first colours of Pascal VOC.
        let voc = [[0; 3], [128, 0, 0], [0, 128, 0], [128, 128, 0]];
        let greys = [[0; 3], [255; 3]];
        let mut all = voc.to_vec();
        all.resize(256, [224, 224, 192]);
        for (name, palette, rows, classes) in [
            ("colours", &voc[..], [&[0, 1, 1], &[0, 2, 0]], &["background", "class 1", "class 2"][..]),
            ("with void", &all, [&[0, 255, 3], &[0, 0, 0]], &["background", "class 1", "class 2", "class 3"]),
            ("two colours", &voc, [&[0, 1, 1], &[0, 0, 0]], &["background", "target"]),
            ("greys", &greys, [&[0, 1, 1], &[0, 0, 0]], &["background", "target"]),
        ] {
            let root = tempfile::tempdir().unwrap();
            for (index, row) in rows.iter().enumerate() {
                write(&root.path().join(format!("masks/{index}.png")), palette, *row);
                write(&root.path().join(format!("images/{index}.png")), &greys, &[0, 1, 0]);
            }
            let dataset = Dataset::open(root.path()).unwrap();
            let names: Vec<_> = dataset.classes.iter().map(|class| class.name.as_str()).collect();
            assert_eq!(names, classes, "{name}");
            let (_, labels) = dataset.train[0].load().unwrap();
            let expected = if name == "greys" { vec![0, 1, 1] } else { rows[0].to_vec() };
            assert_eq!(labels.into_raw(), expected, "{name}");
            assert_eq!(dataset.classes[1].color == [128, 0, 0], name != "greys", "{name}");
        }
    }
}
