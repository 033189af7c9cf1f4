//! The results of a comparison, gathered from what the programs left in the runs' folders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use seg_data::{WriteError, write_bytes};
use seg_metrics::{Bootstrap, Estimate};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::page;
use super::plan::Plan;

/// All results, as JSON.
pub const RESULTS: &str = "comparison.json";
/// The results, for people to read.
pub const REPORT: &str = "report.html";

/// The measurements of one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// The index of the network.
    pub variant: usize,
    /// The seed.
    pub seed: u64,
    /// The best epoch, counted from 1.
    pub best_epoch: usize,
    /// The epochs that were done.
    pub epochs: usize,
    /// The minutes of training and validation.
    pub minutes: f64,
    /// The images that were scored.
    pub images: Vec<ScoredImage>,
}

/// The scores of an image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoredImage {
    /// Its name.
    pub name: String,
    /// The Dice over the classes without the background.
    pub dice: f64,
    /// The mean IoU over all classes.
    pub mean_iou: f64,
}

/// The time of a model in ONNX Runtime.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// The median, in milliseconds.
    pub p50_ms: f64,
    /// The time that 95 of 100 runs do not exceed.
    pub p95_ms: f64,
    /// The peak memory of the process, in bytes.
    pub peak_memory_bytes: Option<u64>,
    /// Height and width of the image.
    pub size: [u64; 2],
    /// The multiply-adds at that size, of the exported graph.
    pub multiply_adds: u64,
}

/// The results of a network.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The network.
    pub network: String,
    /// The parameters that are learned.
    pub parameters: u64,
    /// Its speed.
    pub latency: Latency,
    /// The mean Dice per image over images and seeds; the interval is over the images.
    pub dice: Estimate,
    /// The mean IoU per image.
    pub mean_iou: Estimate,
    /// The standard deviation of the Dice per image between seeds; `None` of one seed.
    pub seeds_std: Option<f64>,
    /// The difference to the first network; `None` of the first one.
    pub difference: Option<Difference>,
    /// The minutes of training per run.
    pub minutes: f64,
}

/// The difference of a network to the first one, on the same images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The mean difference of the Dice per image.
    pub dice: f64,
    /// Its paired bootstrap interval; `None` of fewer than two images.
    pub interval: Option<[f64; 2]>,
}

/// A comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The plan.
    pub plan: Plan,
    /// The name of the data set.
    pub data: String,
    /// A row per network, in the plan's order.
    pub rows: Vec<Row>,
    /// Every run.
    pub runs: Vec<Measured>,
}

/// An error in reading what a program left.
#[derive(Debug, Error)]
pub enum ResultsError {
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file is not JSON.
    #[error("`{}` is not JSON", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: serde_json::Error,
    },
    /// A file lacks a value.
    #[error("`{}` holds no `{pointer}`; take all programs from one build", path.display())]
    Lack {
        /// The file.
        path: PathBuf,
        /// The place of the value.
        pointer: String,
    },
    /// Two runs scored other images.
    #[error(
        "`{}` scores other images than the runs before; remove the folder `evaluation` of each run and go on",
        path.display()
    )]
    Images {
        /// The file.
        path: PathBuf,
    },
}

/// A JSON file of another program.
#[derive(Clone, Debug)]
pub(super) struct Document {
    path: PathBuf,
    value: Value,
}

impl Document {
    fn read(path: &Path) -> Result<Self, ResultsError> {
        let text = fs::read_to_string(path).map_err(|source| ResultsError::Read { path: path.into(), source })?;
        let value = serde_json::from_str(&text).map_err(|source| ResultsError::Json { path: path.into(), source })?;
        Ok(Self { path: path.into(), value })
    }

    fn get<T: for<'de> Deserialize<'de>>(&self, pointer: &str) -> Result<T, ResultsError> {
        let value = self.value.pointer(pointer).and_then(|value| T::deserialize(value).ok());
        value.ok_or_else(|| ResultsError::Lack { path: self.path.clone(), pointer: pointer.into() })
    }
}

impl Measured {
    /// Reads the scores that `eval` left for a run.
    ///
    /// # Errors
    /// When the file cannot be read or is not of this version.
    pub fn images(path: &Path) -> Result<Vec<ScoredImage>, ResultsError> {
        let document = Document::read(path)?;
        let images: Vec<Value> = document.get("/images")?;
        (0..images.len())
            .map(|index| {
                let score = |name: &str| document.get(&format!("/images/{index}/overall/{name}"));
                Ok(ScoredImage {
                    name: document.get(&format!("/images/{index}/name"))?,
                    dice: score("dice")?,
                    mean_iou: score("mean_iou")?,
                })
            })
            .collect()
    }
}

