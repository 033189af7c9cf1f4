//! Runs the modules that burn-onnx generated, and compares with what Burn computed of the
//! checkpoint.
//!
//! `compare FORM REFERENCE.safetensors SHAPE` prints the greatest error of a logit, or the share of
//! pixels whose class is another. The form is one of the modules that `run` lists in
//! `$MODELS/models.rs`. The shape is the only one of the form, as 1x3x71x93, or `any`. For a form
//! that takes bytes follow the form that takes floats, the means and the deviations.

use std::env;

use anyhow::{Context as _, Result, ensure};
use burn::tensor::{Device, Int, Tensor, TensorData};
use safetensors::SafeTensors;

/// The output of a form, as numbers.
enum Output {
    /// Scores of the classes.
    Logits(Vec<f32>),
    /// Probabilities of the classes.
    Shares(Vec<f32>),
    /// The class of each pixel.
    Classes(Vec<i64>),
}

/// Declares the modules, and the function that runs the one of a name.
macro_rules! models {
    ($($form:ident: $input:ident => $output:ident;)*) => {
        $(
            #[allow(warnings, reason = "generated")]
            mod $form {
                include!(concat!(env!("MODELS"), "/generated/", stringify!($form), ".rs"));
            }
        )*

        fn forward(form: &str, input: Values, device: &Device) -> Result<Output> {
            match form {
                $(stringify!($form) => Ok($output($form::Model::default().forward(input.$input(device)))),)*
                _ => anyhow::bail!("there is no form {form}"),
            }
        }
    };
}

include!(concat!(env!("MODELS"), "/models.rs"));

/// Values of an input, `[n, channels, height, width]`, or bytes `[n, height, width, channels]`.
#[derive(Clone)]
struct Values {
    values: Vec<f32>,
    shape: [usize; 4],
}

impl Values {
    #[allow(dead_code, reason = "the forms decide")]
    fn floats(self, device: &Device) -> Tensor<4> {
        Tensor::from_data(TensorData::new(self.values, self.shape), device)
    }

    #[allow(dead_code, reason = "the forms decide")]
    fn bytes(self, device: &Device) -> Tensor<4, Int> {
        let values: Vec<i64> = self.values.iter().map(|value| *value as i64).collect();
        Tensor::from_data(TensorData::new(values, self.shape), device)
    }

    /// Converts normalised values to the bytes that are nearest.
    fn to_bytes(&self, mean: &[f32], std: &[f32]) -> Self {
        let [n, channels, height, width] = self.shape;
        let mut values = Vec::with_capacity(self.values.len());
        for image in 0..n {
            for pixel in 0..height * width {
                for channel in 0..channels {
                    let value = self.values[(image * channels + channel) * height * width + pixel];
                    values.push((255.0 * (value * std[channel] + mean[channel])).round().clamp(0.0, 255.0));
                }
            }
        }
        Self { values, shape: [n, height, width, channels] }
    }

    /// Normalises bytes.
    fn normalized(&self, mean: &[f32], std: &[f32]) -> Self {
        let [n, height, width, channels] = self.shape;
        let mut values = vec![0.0; self.values.len()];
        for (index, byte) in self.values.iter().enumerate() {
            let [image, pixel, channel] =
                [index / channels / (height * width), index / channels % (height * width), index % channels];
            values[(image * channels + channel) * height * width + pixel] =
                (byte / 255.0 - mean[channel]) / std[channel];
        }
        Self { values, shape: [n, channels, height, width] }
    }
}

#[allow(dead_code, reason = "the forms decide")]
fn logits(output: Tensor<4>) -> Output {
    Output::Logits(output.into_data().convert::<f32>().try_to_vec().expect("logits are floats"))
}

#[allow(dead_code, reason = "the forms decide")]
fn shares(output: Tensor<4>) -> Output {
    match logits(output) {
        Output::Logits(values) => Output::Shares(values),
        other => other,
    }
}

