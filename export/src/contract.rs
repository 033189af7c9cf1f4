//! The contract of a model: the checkpoint's own, or one made of what is given and, where nothing
//! is, assumed.

use std::fmt;

use seg_contract::{Class, ColorOrder, Contract, SizePolicy};
use seg_nets::checkpoint::Checkpoint;
use seg_nets::contract;
use seg_nets::network::NetworkConfig;
use thiserror::Error;

/// The facts that are given about a model beside its checkpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GivenFacts {
    /// Subtracted from each channel of the image in [0, 1].
    pub mean: Option<Vec<f32>>,
    /// Then divided by, channel by channel.
    pub std: Option<Vec<f32>>,
    /// The names of the classes by index, the background first.
    pub classes: Option<Vec<String>>,
}

/// Something that neither the checkpoint nor the caller says; prints as what is assumed instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assumption {
    /// The mean that is subtracted from the image.
    Mean,
    /// The deviation that the image is divided by.
    Std,
    /// The names of the classes.
    Classes,
    /// The order of the image's channels.
    Color(ColorOrder),
    /// The size at which images are run.
    Size,
}

/// An error in resolving a model's contract.
#[derive(Debug, Error)]
pub enum ResolveContractError {
    /// The checkpoint says something else.
    #[error("cannot give the model the {what} {given}: the checkpoint's contract says {carried}; leave the {what} out")]
    Contradiction {
        /// The name of the fact.
        what: &'static str,
        /// As it is given.
        given: String,
        /// As the checkpoint says it.
        carried: String,
    },
    /// Not as many values are given as the network needs.
    #[error("cannot give the model the {what} {given}: the network has {expected} {per}")]
    Count {
        /// The name of the fact.
        what: &'static str,
        /// As it is given.
        given: String,
        /// The number of values that the network needs.
        expected: usize,
        /// The things that need a value each.
        per: &'static str,
    },
    /// The network takes no image.
    #[error("cannot describe an input of {found} channels: expected 1 (gray) or 3 (red, green, blue)")]
    Channels {
        /// The channels that the network takes.
        found: usize,
    },
    /// The contract was written for other weights.
    #[error(
        "cannot use the checkpoint's contract: it was written for the weights {carried}, these are {found}; \
         the file was changed after training"
    )]
    Weights {
        /// The hash in the contract.
        carried: String,
        /// The hash of the weights.
        found: String,
    },
}

/// Returns the contract of a checkpoint's model, and the assumptions that were made for it.
///
/// A contract that the checkpoint carries is kept as it is; only what its provenance leaves open is
/// filled in.
///
/// # Errors
/// When the checkpoint's contract says something else than is given, or is of other weights; when
/// there is none and what is given does not fit the network, whose configuration is `config`.
pub fn resolve_contract(
    checkpoint: &Checkpoint,
    config: &NetworkConfig,
    given: &GivenFacts,
) -> Result<(Contract, Vec<Assumption>), ResolveContractError> {
    let (mut contract, assumptions) = match &checkpoint.contract {
        Some(carried) => (confirm(carried, given)?, Vec::new()),
        None => make(config, given)?,
    };
    let found = checkpoint.weights.sha256();
    let own = &mut contract.provenance;
    if !own.weights_sha256.is_empty() && own.weights_sha256 != found {
        return Err(ResolveContractError::Weights { carried: own.weights_sha256.clone(), found });
    }
    let tool = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned();
    for (own, fact) in [(&mut own.tool, tool), (&mut own.weights_sha256, found)] {
        if own.is_empty() {
            *own = fact;
        }
    }
    Ok((contract, assumptions))
}

/// Returns the contract in the checkpoint, if nothing else is given.
fn confirm(carried: &Contract, given: &GivenFacts) -> Result<Contract, ResolveContractError> {
    let names = carried.classes.iter().map(|class| class.name.clone()).collect();
    same("mean", &given.mean, &carried.input.mean)?;
    same("standard deviation", &given.std, &carried.input.std)?;
    same("class names", &given.classes, &names)?;
    Ok(carried.clone())
}

