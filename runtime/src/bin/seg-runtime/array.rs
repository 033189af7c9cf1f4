//! The place of this process among those that a scheduler starts for one job.

use std::num::NonZeroUsize;

use anyhow::{Context, bail, ensure};

/// Kubernetes's number of a process in an indexed job, counted from 0.
const KUBERNETES: &str = "JOB_COMPLETION_INDEX";
/// Slurm's number of a job in an array.
const SLURM: &str = "SLURM_ARRAY_TASK_ID";
/// Slurm's first number of an array, which counts from any.
const SLURM_FIRST: &str = "SLURM_ARRAY_TASK_MIN";
/// Slurm's step between two numbers.
const SLURM_STEP: &str = "SLURM_ARRAY_TASK_STEP";

/// Returns the part of this process, counted from 1, by the variables of a scheduler.
pub(crate) fn place(parts: NonZeroUsize, variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<usize> {
    let number = |name: &str| {
        let text = variable(name).filter(|text| !text.is_empty());
        let parse = |text: String| {
            text.parse::<usize>()
                .with_context(|| format!("{name} is `{text}`, expected a number; name the part by `--part`"))
        };
        text.map(parse).transpose()
    };
    let part = match (number(KUBERNETES)?, number(SLURM)?) {
        (Some(index), None) => index.saturating_add(1),
        (None, Some(task)) => {
            let (first, step) = (number(SLURM_FIRST)?.unwrap_or(1), number(SLURM_STEP)?.unwrap_or(1).max(1));
            ensure!(task >= first, "{SLURM} is {task}, before {SLURM_FIRST}, which is {first}");
            (task - first) / step + 1
        }
        (Some(_), Some(_)) => bail!("both {KUBERNETES} and {SLURM} are set; name the part by `--part`"),
        (None, None) => {
            bail!("`--num-parts` needs the part of this process: `--part INDEX`, {KUBERNETES} or {SLURM}")
        }
    };
    ensure!(
        part <= parts.get(),
        "this process is number {part} of its array, but `--num-parts` is {parts}; start as many processes as there are parts"
    );
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name, the variables, and the part or a piece of the error.
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], Result<usize, &'a str>);

    #[test]
    fn the_part_is_the_place_in_the_schedulers_array() {
        let rows: [Row<'_>; 12] = [
            ("Kubernetes's first", &[(KUBERNETES, "0")], Ok(1)),
            ("Kubernetes's last", &[(KUBERNETES, "7")], Ok(8)),
            ("one too many", &[(KUBERNETES, "8")], Err("is number 9 of its array")),
            ("an array from 1", &[(SLURM, "3"), (SLURM_FIRST, "1")], Ok(3)),
            ("an array from 0", &[(SLURM, "0"), (SLURM_FIRST, "0")], Ok(1)),
            ("an array in steps", &[(SLURM, "20"), (SLURM_FIRST, "10"), (SLURM_STEP, "5")], Ok(3)),
            ("without the first", &[(SLURM, "2")], Ok(2)),
            ("before the first", &[(SLURM, "2"), (SLURM_FIRST, "3")], Err("before SLURM_ARRAY_TASK_MIN")),
            ("both", &[(SLURM, "1"), (KUBERNETES, "1")], Err("both")),
            ("none", &[], Err("`--part INDEX`")),
            ("an empty one", &[(KUBERNETES, "")], Err("`--part INDEX`")),
            ("no number", &[(KUBERNETES, "a")], Err("JOB_COMPLETION_INDEX is `a`")),
        ];
        for (name, variables, expected) in rows {
            let variable =
                |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned());
            let found = place(NonZeroUsize::new(8).unwrap(), variable).map_err(|error| format!("{error:#}"));
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{name}"),
                (Err(found), Err(part)) => assert!(found.contains(part), "{name}: {found}"),
                (found, _) => panic!("{name}: {found:?}"),
            }
        }
    }
}
