//! The plan of a comparison: one file from which all its runs can be done again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use seg_data::{Selection, WriteError, write_bytes};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::variant::Variant;

/// The file of the plan.
pub const PLAN: &str = "plan.json";
/// The folder of the runs.
pub const RUNS: &str = "runs";

/// The plan of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The data set's folder.
    pub data: PathBuf,
    /// The choice among the folder's files, where its content does not decide.
    #[serde(default, skip_serializing_if = "Selection::is_open")]
    pub files: Selection,
    /// Another data set whose images are scored; without one the part of the data that is held out.
    #[serde(default)]
    pub test: Option<PathBuf>,
    /// The fingerprint of the data, so that nobody compares runs of others.
    pub data_sha256: String,
    /// The networks; the first one is what the others are compared with.
    pub networks: Vec<Variant>,
    /// The seeds; each network is trained once with each.
    pub seeds: Vec<u64>,
    /// The flags of `train` that all runs share.
    pub train: Vec<String>,
    /// The runs of each model that are timed.
    pub timed_runs: usize,
    /// The version of the program.
    pub version: String,
}

/// A run of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The index of the network.
    pub variant: usize,
    /// The seed.
    pub seed: u64,
    /// The folder of the run.
    pub folder: PathBuf,
}

/// An error in a plan.
#[derive(Debug, Error)]
pub enum PlanError {
    /// The file cannot be read.
    #[error("cannot read the plan `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is no plan.
    #[error("`{}` is not the plan of a comparison", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: serde_json::Error,
    },
    /// There is nothing to compare.
    #[error("a comparison needs {what}; add `{flag}`")]
    Few {
        /// The missing part.
        what: &'static str,
        /// The flag.
        flag: &'static str,
    },
    /// A network or a seed is named twice.
    #[error("{what} {found} is named twice; leave one out")]
    Twice {
        /// The kind of what is named twice.
        what: &'static str,
        /// The network or the seed.
        found: String,
    },
    /// A flag of all runs is one that the comparison decides.
    #[error("`{flag}` is decided by the comparison; leave it out of the flags behind `--`")]
    Flag {
        /// The flag.
        flag: String,
    },
}

/// The flags of `train` that a comparison decides.
const DECIDED: [&str; 17] = [
    "--data",
    "--out",
    "--resume",
    "--network",
    "--network-option",
    "--base-width",
    "--seed",
    "--split",
    "--init",
    "--fold",
    "--folds",
    "--all",
    "--print-config",
    "--preview",
    "--pairs",
    "--images",
    "--masks",
];

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// When the file cannot be read or is no plan.
    pub fn read(path: &Path) -> Result<Self, PlanError> {
        let text = fs::read_to_string(path).map_err(|source| PlanError::Read { path: path.into(), source })?;
        let plan: Self = serde_json::from_str(&text).map_err(|source| PlanError::Json { path: path.into(), source })?;
        plan.check()?;
        Ok(plan)
    }

    /// Writes the plan into the folder of a comparison.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), WriteError> {
        let text = serde_json::to_string_pretty(self).expect("a plan has only string keys") + "\n";
        write_bytes(&folder.join(PLAN), text.as_bytes())
    }

    /// Checks what a file or a person wrote.
    ///
    /// # Errors
    /// When networks or seeds are missing or named twice, or the flags decide what the comparison
    /// does.
    pub fn check(&self) -> Result<(), PlanError> {
        if self.networks.len() < 2 {
            return Err(PlanError::Few { what: "at least two networks", flag: "--network" });
        }
        if self.seeds.is_empty() {
            return Err(PlanError::Few { what: "a seed", flag: "--seeds" });
        }
        let mut names = BTreeSet::new();
        if let Some(variant) = self.networks.iter().find(|variant| !names.insert(variant.file_name())) {
            return Err(PlanError::Twice { what: "the network", found: variant.to_string() });
        }
        let mut seeds = BTreeSet::new();
        if let Some(seed) = self.seeds.iter().find(|seed| !seeds.insert(**seed)) {
            return Err(PlanError::Twice { what: "the seed", found: seed.to_string() });
        }
        let name = |flag: &String| flag.split('=').next().unwrap_or_default().to_owned();
        match self.train.iter().map(name).find(|flag| DECIDED.contains(&flag.as_str())) {
            Some(flag) => Err(PlanError::Flag { flag }),
            None => Ok(()),
        }
    }

    /// Lists the runs in the order in which they are done: a seed of every network, then the next
    /// one, so that an unfinished comparison has something of each.
    pub fn slots(&self, folder: &Path) -> Vec<Slot> {
        let slot = |seed: u64, (index, variant): (usize, &Variant)| Slot {
            variant: index,
            seed,
            folder: folder.join(RUNS).join(format!("{}-seed-{seed}", variant.file_name())),
        };
        self.seeds.iter().flat_map(|seed| self.networks.iter().enumerate().map(|each| slot(*seed, each))).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn plan() -> Plan {
        Plan {
            data: "data".into(),
            files: Selection::default(),
            test: None,
            data_sha256: "0123".into(),
            networks: ["amsunet", "unet:base_width=16"].map(|text| text.parse().unwrap()).into(),
            seeds: vec![0, 7],
            train: ["--epochs", "3"].map(Into::into).into(),
            timed_runs: 30,
            version: "0.1.0".into(),
        }
    }

    #[test]
    fn a_plan_is_read_as_it_is_written_and_lists_its_runs() {
        let folder = tempfile::tempdir().unwrap();
        plan().write(folder.path()).unwrap();
        assert_eq!(Plan::read(&folder.path().join(PLAN)).unwrap(), plan());
        let slots = plan().slots("c".as_ref());
        let names: Vec<_> = slots.iter().map(|slot| slot.folder.display().to_string()).collect();
        let expected = ["amsunet-seed-0", "unet-base_width-16-seed-0", "amsunet-seed-7", "unet-base_width-16-seed-7"];
        assert_eq!(names, expected.map(|name| format!("c/runs/{name}")));
    }

    #[test]
    fn what_makes_no_comparison_is_named() {
        let one = plan().networks[..1].to_vec();
        let twice = [plan().networks[0].clone(), plan().networks[0].clone()].into();
        for (plan, part) in [
            (Plan { networks: one, ..plan() }, "at least two networks; add `--network`"),
            (Plan { networks: twice, ..plan() }, "the network amsunet is named twice"),
            (Plan { seeds: vec![], ..plan() }, "needs a seed"),
            (Plan { seeds: vec![1, 1], ..plan() }, "the seed 1 is named twice"),
            (Plan { train: vec!["--seed=3".into()], ..plan() }, "`--seed` is decided by the comparison"),
            (Plan { train: vec!["--out".into(), "a".into()], ..plan() }, "`--out` is decided"),
        ] {
            let message = plan.check().unwrap_err().to_string();
            assert!(message.contains(part), "{part}: {message}");
        }
        let folder = tempfile::tempdir().unwrap();
        assert!(Plan::read(&folder.path().join(PLAN)).unwrap_err().to_string().contains("cannot read the plan"));
        fs::write(folder.path().join(PLAN), "{}").unwrap();
        assert!(Plan::read(&folder.path().join(PLAN)).unwrap_err().to_string().contains("is not the plan"));
    }
}