fn same<T: PartialEq + fmt::Debug>(
    what: &'static str,
    given: &Option<Vec<T>>,
    carried: &Vec<T>,
) -> Result<(), ResolveContractError> {
    match given {
        Some(given) if given != carried => {
            let (given, carried) = (format!("{given:?}"), format!("{carried:?}"));
            Err(ResolveContractError::Contradiction { what, given, carried })
        }
        _ => Ok(()),
    }
}

/// Creates a contract from what is given; the rest is assumed, and recorded in the provenance.
fn make(config: &NetworkConfig, given: &GivenFacts) -> Result<(Contract, Vec<Assumption>), ResolveContractError> {
    let color = match config.in_channels() {
        1 => ColorOrder::Gray,
        3 => ColorOrder::Rgb,
        found => return Err(ResolveContractError::Channels { found }),
    };
    let mut assumptions = Vec::new();
    let mut assume = |assumption| assumptions.push(assumption);
    let channels = config.in_channels();
    let per_channel = |what, given| count(what, given, channels, "channels");
    let mean = per_channel("mean", &given.mean)?.unwrap_or_else(|| {
        assume(Assumption::Mean);
        vec![0.0; channels]
    });
    let std = per_channel("standard deviation", &given.std)?.unwrap_or_else(|| {
        assume(Assumption::Std);
        vec![1.0; channels]
    });
    let names = count("class names", &given.classes, config.num_classes(), "classes")?.unwrap_or_else(|| {
        assume(Assumption::Classes);
        default_names(config.num_classes())
    });
    assume(Assumption::Color(color));
    assume(Assumption::Size);
    let assumed = assumptions.iter().map(Assumption::to_string).collect();
    let classes = names.into_iter().enumerate().map(|(index, name)| Class::new(name, index)).collect();
    let mut contract = contract::contract(config, color, SizePolicy::Native, mean, std, classes);
    contract.provenance.assumptions = assumed;
    Ok((contract, assumptions))
}

fn count<T: Clone + fmt::Debug>(
    what: &'static str,
    given: &Option<Vec<T>>,
    expected: usize,
    per: &'static str,
) -> Result<Option<Vec<T>>, ResolveContractError> {
    match given {
        Some(values) if values.len() != expected => {
            Err(ResolveContractError::Count { what, given: format!("{values:?}"), expected, per })
        }
        _ => Ok(given.clone()),
    }
}

/// `background` and `target`, or `target_1`, `target_2` and so on where there are several.
fn default_names(classes: usize) -> Vec<String> {
    let target = |index| if classes == 2 { "target".into() } else { format!("target_{index}") };
    (0..classes).map(|index| if index == 0 { "background".into() } else { target(index) }).collect()
}

