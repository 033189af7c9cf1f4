//! A summary of several runs: mean and deviation over folds or seeds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use seg_nets::checkpoint::{Checkpoint, ReadCheckpointError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use crate::run::config::Config;
use crate::run::ending::Ending;
use crate::run::record::EpochRecord;
use crate::run::{self, Scored, Session};

/// The settings in which runs of one experiment may differ: what tells them apart, what follows
/// from that, and what the result does not depend on.
const FREE: [&str; 11] = [
    "data",
    "seed",
    "fold",
    "split",
    "device",
    "cache_mb",
    "mean",
    "std",
    "class_weights",
    "training.save_minutes",
    "training.checkpoint_activations",
];

/// The stand-in for the data's folder, which may lie elsewhere on another machine.
const FINGERPRINT: &str = "the data's fingerprint";

/// The scores of several runs together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The runs, in the order in which they were named.
    pub runs: Vec<RunSummary>,
    /// Mean and deviation by the metric's name: `validation dice_per_image` of the best epochs,
    /// `DRIVE test dice_per_image` where the runs were evaluated.
    pub metrics: BTreeMap<String, Spread>,
}

/// One of the runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunSummary {
    /// Its folder.
    pub folder: PathBuf,
    /// Its seed.
    pub seed: u64,
    /// Its fold, as `2/5`.
    pub fold: Option<String>,
    /// Its best epoch, counted from 1.
    pub best_epoch: usize,
    /// The epochs that it has done.
    pub epochs: usize,
}

/// A metric over several runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation, with one degree of freedom taken off; `None` of a single value.
    pub std: Option<f64>,
    /// The values, in the order of the runs that have one.
    pub values: Vec<f64>,
}

/// An error in summarizing runs.
#[derive(Debug, Error)]
pub enum SummaryError {
    /// A file or folder cannot be read.
    #[error("cannot summarize the run: reading `{}` failed", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file is not what this version writes.
    #[error("cannot summarize the run: `{}` is not what this version writes", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: serde_json::Error,
    },
    /// No epoch of a run was validated.
    #[error("the run `{}` has no best epoch yet; let it train longer", folder.display())]
    NoBest {
        /// The run.
        folder: PathBuf,
    },
    /// A run has not ended.
    #[error(
        "the run `{}` has done {done} of {epochs} epochs; go on with `seg train --resume`, leave it out, or force it",
        folder.display()
    )]
    Unfinished {
        /// The run.
        folder: PathBuf,
        /// The epochs that it has done.
        done: usize,
        /// The epochs that it is to do.
        epochs: usize,
    },
    /// The best weights cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] ReadCheckpointError),
    /// Scores are of weights that the run does not have any more.
    #[error("`{}` scores other weights than the run's best; evaluate the run again", path.display())]
    Stale {
        /// The file.
        path: PathBuf,
    },
    /// The runs are not of one experiment.
    #[error("the runs differ in more than seed and fold: {}; leave some out, or force it", differences.join("; "))]
    Differ {
        /// The settings with their values.
        differences: Vec<String>,
    },
    /// Two runs are the same.
    #[error(
        "`{}` and `{}` have the same seed and the same images to learn from, so that they are one result; leave one out, or force it",
        first.display(), second.display()
    )]
    Same {
        /// The one.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
}

/// Summarizes runs of one experiment.
///
/// `force` takes in runs that differ in more than seed and fold, and runs that are the same.
///
/// # Errors
/// When a run cannot be read or has no best epoch, its scores are of other weights, or the runs are
/// not of one experiment.
pub fn summarize(folders: &[PathBuf], force: bool) -> Result<Summary, SummaryError> {
    let configs: Vec<Config> =
        folders.iter().map(|folder| read_json(&folder.join(run::CONFIG))).collect::<Result<_, _>>()?;
    if !force {
        check_one_experiment(folders, &configs)?;
        check_distinct(folders, &configs)?;
    }
    let mut runs = Vec::new();
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (folder, config) in folders.iter().zip(&configs) {
        let log: Vec<EpochRecord> = read_lines(&folder.join(run::LOG))?;
        let best = log.iter().rfind(|record| record.best);
        let Some((best, validation)) = best.and_then(|record| Some((record, record.validation.as_ref()?))) else {
            return Err(SummaryError::NoBest { folder: folder.clone() });
        };
        if !force && Ending::from_log(config, &log).is_none() {
            return Err(SummaryError::Unfinished { folder: folder.clone(), done: log.len(), epochs: config.epochs });
        }
        let mut metrics = BTreeMap::new();
        flatten("validation", " ", &to_value(&validation.scores), &mut metrics);
        for scored in scored(folder)? {
            flatten(&format!("{} {}", scored.data, scored.part), " ", &to_value(&scored.scores), &mut metrics);
        }
        // The number of images is not a score.
        for (name, value) in metrics.into_iter().filter(|(name, _)| !name.ends_with(" images")) {
            values.entry(name).or_default().extend(value.as_f64());
        }
        runs.push(RunSummary {
            folder: folder.clone(),
            seed: config.seed,
            fold: config.fold.map(|fold| fold.to_string()),
            best_epoch: best.epoch,
            epochs: log.len(),
        });
    }
    let metrics = values.into_iter().map(|(name, values)| (name, Spread::from_values(values))).collect();
    Ok(Summary { runs, metrics })
}

