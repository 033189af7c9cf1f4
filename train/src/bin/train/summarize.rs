//! `train summarize`: mean and deviation over runs that differ in seed or fold.

use anyhow::{Context, Result};
use seg_cli::{Shown, print, print_json};
use seg_train::run::summary::{Spread, Summary, summarize};

use crate::args::SummarizeArgs;

pub(crate) fn run(args: &SummarizeArgs) -> Result<()> {
    let summary = summarize(&args.runs, args.force)?;
    if args.json {
        let json = serde_json::to_string_pretty(&summary).context("cannot print the summary")?;
        print_json(&json)
    } else {
        print(&(lines(&summary).join("\n") + "\n"))
    }
}

/// Returns the table of a summary, line by line.
pub(crate) fn lines(summary: &Summary) -> Vec<String> {
    let mut lines: Vec<String> = summary
        .runs
        .iter()
        .map(|run| {
            let fold = run.fold.as_ref().map_or_else(String::new, |fold| format!(", fold {fold}"));
            let (seed, best, epochs) = (run.seed, run.best_epoch, run.epochs);
            format!("{}: seed {seed}{fold}, best epoch {best} of {epochs}", run.folder.shown())
        })
        .collect();
    let width = summary.metrics.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    lines.push(String::new());
    lines.push(format!("{:width$}  {:>8}  {:>8}  {:>4}", "", "mean", "std", "runs"));
    for (name, Spread { mean, std, values }) in &summary.metrics {
        let std = std.map_or_else(|| "-".into(), |std| format!("{std:.4}"));
        lines.push(format!("{name:width$}  {mean:>8.4}  {std:>8}  {:>4}", values.len()));
    }
    lines
}
