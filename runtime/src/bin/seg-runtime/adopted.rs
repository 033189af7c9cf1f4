//! `seg-runtime verify` of an adopted model: what can be said without its training framework.
//!
//! The deployed network is compared with the definition of its operators, where the evaluator knows
//! them, and with the other providers that work here.

use std::ffi::OsString;
use std::path::Path;
use std::slice;

use anyhow::{Context, bail, ensure};
use ndarray::ArrayD;
use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize};
use seg_cli::{Shown, note, print};
use seg_contract::{Contract, Element};
use seg_inference::{ModelOutput, Provider, Runnable, Session, compare, runnable};
use seg_onnx::evaluate::evaluate;
use seg_onnx::graph::Graph;
use seg_verify::ProofInput;

use crate::args::Verify;
use crate::{auto, child, engine};

/// An input as the network took it, and its answer.
struct Case {
    name: String,
    input: ArrayD<f32>,
    output: ArrayD<f32>,
    /// The largest magnitude of the answer.
    scale: f64,
}

/// Compares an adopted model with whatever it can be compared with.
///
/// # Errors
/// When it differs from something by more than float32 explains, or there is nothing to compare.
pub(crate) fn verify(args: &Verify, model: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    ensure!(
        args.sign.is_none() && args.out.is_none() && !args.layers && !args.bisect,
        "`{}` was adopted: nothing is known of its training, so there is no certificate; leave out `--out`, `--sign`, \
         `--layers` and `--bisect`",
        model.shown()
    );
    let Runnable { contract, graph, .. } = runnable(model, bytes)?;
    let (environment, options) = engine::start(&args.engine, &[model])?;
    let mut session = engine::open(&options, || Session::open(&environment, model, &options))?;
    let provider = session.provider();
    let mut inputs = ProofInput::fixed(args.thorough, &contract.input);
    if let Some(folder) = &args.data {
        inputs.extend(ProofInput::images(slice::from_ref(folder), None, contract.input.form)?);
    }
    let mut cases = Vec::new();
    for input in &inputs {
        let tensor = input.load(&contract)?.tensor;
        let output = match session.infer(tensor.view())? {
            ModelOutput::Scores(scores) => scores.into_dyn(),
            ModelOutput::Masks(masks) => masks.mapv(f32::from).into_dyn(),
        };
        let scale = output.iter().fold(0.0, |largest: f64, value| largest.max(f64::from(value.abs())));
        cases.push(Case { name: input.name.clone(), input: tensor.into_dyn(), output, scale });
    }
    let bound = provider.spec().float32.relative;
    let mut said = Vec::new();
    match graph.filter(|_| contract.input.form.element == Element::Float) {
        Some(graph) => {
            let worst = against_definition(&graph, &contract, &cases)?;
            note(&format!("{provider} and the definition of the operators: {worst:.1e} of the scale at most"));
            ensure!(
                worst <= bound,
                "`{}` computes on {provider} something else than its operators define: off by {worst:.1e} of the scale, \
                 expected at most {bound:.1e}",
                model.shown()
            );
            said.push("what its operators define".to_owned());
        }
        None => note("the evaluator does not know all of the graph, so the definition of its operators says nothing"),
    }
    said.extend(
        against_others(args, model, provider, &cases)?.into_iter().map(|other| format!("what {other} computes")),
    );
    if said.is_empty() {
        bail!(
            "nothing can be proven of `{}` here: the evaluator does not know its graph, and no other provider works to \
             compare with; `seg doctor` says what to install",
            model.shown()
        );
    }
    print(&format!(
        "`{}` computes on {provider} {}, on {} inputs; whether it is the trained network, only outputs of its training \
         framework can say: `seg compare` compares with them\n",
        model.shown(),
        said.join(" and "),
        cases.len()
    ))
}

/// Returns the largest error against the exact values, as a share of their scale.
fn against_definition(graph: &Graph, contract: &Contract, cases: &[Case]) -> anyhow::Result<f64> {
    let output = contract.output.name.as_str();
    let mut worst = 0.0_f64;
    for Case { name, input, output: found, scale } in cases {
        let values = evaluate(graph, &[(contract.input.name.as_str(), input.mapv(f64::from))], &[output])
            .with_context(|| format!("cannot evaluate the input `{name}`"))?;
        let Some(exact) = values.get(output).and_then(|value| value.as_f64()) else { continue };
        let error = compare(found.view(), exact.view())?.absolute.error;
        worst = worst.max(error / scale.max(f64::MIN_POSITIVE));
    }
    Ok(worst)
}

/// Compares with every other provider that works here, and returns those that agree.
fn against_others(args: &Verify, model: &Path, own: Provider, cases: &[Case]) -> anyhow::Result<Vec<Provider>> {
    let others = auto::candidates(&args.engine).filter(|other| *other != own && other.computes_any());
    let working: Vec<_> = others.filter(|other| engine::works(&args.engine, *other).is_ok()).collect();
    if working.is_empty() {
        return Ok(working);
    }
    let folder = tempfile::tempdir().context("cannot create a folder for tensors")?;
    for other in &working {
        let bound = other.spec().float32.relative.max(own.spec().float32.relative);
        for (index, case) in cases.iter().enumerate() {
            let file = folder.path().join(format!("{index}.safetensors"));
            write(&file, case)?;
            let mut flags: Vec<OsString> = ["compare", "--input", "input", "--expect", "output"].map(Into::into).into();
            flags.extend(["--model".into(), model.into(), "--tensors".into(), file.into()]);
            flags.push(format!("--max-abs={:e}", bound * case.scale).into());
            flags.extend(args.engine.alone(*other).to_args());
            child::run(&flags, None).with_context(|| {
                format!(
                    "`{}` does not compute on {other} what it computes on {own}, for the input `{}`",
                    model.shown(),
                    case.name
                )
            })?;
        }
        note(&format!("{own} and {other}: equal within {bound:.1e} of the scale"));
    }
    Ok(working)
}

/// Writes an input and its answer for another process.
fn write(path: &Path, case: &Case) -> anyhow::Result<()> {
    let bytes = |tensor: &ArrayD<f32>| tensor.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let (input, output) = (bytes(&case.input), bytes(&case.output));
    let tensors = [
        ("input", TensorView::new(Dtype::F32, case.input.shape().to_vec(), &input)?),
        ("output", TensorView::new(Dtype::F32, case.output.shape().to_vec(), &output)?),
    ];
    std::fs::write(path, serialize(tensors, None)?).with_context(|| format!("cannot write `{}`", path.shown()))
}