impl Spread {
    fn from_values(values: Vec<f64>) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let std = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
        Self { mean, std, values }
    }
}

/// Checks that the runs differ in seed and fold alone, and saw the same data.
fn check_one_experiment(folders: &[PathBuf], configs: &[Config]) -> Result<(), SummaryError> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let runs = folders.iter().zip(configs);
    let settings = runs.map(|(folder, config)| settings_of(folder, config)).collect::<Result<Vec<_>, _>>()?;
    let names: BTreeSet<&String> = settings.iter().flat_map(BTreeMap::keys).collect();
    for settings in &settings {
        for name in &names {
            let value = settings.get(*name).unwrap_or(&Value::Null);
            found.entry((*name).clone()).or_default().insert(value.to_string());
        }
    }
    let differs = |(name, values): &(String, BTreeSet<String>)| values.len() > 1 && !is_free(name);
    let differences: Vec<String> = found
        .into_iter()
        .filter(differs)
        .map(|(name, values)| format!("{name} is {}", values.into_iter().collect::<Vec<_>>().join(" or ")))
        .collect();
    if differences.is_empty() { Ok(()) } else { Err(SummaryError::Differ { differences }) }
}

/// Returns the settings of a run by their paths, and the fingerprints of the data that it saw.
fn settings_of(folder: &Path, config: &Config) -> Result<BTreeMap<String, Value>, SummaryError> {
    let mut settings = BTreeMap::new();
    flatten("", ".", &to_value(config), &mut settings);
    let sessions: Vec<Session> = read_lines(&folder.join(run::SESSIONS))?;
    let data: BTreeSet<_> = sessions.into_iter().map(|session| session.data_sha256).collect();
    settings.insert(FINGERPRINT.into(), Value::from_iter(data));
    Ok(settings)
}

