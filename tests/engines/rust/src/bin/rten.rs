//! Runs a model in rten.

use anyhow::Result;
use rten::{Model, Value};
use rten_tensor::prelude::*;
use rten_tensor::{NdTensor, Tensor};
use seg_engines::Job;

fn main() -> Result<()> {
    let job = Job::read()?;
    let model = Model::load_file(&job.model)?;
    let shape: [usize; 4] = job.shape.as_slice().try_into()?;
    let input = NdTensor::from_data(shape, job.values.clone());
    match model.run_one(input.view().into(), None)? {
        Value::FloatTensor(output) => job.finish(output.shape(), output.iter().copied()),
        Value::UInt8Tensor(output) => job.finish(output.shape(), output.iter().map(|value| f32::from(*value))),
        Value::Int32Tensor(output) => {
            let output: Tensor<i32> = output;
            job.finish(output.shape(), output.iter().map(|value| *value as f32))
        }
        _ => anyhow::bail!("the output has another type than float32, u8 and i32"),
    }
}