/// Computes the softmax of logits over the classes.
fn softmax(logits: &Values) -> Values {
    let [n, count, height, width] = logits.shape;
    let pixels = height * width;
    let mut values = vec![0.0; logits.values.len()];
    for (image, pixel) in (0..n).flat_map(|image| (0..pixels).map(move |pixel| (image, pixel))) {
        let at = |class: usize| (image * count + class) * pixels + pixel;
        let sum: f64 = (0..count).map(|class| f64::from(logits.values[at(class)]).exp()).sum();
        for class in 0..count {
            values[at(class)] = (f64::from(logits.values[at(class)]).exp() / sum) as f32;
        }
    }
    Values { values, shape: logits.shape }
}

#[allow(dead_code, reason = "the forms decide")]
fn classes(output: Tensor<3, Int>) -> Output {
    Output::Classes(output.into_data().convert::<i64>().try_to_vec().expect("classes are integers"))
}

/// Reads a tensor of a reference.
fn read(file: &SafeTensors<'_>, name: &str) -> Result<Values> {
    let view = file.tensor(name)?;
    let values = view.data().chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    let shape = view.shape().try_into().with_context(|| format!("{name} has not four axes"))?;
    Ok(Values { values: values.collect(), shape })
}

/// Returns the greatest difference from logits, or the share of pixels of another class.
fn error(found: &Output, expected: &Values) -> Result<f32> {
    let [n, count, height, width] = expected.shape;
    let pixels = height * width;
    match found {
        Output::Shares(found) => error(&Output::Logits(found.clone()), &softmax(expected)),
        Output::Logits(found) => {
            ensure!(found.len() == expected.values.len(), "{} logits, expected {}", found.len(), expected.values.len());
            let differences = found.iter().zip(&expected.values).map(|(found, expected)| (found - expected).abs());
            // A value that is no number is no small error.
            Ok(differences.fold(0.0, |worst: f32, value| if value <= worst { worst } else { value }))
        }
        Output::Classes(found) => {
            ensure!(found.len() == n * pixels, "{} pixels, expected {}", found.len(), n * pixels);
            let class = |at: usize| {
                let score = |class: usize| expected.values[(at / pixels * count + class) * pixels + at % pixels];
                (1..count).fold(0, |best, class| if score(class) > score(best) { class } else { best })
            };
            let others = found.iter().enumerate().filter(|(at, found)| **found != class(*at) as i64).count();
            Ok(others as f32 / found.len() as f32)
        }
    }
}

fn numbers(text: &str) -> Result<Vec<f32>> {
    text.split(',').map(|number| Ok(number.parse()?)).collect()
}

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [form, reference, only, bytes @ ..] = &arguments[..] else {
        anyhow::bail!("usage: compare FORM REFERENCE SHAPE|any [FLOAT_FORM MEAN STD]");
    };
    let device = Device::default();
    let file = std::fs::read(reference).with_context(|| format!("cannot read {reference}"))?;
    let file = SafeTensors::deserialize(&file)?;
    let (mut worst, mut compared) = (0.0_f32, 0);
    for case in file.names().into_iter().filter_map(|name| name.strip_suffix(".input")) {
        let mut input = read(&file, &format!("{case}.input"))?;
        let mut expected = read(&file, &format!("{case}.logits"))?;
        if only != "any" && *only != input.shape.map(|side| side.to_string()).join("x") {
            continue;
        }
        if let [twin, mean, std] = bytes {
            let (mean, std) = (numbers(mean)?, numbers(std)?);
            input = input.to_bytes(&mean, &std);
            let Output::Logits(values) = forward(twin, input.normalized(&mean, &std), &device)? else {
                anyhow::bail!("{twin} gives no logits");
            };
            expected.values = values;
        }
        let found = error(&forward(form, input, &device)?, &expected)?;
        worst = if found <= worst { worst } else { found };
        compared += 1;
    }
    ensure!(compared > 0, "no case of the reference has the shape {only}");
    println!("{worst:e}");
    Ok(())
}
