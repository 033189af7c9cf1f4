//! The order in which a network's stages are computed, and what each of them reads.

/// The name under which a stage reads the network's input.
pub const IMAGE: &str = "image";

/// A part of a network with one output, computed from the image or from outputs of earlier stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The name, which is that of the module and the prefix of the stage's values in a graph.
    pub name: &'static str,
    /// The stages whose outputs it reads, each of them once; [`IMAGE`] is the network's input.
    pub inputs: &'static [&'static str],
}

impl Stage {
    /// Makes a stage.
    pub const fn new(name: &'static str, inputs: &'static [&'static str]) -> Self {
        Self { name, inputs }
    }
}

/// Computes the stages in their order and returns the output of the last one; without stages, the
/// image.
///
/// `compute` gets a stage with its inputs. A value is handed over, and not cloned, to the last
/// stage that reads it, so that it can be changed in place and is freed as early as possible.
///
/// # Errors
/// The first error of `compute`.
///
/// # Panics
/// When a stage reads a value that no stage before it computes.
pub fn walk<T: Clone, E>(
    stages: &[Stage],
    image: T,
    mut compute: impl FnMut(&Stage, Vec<T>) -> Result<T, E>,
) -> Result<T, E> {
    let mut values = vec![(IMAGE, image)];
    for (position, stage) in stages.iter().enumerate() {
        let later = &stages[position + 1..];
        let inputs = stage.inputs.iter().map(|name| take(&mut values, name, later)).collect();
        values.push((stage.name, compute(stage, inputs)?));
    }
    Ok(values.pop().expect("the image or the last output is left").1)
}

/// Returns whether no stage of a list reads the output of one of them.
pub fn is_head(stages: &[Stage], stage: &Stage) -> bool {
    !stages.iter().any(|other| other.inputs.contains(&stage.name))
}

/// Takes a value, or a clone of it where a later stage reads it again.
fn take<T: Clone>(values: &mut Vec<(&str, T)>, name: &str, later: &[Stage]) -> T {
    let position = values.iter().position(|(value, _)| *value == name);
    let position = position.unwrap_or_else(|| panic!("no stage before computes `{name}`"));
    if later.iter().any(|stage| stage.inputs.contains(&name)) {
        values[position].1.clone()
    } else {
        values.remove(position).1
    }
}

/// Returns the inputs of a stage that reads `N` values.
///
/// # Panics
/// When there are more or fewer.
pub fn inputs<T, const N: usize>(inputs: Vec<T>) -> [T; N] {
    let count = inputs.len();
    inputs.try_into().unwrap_or_else(|_| panic!("the stage has {count} inputs, expected {N}"))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::rc::Rc;

    use super::*;

    const STAGES: [Stage; 4] = [
        Stage::new("a", &[IMAGE]),
        Stage::new("b", &["a", IMAGE]),
        Stage::new("c", &["b"]),
        Stage::new("d", &["c", "a"]),
    ];

    #[test]
    fn stages_read_what_they_name() {
        let text = walk::<_, Infallible>(&STAGES, "x".to_owned(), |stage, inputs| {
            Ok(format!("{}({})", stage.name, inputs.join(", ")))
        });
        assert_eq!(text.unwrap(), "d(c(b(a(x), x)), a(x))");
    }

    #[test]
    fn a_value_is_free_when_its_last_reader_has_it() {
        let mut owners = Vec::new();
        let image = Rc::new(());
        let last = walk::<_, Infallible>(&STAGES, image, |_, inputs| {
            owners.push(inputs.iter().map(Rc::strong_count).collect::<Vec<_>>());
            Ok(Rc::new(()))
        });
        assert_eq!(Rc::strong_count(&last.unwrap()), 1);
        assert_eq!(owners, [vec![2], vec![2, 1], vec![1], vec![1, 1]]);
    }

    #[test]
    fn an_error_ends_the_walk() {
        let mut seen = Vec::new();
        let failed = walk(&STAGES, (), |stage, _| {
            seen.push(stage.name);
            if stage.name == "b" { Err("refused") } else { Ok(()) }
        });
        assert_eq!((failed, seen), (Err("refused"), vec!["a", "b"]));
    }
}
