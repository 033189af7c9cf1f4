//! `train check`: reads every file of a data set and says what is there and what is wrong.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use seg_cli::{Shown, is_quiet, print, print_json, say};
use seg_data::{check, contact_sheet, write_bytes, write_png};

use crate::args::CheckArgs;

pub(crate) fn run(args: &CheckArgs) -> Result<()> {
    let bar = if is_quiet() { ProgressBar::hidden() } else { ProgressBar::new(0) };
    let found = check(&args.data, &args.files, &args.reading.given(), |total| {
        bar.set_length(total as u64);
        bar.inc(1);
    })?;
    bar.finish_and_clear();

    let report = &found.report;
    let name = report.name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let folder = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("check-{name}")));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create `{}`", folder.shown()))?;
    let json = serde_json::to_string_pretty(report).context("cannot write the report")?;
    write_bytes(&folder.join("report.json"), (json.clone() + "\n").as_bytes())?;
    if args.json {
        print_json(&json)?;
    } else {
        print(&(report.to_string() + "\n"))?;
    }
    if !found.shown.is_empty() {
        let path = folder.join("contact_sheet.png");
        write_png(&path, &contact_sheet(&found.shown, &report.classes)?)?;
        if !args.json {
            say(&format!("\nlook at      {}", path.shown()));
        }
    }
    ensure!(report.problems.is_empty(), "`{}` cannot be learned from as it is", args.data.shown());
    Ok(())
}
