//! The report as a page for people.

use std::collections::BTreeMap;

use maud::{Markup, html};
use seg_inference::{RunsOn, Tiles};
use seg_metrics::{Estimate, Metric, OperatingPoint, Reliability, SweepSummary};
use seg_report::table::{self, score};
use seg_report::{Chart, Curve, Figure, Mark, Rated, count, distribution, figures, legend, page};

use super::failures::Place;
use super::report::{About, Curves, Report};

/// The number of points to which curves are thinned, approximately.
const POINTS_MAX: usize = 300;
/// The number of entries of a list of failures that are shown; the JSON has all of them.
const ENTRIES_MAX: usize = 20;

impl Report {
    /// Formats the report as one HTML page that needs no other file.
    pub fn html(&self) -> String {
        let body = html! {
            (self.verdict())
            (self.metrics())
            (self.probabilities())
            (self.failures())
            (self.exhibits())
            (self.facts())
        };
        page(&format!("{} · evaluation", self.about.data.name), &body)
    }

    /// Describes the mean of a metric over the images.
    fn figure(&self, name: &'static str, metric: Metric) -> Figure<'static> {
        let estimate = self.scores.per_image.overall.get(&metric);
        let confidence = estimate.map_or_else(String::new, |estimate| self.confidence(metric, estimate));
        let definition = metric.definition(self.method.tolerance());
        Figure {
            name,
            value: estimate.and_then(|estimate| estimate.value).map_or_else(dash, |value| figure(metric, value)),
            meaning: format!("{confidence}the mean over images of {definition}."),
        }
    }

    fn verdict(&self) -> Markup {
        let about = &self.about;
        let figure = |name, metric| self.figure(name, metric);
        // Millimetres mean more, but only if no image lacks them.
        let sized = self.scores.per_image.overall.get(&Metric::Hausdorff95Mm).map_or(0, |estimate| estimate.images);
        let [surface, distance] = if sized > 0 && sized == self.images.len() {
            [figure("Surface Dice in mm", Metric::SurfaceDiceMm), figure("HD95 in mm", Metric::Hausdorff95Mm)]
        } else {
            [figure("Surface Dice", Metric::SurfaceDice), figure("HD95 in pixels", Metric::Hausdorff95)]
        };
        html! {
            header {
                p { "Evaluation · " (about.tool) }
                h1 { (about.data.name) ", " (about.contract.provenance.network) }
                p.lead {
                    (count(self.images.len(), "image")) " of the part “" (about.data.part) "”, " (extent(about)) ", computed by ONNX Runtime with "
                    (about.runs_on.provider) "."
                }
            }
            (figures(&[figure("Dice per image", Metric::Dice), surface, distance]))
            @if let Some(learned) = about.data.learned_from.filter(|count| *count > 0) {
                p.alert {
                    strong { "The model has learned from " (count(learned, "of these image")) "." }
                    " Scores on them say nothing about other images."
                }
            }
            @if about.data.learned_from.is_none() {
                p.note { "The model does not say which images it has learned from; some of these may be among them." }
            }
            @if let Some(chose) = about.data.chose_epoch.filter(|count| *count > 0) {
                p.note { (count(chose, "of these image")) " chose the epoch of the model, so scores on them are better than on others." }
            }
            @for warning in &about.data.warnings {
                p.alert { strong { "Warning: " } (warning) "." }
            }
            @if !self.skipped.is_empty() {
                p.note {
                    strong { (count(self.skipped.len(), "image")) " could not be measured" } " and count nowhere: "
                    @for (number, skipped) in self.skipped.iter().enumerate() {
                        @if number > 0 { "; " } (skipped.name) " (" (skipped.error) ")"
                    }
                    "."
                }
            }
        }
    }

    /// Describes the interval in words, as the beginning of a sentence.
    fn confidence(&self, metric: Metric, estimate: &Estimate) -> String {
        estimate.interval.map_or_else(String::new, |interval| {
            format!("{:.0} %: {}; ", 100.0 * self.method.bootstrap.confidence, range(metric, interval))
        })
    }

    fn metrics(&self) -> Markup {
        let classes = &self.about.contract.classes;
        let (per_image, pooled) = (&self.scores.per_image, &self.scores.pooled);
        let none = BTreeMap::new();
        html! {
            section {
                h2 { "Scores" }
                p.note {
                    "Per image: the mean of the images' own values. Pooled: from the pixels of all images together. Ranges hold "
                    (format!("{:.0}", 100.0 * self.method.bootstrap.confidence)) " % of " (self.method.bootstrap.replicates)
                    " draws of as many images with replacement. Ignored: " (self.definitions["ignored"]) "."
                }
                @if classes.len() > 2 { h3 { "Mean over the classes without the background" } }
                (self.table(&per_image.overall, &pooled.overall))
                @if classes.len() > 2 {
                    @for class in classes.iter().skip(1) {
                        h3 { (table::color(class.color)) (class.name) }
                        (self.table(per_image.classes.get(&class.name).unwrap_or(&none), &pooled.classes[&class.name]))
                    }
                }
                p.note { (self.definitions["surfaces"]) }
                div.tables {
                    div { h3 { "Classes, pooled" } (table::classes(classes, &self.scores.confusion)) }
                    div { h3 { "Confusion matrix, rows in percent and in pixels" } (table::confusion(classes, &self.scores.confusion)) }
                }
            }
        }
    }

    fn table(&self, per_image: &BTreeMap<Metric, Estimate>, pooled: &BTreeMap<Metric, Estimate>) -> Markup {
        html! {
            div.wide {
                table {
                    thead { tr { th { "Metric" } th.n { "Per image" } th.n { "Range" } th.n { "Images" } th.n { "Pooled" } th.n { "Range" } th.definition { "Definition" } } }
                    tbody {
                        @for (metric, estimate) in per_image {
                            tr {
                                th scope="row" { (metric.title()) }
                                td.n { (estimate.value.map_or_else(dash, |value| figure(*metric, value))) }
                                td.n { (estimate.interval.map_or_else(dash, |interval| range(*metric, interval))) }
                                td.n { (estimate.images) }
                                @let pooled = pooled.get(metric);
                                td.n { (pooled.and_then(|pooled| pooled.value).map_or_else(dash, |value| figure(*metric, value))) }
                                td.n { (pooled.and_then(|pooled| pooled.interval).map_or_else(dash, |interval| range(*metric, interval))) }
                                td.definition { (metric.definition(self.method.tolerance())) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn probabilities(&self) -> Markup {
        let Some(calibration) = &self.calibration else { return html! {} };
        let classes = &self.about.contract.classes;
        // For two classes, the probabilities of one contain all the information.
        let shown = || classes.iter().zip(&calibration.classes).skip(1);
        let numbers = [
            ("Expected calibration error", html! { (score(calibration.top.expected_error)) }),
            ("Largest error of a bin", html! { (score(calibration.top.largest_error)) }),
            ("Brier score", html! { (score(calibration.brier)) }),
            ("Negative log-likelihood", html! { (score(calibration.negative_log_likelihood)) }),
        ];
        html! {
            section {
                h2 { "Probabilities" }
                p.note { "All pixels that count, before any change to the mask. Calibration error: " (self.definitions["expected_error"]) "." }
                (table::facts(&numbers))
                div.charts {
                    (reliability("Reliability of the chosen class", &calibration.top))
                    @for (class, found) in shown() { (reliability(&format!("Reliability of “{}”", class.name), found)) }
                    @if let Some(sweep) = &self.thresholds { (thresholds(sweep)) }
                    @if let Some(curves) = &self.curves { (ranks(curves)) }
                }
                @if let Some(sweep) = &self.thresholds { (operating_points(sweep)) }
                details {
                    summary { "Reliability tables" }
                    (reliability_table("The chosen class", &calibration.top))
                    @for (class, found) in shown() { (reliability_table(&class.name, found)) }
                }
            }
        }
    }

    fn failures(&self) -> Markup {
        let failures = &self.failures;
        let missed: Vec<String> = failures
            .missed_objects
            .iter()
            .map(|at| format!("{}: {} of {} ({})", at.image, at.missed, at.truth, at.class))
            .collect();
        html! {
            section {
                h2 { "Failures" }
                div.wide {
                    table {
                        thead { tr { th { "Class" } th.n { "Objects" } th.n { "Missed" } th.n { "Predicted" } th.n { "Invented" } } }
                        tbody {
                            @for (class, objects) in &failures.objects {
                                tr {
                                    th scope="row" { (class) }
                                    td.n { (objects.truth) } td.n { (objects.missed) } td.n { (objects.predicted) } td.n { (objects.invented) }
                                }
                            }
                        }
                    }
                }
                p.note { "Objects are " (self.definitions["objects"]) "." }
                (list("Empty predictions", "The truth has the class, the prediction has nothing of it.", &places(&failures.empty_predictions)))
                (list("Invented classes", "The prediction has the class, the truth has nothing of it.", &places(&failures.invented_classes)))
                (list("Images with missed objects", "The most first.", &missed))
            }
        }
    }

    fn exhibits(&self) -> Markup {
        let rated: Vec<Rated> = self
            .images
            .iter()
            .map(|image| Rated { name: image.name.clone(), dice: image.confusion.target_dice() })
            .collect();
        html! {
            section {
                h2 { "Images" }
                h3 { "Dice of each image" }
                figure.wide { (distribution(&rated)) }
                @if !self.worst.is_empty() {
                    (legend(&self.about.contract.classes))
                    h3 { "The worst" }
                    @for exhibit in &self.worst { (exhibit.render()) }
                }
            }
        }
    }

    fn facts(&self) -> Markup {
        let about = &self.about;
        let runs_on = &about.runs_on;
        let nodes: Vec<_> = runs_on.nodes.iter().map(|(provider, nodes)| format!("{nodes} on {provider}")).collect();
        let mut rows = vec![
            ("Program", html! { (about.tool) }),
            ("Provider", html! { (runs_on.provider) @for reason in &runs_on.instead { "; not " (reason) } }),
            ("Precision", html! { (runs_on.precision) }),
            ("Nodes", html! { (nodes.join(", ")) }),
        ];
        if let Some(device) = &runs_on.device {
            rows.push(("Device", html! { (device) }));
        }
        if !runs_on.elsewhere.is_empty() {
            let nodes =
                runs_on.elsewhere.iter().map(|node| format!("{} {} on {}", node.operator, node.name, node.provider));
            rows.push(("Elsewhere", html! { (nodes.collect::<Vec<_>>().join(", ")) }));
        }
        for (model, member) in about.models.iter().zip(&runs_on.members) {
            let RunsOn { provider, precision, .. } = member;
            rows.push(("Not alike", html! { code { (model.file) } ": " (provider) ", " (precision) }));
        }
        rows.push(("ONNX Runtime", html! { (runs_on.onnx_runtime) }));
        for model in &about.models {
            rows.push(("Model", html! { code { (model.file) } }));
            rows.push(("Model (SHA-256)", html! { code { (model.sha256) } }));
        }
        rows.push(("Data", html! { (about.data.name) ", " (about.data.part) }));
        rows.push(("Folder", html! { code { (about.data.folder) } }));
        let error = about.data.error.as_deref().unwrap_or_default();
        rows.push((
            "Data (SHA-256)",
            match &about.data.sha256 {
                Some(sha256) => html! { code { (sha256) } },
                None => html! { "unknown: " (error) },
            },
        ));
        let value = |value: serde_json::Result<serde_json::Value>| value.expect("it has only string keys");
        html! {
            section {
                h2 { "Conditions" }
                (table::facts(&rows))
                h3 { "Measuring" }
                (table::settings(&value(serde_json::to_value(self.method))))
                h3 { "From answers to masks" }
                (table::settings(&value(serde_json::to_value(&about.settings))))
                h3 { "Contract of the model" }
                // By way of text, in which an f32 has only the digits that it needs.
                (table::settings(&value(serde_json::from_str(&about.contract.to_json()))))
            }
        }
    }
}

/// Describes the size of the network's input.
fn extent(about: &About) -> String {
    let size = |[height, width]: [usize; 2]| format!("{height}x{width}");
    match about.settings.tiles {
        _ if !about.settings.cuts(&about.contract) => "whole".into(),
        Tiles::Of(tiling) => format!("in tiles of {}", size(tiling.size)),
        Tiles::Auto { .. } | Tiles::Off => match about.contract.input.form.size {
            Some(only) => format!("whole where they are {0}, otherwise in tiles of {0}", size(only)),
            None => format!(
                "whole up to {} pixels, otherwise in tiles",
                table::grouped(about.settings.whole_pixels_max() as u64)
            ),
        },
    }
}

/// Draws the observed frequency for each predicted probability, beside the ideal.
fn reliability(title: &str, found: &Reliability) -> Markup {
    let points = found.bins.iter().map(|bin| (bin.probability, bin.share)).collect();
    let curves = vec![
        Curve { name: "share that is so", points },
        Curve { name: "perfect", points: vec![(0.0, 0.0), (1.0, 1.0)] },
    ];
    Chart { title, across: "probability", curves, span: [0.0, 1.0], heights: &[0.0, 1.0], mark: None }.render()
}

/// Lists images with the class that failed.
fn places(places: &[Place]) -> Vec<String> {
    places.iter().map(|place| format!("{} ({})", place.image, place.class)).collect()
}

fn reliability_table(title: &str, found: &Reliability) -> Markup {
    html! {
        h3 { (title) }
        table {
            thead { tr { th { "Probabilities" } th.n { "Pixels" } th.n { "Mean" } th.n { "Share that is so" } } }
            tbody {
                @for bin in &found.bins {
                    tr {
                        th scope="row" { (format!("{:.2} to {:.2}", bin.from, bin.to)) }
                        td.n { (table::grouped(bin.pixels)) } td.n { (score(bin.probability)) } td.n { (score(bin.share)) }
                    }
                }
            }
        }
    }
}

fn thresholds(sweep: &SweepSummary) -> Markup {
    let curves = vec![
        Curve { name: "Dice", points: points(sweep, |point| Some(point.dice)) },
        Curve { name: "sensitivity", points: points(sweep, |point| point.sensitivity) },
        Curve { name: "precision", points: points(sweep, |point| point.precision) },
        Curve { name: "specificity", points: points(sweep, |point| point.specificity) },
    ];
    let best = sweep.best.threshold;
    let mark = Some(Mark { at: best, text: format!("best Dice: {best}") });
    Chart { title: "Thresholds, pooled", across: "threshold", curves, span: [0.0, 1.0], heights: &[0.0, 1.0], mark }
        .render()
}

/// Returns a value at each threshold for which it is defined.
fn points(sweep: &SweepSummary, value: impl Fn(&OperatingPoint) -> Option<f64>) -> Vec<(f64, f64)> {
    sweep.thresholds.iter().filter_map(|point| Some((point.threshold, value(point)?))).collect()
}

/// Draws a curve of values from 0 to 1.
fn chart(title: &str, across: &'static str, name: &'static str, points: &[(f64, f64)]) -> Markup {
    let curves = vec![Curve { name, points: thinned(points) }];
    Chart { title, across, curves, span: [0.0, 1.0], heights: &[0.0, 1.0], mark: None }.render()
}

fn ranks(curves: &Curves) -> Markup {
    html! {
        @if !curves.roc.is_empty() {
            (chart("Receiver operating characteristic", "1 - specificity", "sensitivity", &curves.roc))
        }
        @if !curves.precision_recall.is_empty() {
            (chart("Precision and recall", "recall", "precision", &curves.precision_recall))
        }
    }
}

/// Thins points so far that they can be told apart, and keeps the first and the last.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let step = 1.0 / POINTS_MAX as f64;
    let mut kept: Vec<(f64, f64)> = Vec::new();
    for (index, point) in points.iter().enumerate() {
        let is_near = |last: &(f64, f64)| (point.0 - last.0).abs() + (point.1 - last.1).abs() < step;
        if index + 1 == points.len() || !kept.last().is_some_and(is_near) {
            kept.push(*point);
        }
    }
    kept
}

fn operating_points(sweep: &SweepSummary) -> Markup {
    let even = sweep.thresholds.iter().find(|point| point.threshold == 0.5);
    let optional = |value: Option<f64>| value.map_or_else(dash, score);
    html! {
        div.wide {
            table {
                thead { tr { th { "Threshold" } th.n { "Dice" } th.n { "Sensitivity" } th.n { "Specificity" } th.n { "Precision" } } }
                tbody {
                    @for (name, point) in even.map(|point| ("", point)).into_iter().chain([("best Dice: ", &sweep.best)]) {
                        tr {
                            th scope="row" { (name) (point.threshold) }
                            td.n { (score(point.dice)) } td.n { (optional(point.sensitivity)) }
                            td.n { (optional(point.specificity)) } td.n { (optional(point.precision)) }
                        }
                    }
                }
            }
        }
        p.note {
            "Area under the ROC " (optional(sweep.roc_auc)) ", average precision " (optional(sweep.average_precision))
            ". A threshold that was chosen on these images looks better on them than on new ones: choose it on a validation part."
        }
    }
}

/// Shows a list of failures, if there are any.
fn list(title: &str, meaning: &str, entries: &[String]) -> Markup {
    html! {
        @if !entries.is_empty() {
            h3 { (title) ": " (entries.len()) }
            p { (meaning) " " (entries[..entries.len().min(ENTRIES_MAX)].join(", ")) @if entries.len() > ENTRIES_MAX { ", …" } }
        }
    }
}

/// Formats a value with the digits that its size deserves.
fn figure(metric: Metric, value: f64) -> String {
    if metric.is_distance() { format!("{value:.2}") } else { score(value) }
}

fn range(metric: Metric, [low, high]: [f64; 2]) -> String {
    format!("{} to {}", figure(metric, low), figure(metric, high))
}

fn dash() -> String {
    "–".into()
}

#[cfg(test)]
mod tests {
    use seg_contract::SizePolicy;
    use seg_inference::Tiling;

    use super::*;
    use crate::evaluation::Method;
    use crate::evaluation::evaluator::tests::report;

    #[test]
    fn the_page_says_what_was_found() {
        let html = report(&[("good", 4), ("<bad>", 0), ("fair", 3)], Method::default()).html();
        for (name, part) in [
            ("the data", "&lt;cells&gt;"),
            ("what could not be measured", "torn (cut off)"),
            ("images that the model knows", "<p class=\"alert\"><strong>The model has learned from 2 of these images."),
            ("a warning", "no mask shows `&lt;x&gt;`"),
            ("Dice", "0.6190"),
            ("a definition", "normalised surface Dice, Nikolov et al. 2018"),
            ("the reliability", "Reliability of “nucleus”"),
            ("the sweep", ">best Dice: 0.1"),
            ("the areas", "average precision 0."),
            ("an empty prediction", "Empty predictions: 1"),
            ("the worst image", "alt=\"&lt;bad&gt;, errors\""),
            ("the model", "&lt;model&gt;.onnx"),
            ("the settings", "<dt>bootstrap.replicates</dt><dd>1000</dd>"),
            ("the contract", "<dt>input.side_min</dt><dd>8</dd>"),
        ] {
            assert!(html.contains(part), "{name}: no {part:?}");
        }
        assert!(!html.contains("NaN") && !html.contains("<bad>"));
    }

    #[test]
    fn the_page_says_how_images_were_run() {
        let stretched = SizePolicy::Resize { height: 16, width: 16 };
        let tiling = Tiling { size: [64, 32], ..Tiling::default() };
        for (name, policy, only, tiles, expected) in [
            ("off", SizePolicy::Native, None, Tiles::Off, "whole"),
            ("stretched", stretched, None, Tiles::default(), "whole"),
            (
                "auto",
                SizePolicy::Native,
                None,
                Tiles::default(),
                "whole up to 2\u{202f}359\u{202f}296 pixels, otherwise in tiles",
            ),
            (
                "one size",
                SizePolicy::Native,
                Some([8, 9]),
                Tiles::default(),
                "whole where they are 8x9, otherwise in tiles of 8x9",
            ),
            ("tiles", SizePolicy::Native, None, Tiles::Of(tiling), "in tiles of 64x32"),
        ] {
            let mut report = report(&[("a", 4)], Method::default());
            report.about.contract.input.size = policy;
            report.about.contract.input.form.size = only;
            report.about.settings.tiles = tiles;
            let html = report.html();
            assert!(html.contains(&format!(", {expected}, computed by")), "{name}");
        }
    }

    #[test]
    fn data_that_cannot_be_read_has_no_fingerprint_but_a_reason() {
        let mut report = report(&[("a", 4)], Method::default());
        (report.about.data.sha256, report.about.data.error) = (None, Some("a file is gone".into()));
        assert!(report.html().contains("unknown: a file is gone"));
    }

    #[test]
    fn one_image_and_none_make_a_page() {
        for images in [&[("only", 2)][..], &[]] {
            let html = report(images, Method::default()).html();
            assert!(html.contains('–') && !html.contains("NaN") && !html.contains(">inf"), "{}", images.len());
        }
    }

    #[test]
    fn thinned_curves_keep_their_ends() {
        let points: Vec<_> = (0..=10_000).map(|step| (f64::from(step) / 1e4, 1.0)).collect();
        let kept = thinned(&points);
        assert!(kept.len() <= POINTS_MAX + 2, "{}", kept.len());
        assert_eq!((kept.first(), kept.last()), (points.first(), points.last()));
    }
}
