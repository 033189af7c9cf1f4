//! Any folder of images and masks, in whatever folders they lie and however their names differ.
//!
//! The words of the folders say what a file is ([`words`](super::words)), names say what belongs
//! together ([`matching`](super::matching)), and lists or folders say the parts. A folder that can
//! be read in two ways is an error that names both.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use seg_contract::Reading;

use super::affix::Name;
use super::listing::{File, Listing};
use super::matching::{Matched, TwoRules, match_up};
use super::selection::Selection;
use super::words::{Kind, Portion};
use super::{Dataset, DatasetError, Layout, Parts, Sample, annotated, classes, glob, lists, one_folder, palettes};
use crate::formats::References;

/// The files of a data set by what they are.
#[derive(Clone, Default)]
struct Chosen {
    images: Vec<File>,
    masks: Vec<File>,
    fields: Vec<File>,
    /// The files that are neither.
    others: Vec<File>,
}

/// Replaces DICOM segmentations by the masks of the images that they refer to, under the names of
/// these.
fn referred(images: &[File], mut masks: Vec<File>) -> Vec<File> {
    let mut references = References::default();
    masks.retain(|mask| !references.add(&mask.path));
    if references.is_empty() {
        return masks;
    }
    let of_image = |image: &File| Some(File { path: references.mask_of(&image.path)?, ..image.clone() });
    masks.extend(images.iter().filter_map(of_image));
    masks
}

/// Surveys a folder; fails if it is not a data set or one that can be read in two ways.
pub(super) fn survey(
    root: &Path,
    name: String,
    selection: &Selection,
    problems: &mut Vec<DatasetError>,
) -> Result<Dataset, DatasetError> {
    let listing = Listing::read(root)?;
    let mut notes = Vec::new();
    let (mut chosen, named) = choose(root, &listing, selection)?;
    if chosen.masks.is_empty() {
        let images = annotated::images_of(&listing, &chosen.images);
        if let Some(dataset) = annotated::survey(root, &name, &listing, &images, selection, problems)? {
            let mut other = chosen.clone();
            if selection.masks.is_none() && complete(root, &mut other).is_ok() {
                return Err(two_kinds(root, &other.masks, &dataset.reading));
            }
            return Ok(dataset);
        }
        if let (Some(pattern), Some(false)) = (&selection.masks, named) {
            return Err(DatasetError::Nothing { root: root.into(), pattern: pattern.clone() });
        }
    }
    complete(root, &mut chosen)?;
    one_level(root, &chosen)?;
    if selection.masks.is_none()
        && let Some(rival) = annotated::rival(root, &listing)?
    {
        return Err(two_kinds(root, &chosen.masks, &rival));
    }
    let described = classes::read(root, "target", selection.border.unwrap_or_default())?;
    chosen.images = once_each(chosen.images, problems);
    chosen.masks = once_each(chosen.masks, problems);
    let words = format!("images in {}, masks in {}", place(&chosen.images), place(&chosen.masks));
    let (images, masks) = (chosen.images.clone(), referred(&chosen.images, chosen.masks.clone()));
    let matched = match_up(images, masks).map_err(|TwoRules(rules)| DatasetError::Ambiguous {
        root: root.into(),
        readings: rules.map(|rule| format!("masks {rule}")),
        remedy: "choose the masks by a pattern, as `--masks '**/*_mask.png'`".into(),
    })?;
    refuse_channels(root, &matched)?;
    let is_split = lists::exist(root);
    report_alone(root, &matched, &chosen, is_split, problems, &mut notes);
    if !chosen.others.is_empty() {
        notes.push(format!(
            "{} other image files are not read, such as `{}`",
            chosen.others.len(),
            chosen.others[0].relative
        ));
    }
    let fields: BTreeMap<Name, File> = chosen.fields.iter().map(|field| (field.key(), field.clone())).collect();
    let fielded: BTreeSet<Option<Portion>> = chosen.fields.iter().map(|field| field.portion).collect();
    let images_without: Vec<String> = matched
        .pairs
        .iter()
        .filter(|(image, _)| fielded.contains(&image.portion) && !fields.contains_key(&image.key()))
        .map(|(image, _)| sample_name(image, &matched))
        .collect();
    if let (Some(field), false) = (chosen.fields.first(), images_without.is_empty()) {
        problems.push(DatasetError::Unpaired {
            folder: folder_of(root, &chosen.images),
            other: field.path.parent().unwrap_or(root).into(),
            names: images_without,
        });
    }

    let mut by_portion = BTreeMap::<Option<Portion>, Vec<Sample>>::new();
    for (image, masks) in &matched.pairs {
        let field_of_view = fields.get(&image.key()).map(|field| field.path.clone());
        if fielded.contains(&image.portion) && field_of_view.is_none() {
            continue;
        }
        let coding = match masks.as_slice() {
            [_] => described.coding.clone(),
            _ => described.of_objects(root, masks.iter().map(|mask| mask.path.clone()).collect())?,
        };
        let sample = Sample {
            name: sample_name(image, &matched),
            image: image.path.clone(),
            mask: masks[0].path.clone(),
            coding,
            field_of_view,
            reading: Reading::default(),
        };
        by_portion.entry(image.portion).or_default().push(sample);
    }
    let parts = divide(root, by_portion, problems)?;
    let reading = format!("{words} {}", matched.rule);
    let several = matched.pairs.iter().any(|(_, masks)| masks.len() > 1);
    let classes = if several { described.with_border() } else { described.classes.clone() };
    let mut dataset = parts.into_dataset(name, root, Layout::Folder, classes);
    (dataset.reading, dataset.notes) = (reading, notes);
    if described.is_assumed && !several {
        palettes::take_classes(&mut dataset)?;
    }
    Ok(dataset)
}

