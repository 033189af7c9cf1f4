//! The names that published checkpoints give to the parameters of a network.

/// The number of axes of the weight of a convolution.
const MARK_AXES: usize = 4;

/// The names of a network's parameters in published checkpoints.
#[derive(Clone, Copy, Debug)]
pub struct PublishedNames {
    /// Parameters that every file of the network has, the weight of a convolution first. A file is
    /// of the network of which it has most marks, and the first mark finds the prefix under which
    /// the file keeps the weights.
    pub marks: &'static [&'static str],
    /// The first parts of all names, without their numbers: whatever else lies in a file without a
    /// prefix is not the network's.
    pub roots: &'static [&'static str],
    /// Returns the published name of the parameter at a path in the network, such as
    /// `down3.amse.attention.ams.strip_5.vertical.weight`; `None` where the network has no such
    /// path.
    pub name: fn(&str) -> Option<String>,
}

impl PublishedNames {
    /// Returns whether a published name begins with one of the network's roots.
    pub(crate) fn has_root(&self, name: &str) -> bool {
        let first = name.split('.').next().unwrap_or_default();
        self.roots.iter().any(|root| is_numbered(first, root))
    }

    /// Returns each prefix, with the dot at its end, under which all marks are among tensors that
    /// are given by their names and the numbers of their axes.
    pub(crate) fn prefixes<'a>(&self, tensors: &'a [(String, usize)]) -> Vec<&'a str> {
        let Some((first, others)) = self.marks.split_first() else { return Vec::new() };
        // An optimizer keeps values of the same names, but without axes.
        let weights = tensors.iter().filter(|(_, axes)| *axes == MARK_AXES);
        let prefixes = weights.filter_map(|(name, _)| name.strip_suffix(first));
        let has = |prefix: &str, mark: &str| tensors.iter().any(|(name, _)| name.strip_prefix(prefix) == Some(mark));
        let is_whole = |prefix: &&str| others.iter().all(|mark| has(prefix, mark));
        prefixes.filter(|prefix| prefix.is_empty() || prefix.ends_with('.')).filter(is_whole).collect()
    }
}

/// A module inside a stage, by our path and by the published one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Renaming {
    /// The stage, without the number where several stages have the module.
    pub(crate) stage: &'static str,
    /// Our path below the stage; empty for the stage itself.
    pub(crate) ours: &'static str,
    /// The published path below the stage; empty for the stage itself.
    pub(crate) theirs: &'static str,
    /// The parts of the module by our path and the published one; none where its parameters follow.
    pub(crate) parts: &'static [(&'static str, &'static str)],
}

impl Renaming {
    /// Makes a renaming of a module's parts.
    pub(crate) const fn new(
        stage: &'static str,
        ours: &'static str,
        theirs: &'static str,
        parts: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self { stage, ours, theirs, parts }
    }
}

/// Returns the published name of the parameter at a path, by the first renaming that holds it.
pub(crate) fn rename(path: &str, renamings: &[Renaming]) -> Option<String> {
    let (stage, rest) = path.split_once('.')?;
    renamings.iter().filter(|renaming| is_numbered(stage, renaming.stage)).find_map(|renaming| {
        let rest = below(rest, renaming.ours)?;
        if renaming.parts.is_empty() {
            return Some(join([stage, renaming.theirs, rest]));
        }
        renaming.parts.iter().find_map(|(ours, theirs)| {
            let rest = below(rest, ours)?;
            Some(join([stage, renaming.theirs, theirs, rest]))
        })
    })
}

/// Returns whether `name` is `kind`, or `kind` with a number behind it.
fn is_numbered(name: &str, kind: &str) -> bool {
    name.strip_prefix(kind).is_some_and(|number| number.chars().all(|digit| digit.is_ascii_digit()))
}

/// Returns the rest of a path below `part`; an empty part holds everything.
fn below<'a>(path: &'a str, part: &str) -> Option<&'a str> {
    if part.is_empty() { Some(path) } else { path.strip_prefix(part)?.strip_prefix('.') }
}

/// Joins the parts of a path that are not empty.
fn join<const N: usize>(parts: [&str; N]) -> String {
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".")
}
