//! AMSUnet in a graph, stage by stage from the output to the input.

use seg_kernels::inference::{Constants, DownParameters, Parameters, Weights};
use seg_onnx::graph::{DataType, Graph, Input, Op, PadMode};

use super::block::block;
use super::join::{Joined, join};
use super::walk::{Form, Unrecognized, Walk};

/// The network that a graph computes, with its parameters.
#[derive(Debug)]
pub(super) struct Recognized {
    /// The parameters.
    pub(super) parameters: Parameters,
    /// The steps behind the network.
    pub(super) ending: Ending,
    /// The names of the values that the kernels can show, see [`Shown`].
    pub(super) shown: Shown,
}

/// The steps from the last convolution to the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// None: the output is the logits.
    Logits,
    /// The softmax over the classes.
    Probabilities,
    /// The class of the largest logit, the lowest on a tie.
    Largest,
    /// The second class where the only channel, the difference of two logits, is above zero.
    Positive,
}

/// The names of the values between the stages, which exist as whole maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// The first convolution behind its GELU.
    pub(super) stem: String,
    /// The blocks in the order in which they are computed.
    pub(super) blocks: Vec<String>,
    /// The inputs of all blocks but the first.
    pub(super) steps: Vec<String>,
    /// The last convolution.
    pub(super) head: String,
}

/// Recognises AMSUnet as `seg export` writes it for any engine or for the CPU.
///
/// # Errors
/// With the first node that is another one.
pub(super) fn recognize(graph: &Graph) -> Result<Recognized, Unrecognized> {
    let mut walk = Walk::new(graph);
    let ([output], [image]) = (&graph.outputs[..], &graph.inputs[..]) else {
        let (name, found) = (graph.name.clone(), format!("a graph of {} outputs", graph.outputs.len()));
        return Err(Unrecognized { name, found, expected: "one of one input and one output".into() });
    };
    let (ending, logits) = ending(&mut walk, output)?;
    let (mut x, head) = walk.dense(logits, &Form::POINTWISE)?;
    if ending == Ending::Positive && walk.channels(logits) != Some(1) {
        return Err(walk.refuse(logits, "the difference of two logits"));
    }
    let mut shown = Shown { head: logits.into(), ..Shown::default() };

    // From the output on: the decoder's steps, then the encoder's.
    let (mut ups, mut downs, mut skips) = (Vec::new(), Vec::new(), Vec::new());
    let (stem_value, stem_block) = loop {
        shown.blocks.push(x.into());
        let (input, block) = block(&mut walk, x)?;
        match walk.node(input).map(|node| &node.op) {
            Some(Op::Add) if downs.is_empty() => {
                let Joined { skip, deep, parameters } = join(&mut walk, input, block)?;
                ups.push(parameters);
                skips.push(skip);
                x = deep;
            }
            Some(Op::Conv(_)) => {
                let form = Form { kernel: [2; 2], stride: 2, ..Form::POINTWISE };
                let (shallow, conv) = walk.dense(input, &form)?;
                // The deepest skip is read first here, and was the last there.
                match skips.pop() {
                    Some(skip) => walk.expect_same(skip, shallow)?,
                    None => return Err(walk.refuse(input, "the first stage: as many steps down as up")),
                }
                downs.push(DownParameters { conv, block });
                x = shallow;
            }
            _ => break (input, block),
        }
        shown.steps.push(input.into());
    };
    if let Some(skip) = skips.last() {
        return Err(walk.refuse(stem_value, format!("a step of the encoder that reads `{skip}`")));
    }
    let stem = stem(&mut walk, stem_value, image)?;
    shown.stem = stem_value.into();
    walk.finish()?;
    downs.reverse();
    ups.reverse();
    shown.blocks.reverse();
    shown.steps.reverse();
    let stem_norm = Constants::identity(stem[0].shape()[0]);
    let parameters = Parameters { stem, stem_norm, stem_block, downs, ups, head };
    Ok(Recognized { parameters, ending, shown })
}

/// Takes what is behind the last convolution; returns its name.
fn ending<'g>(walk: &mut Walk<'g>, output: &'g str) -> Result<(Ending, &'g str), Unrecognized> {
    match walk.node(output).map(|node| &node.op) {
        Some(Op::Softmax { .. }) => {
            let [logits] = walk.take(output, "Softmax over the classes", |op| *op == Op::Softmax { axis: 1 })?;
            Ok((Ending::Probabilities, logits))
        }
        Some(Op::Cast { .. }) => {
            let [float] = walk.take(output, "Cast to bytes", |op| *op == Op::Cast { to: DataType::U8 })?;
            if walk.node(float).is_some_and(|node| node.op == Op::Squeeze) {
                let [float, axes] = walk.take(float, "Squeeze", |_| true)?;
                walk.expect_integers(axes, &[1])?;
                let [is_above] = walk.take(float, "Cast to floats", |op| *op == Op::Cast { to: DataType::F32 })?;
                let [difference, zero] = walk.take(is_above, "Greater", |op| *op == Op::Greater)?;
                walk.expect_scalar(zero, 0.0)?;
                return Ok((Ending::Positive, difference));
            }
            let [class] = walk.take(float, "Cast to floats", |op| *op == Op::Cast { to: DataType::F32 })?;
            let [logits] = walk.take(class, "ArgMax over the classes", |op| *op == Op::ArgMax { axis: 1 })?;
            Ok((Ending::Largest, logits))
        }
        _ => Ok((Ending::Logits, output)),
    }
}

/// Takes the first convolution with its border; returns its parameters.
fn stem(walk: &mut Walk<'_>, value: &str, image: &Input) -> Result<Weights, Unrecognized> {
    let x = walk.gelu(value)?;
    let (bordered, weights) = walk.conv(x, &Form { kernel: [3; 2], ..Form::POINTWISE })?;
    let [planes, pads] = walk.take(bordered, "Pad that mirrors", |op| *op == Op::Pad { mode: PadMode::Reflect })?;
    walk.expect_integers(pads, &[0, 0, 1, 1, 0, 0, 1, 1])?;
    let mut x = planes;
    if image.tensor_type.data_type == DataType::U8 {
        let [floats] = walk.take(x, "Transpose", |op| *op == Op::Transpose { perm: vec![0, 3, 1, 2] })?;
        let [bytes] = walk.take(floats, "Cast to floats", |op| *op == Op::Cast { to: DataType::F32 })?;
        x = bytes;
    }
    walk.expect_same(x, &image.name)?;
    Ok(weights)
}