/// Returns the error of a folder with both masks and annotations.
fn two_kinds(root: &Path, masks: &[File], rival: &str) -> DatasetError {
    DatasetError::Ambiguous {
        root: root.into(),
        readings: [format!("masks in {}", place(masks)), rival.to_owned()],
        remedy: format!("choose by `--masks`, as `--masks {}`", masks.first().map_or("masks", parent)),
    }
}

/// Chooses the images and masks among all files; also returns whether the masks that a person named
/// are image files, if any are named.
fn choose(root: &Path, listing: &Listing, selection: &Selection) -> Result<(Chosen, Option<bool>), DatasetError> {
    let select =
        |text: &String| -> Vec<File> { listing.pictures.iter().filter_map(|file| selected(file, text)).collect() };
    let images = selection.images.as_ref().map(select);
    if let (Some([]), Some(pattern)) = (images.as_deref(), &selection.images) {
        return Err(DatasetError::Nothing { root: root.into(), pattern: pattern.clone() });
    }
    let masks = selection.masks.as_ref().map(select);
    let named = masks.as_ref().map(|masks| !masks.is_empty());
    let taken: BTreeSet<&Path> = images.iter().chain(&masks).flatten().map(|file| file.path.as_path()).collect();
    let mut chosen = Chosen::default();
    for file in listing.pictures.iter().filter(|file| !taken.contains(file.path.as_path())) {
        let list = match &file.kind {
            Some((Kind::Image, _)) if images.is_none() => &mut chosen.images,
            Some((Kind::Mask, _)) if masks.is_none() => &mut chosen.masks,
            Some((Kind::Field, _)) => &mut chosen.fields,
            _ => &mut chosen.others,
        };
        list.push(file.clone());
    }
    for (kind, given, files) in [("images", &images, &chosen.images), ("masks", &masks, &chosen.masks)] {
        if given.is_none() {
            one_word(root, kind, files)?;
        }
    }
    if let Some(images) = images {
        chosen.images = images;
    }
    if let Some(masks) = masks {
        chosen.masks = masks;
    }
    Ok((chosen, named))
}

/// Finds images or masks in folders that say nothing, where the other kind is known.
fn complete(root: &Path, chosen: &mut Chosen) -> Result<(), DatasetError> {
    let pairs_all = |images: &[File], masks: &[File]| {
        match_up(images.to_vec(), masks.to_vec())
            .is_ok_and(|found| found.images_alone.is_empty() && !found.pairs.is_empty())
    };
    if chosen.images.is_empty() && !chosen.masks.is_empty() {
        chosen.images = std::mem::take(&mut chosen.others);
    } else if chosen.masks.is_empty() && !chosen.images.is_empty() {
        if pairs_all(&chosen.images, &chosen.others) {
            chosen.masks = std::mem::take(&mut chosen.others);
        } else if let Some((images, masks)) = one_folder::split(root, &chosen.images)? {
            (chosen.images, chosen.masks) = (images, masks);
        }
    } else if chosen.images.is_empty()
        && let Some((images, masks)) = one_folder::split(root, &chosen.others)?
    {
        (chosen.images, chosen.masks, chosen.others) = (images, masks, Vec::new());
    }
    for (files, kind) in [(&chosen.images, Kind::Image), (&chosen.masks, Kind::Mask)] {
        if files.is_empty() {
            return Err(super::unknown_layout(root, kind)?);
        }
    }
    Ok(())
}

