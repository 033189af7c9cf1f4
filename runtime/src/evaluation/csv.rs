//! The scores as a table for spreadsheets: a row per image.

use seg_metrics::Metric;

use super::report::Report;

impl Report {
    /// Formats a row per image with its scores; with more than one class besides the background,
    /// also those of each class.
    ///
    /// Undefined values are empty. Distances are in pixels.
    pub fn csv(&self) -> String {
        let classes: Vec<&str> = self.about.contract.classes.iter().skip(1).map(|class| class.name.as_str()).collect();
        let of_a_class = || Metric::ALL.into_iter().filter(|metric| metric.is_of_a_class());
        let mut header = vec!["image".to_owned()];
        header.extend(Metric::ALL.map(|metric| metric.name().to_owned()));
        for class in &classes {
            if classes.len() > 1 {
                header.extend(of_a_class().map(|metric| format!("{class} {}", metric.name())));
            }
            header.extend(["objects", "missed", "predicted", "invented"].map(|count| format!("{class} {count}")));
        }
        let mut text = row(header.into_iter());
        let number = |value: &Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        for image in &self.images {
            let mut fields = vec![image.name.clone()];
            fields.extend(Metric::ALL.iter().map(|metric| number(&image.overall[metric])));
            for class in &classes {
                let scores = &image.classes[*class];
                if classes.len() > 1 {
                    fields.extend(of_a_class().map(|metric| number(&scores.values[&metric])));
                }
                let objects = &scores.objects;
                let counts = [objects.truth, objects.missed, objects.predicted, objects.invented];
                fields.extend(counts.map(|count| count.to_string()));
            }
            text += &row(fields.into_iter());
        }
        text
    }
}

/// Formats a line by RFC 4180.
fn row(fields: impl Iterator<Item = String>) -> String {
    fields.map(quoted).collect::<Vec<_>>().join(",") + "\r\n"
}

/// Quotes a field if it needs quotes.
fn quoted(field: String) -> String {
    if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
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
}
