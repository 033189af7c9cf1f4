//! `seg-runtime infer`: images to masks, whatever else is asked for, and a record of what is done.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, channel};
use std::{env, iter, thread};

use anyhow::{Context, bail, ensure};
use ort::environment::Environment;
use seg_cli::{Shown, chain, note, print_json, warn};
use seg_contract::{Contract, Reading, Unlike};
use seg_data::{SegmentationLabels, Unread, open_image_as, stored_size_as};
use seg_inference::{ModelFile, Options, Segmenter, Settings, SharedThreads, list_inputs, read_contract};
use seg_runtime::pipeline::{self, Lanes, Task, create_folders, largest_at_once};
use seg_runtime::record::{Counts, Entry, Job, JobPart, RecordWriter, remove_leftovers};
use seg_runtime::save::ResultWriter;
use seg_runtime::save::outputs::{keep_inputs, unique_stems};
use seg_runtime::save::volumes::Volumes;
use seg_verify::Certificate;

use crate::args::Infer;
use crate::array;
use crate::engine;
use crate::memory::within_memory;
use crate::progress::Progress;

pub(crate) fn infer(args: &Infer) -> anyhow::Result<()> {
    let part = part(args)?;
    // Before a library is fetched for it.
    let contract = read_contract(&args.model[0])?;
    args.answers.check_for(&contract)?;
    let named = args.medical.reading(&contract)?;
    let reading = contract.input.reading.or(named);
    let listed = list_inputs(&args.inputs, &reading)?;
    name_unread(&listed.unread);
    let inputs = match &args.pages {
        Some(pages) => pages.select(listed.pictures),
        None => listed.pictures,
    };
    ensure!(!inputs.is_empty(), "no input has a picture with a number of `--pages`");
    let names = unique_stems(&inputs);
    let classes = &contract.classes;
    let targets: Vec<_> = classes.iter().skip(1).map(|class| class.name.clone()).collect();
    let settings = args.saves.complete(Settings { reading: named, ..args.answers.settings(&targets) });
    let settings = match Job::read(&args.out)? {
        // Its images were cut by the memory that was there when it began.
        Some(job) => Settings { whole_pixels_max: job.settings.whole_pixels_max, ..settings },
        None => within_memory(settings, &contract),
    };
    let save = args.saves.list();
    let writers: Vec<_> = save.iter().flat_map(|save| save.writers(classes)).collect();
    let paths = |name| writers.iter().map(move |writer| args.out.join(writer.place().path(name)));
    let volumes = Volumes::new(&save, &inputs, &names, &reading)?;
    let of_volumes = volumes.paths().map(|path| args.out.join(path));
    let written: Vec<_> = names.iter().flat_map(|name| paths(name.as_str())).chain(of_volumes).collect();
    keep_inputs(&args.out, &written, &inputs)?;
    let (environment, options) = engine::start(&args.engine, &args.model)?;
    let options = options.for_settings(&settings);
    let is_mine = |index| part.is_none_or(|part| part.has(index));
    let mine = part.map_or(names.len(), |part| part.count(names.len()));
    let lanes = Lanes::new(options.provider, mine, options.threads, || {
        let inputs = inputs.iter().enumerate().filter(|(index, _)| is_mine(*index));
        largest_at_once(inputs.map(|(_, input)| input.as_path()), &contract, &settings)
    });
    // Before anything is written, so that what cannot be done leaves nothing behind.
    let mut segmenters = open(args, &environment, &options, &settings, &lanes)?;
    let precisions = segmenters[0].as_ref().iter().map(|session| session.runs_on().precision).collect();
    let job = Job::new(files(&segmenters)?, precisions, settings.clone(), save, &names);
    if args.certified.require_certificate {
        if args.certified.public_key.is_none() {
            note(
                "the certificate is checked against its model, but not for who made it; `--public-key KEY` checks that too",
            );
        }
        // A fallback may have chosen another provider, and another precision with it.
        for (model, session) in args.model.iter().zip(segmenters[0].as_ref()) {
            let (opened, key) = (&session.file().sha256, args.certified.public_key.as_deref());
            Certificate::require(model, opened, session.options(), key)?;
        }
    }

    let by_name: HashMap<_, _> = names.iter().map(String::as_str).zip(&inputs).collect();
    let given: HashSet<_> = inputs.iter().map(|input| input.to_string_lossy()).collect();
    // An image that has changed since, or is another one of the same name, is done again. What is
    // done of images that are not given this time stays.
    let holds = |done: &Entry| match by_name.get(done.name()) {
        Some(input) => done.is_of(input),
        None => !given.contains(done.input()),
    };
    let mut record = RecordWriter::begin(&args.out, &job, part, args.parts.resume.then_some(&holds))?;
    let folders = create_folders(&args.out, &writers)?;
    if part.is_none() {
        // Another process may be writing there if this one does only a part of the job.
        remove_leftovers(iter::once(args.out.clone()).chain(folders))?;
    }
    let all = names.iter().zip(&inputs).enumerate().filter(|(index, _)| is_mine(*index));
    let open = all.filter(|(_, (name, _))| !record.is_complete(name));
    let tasks: Vec<_> = open.map(|(_, (name, input))| Task { input: input.clone(), name: name.clone() }).collect();
    if args.parts.resume {
        note(&format!("{} of {mine} images are complete", mine - tasks.len()));
    }
    thread::scope(|scope| {
        let (look, warnings) = channel();
        // Decoding large images takes as long as segmenting some, so nothing waits for it.
        let (contract, reading, tasks) = (&contract, &reading, tasks.as_slice());
        scope.spawn(move || unlike(contract, reading, tasks).map(|warning| look.send(warning)));
        segment(args, tasks, &mut segmenters, &writers, &mut record, warnings)
    })?;

    let refused = match part {
        None => write_volumes(args, &volumes, &job, &contract, |name| record.is_complete(name))?,
        Some(_) if volumes.is_empty() => 0,
        Some(_) => {
            note(
                "the masks of volumes are made of all parts: when these are done, put their records together with `merge`, and \
                 run this once more with `--continue` and without `--part`",
            );
            0
        }
    };
    let Counts { images, skipped } = record.end(&names)?;
    if skipped > 0 {
        bail!("{skipped} of {mine} images were skipped");
    }
    note(&format!("{images} of {mine} images segmented into `{}`", args.out.shown()));
    ensure!(refused == 0, "{refused} files of volumes were not written");
    Ok(())
}