/// Returns a file that a folder's name or a pattern selects, named by what the pattern leaves open.
pub(super) fn selected(file: &File, text: &str) -> Option<File> {
    let mut found = file.clone();
    if glob::is_pattern(text) {
        let captures = glob::captures(&super::text::composed(text), &file.relative)?;
        let texts: Vec<String> =
            captures.into_iter().filter(|text| !text.is_empty()).map(|text| text.replace('/', "_")).collect();
        found.name = Name { folder: String::new(), stem: texts.join("_") };
        return Some(found);
    }
    let wanted: Vec<&str> = text.split(['/', '\\']).filter(|part| !part.is_empty() && *part != ".").collect();
    let folders: Vec<&str> = file.relative.split('/').collect();
    let folders = &folders[..folders.len() - 1];
    let same = |(one, other): (&&str, &&str)| super::text::composed(one) == super::text::composed(other);
    let start = folders.windows(wanted.len().max(1)).position(|window| window.iter().zip(&wanted).all(same))?;
    let rest = folders.iter().enumerate().filter(|(index, folder)| {
        !(start..start + wanted.len()).contains(index) && super::words::Word::read(folder).portion.is_none()
    });
    found.name.folder = rest.map(|(_, folder)| *folder).collect::<Vec<_>>().join("/");
    found.name.stem = super::listing::stem(file.relative.rsplit('/').next().unwrap_or(&file.relative));
    Some(found)
}

/// Refuses files of one kind that lie in folders of two words, such as `masks` and `labels`.
fn one_word(root: &Path, kind: &str, files: &[File]) -> Result<(), DatasetError> {
    let words: BTreeMap<&str, &File> =
        files.iter().filter_map(|file| Some((file.kind.as_ref()?.1.as_str(), file))).collect();
    let mut words = words.into_values();
    let (Some(first), Some(second)) = (words.next(), words.next()) else { return Ok(()) };
    let folder = |file: &File| format!("{kind} in {}", place(std::slice::from_ref(file)));
    Err(DatasetError::Ambiguous {
        root: root.into(),
        readings: [folder(first), folder(second)],
        remedy: format!("choose one by `--{kind}`, as `--{kind} {}`", parent(first)),
    })
}

/// Refuses a folder that is a whole data set and holds parts beside it.
fn one_level(root: &Path, chosen: &Chosen) -> Result<(), DatasetError> {
    let of = |files: &[File], parted: bool| files.iter().find(|file| file.portion.is_some() == parted).cloned();
    let found = [false, true].map(|parted| of(&chosen.images, parted).zip(of(&chosen.masks, parted)));
    if let [Some((whole, _)), Some((part, _))] = found {
        return Err(DatasetError::Ambiguous {
            root: root.into(),
            readings: [&whole, &part].map(|file| format!("images in {}", place(std::slice::from_ref(file)))),
            remedy: "name the folder of one of them as the data set, or choose by `--images` and `--masks`".into(),
        });
    }
    Ok(())
}

/// Refuses images of several files each, as nnU-Net writes channels.
fn refuse_channels(root: &Path, matched: &Matched) -> Result<(), DatasetError> {
    let is_first = matched.difference.as_ref().is_some_and(|found| found.of_image() == "_0000");
    let mut others = matched.images_alone.iter().filter(|image| image.name.stem.ends_with("_0001"));
    match others.next() {
        Some(image) if is_first => Err(DatasetError::Channels { root: root.into(), image: image.path.clone() }),
        _ => Ok(()),
    }
}

