//! The commands of the other programs.

/// A command that another program has.
pub(crate) struct Verb {
    /// The word that is typed after `seg`.
    pub(crate) name: &'static str,
    /// Its line in the help.
    pub(crate) about: &'static str,
    /// The group of that line.
    pub(crate) group: Group,
    /// The program that has it.
    pub(crate) program: Program,
}

/// A program beside `seg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// Trains; one verb is the whole program.
    Train,
    /// Exports; one verb is the whole program.
    Export,
    /// Runs models; each verb is a subcommand.
    Runtime,
}

impl Program {
    /// Returns the name of its file.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Export => "export",
            Self::Runtime => "seg-runtime",
        }
    }
}

/// A part of the help that lists commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Make,
    Run,
    Prove,
    Examine,
    Machine,
}

impl Group {
    /// All groups, in the order of the help.
    pub(crate) const ALL: [Self; 5] = [Self::Make, Self::Run, Self::Prove, Self::Examine, Self::Machine];

    /// Returns the heading.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Make => "Train and export",
            Self::Run => "Segment and score images",
            Self::Prove => "Prove and sign",
            Self::Examine => "Examine a model",
            Self::Machine => "Prepare this machine",
        }
    }
}

/// All verbs, in the order of the help.
pub(crate) const VERBS: [Verb; 15] = [
    verb("train", "Train a network; `train --help` lists evaluate, check, compare-networks and others", Group::Make),
    verb("export", "Write the network of a checkpoint as an ONNX model, with its proof", Group::Make),
    verb("infer", "Segment images: a mask, an overlay and a line of JSON for each", Group::Run),
    verb("serve", "Serve models over HTTP, with a page to try them in a browser", Group::Run),
    verb("merge", "Join the records of all parts of a job", Group::Run),
    verb("eval", "Score a model on a data set", Group::Run),
    verb("verify", "Prove that a model is the trained network, or check a certificate", Group::Prove),
    verb("keygen", "Make an Ed25519 key to sign certificates with", Group::Prove),
    verb("inspect", "Print what a model file holds: inputs, outputs, cost, operators and contract", Group::Examine),
    verb("adopt", "Give a segmentation network that another program exported a contract", Group::Examine),
    verb("compare", "Run a model on a stored tensor and compare its output with another one", Group::Examine),
    verb("bench", "Measure the latency, throughput and peak memory of a model", Group::Examine),
    verb("doctor", "Report which providers work here, and what to install for the others", Group::Machine),
    verb("setup", "Fetch the ONNX Runtime library ahead of time", Group::Machine),
    verb("warm", "Do ahead of time what a first run would wait for", Group::Machine),
];

/// Makes a verb of the program that its group or name tells.
const fn verb(name: &'static str, about: &'static str, group: Group) -> Verb {
    let program = match name.as_bytes() {
        b"train" => Program::Train,
        b"export" => Program::Export,
        _ => Program::Runtime,
    };
    Verb { name, about, group, program }
}

impl Verb {
    /// Finds the verb of a name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        VERBS.iter().find(|verb| verb.name == name)
    }
}
