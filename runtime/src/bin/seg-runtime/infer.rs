//! `seg-runtime infer`: images to masks, whatever else is asked for, and a record of what is done.

use std::{iter, ops::ControlFlow, path::PathBuf, thread};

use anyhow::{Context, bail, ensure};
use ort::environment::Environment;
use seg_runtime::{
    Job, JobPart, Line, Manifest, ModelFile, Options, Segmenter, Settings,
    inputs::image_files,
    outputs::{keep_inputs, unique_stems},
    pipeline::{self, Lanes, Task, create_folders},
    read_model, remove_leftovers,
    verify::Certificate,
    writers::ResultWriter,
};

use crate::{args::Infer, chain, engine, note, progress::Progress};

pub(crate) fn infer(args: &Infer) -> anyhow::Result<()> {
    let part = part(args);
    let inputs = image_files(&args.inputs)?;
    let names = unique_stems(&inputs);
    // Before a library is fetched for it.
    let contract = read_model(&args.model[0])?.contract;
    args.answers.check_for(&contract)?;
    let classes = contract.classes;
    let targets: Vec<_> = classes.iter().skip(1).map(|class| class.name.clone()).collect();
    let settings = args.saves.complete(args.answers.settings(&targets));
    let save = args.saves.list();
    let writers: Vec<_> = save.iter().flat_map(|save| save.writers(&classes)).collect();
    let paths = |name| writers.iter().map(move |writer| args.out.join(writer.place().path(name)));
    let written: Vec<_> = names.iter().flat_map(|name| paths(name.as_str())).collect();
    keep_inputs(&args.out, &written, &inputs)?;
    let (environment, options) = engine::start(&args.engine)?;
    let options = options.for_settings(&settings);
    let mine = part.map_or(names.len(), |part| part.count(names.len()));
    // Before anything is written, so that what cannot be done leaves nothing behind.
    let mut segmenters = open(args, &environment, &options, &settings, mine)?;
    let precisions = segmenters[0].as_ref().iter().map(|session| session.runs_on().precision).collect();
    let job = Job::new(files(&segmenters)?, precisions, settings.clone(), save, &names);
    if args.certified.require_certificate {
        // A fallback may have chosen another provider, and another precision with it.
        for (model, session) in args.model.iter().zip(segmenters[0].as_ref()) {
            Certificate::require(model, session.options(), args.certified.public_key.as_deref())?;
        }
    }

    let mut manifest = Manifest::begin(&args.out, &job, part, args.go_on)?;
    let folders = create_folders(&args.out, &writers)?;
    if part.is_none() {
        // Of a part, another one may be writing there.
        remove_leftovers(iter::once(args.out.clone()).chain(folders))?;
    }
    let is_mine = |index| part.is_none_or(|part| part.has(index));
    let complete = manifest.complete();
    // An image that has changed since, or is another one of the same name, is done again.
    let is_open = |name: &str, input: &PathBuf| complete.get(name).is_none_or(|done| !done.is_of(input));
    let all = names.iter().zip(&inputs).enumerate().filter(|(index, _)| is_mine(*index));
    let open = all.filter(|(_, (name, input))| is_open(name, input));
    let tasks: Vec<_> = open.map(|(_, (name, input))| Task { input: input.clone(), name: name.clone() }).collect();
    if args.go_on {
        note(&format!("{} of {mine} images are complete", mine - tasks.len()));
    }
    segment(args, &tasks, &mut segmenters, &writers, &mut manifest)?;

    let lines = manifest.end(&names)?;
    let skipped = lines.iter().filter(|line| matches!(line, Line::Skipped { .. })).count();
    if skipped > 0 {
        bail!("{skipped} of {mine} images were skipped");
    }
    note(&format!("{} of {mine} images segmented into `{}`", lines.len(), args.out.display()));
    Ok(())
}

/// The part of the job that the flags name.
fn part(args: &Infer) -> Option<JobPart> {
    args.part.zip(args.num_parts).map(|(part, parts)| JobPart { part: part.get(), parts: parts.get() })
}

/// Opens the models for each lane, all at once.
fn open(
    args: &Infer,
    environment: &Environment,
    options: &Options,
    settings: &Settings,
    images: usize,
) -> anyhow::Result<Vec<Segmenter>> {
    let lanes = Lanes::new(options.provider, images, options.threads);
    let options = Options { threads: Some(lanes.threads), ..options.clone() };
    let open = || -> anyhow::Result<Segmenter> {
        let segmenter = match args.model.as_slice() {
            [model] => Segmenter::open(environment, model, &options)?,
            models => Segmenter::open_ensemble(environment, models, &options)?,
        };
        Ok(segmenter.with(settings.clone())?)
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..lanes.count).map(|_| scope.spawn(open)).collect();
        let mut segmenters = vec![engine::open(&options, open)?];
        for other in others {
            segmenters.push(other.join().expect("opening a model does not panic")?);
        }
        Ok(segmenters)
    })
}

/// The model files, which are the same for all lanes.
fn files(lanes: &[Segmenter]) -> anyhow::Result<Vec<ModelFile>> {
    let files = lanes[0].files();
    ensure!(
        lanes.iter().all(|lane| lane.files() == files),
        "a model file has changed while it was opened; run this again when it is whole"
    );
    Ok(files)
}

/// Segments the images, and records each as it is complete.
fn segment(
    args: &Infer,
    tasks: &[Task],
    segmenters: &mut [Segmenter],
    writers: &[Box<dyn ResultWriter>],
    manifest: &mut Manifest,
) -> anyhow::Result<()> {
    let progress = Progress::new(tasks.len());
    let mut failed = None;
    let mut done = 0;
    pipeline::run(segmenters, tasks, &args.out, writers, |index, result| {
        let Task { name, input } = &tasks[index];
        let line = match result {
            Ok(prediction) => {
                let first = prediction.files.first().map_or(name.as_str(), |file| file.path.as_str());
                progress.done(format!("{} -> {}", prediction.input, args.out.join(first).display()));
                Line::Segmented(Box::new(prediction))
            }
            Err(error) if error.is_about_the_image() => {
                let error = chain(&error);
                progress.skipped(&error);
                Line::Skipped { name: name.clone(), input: input.to_string_lossy().into_owned(), error }
            }
            Err(error) => {
                failed.get_or_insert(anyhow::Error::new(error));
                return ControlFlow::Break(());
            }
        };
        match manifest.add(line) {
            Ok(()) => done += 1,
            Err(error) => {
                failed.get_or_insert(error.into());
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    });
    progress.finish();
    match failed {
        Some(error) => Err(error)
            .context(format!("stopped after {done} of {} images; `--continue` goes on from there", tasks.len())),
        None => Ok(()),
    }
}