/// Returns whether runs of one experiment may differ in a setting, or in one of its parts.
fn is_free(name: &str) -> bool {
    FREE.iter().any(|free| name.strip_prefix(free).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// Checks that every run has a seed or images of its own.
fn check_distinct(folders: &[PathBuf], configs: &[Config]) -> Result<(), SummaryError> {
    let mut seen: Vec<(&Config, &PathBuf)> = Vec::new();
    for (folder, config) in folders.iter().zip(configs) {
        let own = (config.seed, config.fold, &config.split);
        if let Some((_, first)) = seen.iter().find(|(other, _)| (other.seed, other.fold, &other.split) == own) {
            return Err(SummaryError::Same { first: (*first).clone(), second: folder.clone() });
        }
        seen.push((config, folder));
    }
    Ok(())
}

/// Reads the scores in a run's folder, sorted by the names of their files.
fn scored(folder: &Path) -> Result<Vec<Scored>, SummaryError> {
    let fail = |source| SummaryError::Read { path: folder.into(), source };
    let names = fs::read_dir(folder).map_err(fail)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names: BTreeSet<String> = names.collect::<Result<_, io::Error>>().map_err(fail)?;
    let mut all: Vec<Scored> = Vec::new();
    let mut best = None;
    for path in names.iter().filter(|name| Scored::is_file_name(name)).map(|name| folder.join(name)) {
        let scored: Scored = read_json(&path)?;
        let weights = match &best {
            Some(weights) => weights,
            None => best.insert(Checkpoint::read(folder)?.weights.sha256()),
        };
        if scored.weights_sha256 != *weights {
            return Err(SummaryError::Stale { path });
        }
        all.push(scored);
    }
    Ok(all)
}

/// Lists the values in an object and in the objects within, by their joined names.
fn flatten(name: &str, between: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    let Value::Object(fields) = value else {
        into.insert(name.into(), value.clone());
        return;
    };
    for (field, value) in fields {
        let name = if name.is_empty() { field.clone() } else { format!("{name}{between}{field}") };
        flatten(&name, between, value, into);
    }
}

fn to_value(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("the value has only string keys")
}

fn read(path: &Path) -> Result<String, SummaryError> {
    fs::read_to_string(path).map_err(|source| SummaryError::Read { path: path.into(), source })
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, SummaryError> {
    serde_json::from_str(&read(path)?).map_err(|source| SummaryError::Json { path: path.into(), source })
}

fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, SummaryError> {
    let parse = |line| serde_json::from_str(line).map_err(|source| SummaryError::Json { path: path.into(), source });
    read(path)?.lines().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use seg_nets::amsunet::AmsUnetConfig;
    use seg_nets::weights::Weights;
    use serde_json::json;

    use super::*;
    use crate::data::augment::Augmentation;

    fn config(seed: u64, fold: Option<&str>) -> Config {
        Config {
            seed,
            fold: fold.map(|fold| fold.parse().unwrap()),
            // Settings that follow from the fold may differ.
            mean: [seed as f32; 3],
            epochs: 3,
            ..Config::recipe("data".into(), AmsUnetConfig::new(), Augmentation::recipe(32, [32, 32]))
        }
    }

    fn line(epoch: usize, dice: f64, best: bool) -> Value {
        let validation = json!({"images": 4, "dice_per_image": dice, "dice_pooled": {"disc": dice / 2.0},
            "iou_pooled": {"disc": 0.5}, "mean_iou_pooled": 0.6, "accuracy_pooled": 0.7,
            "confusion": {"counts": [[1, 0], [0, 1]]}});
        json!({"epoch": epoch, "steps": epoch, "learning_rate": 0.1, "loss": 0.5, "cross_entropy": 0.2,
            "dice_loss": 0.3, "gradient_norm": null, "validation": validation, "best": best, "images_per_second": 1.0,
            "training_seconds": 1.0, "waiting": 0.0, "validation_seconds": 1.0, "peak_memory": null})
    }

    /// Creates a run whose second epoch is its best.
    fn write_run(folder: &Path, config: &Config, dice: f64) -> PathBuf {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join(run::CONFIG), serde_json::to_string(config).unwrap()).unwrap();
        let lines = [line(1, 0.1, true), line(2, dice, true), line(3, 0.2, false)];
        let log: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(folder.join(run::LOG), log).unwrap();
        write_session(folder, "0123");
        folder.into()
    }

    /// Lets a run have seen data of this fingerprint.
    fn write_session(folder: &Path, data_sha256: &str) {
        let session = json!({"began": 0, "epochs_before": 0, "device": "cpu", "processors": 1, "system": "linux",
            "version": "0.1.0", "burn": "0.22.1", "data_sha256": data_sha256});
        fs::write(folder.join(run::SESSIONS), format!("{session}\n")).unwrap();
    }

    #[test]
    fn the_best_epochs_are_averaged() {
        let root = tempfile::tempdir().unwrap();
        let folders: Vec<_> = [(1, 0.6), (2, 0.7), (3, 0.8)]
            .map(|(seed, dice)| write_run(&root.path().join(seed.to_string()), &config(seed, None), dice))
            .into();
        let summary = summarize(&folders, false).unwrap();
        assert_eq!(summary.runs.len(), 3);
        assert_eq!((summary.runs[1].best_epoch, summary.runs[1].epochs, summary.runs[1].seed), (2, 3, 2));
        let close = |found: f64, expected: f64| (found - expected).abs() < 1e-12;
        let dice = &summary.metrics["validation dice_per_image"];
        assert_eq!(dice.values, [0.6, 0.7, 0.8]);
        assert!(close(dice.mean, 0.7) && close(dice.std.unwrap(), 0.1), "{dice:?}");
        assert!(close(summary.metrics["validation dice_pooled disc"].mean, 0.35));
        assert!(!summary.metrics.contains_key("validation images"));
        let one = summarize(&folders[..1], false).unwrap();
        assert_eq!(one.metrics["validation dice_per_image"].std, None);
    }

    #[test]
    fn runs_of_several_experiments_are_refused_with_what_differs() {
        let root = tempfile::tempdir().unwrap();
        let base = write_run(&root.path().join("base"), &config(1, Some("1/3")), 0.5);
        let other = Config { epochs: 2, ..config(1, Some("2/3")) };
        let elsewhere = Config { data: "elsewhere".into(), ..config(2, None) };
        let mut rotated = config(2, None);
        rotated.augmentation.apply(&"rotation=5".parse().unwrap());
        let mut saved = config(4, None);
        saved.training.save_minutes = 1.0;
        let mut lean = config(5, None);
        lean.training.checkpoint_activations = true;
        let mut averaged = config(6, None);
        averaged.training.ema = Some(0.9);
        for (name, config, expected) in [
            ("a fold", config(1, Some("2/3")), &[][..]),
            ("the data in another folder", elsewhere, &[]),
            ("other data", config(3, None), &["the data's fingerprint is [\"0123\"] or [\"4567\"]"]),
            ("saved more often", saved, &[]),
            ("less memory", lean, &[]),
            ("an average", averaged, &["training.ema is 0.9 or null"]),
            ("another length", other, &["epochs is 2 or 3"]),
            ("an augmentation", rotated, &["augmentation.rotation"]),
            ("the same again", config(1, Some("1/3")), &["have the same seed"]),
        ] {
            let folders = [base.clone(), write_run(&root.path().join(name), &config, 0.6)];
            if name == "other data" {
                write_session(&folders[1], "4567");
            }
            let refused = summarize(&folders, false).map_err(|error| error.to_string());
            match &refused {
                Ok(_) => assert!(expected.is_empty(), "{name}"),
                Err(error) => {
                    assert!(
                        !expected.is_empty() && expected.iter().all(|part| error.contains(part)),
                        "{name}: {error}"
                    );
                }
            }
            assert_eq!(summarize(&folders, true).unwrap().runs.len(), 2, "{name}, forced");
        }
    }

    #[test]
    fn scores_count_while_they_are_of_the_best_weights() {
        let root = tempfile::tempdir().unwrap();
        let config = config(1, None);
        let folder = write_run(&root.path().join("run"), &config, 0.5);
        let weights = Weights::from_network(&AmsUnetConfig::new().with_base_width(4).init(&Device::flex()));
        let sha256 = weights.sha256();
        Checkpoint { path: folder.join(seg_nets::runs::BEST), weights, contract: None }.write().unwrap();
        let scores = json!({"images": 2, "dice_per_image": 0.9, "dice_pooled": {}, "iou_pooled": {},
            "mean_iou_pooled": 0.6, "accuracy_pooled": 0.7});
        for (name, weights_sha256, fits) in [("the best weights", sha256.as_str(), true), ("others", "0123", false)] {
            let scored = json!({"data": "DRIVE", "part": "test", "weights_sha256": weights_sha256, "scores": scores});
            fs::write(folder.join(Scored::file_name("DRIVE", seg_data::Part::Test)), scored.to_string()).unwrap();
            let summary = summarize(std::slice::from_ref(&folder), false);
            if fits {
                assert_eq!(summary.unwrap().metrics["DRIVE test dice_per_image"].values, [0.9], "{name}");
            } else {
                assert!(summary.unwrap_err().to_string().contains("evaluate the run again"), "{name}");
            }
        }
    }

    #[test]
    fn what_is_no_run_is_named() {
        let root = tempfile::tempdir().unwrap();
        let folder = write_run(&root.path().join("run"), &config(1, None), 0.5);
        let message = |folder: &Path| summarize(&[folder.into()], false).unwrap_err().to_string();
        assert!(message(&root.path().join("none")).contains(run::CONFIG));
        let log = fs::read_to_string(folder.join(run::LOG)).unwrap();
        fs::write(folder.join(run::LOG), log.lines().take(2).map(|line| format!("{line}\n")).collect::<String>())
            .unwrap();
        assert!(message(&folder).contains("has done 2 of 3 epochs"));
        fs::write(folder.join(run::LOG), "").unwrap();
        assert!(message(&folder).contains("no best epoch"));
        fs::write(folder.join(run::LOG), "{}\n").unwrap();
        assert!(message(&folder).contains(run::LOG));
    }
}
