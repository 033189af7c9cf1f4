//! YOLO segments: a text file for each image, a polygon on each line.
//!
//! A line has the number of the class, counted from 0, and x and y of each corner in shares of the
//! image's width and height.

use std::path::Path;

use super::polygon::Ring;
use super::{AnnotationError, Area, Shape};

/// Returns the name by which a class is known until the names are read.
pub(crate) fn placeholder(class: usize) -> String {
    format!("class {class}")
}

/// Returns true if every line of a text begins with a class and has coordinates.
pub(super) fn is_one(text: &str) -> bool {
    let lines: Vec<Vec<&str>> = lines(text).map(|(_, fields)| fields).collect();
    !lines.is_empty()
        && lines.iter().all(|fields| {
            fields.len() >= 5
                && fields[0].parse::<usize>().is_ok()
                && fields[1..].iter().all(|field| field.parse::<f64>().is_ok_and(f64::is_finite))
        })
}

fn lines(text: &str) -> impl Iterator<Item = (usize, Vec<&str>)> {
    let lines =
        text.lines().enumerate().map(|(number, line)| (number + 1, line.split_whitespace().collect::<Vec<_>>()));
    lines.filter(|(_, fields)| !fields.is_empty())
}

/// Reads the shapes, in the order of the lines.
pub(super) fn read(path: &Path, text: &str) -> Result<Vec<Shape>, AnnotationError> {
    let shape = |(number, fields): (usize, Vec<&str>)| {
        let refuse = |found: &str, expected| AnnotationError::Form {
            path: path.into(),
            found: format!("line {number} {found}"),
            expected,
        };
        let class: usize = fields[0].parse().map_err(|_| refuse("begins with no class", "a number from 0 on"))?;
        let values: Vec<f64> = fields[1..]
            .iter()
            .map(|field| field.parse().ok().filter(|value: &f64| value.is_finite()))
            .collect::<Option<_>>()
            .ok_or_else(|| refuse("has something else than numbers", "x and y of each corner"))?;
        match values.len() {
            4 => return Err(refuse("is a box", "segments: x and y of at least 3 corners")),
            count if count % 2 == 1 || count < 6 => {
                return Err(refuse("has no x and y of at least 3 corners", "pairs of numbers"));
            }
            _ => {}
        }
        if values.iter().any(|value| !(-0.01..=1.01).contains(value)) {
            return Err(refuse("has coordinates outside of 0 to 1", "shares of the image's width and height"));
        }
        let ring: Ring = values.chunks_exact(2).map(|corner| [corner[0], corner[1]]).collect();
        Ok(Shape { class: placeholder(class), label: 0, area: Area::Shares(vec![vec![ring]]) })
    };
    lines(text).map(shape).collect()
}

/// Reads the names of the classes in a `data.yaml`: a list in brackets or of lines, or numbers with
/// names.
pub(crate) fn names(text: &str) -> Vec<String> {
    let clean = |name: &str| name.trim().trim_matches(['"', '\'']).to_owned();
    let mut lines = text.lines().skip_while(|line| !line.trim_start().starts_with("names:"));
    let Some(first) = lines.next() else { return Vec::new() };
    let rest = first.split_once(':').map_or("", |(_, rest)| rest).trim();
    let all: String = [rest].into_iter().chain(lines.clone()).collect::<Vec<_>>().join(" ");
    for (open, close) in [('[', ']'), ('{', '}')] {
        if rest.starts_with(open) {
            let inner = all.trim_start_matches(open).split(close).next().unwrap_or_default();
            let entries = inner.split(',').filter(|entry| !entry.trim().is_empty());
            let name = |entry: &str| {
                clean(if open == '{' { entry.split_once(':').map_or(entry, |(_, name)| name) } else { entry })
            };
            return entries.map(name).collect();
        }
    }
    lines
        .map_while(|line| {
            let entry = line.trim();
            let is_inner = line.starts_with([' ', '\t', '-']) && !entry.is_empty();
            let name = entry.strip_prefix('-').or_else(|| entry.split_once(':').map(|(_, name)| name));
            name.filter(|_| is_inner).map(clean)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_in_three_forms() {
        for text in [
            "nc: 2\nnames: ['cell', \"red cell\"]\n",
            "names: [cell,\n  red cell]\nnc: 2",
            "names:\n  0: cell\n  1: red cell\ntrain: images",
            "names:\n- cell\n- red cell\nnc: 2",
            "names: {0: cell, 1: 'red cell'}",
        ] {
            assert_eq!(names(text), ["cell", "red cell"], "{text}");
        }
        assert!(names("train: images").is_empty());
    }

    #[test]
    fn segments_are_told_from_boxes_and_other_text() {
        let segment = "0 0.1 0.1 0.9 0.1 0.5 0.9\n";
        assert!(is_one(segment) && !is_one("images/a.png\n") && !is_one(""));
        assert_eq!(read(Path::new("a.txt"), segment).unwrap().len(), 1);
        for (text, part) in [
            ("1 0.5 0.5 0.1 0.1", "line 1 is a box"),
            ("0 0.1 0.1 0.9 0.1 0.5", "no x and y"),
            ("0 10 10 90 10 50 90", "outside of 0 to 1"),
        ] {
            let message = read(Path::new("a.txt"), text).unwrap_err().to_string();
            assert!(message.contains("a.txt") && message.contains(part), "{message}");
        }
    }
}
