//! `seg-runtime warm`: does ahead of time all that a first run would wait for.

use std::time::Instant;

use image::RgbImage;
use seg_cli::{Shown, print};
use seg_inference::{Segmenter, read_contract};

use crate::args::Warm;
use crate::engine;

pub(crate) fn warm(args: &Warm) -> anyhow::Result<()> {
    // Before a library is fetched for it.
    let contract = read_contract(&args.model)?;
    let settings = args.settings();
    let start = Instant::now();
    let (environment, options) = engine::start(&args.engine, &[&args.model])?;
    let options = options.for_settings(&settings);
    let mut segmenter = engine::open(&options, || -> anyhow::Result<_> {
        Ok(Segmenter::open(&environment, &args.model, &options)?.with(settings)?)
    })?;
    let [height, width] = options.shapes(&contract.input).best_size();
    segmenter.segment(&RgbImage::new(width as u32, height as u32))?;
    let (seconds, provider) = (start.elapsed().as_secs_f64(), segmenter.runs_on().provider);
    print(&format!("`{}` is ready to run with {provider} after {seconds:.1} s\n", args.model.shown()))
}
