//! The reason why a run ends.

use std::fmt;

use crate::run::config::Config;
use crate::run::record::EpochRecord;

/// The reason that a run ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending {
    /// All epochs are done.
    Epochs(usize),
    /// No epoch after this one was better, for as many epochs as the run has patience.
    Patience {
        /// The best epoch.
        best: usize,
    },
    /// The run's minutes are over.
    Minutes(f64),
}

impl Ending {
    /// Returns the reason that a run with this log is over, or `None` while it is not.
    pub fn from_log(config: &Config, log: &[EpochRecord]) -> Option<Self> {
        let seconds: f64 = log.iter().map(EpochRecord::seconds).sum();
        if log.len() >= config.epochs {
            return Some(Self::Epochs(config.epochs));
        }
        if let Some(minutes) = config.training.minutes
            && seconds >= minutes * 60.0
        {
            return Some(Self::Minutes(minutes));
        }
        let best = log.iter().rfind(|record| record.best)?.epoch;
        let waited = log.iter().rfind(|record| record.validation.is_some())?.epoch - best;
        config.training.patience.filter(|patience| waited >= *patience).map(|_| Self::Patience { best })
    }

    /// Returns whether an epoch is the last that its run can afford, once its training is done:
    /// then it is validated.
    pub(crate) fn is_near(config: &Config, log: &[EpochRecord], training_seconds: f64) -> bool {
        let seconds = training_seconds + log.iter().map(EpochRecord::seconds).sum::<f64>();
        log.len() + 1 >= config.epochs || config.training.minutes.is_some_and(|minutes| seconds >= minutes * 60.0)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epochs(epochs) => write!(formatter, "all {epochs} epochs are done"),
            Self::Patience { best } => write!(formatter, "no epoch since {best} was better"),
            Self::Minutes(minutes) => write!(formatter, "its {minutes} minutes are over"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use seg_nets::amsunet::AmsUnetConfig;

    use super::*;
    use crate::data::augment::Augmentation;
    use crate::run::config::TrainingConfig;
    use crate::run::record::tests::record;

    fn recipe() -> Config {
        Config::recipe(PathBuf::new(), AmsUnetConfig::new(), Augmentation::recipe(32, [32, 32]))
    }

    /// Creates the record of an epoch of ten seconds, counted from 1, that is best, worse, or not
    /// validated.
    fn epoch(number: usize, kind: char) -> EpochRecord {
        EpochRecord {
            validation: record(number).validation.filter(|_| kind != '-'),
            best: kind == 'b',
            training_seconds: 4.0,
            validation_seconds: 6.0,
            ..record(number)
        }
    }

    /// Creates a log of such epochs.
    fn log(epochs: &str) -> Vec<EpochRecord> {
        (1..).zip(epochs.chars()).map(|(number, kind)| epoch(number, kind)).collect()
    }

    #[test]
    fn a_run_ends_with_its_epochs_its_patience_or_its_minutes() {
        let patience = TrainingConfig { patience: Some(2), ..TrainingConfig::default() };
        let minutes = TrainingConfig { minutes: Some(0.5), ..TrainingConfig::default() };
        for (name, training, epochs, expected) in [
            ("a new run", patience, "", None),
            ("all epochs", patience, "bbbbbbbb", Some(Ending::Epochs(8))),
            ("without a limit", TrainingConfig::default(), "bwwwwww", None),
            ("patience left", patience, "bbw", None),
            ("no patience left", patience, "bbww", Some(Ending::Patience { best: 2 })),
            ("better in time", patience, "bwb", None),
            ("not validated", patience, "b--", None),
            ("validated at last", patience, "b--w", Some(Ending::Patience { best: 1 })),
            ("never validated", patience, "---", None),
            ("time left", minutes, "ww", None),
            ("time over", minutes, "www", Some(Ending::Minutes(0.5))),
        ] {
            let config = Config { epochs: 8, training, ..recipe() };
            assert_eq!(Ending::from_log(&config, &log(epochs)), expected, "{name}");
        }
    }

    #[test]
    fn the_last_epoch_is_known_before_it_is_validated() {
        let minutes = TrainingConfig { minutes: Some(0.5), ..TrainingConfig::default() };
        for (name, training, epochs, seconds, expected) in [
            ("the last of all", TrainingConfig::default(), "www", 1.0, true),
            ("one more to come", TrainingConfig::default(), "ww", 1.0, false),
            ("time left", minutes, "ww", 9.0, false),
            ("time over", minutes, "ww", 10.0, true),
        ] {
            let config = Config { epochs: 4, training, ..recipe() };
            assert_eq!(Ending::is_near(&config, &log(epochs), seconds), expected, "{name}");
        }
    }
}