/// Looks at a few of the images, and warns if their values are unlike those that the model has
/// learned from.
fn unlike(contract: &Contract, reading: &Reading, tasks: &[Task]) -> Option<String> {
    const LOOKED_AT: usize = 8;
    const PIXELS_MAX: u64 = 1 << 24;
    // Of all of them: each is decoded once more where it is segmented.
    let mut pixels_left: u64 = 1 << 25;
    let is_small = |task: &&Task| {
        let size = stored_size_as(&task.input, reading);
        let pixels = size.map_or(u64::MAX, |(width, height)| u64::from(width) * u64::from(height));
        let is_small = pixels <= PIXELS_MAX.min(pixels_left);
        pixels_left -= if is_small { pixels } else { 0 };
        is_small
    };
    let step = tasks.len().div_ceil(LOOKED_AT).max(1);
    let looked_at: Vec<&Task> = tasks.iter().step_by(step).filter(is_small).collect();
    // What cannot be read is reported where it is segmented.
    let found = |task: &&Task| {
        let mut image = open_image_as(&task.input, reading).ok()?;
        let rows = 0..image.info().height;
        let unlike = contract.input.unlike(image.rows(rows).ok()?.pixels())?;
        Some((unlike, task.name.clone()))
    };
    let unlike: Vec<(Unlike, String)> = looked_at.iter().filter_map(found).collect();
    let (first, name) = unlike.first()?;
    let sentence = first.sentence(unlike.len(), looked_at.len(), name);
    Some(if looked_at.len() < tasks.len() { format!("a look at some of the images: {sentence}") } else { sentence })
}

/// Writes the masks of the volumes that are complete, and returns how many cannot be written.
fn write_volumes(
    args: &Infer,
    volumes: &Volumes<'_>,
    job: &Job,
    contract: &Contract,
    is_complete: impl Fn(&str) -> bool,
) -> anyhow::Result<usize> {
    if volumes.is_empty() {
        return Ok(0);
    }
    let model: Vec<_> = job.models.iter().map(|model| model.sha256.as_str()).collect();
    let labels = SegmentationLabels {
        classes: &contract.classes,
        model: &model.concat(),
        algorithm: &contract.provenance.network,
        version: env!("CARGO_PKG_VERSION"),
    };
    let (mut written, mut refused) = (0, 0);
    volumes.write(&args.out, &labels, is_complete, |_, error| match error {
        None => written += 1,
        Some(error) => {
            warn(&chain(error));
            refused += 1;
        }
    })?;
    note(&format!("{written} files of volumes written"));
    Ok(refused)
}

/// The files that are not read which are named one by one.
const UNREAD_NAMED: usize = 5;

