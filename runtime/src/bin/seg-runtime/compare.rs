//! `seg-runtime compare`: a model's output against a stored one.

use anyhow::{anyhow, bail};
use ndarray::Ix4;
use seg_cli::print;
use seg_inference::{ModelOutput, Session, TensorFile, compare as compare_tensors, read_contract};

use crate::args::Compare;
use crate::engine;

pub(crate) fn compare(args: &Compare) -> anyhow::Result<()> {
    read_contract(&args.model)?;
    let file = TensorFile::open(&args.tensors)?;
    let input = file.tensor(&args.input)?.mapv(|value| value as f32);
    let expected = file.tensor(&args.expect)?;
    let shape = input.shape().to_vec();
    let input = input.into_dimensionality::<Ix4>().map_err(|_| {
        anyhow!("the tensor `{}` has shape {shape:?}, expected [n, channels, height, width]", args.input)
    })?;

    let (environment, options) = engine::start(&args.engine, &[&args.model])?;
    let mut session = engine::open(&options, || Session::open(&environment, &args.model, &options))?;
    let found = match session.infer(input.view())? {
        ModelOutput::Scores(scores) => scores.into_dyn(),
        ModelOutput::Masks(masks) => masks.mapv(f32::from).into_dyn(),
    };
    let comparison = compare_tensors(found.view(), expected.view())?;
    print(&format!("{comparison}\n"))?;
    if comparison.not_finite > 0 {
        bail!("{} of {} elements are infinite or not a number", comparison.not_finite, comparison.elements);
    }
    match args.max_abs {
        Some(bound) if !comparison.is_within(bound) => {
            bail!("the largest absolute error is {:e}, the bound {bound:e}", comparison.absolute.error)
        }
        _ => Ok(()),
    }
}
