//! Measures one side, in a process of its own.

use std::fs;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};
use ndarray::Axis;
use ort::environment::Environment;
use seg_inference::library::{Build, Search};
use seg_inference::{Options, Provider, Segmenter, Session, Settings, image_files, read_model};
use seg_runtime::pipeline::{self, Lanes, Task, create_folders, largest_at_once};
use seg_runtime::record::{Entry, Job, RecordWriter};
use seg_runtime::save::Save;
use seg_runtime::save::outputs::unique_stems;
use serde::{Deserialize, Serialize};

/// The unit of the times in `/proc/self/stat`.
const TICKS_PER_SECOND: f64 = 100.0;

/// The measurement of one process; `python/infer.py` has the same flags but the side.
#[derive(Args, Clone, Debug)]
pub(crate) struct Measurement {
    #[arg(long)]
    pub(crate) side: Side,
    #[arg(long)]
    pub(crate) model: PathBuf,
    /// A folder of images
    #[arg(long)]
    pub(crate) images: PathBuf,
    /// A folder for the results
    #[arg(long)]
    pub(crate) out: PathBuf,
    #[arg(long)]
    pub(crate) threads: NonZeroUsize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// The network alone, on tensors in memory
    Bare,
    /// Files to files
    Pipeline,
    /// Loading the model in ONNX Runtime, and nothing else
    Session,
}

/// The result of a process; all sides print it as one line of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) images: usize,
    pub(crate) seconds: f64,
    /// Processor time of all threads, in user and system mode.
    pub(crate) cpu_seconds: f64,
    /// The most resident memory at any time, in bytes.
    pub(crate) rss_peak: u64,
    pub(crate) version: String,
}

impl Measurement {
    /// Measures in this process.
    pub(crate) fn run(&self) -> Result<Measured> {
        let environment = Search::from_env(None, Build::Cpu).locate()?.load()?;
        let inputs = image_files(std::slice::from_ref(&self.images))?;
        let (seconds, cpu_seconds) = match self.side {
            Side::Bare => {
                let options = Options { threads: Some(self.threads), ..Options::default() };
                let mut session = Session::open(&environment, &self.model, &options)?;
                let tensors = inputs.iter().map(|input| {
                    let image = seg_data::read_image(input)?;
                    Ok(session.contract().preprocess(&image)?.tensor.insert_axis(Axis(0)))
                });
                let tensors = tensors.collect::<Result<Vec<_>>>()?;
                session.infer(tensors[0].view())?;
                timed(|| tensors.iter().try_for_each(|tensor| session.infer(tensor.view()).map(drop)))?
            }
            Side::Pipeline => self.pipeline(&environment, &inputs)?,
            Side::Session => {
                let session = ort::session::Session::builder(&environment)?.with_intra_threads(self.threads.get());
                let mut session = session.map_err(|error| anyhow!("{error}"))?;
                timed(|| session.commit_from_file(&self.model).map(drop))?
            }
        };
        let version = format!("seg-runtime {}", env!("CARGO_PKG_VERSION"));
        Ok(Measured { images: inputs.len(), seconds, cpu_seconds, rss_peak: rss_peak()?, version })
    }
}

impl Measurement {
    /// The default work of `infer`: masks, overlays and the record of them.
    fn pipeline(&self, environment: &Environment, inputs: &[PathBuf]) -> Result<(f64, f64)> {
        let contract = read_model(&self.model)?.contract;
        let settings = Settings::default();
        let lanes = Lanes::new(Provider::Cpu, inputs.len(), Some(self.threads), || {
            largest_at_once(inputs.iter().map(PathBuf::as_path), &contract, &settings)
        });
        let open = |threads: &NonZeroUsize| {
            let options = Options { threads: Some(*threads), ..Options::default() };
            Segmenter::open(environment, &self.model, &options)
        };
        let mut segmenters = lanes.threads.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        for segmenter in &mut segmenters {
            segmenter.segment(&seg_data::read_image(&inputs[0])?)?;
        }
        let save = vec![Save::Mask, Save::Overlay];
        let writers: Vec<_> = save.iter().flat_map(|save| save.writers(&contract.classes)).collect();
        create_folders(&self.out, &writers)?;
        let names = unique_stems(inputs);
        let tasks = inputs.iter().zip(&names).map(|(input, name)| Task { input: input.clone(), name: name.clone() });
        let tasks: Vec<_> = tasks.collect();
        let precisions = segmenters[0].as_ref().iter().map(|session| session.runs_on().precision).collect();
        let job = Job::new(segmenters[0].files(), precisions, settings, save, &names);
        timed(|| {
            let mut record = RecordWriter::begin(&self.out, &job, None, None)?;
            let mut failed = None;
            pipeline::run(&mut segmenters, &tasks, &self.out, &writers, |index, result| {
                let recorded = result
                    .map_err(anyhow::Error::from)
                    .and_then(|prediction| Ok(record.add(&Entry::segmented(prediction, &tasks[index].input))?));
                match recorded {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        failed = Some(error);
                        ControlFlow::Break(())
                    }
                }
            });
            match failed {
                Some(error) => Err(error),
                None => Ok(record.end(&names).map(drop)?),
            }
        })
    }
}

/// Measures the wall and the processor time of a job.
fn timed<E: Into<anyhow::Error>>(job: impl FnOnce() -> Result<(), E>) -> Result<(f64, f64)> {
    let (begun, cpu_begun) = (Instant::now(), cpu_seconds()?);
    job().map_err(Into::into)?;
    Ok((begun.elapsed().as_secs_f64(), cpu_seconds()? - cpu_begun))
}

fn rss_peak() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("cannot read this process's memory")?;
    let value = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = value.and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kibibytes.context("`/proc/self/status` has no VmHWM in kB")? * 1024)
}

/// Returns the time of all threads of this process so far, in user and system mode.
fn cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat").context("cannot read this process's times")?;
    // The two times are the 14th and 15th field; the second is the program's name in parentheses,
    // which may hold spaces.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().skip(11).take(2));
    let ticks = fields.into_iter().flatten().map(str::parse::<u64>).sum::<Result<u64, _>>();
    Ok(ticks.context("`/proc/self/stat` has no times")? as f64 / TICKS_PER_SECOND)
}