/// Names the files of folders that are not images, so that none is left out without a word.
fn name_unread(unread: &[Unread]) {
    let named = |unread: &Unread| format!("`{}` ({})", unread.path.shown(), unread.kind);
    let list: Vec<_> = unread.iter().take(UNREAD_NAMED).map(named).collect();
    let more = match unread.len() - list.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    match unread.len() {
        0 => {}
        1 => note(&format!("1 file is not an image and is not read: {}", list.concat())),
        count => note(&format!("{count} files are not images and are not read: {}{more}", list.join(", "))),
    }
}

/// Returns the part of the job that the flags name, or the place of this process in an array.
fn part(args: &Infer) -> anyhow::Result<Option<JobPart>> {
    let Some(parts) = args.parts.num_parts else { return Ok(None) };
    let part = match args.parts.part {
        Some(part) => part.get(),
        None => array::place(parts, |name| env::var(name).ok())?,
    };
    Ok(Some(JobPart { part, parts: parts.get() }))
}

/// Opens the models for each lane, all at once.
fn open(
    args: &Infer,
    environment: &Environment,
    options: &Options,
    settings: &Settings,
    lanes: &Lanes,
) -> anyhow::Result<Vec<Segmenter>> {
    // Of the memory for networks, a session for one shape takes more than its share.
    let sessions = lanes.threads.len() * args.model.len();
    let one_shape_pixels_max = pipeline::pixels_in_networks() as usize / 2 / sessions.max(1);
    let shared_threads = Some(SharedThreads::of_lanes(&lanes.threads));
    let open = |threads: NonZeroUsize| -> anyhow::Result<Segmenter> {
        let shared_threads = shared_threads.clone();
        let options = Options { threads: Some(threads), shared_threads, one_shape_pixels_max, ..options.clone() };
        let segmenter = match args.model.as_slice() {
            [model] => Segmenter::open(environment, model, &options)?,
            models => Segmenter::open_ensemble(environment, models, &options)?,
        };
        Ok(segmenter.with(settings.clone())?)
    };
    thread::scope(|scope| {
        let others: Vec<_> = lanes.threads[1..].iter().map(|threads| scope.spawn(|| open(*threads))).collect();
        let mut segmenters = vec![engine::open(options, || open(lanes.threads[0]))?];
        for other in others {
            segmenters.push(other.join().expect("opening a model does not panic")?);
        }
        Ok(segmenters)
    })
}

/// Returns the model files, which are the same for all lanes.
fn files(lanes: &[Segmenter]) -> anyhow::Result<Vec<ModelFile>> {
    let files = lanes[0].files();
    ensure!(
        lanes.iter().all(|lane| lane.files() == files),
        "a model file has changed while it was opened; run this again when it is whole"
    );
    Ok(files)
}

/// Segments the images, and records each as it is complete. Prints the warnings that come
/// meanwhile.
fn segment(
    args: &Infer,
    tasks: &[Task],
    segmenters: &mut [Segmenter],
    writers: &[Box<dyn ResultWriter>],
    record: &mut RecordWriter,
    warnings: Receiver<String>,
) -> anyhow::Result<()> {
    let progress = Progress::new(tasks.len());
    let mut failed = None;
    let mut done = 0;
    pipeline::run(segmenters, tasks, &args.out, writers, |index, result| {
        let Task { name, input } = &tasks[index];
        warnings.try_iter().for_each(|warning| progress.warn(&warning));
        let entry = match result {
            Ok(prediction) => {
                let first = prediction.files.first().map_or(name.as_str(), |file| file.path.as_str());
                progress.done(format!("{} -> {}", input.shown(), args.out.join(first).shown()));
                Entry::segmented(prediction, input)
            }
            Err(error) if error.is_about_the_image() => {
                let error = chain(&error);
                progress.skipped(&error);
                Entry::skipped(name.clone(), input, error)
            }
            Err(error) => {
                failed.get_or_insert(anyhow::Error::new(error));
                return ControlFlow::Break(());
            }
        };
        match add(record, &entry, args.json) {
            Ok(()) => done += 1,
            Err(error) => {
                failed.get_or_insert(error);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    });
    progress.finish();
    warnings.iter().for_each(|warning| warn(&warning));
    match failed {
        Some(error) => Err(error)
            .context(format!("stopped after {done} of {} images; `--continue` goes on from there", tasks.len())),
        None => Ok(()),
    }
}

/// Adds an image to the record, and prints its entry if that is asked for.
fn add(record: &mut RecordWriter, entry: &Entry, json: bool) -> anyhow::Result<()> {
    record.add(entry)?;
    if json { print_json(&serde_json::to_string(entry)?) } else { Ok(()) }
}
