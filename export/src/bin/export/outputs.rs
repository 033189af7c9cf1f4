//! The files that a command line writes, each to a place of its own.

use seg_cli::Shown;
use std::path::{Path, PathBuf};
use std::{fs, io, path};

use anyhow::{Context, bail, ensure};
use seg_data::check_writable;
use seg_export::{triton, web};
use seg_inference::Provider;
use seg_nets::checkpoint::Checkpoint;
use seg_verify::{Certificate, CertificatePath, Reference};

use crate::args::Args;

/// Refuses to write over the checkpoint, or two things to one file, whatever the paths look like;
/// or to where nothing can be written, before anything is computed for it.
pub(crate) fn check(args: &Args, checkpoint: &Checkpoint) -> anyhow::Result<()> {
    let source = place(&checkpoint.path)?;
    let mut taken: Vec<(&str, PathBuf)> = Vec::new();
    for (what, path) in all(args) {
        let (place, shown) = (place(&path)?, path.shown());
        ensure!(place != source, "cannot write `{shown}`: it is the checkpoint; choose another name");
        if let Some((other, _)) = taken.iter().find(|(_, other)| *other == place) {
            bail!("cannot write both {other} and {what} to `{shown}`; choose another name");
        }
        taken.push((what, place));
    }
    if let Some(folder) = &args.web {
        let is_empty = fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
        ensure!(
            is_empty || folder.join(web::MARKER).exists(),
            "cannot write the page into `{}`: the folder holds other files; choose an empty or a new one",
            folder.shown()
        );
    }
    for path in [Some(args.out()), args.reference.as_deref(), args.card.as_deref()].into_iter().flatten() {
        check_writable(path)?;
    }
    if !args.proof.no_verify {
        check_writable(&Reference::beside(args.out()))?;
        CertificatePath::new(&Certificate::beside(args.out(), Provider::Cpu), None)?;
    }
    Ok(())
}

/// Everything that is written, by what it is.
fn all(args: &Args) -> Vec<(&'static str, PathBuf)> {
    let mut outputs = vec![("model", args.out().to_owned())];
    if !args.proof.no_verify {
        // A proof is made on the CPU.
        let certificate = Certificate::beside(args.out(), Provider::Cpu);
        let page = certificate.with_extension("html");
        outputs.push(("the proof's reference", Reference::beside(args.out())));
        outputs.extend([("certificate", certificate), ("the certificate's page", page)]);
    }
    if let Some(folder) = &args.triton {
        let [model, config] = triton::paths(&triton::model_name(args.out())).map(|path| folder.join(path));
        outputs.extend([("Triton's model", model), ("Triton's configuration", config)]);
    }
    if let Some(folder) = &args.web {
        outputs.extend(web::names(!args.proof.no_verify).map(|name| ("the page", folder.join(name))));
    }
    let asked = [("reference", &args.reference), ("card", &args.card)];
    outputs.extend(asked.into_iter().filter_map(|(what, path)| Some((what, path.clone()?))));
    outputs
}

/// Resolves a path, as [`resolve`], with an error that names it.
fn place(path: &Path) -> anyhow::Result<PathBuf> {
    resolve(path).with_context(|| format!("cannot tell where `{}` is", path.shown()))
}

/// Resolves a path: absolute, without links and detours. The file, and folders before it, need not
/// exist.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut place = PathBuf::new();
    for part in path::absolute(path)?.components() {
        match part {
            path::Component::ParentDir => {
                place.pop();
            }
            part => place.push(part),
        }
        // A file that does not exist yet is not a link.
        if let Ok(real) = fs::canonicalize(&place) {
            place = real;
        }
    }
    Ok(place)
}