impl fmt::Display for Assumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mean => f.write_str("the mean of the images is assumed to be 0"),
            Self::Std => f.write_str("the standard deviation of the images is assumed to be 1"),
            Self::Classes => f.write_str("the names of the classes are assumed"),
            Self::Color(ColorOrder::Rgb) => f.write_str("the channels are assumed to be red, green, blue"),
            Self::Color(ColorOrder::Bgr) => f.write_str("the channels are assumed to be blue, green, red"),
            Self::Color(ColorOrder::Gray) => f.write_str("the channel is assumed to be gray"),
            Self::Size => f.write_str("the images are assumed to be run at their own size"),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use seg_contract::Provenance;
    use seg_nets::amsunet::AmsUnetConfig;
    use seg_nets::weights::Weights;

    use super::*;

    fn checkpoint(config: &NetworkConfig, contract: Option<Contract>) -> Checkpoint {
        let weights = Weights::from_network(&config.init(&Device::flex()));
        Checkpoint { path: "net.safetensors".into(), weights, contract }
    }

    fn amsunet() -> AmsUnetConfig {
        AmsUnetConfig::new().with_base_width(4)
    }

    fn config() -> NetworkConfig {
        amsunet().into()
    }

    fn given() -> GivenFacts {
        GivenFacts {
            mean: Some(vec![0.7, 0.4, 0.2]),
            std: Some(vec![0.1, 0.2, 0.3]),
            classes: Some(vec!["background".into(), "vessel".into()]),
        }
    }

    #[test]
    fn what_nobody_says_is_assumed_and_recorded() {
        let nothing = GivenFacts::default();
        let input = [Assumption::Color(ColorOrder::Rgb), Assumption::Size];
        let all = [&[Assumption::Mean, Assumption::Std, Assumption::Classes], &input[..]].concat();
        for (name, given, expected) in [("nothing", &nothing, all), ("all", &given(), input.to_vec())] {
            let checkpoint = checkpoint(&config(), None);
            let (contract, assumptions) = resolve_contract(&checkpoint, &config(), given).unwrap();
            assert_eq!(assumptions, expected, "{name}");
            let recorded: Vec<_> = expected.iter().map(Assumption::to_string).collect();
            assert_eq!(contract.provenance.assumptions, recorded, "{name}");
            assert_eq!(contract.provenance.weights_sha256, checkpoint.weights.sha256(), "{name}");
            assert_eq!(contract.provenance.configuration, "base_width=4", "{name}");
            contract.validate().unwrap();
        }
    }

    #[test]
    fn a_carried_contract_is_kept() {
        let (mut carried, _) = resolve_contract(&checkpoint(&config(), None), &config(), &given()).unwrap();
        carried.provenance = Provenance { tool: "seg-train 1.2.3".into(), ..Provenance::default() };
        let checkpoint = checkpoint(&config(), Some(carried.clone()));
        for given in [GivenFacts::default(), given()] {
            let (contract, assumptions) = resolve_contract(&checkpoint, &config(), &given).unwrap();
            assert_eq!((&contract.input, &contract.classes), (&carried.input, &carried.classes));
            assert_eq!(contract.provenance.tool, "seg-train 1.2.3");
            assert_eq!(contract.provenance.weights_sha256, checkpoint.weights.sha256());
            assert_eq!(assumptions, []);
        }
    }

    #[test]
    fn contradictions_are_refused() {
        type Change = fn(&mut GivenFacts);
        let rows: [(Change, &str); 3] = [
            (
                |s| s.mean = Some(vec![0.0; 3]),
                "the mean [0.0, 0.0, 0.0]: the checkpoint's contract says [0.7, 0.4, 0.2]",
            ),
            (
                |s| s.std = Some(vec![1.0]),
                "the standard deviation [1.0]: the checkpoint's contract says [0.1, 0.2, 0.3]",
            ),
            (|s| s.classes = Some(vec![]), "the class names []: the checkpoint's contract says"),
        ];
        let (carried, _) = resolve_contract(&checkpoint(&config(), None), &config(), &given()).unwrap();
        let checkpoint = checkpoint(&config(), Some(carried));
        for (change, expected) in rows {
            let mut given = given();
            change(&mut given);
            let message = resolve_contract(&checkpoint, &config(), &given).unwrap_err().to_string();
            assert!(message.contains(expected), "{expected}: {message}");
        }
    }

    #[test]
    fn the_contract_of_other_weights_is_refused() {
        let (carried, _) = resolve_contract(&checkpoint(&config(), None), &config(), &given()).unwrap();
        let other = checkpoint(&config(), Some(carried));
        let error = resolve_contract(&other, &config(), &GivenFacts::default()).unwrap_err();
        assert!(matches!(error, ResolveContractError::Weights { .. }), "{error}");
    }

    #[test]
    fn statements_that_do_not_fit_the_network_are_refused() {
        let gray = amsunet().with_in_channels(1).into();
        let rows = [
            (
                "mean",
                &gray,
                GivenFacts { mean: Some(vec![0.5; 3]), ..GivenFacts::default() },
                "the network has 1 channels",
            ),
            (
                "std",
                &config(),
                GivenFacts { std: Some(vec![0.5]), ..GivenFacts::default() },
                "the network has 3 channels",
            ),
            ("classes", &amsunet().with_num_classes(4).into(), given(), "the network has 4 classes"),
            ("channels", &amsunet().with_in_channels(4).into(), GivenFacts::default(), "an input of 4 channels"),
        ];
        for (name, config, given, expected) in rows {
            let message = resolve_contract(&checkpoint(config, None), config, &given).unwrap_err().to_string();
            assert!(message.contains(expected), "{name}: {message}");
        }
    }

    #[test]
    fn classes_have_names_of_their_own() {
        assert_eq!(default_names(2), ["background", "target"]);
        assert_eq!(default_names(3), ["background", "target_1", "target_2"]);
    }
}
