//! Runs a model in tract, which takes concrete sizes.

use anyhow::Result;
use seg_engines::Job;
use tract_onnx::prelude::*;

fn main() -> Result<()> {
    let job = Job::read()?;
    let model = tract_onnx::onnx()
        .model_for_path(&job.model)?
        .with_input_fact(0, f32::fact(&job.shape).into())?
        .into_optimized()?
        .into_runnable()?;
    let input = Tensor::from_shape(&job.shape, &job.values)?;
    let output = model.run(tvec!(input.into()))?.remove(0).into_tensor();
    let output = output.cast_to::<f32>()?;
    job.finish(output.shape(), output.to_plain_array_view::<f32>()?.iter().copied())
}