/// Reports files without counterpart: as problems, or as notes where they were not meant to have
/// one.
fn report_alone(
    root: &Path,
    matched: &Matched,
    chosen: &Chosen,
    is_split: bool,
    problems: &mut Vec<DatasetError>,
    notes: &mut Vec<String>,
) {
    let is_unlabelled = |image: &&File| {
        image.portion == Some(Portion::Test) && !chosen.masks.iter().any(|mask| mask.portion == image.portion)
    };
    let (unlabelled, alone): (Vec<&File>, Vec<&File>) =
        matched.images_alone.iter().partition(|image| is_split || is_unlabelled(image));
    if let Some(first) = unlabelled.first() {
        let folder = place(std::slice::from_ref(*first));
        notes.push(format!("{} images in {folder} have no mask and are not used", unlabelled.len()));
    }
    let names = |files: &[&File]| files.iter().map(|file| shown_name(&file.name)).collect::<Vec<_>>();
    let masks: Vec<&File> = matched.masks_alone.iter().collect();
    for (files, others) in [(alone, &chosen.masks), (masks, &chosen.images)] {
        if let Some(first) = files.first() {
            problems.push(DatasetError::Unpaired {
                folder: first.path.parent().unwrap_or(root).into(),
                other: folder_of(root, others),
                names: names(&files),
            });
        }
    }
}

/// Divides samples into parts by their folders, or, where these say nothing, by lists.
pub(super) fn divide(
    root: &Path,
    mut samples: BTreeMap<Option<Portion>, Vec<Sample>>,
    problems: &mut Vec<DatasetError>,
) -> Result<Parts, DatasetError> {
    let mut take = |portion| {
        let mut samples: Vec<Sample> = samples.remove(&portion).unwrap_or_default();
        samples.sort_by(|one: &Sample, other| one.name.cmp(&other.name));
        let twice = samples.windows(2).find(|pair| pair[0].name == pair[1].name);
        if let Some([first, second]) = twice {
            problems.push(DatasetError::Twice { first: first.image.clone(), second: second.image.clone() });
        }
        samples.dedup_by(|one, other| one.name == other.name);
        samples
    };
    let whole = take(None);
    let [mut train, mut validation, test] =
        [Portion::Train, Portion::Validation, Portion::Test].map(|portion| take(Some(portion)));
    if !whole.is_empty() && train.is_empty() && validation.is_empty() && test.is_empty() {
        return Ok(lists::split_folder(root, whole, problems));
    }
    let names: BTreeSet<String> = train.iter().map(|sample| sample.name.clone()).collect();
    if validation.iter().any(|sample| names.contains(&sample.name)) {
        // Both are learned from or chosen by, so that one list holds them.
        for (samples, part) in [(&mut train, "train"), (&mut validation, "val")] {
            samples.iter_mut().for_each(|sample| sample.name = format!("{part}_{}", sample.name));
        }
    }
    Ok(Parts { train, validation, test })
}

/// Removes files that have the name of another one.
fn once_each(files: Vec<File>, problems: &mut Vec<DatasetError>) -> Vec<File> {
    let mut by_name = BTreeMap::<Name, File>::new();
    for file in files {
        match by_name.get(&file.key()) {
            Some(first) => {
                problems.push(DatasetError::Twice { first: first.path.clone(), second: file.path });
            }
            None => drop(by_name.insert(file.key(), file)),
        }
    }
    by_name.into_values().collect()
}

/// Returns the name of an image's sample: its own name, behind those of folders within the images.
fn sample_name(image: &File, matched: &Matched) -> String {
    let mut name = image.name.clone();
    if matched.difference.as_ref().is_some_and(|difference| difference.of_image() == "_0000")
        && let Some(core) = name.stem.strip_suffix("_0000")
    {
        name.stem = core.to_owned();
    }
    shown_name(&name)
}

pub(super) fn shown_name(name: &Name) -> String {
    let folder = name.folder.replace('/', "_");
    let last = name.folder.rsplit('/').next().unwrap_or_default();
    match (folder.is_empty(), name.stem.is_empty() || last == name.stem) {
        (true, _) => name.stem.clone(),
        (false, true) => folder,
        (false, false) => format!("{folder}_{}", name.stem),
    }
}

/// Returns the folder of a file, from the data set's on.
fn parent(file: &File) -> &str {
    file.relative.rsplit_once('/').map_or(".", |(folder, _)| folder)
}

/// Names the folder of the first of the files, and how many others there are.
pub(super) fn place(files: &[File]) -> String {
    let folders: BTreeSet<&str> = files.iter().map(parent).collect();
    match folders.first() {
        None => "no folder".into(),
        Some(first) if folders.len() == 1 => format!("`{first}`"),
        Some(first) => format!("`{first}` and {} more folders", folders.len() - 1),
    }
}

fn folder_of(root: &Path, files: &[File]) -> std::path::PathBuf {
    files.first().and_then(|file| file.path.parent()).unwrap_or(root).into()
}