impl Latency {
    /// Reads what `bench --json` and `inspect --json` printed.
    ///
    /// # Errors
    /// When a file cannot be read or is not of this version.
    pub fn read(bench: &Path, inspect: &Path) -> Result<Self, ResultsError> {
        let (bench, inspect) = (Document::read(bench)?, Document::read(inspect)?);
        Ok(Self {
            p50_ms: bench.get("/0/latency_ms/p50")?,
            p95_ms: bench.get("/0/latency_ms/p95")?,
            peak_memory_bytes: bench.get("/0/peak_memory_bytes")?,
            size: [bench.get("/0/height")?, bench.get("/0/width")?],
            multiply_adds: inspect.get("/multiply_adds")?,
        })
    }
}

impl Comparison {
    /// Gathers the results of all runs; `networks` has the learnable parameters and the latency of
    /// each.
    ///
    /// # Errors
    /// When runs scored other images.
    pub fn new(
        plan: Plan,
        data: String,
        networks: &[(u64, Latency)],
        runs: Vec<Measured>,
    ) -> Result<Self, ResultsError> {
        let names = |run: &Measured| run.images.iter().map(|image| image.name.clone()).collect::<Vec<_>>();
        let first = runs.first().map(names).unwrap_or_default();
        if let Some(run) = runs.iter().find(|run| names(run) != first) {
            let folder = format!("{}-seed-{}", plan.networks[run.variant].file_name(), run.seed);
            return Err(ResultsError::Images { path: folder.into() });
        }
        let means: Vec<_> = (0..networks.len()).map(|variant| Means::new(&runs, variant)).collect();
        let row = |(index, (parameters, latency)): (usize, &(u64, Latency))| Row {
            network: plan.networks[index].to_string(),
            parameters: *parameters,
            latency: *latency,
            dice: estimate(&means[index].dice),
            mean_iou: estimate(&means[index].mean_iou),
            seeds_std: deviation(&means[index].seeds),
            difference: (index > 0).then(|| Difference::between(&means[0].dice, &means[index].dice)),
            minutes: mean(&means[index].minutes),
        };
        let rows = networks.iter().enumerate().map(row).collect();
        Ok(Self { rows, plan, data, runs })
    }

    /// Writes the results into a folder: as JSON and as a page.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), WriteError> {
        let json = serde_json::to_string_pretty(self).expect("a comparison has only string keys") + "\n";
        write_bytes(&folder.join(RESULTS), json.as_bytes())?;
        write_bytes(&folder.join(REPORT), page::html(self).as_bytes())
    }
}

/// The scores of a network: of each image over the seeds, and of each seed over the images.
struct Means {
    dice: Vec<f64>,
    mean_iou: Vec<f64>,
    seeds: Vec<f64>,
    minutes: Vec<f64>,
}

impl Means {
    fn new(runs: &[Measured], variant: usize) -> Self {
        let own: Vec<_> = runs.iter().filter(|run| run.variant == variant).collect();
        let images = own.first().map_or(0, |run| run.images.len());
        let over_seeds = |score: fn(&ScoredImage) -> f64| {
            let image = |index: usize| mean(&own.iter().map(|run| score(&run.images[index])).collect::<Vec<_>>());
            (0..images).map(image).collect()
        };
        let over_images = |run: &&Measured| mean(&run.images.iter().map(|image| image.dice).collect::<Vec<_>>());
        Self {
            dice: over_seeds(|image| image.dice),
            mean_iou: over_seeds(|image| image.mean_iou),
            seeds: own.iter().map(over_images).collect(),
            minutes: own.iter().map(|run| run.minutes).collect(),
        }
    }
}

impl Difference {
    /// Compares the scores of the same images.
    fn between(first: &[f64], other: &[f64]) -> Self {
        let differences: Vec<_> = first.iter().zip(other).map(|(first, other)| other - first).collect();
        let Estimate { value, interval, .. } = estimate(&differences);
        Self { dice: value.unwrap_or_default(), interval }
    }

    /// Returns true if the interval does not contain zero.
    pub fn is_beyond_chance(&self) -> bool {
        self.interval.is_some_and(|[low, high]| low > 0.0 || high < 0.0)
    }

