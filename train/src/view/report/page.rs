//! The page: what a run came to, from the verdict to how to go on.

use std::path::Path;

use maud::{Markup, html};
use seg_data::{WriteError, write_bytes};
use seg_report::table::{self, score};
use seg_report::{Chart, Curve, Figure, Mark, count, distribution, figures, legend, page};
use seg_text::shell;

use super::findings::Findings;
use crate::run::ending::Ending;
use crate::run::record::EpochRecord;
use crate::run::{Run, Session};
use crate::view::duration::duration;

/// By how much the best epoch's score may differ when it is computed again, as on another device.
const SAME_SCORE: f64 = 1e-3;

/// The content of a report.
pub struct Report<'a> {
    /// The run.
    pub run: &'a Run,
    /// A record per epoch.
    pub log: &'a [EpochRecord],
    /// The sessions in which it trained.
    pub sessions: &'a [Session],
    /// The results of its best weights on the validation part.
    pub findings: &'a Findings,
}

impl Report<'_> {
    /// Writes the report, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), WriteError> {
        write_bytes(path, self.html().as_bytes())
    }

    /// Renders the report as one HTML page that needs no other file.
    pub fn html(&self) -> String {
        let title = format!("{} · {}", self.run.dataset.name, name_of(&self.run.folder));
        let body = html! {
            (self.verdict())
            (self.curves())
            (self.classes())
            (self.images())
            (self.facts())
            (self.going_on())
        };
        page(&title, &body)
    }

    /// Returns the best epoch's record.
    fn best(&self) -> Option<&EpochRecord> {
        self.log.iter().rfind(|record| record.best)
    }

    fn verdict(&self) -> Markup {
        let scores = &self.findings.scores;
        let epoch = self.findings.contract.provenance.epoch;
        let logged = self.best().and_then(EpochRecord::dice);
        let images = count(scores.images, "validation image");
        html! {
            header {
                p { "Training report · " (name_of(&self.run.folder)) }
                h1 { (self.run.dataset.name) ", " (self.run.config.network.name().title()) }
                p.lead {
                    @match epoch {
                        Some(epoch) => { "Epoch " (epoch) " of " (self.log.len()) " is the best one, judged on " (images) "." }
                        None => { "Judged on " (images) "." }
                    }
                }
            }
            (figures(&[
                figure("Dice per image", scores.dice_per_image, "2 TP / (2 TP + FP + FN) of each image, over the classes without the background; the mean over images. It chose the epoch."),
                figure("Mean IoU", scores.mean_iou_pooled, "TP / (TP + FP + FN) of each class from the pixels of all images together; the mean over all classes, background included."),
                figure("Accuracy", scores.accuracy_pooled, "The share of the pixels of all images whose class was found."),
            ]))
            p.note {
                "Whole images, as a deployment sees them up to 1536x1536 pixels; ignored pixels are in no number. An epoch that was chosen on these images looks a little "
                "better on them than on new ones: judge the model by images that are held out."
            }
            @for sentence in self.findings.verdict(self.log) {
                @let text = capitalised(&sentence.text);
                @if sentence.is_warning { p.alert { (text) "." } } @else { p { (text) "." } }
            }
            @for warning in &self.findings.warnings {
                p.alert { strong { "Warning: " } (warning) "." }
            }
            p.note { "The data: " (self.run.dataset.parts_in_words()) "." }
            @if let Some(logged) = logged.filter(|logged| (logged - scores.dice_per_image).abs() > SAME_SCORE) {
                p.note {
                    strong { "Not reproduced: " }
                    "the log has a Dice per image of " (score(logged)) " for the best epoch. Images, weights or program have changed since."
                }
            }
        }
    }

    fn curves(&self) -> Markup {
        let span = [0.0, self.log.len().max(1) as f64];
        let mark = self.best().map(|record| Mark { at: record.epoch as f64, text: format!("best: {}", record.epoch) });
        let curve = |name, value| Curve { name, points: EpochRecord::points(self.log, value) };
        let [pixels, overlap] = self.run.config.training.loss.names();
        let loss = vec![
            curve("total", |record| Some(record.loss)),
            curve(pixels, |record| Some(record.cross_entropy)),
            curve(overlap, |record| Some(record.dice_loss)),
        ];
        let validation = vec![
            curve("Dice per image", EpochRecord::dice),
            curve("mean IoU", |record| Some(record.validation.as_ref()?.scores.mean_iou_pooled)),
            curve("accuracy", |record| Some(record.validation.as_ref()?.scores.accuracy_pooled)),
        ];
        let rate = vec![curve("last step of the epoch", |record| Some(record.learning_rate))];
        let norm = vec![
            curve("mean", |record| Some(record.gradient_norm?.mean)),
            curve("largest", |record| Some(record.gradient_norm?.max)),
        ];
        let speed = vec![curve("training", |record| Some(record.images_per_second))];
        let charts = [
            ("Training loss", loss),
            ("Validation", validation),
            ("Learning rate", rate),
            ("Gradient norm before clipping", norm),
            ("Images per second", speed),
        ];
        html! {
            section {
                h2 { "Epochs" }
                div.charts {
                    @for (title, curves) in charts {
                        @if curves.iter().any(|curve| !curve.points.is_empty()) {
                            (Chart { title, across: "epoch", curves, span, heights: &[], mark: mark.clone() }.render())
                        }
                    }
                }
            }
        }
    }

    fn classes(&self) -> Markup {
        let (classes, confusion) = (&self.findings.contract.classes, &self.findings.confusion);
        html! {
            section {
                h2 { "Classes" }
                p.note { "The best epoch on the validation part; every number from the pixels of all images together." }
                div.tables {
                    div { h3 { "Scores" } (table::classes(classes, confusion)) }
                    div { h3 { "Confusion matrix, rows in percent and in pixels" } (table::confusion(classes, confusion)) }
                }
            }
        }
    }

    fn images(&self) -> Markup {
        let Findings { images, worst, best, contract, .. } = self.findings;
        html! {
            section {
                h2 { "Images" }
                h3 { "Dice of each validation image" }
                figure.wide { (distribution(images)) }
                (legend(&contract.classes))
                @for (title, exhibits) in [("The worst", worst), ("The best", best)] {
                    @if !exhibits.is_empty() {
                        h3 { (title) }
                        @for exhibit in exhibits { (exhibit.render()) }
                    }
                }
            }
        }
    }

    fn facts(&self) -> Markup {
        let Run { config, split, dataset, folder } = self.run;
        let provenance = &self.findings.contract.provenance;
        let session = self.sessions.last();
        let training: f64 = self.log.iter().map(|record| record.training_seconds).sum();
        let seconds: f64 = self.log.iter().map(EpochRecord::seconds).sum();
        // The mean over all images, not over epochs.
        let seen: f64 = self.log.iter().map(|record| record.images_per_second * record.training_seconds).sum();
        let waited: f64 = self.log.iter().map(|record| record.waiting * record.training_seconds).sum();
        let per_training_second = |sum: f64| sum / training.max(f64::MIN_POSITIVE);
        let memory = self.log.iter().filter_map(|record| record.peak_memory).max();
        let unknown = || html! { "–" };
        let of_session =
            |text: &dyn Fn(&Session) -> String| session.map_or_else(unknown, |session| html! { (text(session)) });
        let fingerprint = of_session(&|session| session.data_sha256.clone());
        let same_data = self.sessions.windows(2).all(|pair| pair[0].data_sha256 == pair[1].data_sha256);
        let run = [
            (
                "Device",
                of_session(&|session| format!("{}, {}", session.device, count(session.processors, "processor"))),
            ),
            ("System", of_session(&|session| session.system.clone())),
            ("Program", of_session(&|session| format!("train {} with Burn {}", session.version, session.burn))),
            ("Began", self.sessions.first().map_or_else(unknown, |session| html! { (session.date()) })),
            (
                "Went on",
                html! { @match self.sessions.len() { 0 | 1 => "never interrupted", times => { (count(times - 1, "time")) ", last after epoch " (self.sessions[times - 1].epochs_before) } } },
            ),
            ("Time", html! { (duration(seconds)) ", " (duration(seconds - training)) " of it validation" }),
            ("Training speed", html! { (format!("{:.1}", per_training_second(seen))) " images/s" }),
            (
                "Waited for data",
                html! { (format!("{:.1}", 100.0 * per_training_second(waited))) " % of the training time" },
            ),
            ("Peak memory", memory.map_or_else(unknown, |bytes| html! { (bytes >> 20) " MiB of the process" })),
        ];
        let data = [
            ("Data set", html! { (dataset.name) }),
            ("Folder", html! { code { (config.data.display()) } }),
            ("Learned from", html! { (count(split.train.len(), "image")) }),
            ("Validated on", html! { (count(split.validation.len(), "image")) }),
            ("Held out, not touched", html! { (count(dataset.test.len(), "image")) }),
            (
                "Fingerprint (SHA-256)",
                html! { code { (fingerprint) } @if !same_data { " The data changed when the run went on." } },
            ),
        ];
        let weights = [
            ("Run", html! { code { (folder.display()) } }),
            ("Weights (SHA-256)", html! { code { (provenance.weights_sha256) } }),
        ];
        // By way of text, in which an f32 has no more digits than it needs.
        let config = serde_json::to_string(config).and_then(|text| serde_json::from_str(&text));
        let config = config.expect("a configuration has only string keys");
        html! {
            section {
                h2 { "Run" }
                (table::facts(&run))
                h3 { "Data" }
                (table::facts(&data))
                details {
                    summary { "Which image is in which part" }
                    @for (part, names) in [("Learned from", &split.train), ("Validated on", &split.validation)] {
                        p { strong { (part) ": " } (names.join(", ")) }
                    }
                }
                h3 { "Weights" }
                (table::facts(&weights))
                h3 { "Configuration" }
                (table::settings(&config))
            }
        }
    }

    fn going_on(&self) -> Markup {
        let run = shell::path(&self.run.folder);
        let data = shell::path(&self.run.config.data);
        let model = shell::path(&self.run.folder.join(format!("{}.onnx", self.run.config.network.name())));
        html! {
            section {
                h2 { "Going on" }
                @if !self.run.dataset.test.is_empty() {
                    p { "Score the best weights, once, on the images that are held out:" }
                    pre { "seg train evaluate --checkpoint " (run) " --data " (data) }
                }
                p { "Export them to ONNX, and segment images without Burn:" }
                pre { "seg export --checkpoint " (run) " --out " (model) "\nseg infer --model " (model) " --out predictions IMAGES" }
                @match Ending::from_log(&self.run.config, self.log) {
                    Some(ending) => { p { "There is nothing left to train: " (ending) "." } }
                    None => {
                        p { "Train the remaining " (count(self.run.config.epochs - self.log.len(), "epoch")) ":" }
                        pre { "seg train --resume " (run) }
                    }
                }
            }
        }
    }
}

