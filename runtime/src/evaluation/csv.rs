//! The scores as a table for spreadsheets: a row per image.

use seg_metrics::{Metric, Values};
use seg_text::csv::{Cell, row};

use super::report::Report;

impl Report {
    /// Formats a row per image with its scores; with more than one class besides the background,
    /// also those of each class.
    ///
    /// Undefined values are empty. Distances are in pixels, and those of columns that end in `_mm`
    /// in millimetres; there are such columns if any image names the size of a pixel. A name that a
    /// spreadsheet would take for a formula has an apostrophe in front.
    pub fn csv(&self) -> String {
        let classes: Vec<&str> = self.about.contract.classes.iter().skip(1).map(|class| class.name.as_str()).collect();
        let is_measured = |metric: &Metric| self.images.iter().any(|image| image.overall.contains_key(metric));
        let metrics: Vec<_> =
            Metric::ALL.into_iter().filter(|metric| !metric.needs_spacing() || is_measured(metric)).collect();
        let of_a_class = || metrics.iter().copied().filter(|metric| metric.is_of_a_class());
        let mut header = vec![Cell::Text("image".into())];
        header.extend(metrics.iter().map(|metric| Cell::Text(metric.name().into())));
        for class in &classes {
            if classes.len() > 1 {
                header.extend(of_a_class().map(|metric| Cell::Text(format!("{class} {}", metric.name()))));
            }
            let counts = ["objects", "missed", "predicted", "invented"];
            header.extend(counts.map(|count| Cell::Text(format!("{class} {count}"))));
        }
        let mut text = row(header);
        let number = |values: &Values, metric: &Metric| {
            let value = values.get(metric).copied().flatten();
            Cell::Number(value.map_or_else(String::new, |value| value.to_string()))
        };
        for image in &self.images {
            let mut fields = vec![Cell::Text(image.name.clone())];
            fields.extend(metrics.iter().map(|metric| number(&image.overall, metric)));
            for class in &classes {
                let scores = &image.classes[*class];
                if classes.len() > 1 {
                    fields.extend(of_a_class().map(|metric| number(&scores.values, &metric)));
                }
                let objects = &scores.objects;
                let counts = [objects.truth, objects.missed, objects.predicted, objects.invented];
                fields.extend(counts.map(|count| Cell::Number(count.to_string())));
            }
            text += &row(fields);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use crate::evaluation::Method;
    use crate::evaluation::evaluator::tests::report;

    #[test]
    fn every_image_has_a_row_and_undefined_values_are_empty() {
        let csv = report(&[("a, \"b\"", 4), ("none", 0)], Method::default()).csv();
        let lines: Vec<_> = csv.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("image,dice,iou,mean_iou,accuracy,"), "{csv}");
        assert!(lines[0].ends_with(",nucleus objects,nucleus missed,nucleus predicted,nucleus invented"), "{csv}");
        assert_eq!(lines[1], "\"a, \"\"b\"\"\",1,1,1,1,1,1,1,1,1,1,0,0,0,1,0,1,0");
        let fields: Vec<_> = lines[2].split(',').collect();
        // Precision is the eighth column.
        assert_eq!((fields[0], fields[1], fields[7], fields.last()), ("none", "0", "", Some(&"0")));
        assert_eq!(lines[0].split(',').count(), fields.len());
    }

    #[test]
    fn no_name_is_a_formula() {
        let csv = report(&[("=1+1", 4), ("-2", 4), ("@a", 4)], Method::default()).csv();
        let names: Vec<_> = csv.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
        assert_eq!(names, ["'=1+1", "'-2", "'@a"]);
    }
}