    /// Says whether the network is ahead, as far as the images tell.
    pub fn verdict(&self) -> &'static str {
        match self.is_beyond_chance() {
            true if self.dice > 0.0 => "better",
            true => "worse",
            false => "no difference beyond chance",
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Returns the standard deviation, with one degree of freedom taken off.
fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

/// Returns a mean over images with its bootstrap interval.
fn estimate(values: &[f64]) -> Estimate {
    let of = |drawn: &[usize]| Some(mean(&drawn.iter().map(|image| values[*image]).collect::<Vec<_>>()));
    let value = (!values.is_empty()).then(|| mean(values));
    Estimate { value, interval: Bootstrap::default().interval(values.len(), of), images: values.len() }
}

/// Groups the runs of each network by seed, for a table.
pub(super) fn by_seed(comparison: &Comparison) -> BTreeMap<u64, Vec<&Measured>> {
    let mut seeds: BTreeMap<u64, Vec<&Measured>> = BTreeMap::new();
    for run in &comparison.runs {
        seeds.entry(run.seed).or_default().push(run);
    }
    seeds
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::plan::tests::plan;
    use super::*;

    pub(crate) fn comparison() -> Comparison {
        let image = |name: &str, dice: f64| ScoredImage { name: name.into(), dice, mean_iou: dice / 2.0 };
        let run = |variant, seed, dice: [f64; 3]| Measured {
            variant,
            seed,
            best_epoch: 2,
            epochs: 3,
            minutes: 1.5,
            images: ["a", "<b>", "c"].iter().zip(dice).map(|(name, dice)| image(name, dice)).collect(),
        };
        let latency = |p50_ms| Latency {
            p50_ms,
            p95_ms: p50_ms + 1.0,
            peak_memory_bytes: Some(1 << 27),
            size: [256, 256],
            multiply_adds: 6_000_519_680,
        };
        let runs = vec![
            run(0, 0, [0.5, 0.6, 0.7]),
            run(1, 0, [0.6, 0.7, 0.8]),
            run(0, 7, [0.7, 0.8, 0.9]),
            run(1, 7, [0.8, 0.9, 1.0]),
        ];
        let networks = [(2_619_898, latency(40.0)), (1_081_106, latency(25.0))];
        Comparison::new(plan(), "<cells>".into(), &networks, runs).unwrap()
    }

    #[test]
    fn networks_are_compared_on_the_same_images() {
        let Comparison { rows, .. } = comparison();
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        close(rows[0].dice.value.unwrap(), 0.7);
        close(rows[1].dice.value.unwrap(), 0.8);
        close(rows[1].mean_iou.value.unwrap(), 0.4);
        // The seeds' means are 0.6 and 0.8.
        close(rows[0].seeds_std.unwrap(), 0.02_f64.sqrt());
        assert_eq!(rows[0].difference, None);
        let difference = rows[1].difference.unwrap();
        close(difference.dice, 0.1);
        // Every image gains a tenth, so there is no doubt.
        let [low, high] = difference.interval.unwrap();
        close(low, 0.1);
        close(high, 0.1);
        assert_eq!(difference.verdict(), "better");
        let unsure = Difference { dice: 0.1, interval: Some([-0.1, 0.3]) };
        assert_eq!(unsure.verdict(), "no difference beyond chance");
    }

    #[test]
    fn runs_that_scored_other_images_are_not_compared() {
        let Comparison { plan, mut runs, .. } = comparison();
        runs[3].images[0].name = "other".into();
        let latency = Latency { p50_ms: 1.0, p95_ms: 1.0, peak_memory_bytes: None, size: [1, 1], multiply_adds: 1 };
        let error = Comparison::new(plan, "x".into(), &[(1, latency), (1, latency)], runs).unwrap_err();
        assert!(error.to_string().contains("unet-base_width-16-seed-7"), "{error}");
    }

    #[test]
    fn what_the_programs_print_is_read_and_what_lacks_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let scores = write("scores.json", r#"{"images": [{"name": "a", "overall": {"dice": 0.5, "mean_iou": 0.25}}]}"#);
        let expected = ScoredImage { name: "a".into(), dice: 0.5, mean_iou: 0.25 };
        assert_eq!(Measured::images(&scores).unwrap(), [expected]);
        let bench = r#"[{"height": 64, "width": 96, "latency_ms": {"p50": 2.0, "p95": 3.0}, "peak_memory_bytes": 7}]"#;
        let (bench, inspect) = (write("bench.json", bench), write("inspect.json", r#"{"multiply_adds": 9}"#));
        let expected =
            Latency { p50_ms: 2.0, p95_ms: 3.0, peak_memory_bytes: Some(7), size: [64, 96], multiply_adds: 9 };
        assert_eq!(Latency::read(&bench, &inspect).unwrap(), expected);
        let message = Latency::read(&inspect, &bench).unwrap_err().to_string();
        assert!(message.contains("inspect.json` holds no `/0/latency_ms/p50`"), "{message}");
    }
}