/// Returns a sentence with a capital letter at its beginning; a name in quotes stays as it is.
fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn figure<'a>(name: &'a str, value: f64, meaning: &str) -> Figure<'a> {
    Figure { name, value: score(value), meaning: meaning.into() }
}

fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Rgb32FImage};
    use seg_contract::{Class, ConfusionMatrix};
    use seg_data::{Dataset, Layout};
    use seg_nets::amsunet::AmsUnetConfig;
    use seg_report::{Exhibit, Rated};

    use super::*;
    use crate::data::augment::Augmentation;
    use crate::data::split::Split;
    use crate::run::config::Config;
    use crate::run::record::tests::record;

    const NASTY: &str = "<script>alert('&\"')</script>";

    fn run() -> Run {
        let dataset = Dataset {
            name: NASTY.into(),
            root: "data".into(),
            layout: Layout::Folder,
            classes: vec![Class::new("background", 0), Class::new(NASTY, 1)],
            train: Vec::new(),
            validation: Vec::new(),
            test: Vec::new(),
            reading: String::new(),
            notes: Vec::new(),
        };
        let augmentation = Augmentation::recipe(32, [32, 32]);
        let mut config = Config::recipe("it's data".into(), AmsUnetConfig::new(), augmentation);
        config.epochs = 4;
        let split = Split { train: vec!["a".into()], validation: vec![NASTY.into()] };
        Run { folder: "runs/a&b".into(), config, split, dataset }
    }

    fn findings(run: &Run) -> Findings {
        let confusion: ConfusionMatrix = serde_json::from_str(r#"{"counts":[[5,1],[2,4]]}"#).unwrap();
        let mut contract = run.contract();
        contract.provenance.epoch = Some(2);
        let (image, mask) = (Rgb32FImage::new(4, 4), GrayImage::new(4, 4));
        let words = (NASTY.into(), "Dice 0.5".into());
        let exhibit = Exhibit::draw(words, &image, &mask, &mask, &contract.classes).unwrap();
        let rated = Rated { name: NASTY.into(), dice: 0.5 };
        let scores = record(2).validation.unwrap().scores;
        Findings {
            contract,
            scores,
            confusion,
            images: vec![rated],
            worst: Vec::new(),
            best: vec![exhibit],
            warnings: vec![format!("no mask shows `{NASTY}`")],
            learned: 1,
        }
    }

    #[test]
    fn the_page_says_what_the_run_came_to() {
        let run = run();
        let (log, findings) = ([record(1), record(2)], findings(&run));
        let page = Report { run: &run, log: &log, sessions: &[], findings: &findings }.html();
        for (name, part) in [
            ("the verdict", "Epoch 2 of 2 is the best one, judged on 1 validation image."),
            ("the curve", "2 validated epochs are too few to say where the curve goes."),
            ("the images", "Trained and scored on the same images: 1 of 1"),
            ("Dice", "0.3000"),
            ("the definition", "TP / (TP + FP + FN)"),
            ("the curves", "Training loss"),
            ("the confusion matrix", "83.33 %"),
            ("the configuration", "<dt>learning_rate</dt><dd>0.002</dd>"),
            ("how to go on", "seg export --checkpoint 'runs/a&amp;b' --out 'runs/a&amp;b/amsunet.onnx'"),
            ("the rest of the run", "seg train --resume"),
            ("a picture", "<img src=\"data:image/jpeg;base64,"),
        ] {
            assert!(page.contains(part), "{name}: no {part:?}");
        }
        assert!(!page.contains("Not reproduced"));
    }

    #[test]
    fn a_run_that_has_ended_is_not_to_be_resumed() {
        let (mut run, log) = (run(), [record(1), record(2)]);
        let findings = findings(&run);
        run.config.training.minutes = Some(0.0);
        let page = Report { run: &run, log: &log, sessions: &[], findings: &findings }.html();
        assert!(page.contains("There is nothing left to train: its 0 minutes are over."), "{page}");
        assert!(!page.contains("train --resume"));
    }

    #[test]
    fn a_score_that_cannot_be_reproduced_is_said() {
        let run = run();
        let mut findings = findings(&run);
        findings.scores.dice_per_image += 0.01;
        let page = Report { run: &run, log: &[record(1)], sessions: &[], findings: &findings }.html();
        assert!(page.contains("Not reproduced"));
    }

    #[test]
    fn the_page_is_complete_in_itself_and_nothing_in_it_runs() {
        let run = run();
        let findings = findings(&run);
        let page = Report { run: &run, log: &[record(1)], sessions: &[], findings: &findings }.html();
        for part in ["<script", "http:", "https:", "<link", "@import", "url("] {
            assert!(!page.contains(part), "{part:?} in the page");
        }
        assert!(page.contains("&lt;script&gt;"));
    }
}
