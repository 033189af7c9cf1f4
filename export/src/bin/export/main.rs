//! `export`: writes the network of a checkpoint as an ONNX model.

mod args;
mod outputs;
mod progress;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, path};

use anyhow::Context;
use args::Args;
use burn::tensor::Device;
use ort::environment::Environment;
use seg_cli::{Shown, detail, finish, note, print, warn};
use seg_contract::{Element, Input, Sides, SizePolicy};
use seg_data::FileSet;
use seg_export::calibration::Calibration;
use seg_export::card::card;
use seg_export::contract::Assumption;
use seg_export::precision::{ExportPrecision, HalfReport, QuantizationReport, halve, quantize};
use seg_export::test_vectors::reference;
use seg_export::triton::{self, Limit};
use seg_export::{Export, Extent, export, web};
use seg_inference::image_files;
use seg_inference::library::{Build, Library, LibraryError, Search, WebRuntime};
use seg_nets::checkpoint::Checkpoint;
use seg_nets::runs;
use seg_nets::weights::{WeightsPart, is_average};
use seg_onnx::passes::PassReport;
use seg_onnx::precision::{Kept, Scheme};
use seg_text::shell;
use verify::ModelProof;

fn main() -> ExitCode {
    let args = Args::read();
    args.verbosity.apply();
    finish(run(args))
}

/// Exports a checkpoint. Notes go to standard error, so that standard output holds only the graph
/// that `--dump` asks for.
fn run(mut args: Args) -> anyhow::Result<()> {
    let (mut checkpoint, part) = Checkpoint::read_part(&source(&args)?, args.weights_key.as_deref())?;
    note_part(&part);
    checkpoint.choose(&args.network_option)?;
    checkpoint.check_told(&part, &args.network_option)?;
    args.name_model(checkpoint.weights.network());
    let args = &args;
    outputs::check(args, &checkpoint)?;
    let runtime = args.web.is_some().then(|| web_runtime(args)).transpose()?;
    let mut export = export(&checkpoint, &args.options())?;
    for assumption in &export.assumptions {
        warn(&format!("warning: {assumption}; {}", remedy(assumption)));
    }
    if let Some(warning) = coarse_bytes(&export.model.contract.input) {
        warn(&format!("warning: {warning}"));
    }
    let environment = environment(args)?;
    if let Some(environment) = &environment {
        reduce_precision(args, &mut export, environment)?;
    }
    let proof = environment.filter(|_| !args.proof.no_verify);
    let proof = proof.map(|environment| verify::prove(args, &checkpoint, &export, &environment)).transpose()?;
    let notes = write(args, &checkpoint, &export, proof.as_ref(), runtime.as_ref())?;
    if let Some(proof) = &proof {
        proof.tell();
    }
    note(&summary(&export, args));
    notes.iter().for_each(|line| note(line));
    if args.dump { print(&export.model.graph.to_string()) } else { Ok(()) }
}

/// Writes all files; returns the notes on them.
///
/// All are complete under temporary names before one gets its own, and the model is the last to get
/// it: wherever this ends, no new model stands beside older files of its name.
fn write(
    args: &Args,
    checkpoint: &Checkpoint,
    export: &Export,
    proof: Option<&ModelProof>,
    runtime: Option<&WebRuntime>,
) -> anyhow::Result<Vec<String>> {
    let (mut files, mut notes) = (FileSet::default(), Vec::new());
    if let Some(proof) = proof {
        proof.add_reference(&mut files)?;
    }
    if let Some(folder) = &args.triton {
        add_triton_repository(folder, args, export, &mut files, &mut notes)?;
    }
    if let (Some(folder), Some(runtime)) = (&args.web, runtime) {
        add_page(folder, args, export, proof, runtime, &mut files)?;
        let shown = shell::path(folder);
        notes.push(format!("page        {}; to look at it: python3 -m http.server -d {shown}", folder.shown()));
    }
    if let Some(path) = &args.card {
        let file = Path::new(args.out().file_name().unwrap_or_default());
        files.add(path, card(&export.model, file).as_bytes())?;
        notes.push(format!("card        {}", path.shown()));
    }
    if let Some(path) = &args.reference {
        let net = checkpoint.weights.to_network(&Device::flex())?;
        let sides = Sides { multiple: export.model.contract.input.side_multiple, ..net.config().sides() };
        files.add(path, &reference(&net, sides))?;
        notes.push(format!("reference   {}", path.shown()));
    }
    files.add(args.out(), &export.bytes)?;
    if let Some(proof) = proof {
        proof.write_certificate()?;
    }
    files.commit()?;
    Ok(notes)
}

/// Adds the model repository to the files that are written, and notes what a server will not do.
fn add_triton_repository(
    folder: &Path,
    args: &Args,
    Export { model, bytes, .. }: &Export,
    files: &mut FileSet,
    notes: &mut Vec<String>,
) -> anyhow::Result<()> {
    let name = triton::model_name(args.out());
    let place = folder.join(&name);
    let engines = match &args.triton_engines {
        Some(engines) => engines.clone(),
        None => path::absolute(place.join("engines")).context("cannot resolve the folder of the repository")?,
    };
    let instead = if place.exists() { ", instead of the model that was there" } else { "" };
    for (path, content) in triton::repository(model, &name, bytes.clone(), &engines)? {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).with_context(|| format!("cannot create the folder `{}`", parent.shown()))?;
        files.add(&path, &content)?;
    }
    notes.push(format!("triton      {}{instead}", place.shown()));
    for limit in triton::limits(model) {
        let remedy = match limit {
            Limit::Sides { .. } => "for others change the profiles in `config.pbtxt`, or export one `--size`",
            Limit::NoTensorRt => "for TensorRT export with `--activations i8`",
        };
        notes.push(format!("hint        {limit}; {remedy}"));
    }
    Ok(())
}

/// Adds the page that runs the model in a browser to the files that are written.
fn add_page(
    folder: &Path,
    args: &Args,
    export: &Export,
    proof: Option<&ModelProof>,
    runtime: &WebRuntime,
    files: &mut FileSet,
) -> anyhow::Result<()> {
    let name = args.out().file_stem().unwrap_or_default().to_string_lossy();
    let certificate = proof.map(ModelProof::certificate);
    for (name, content) in web::page(&export.model, &export.bytes, &name, certificate, runtime)? {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).with_context(|| format!("cannot create the folder `{}`", parent.shown()))?;
        files.add(&path, &content)?;
    }
    Ok(())
}

/// Finds ONNX Runtime for browsers, or fetches it and says so.
fn web_runtime(args: &Args) -> anyhow::Result<WebRuntime> {
    let search = Search::from_env(None, Build::Cpu);
    if args.web_package.is_none() && !search.has_web_runtime() && !search.offline {
        note("fetching ONNX Runtime for browsers; this happens once");
    }
    search.web_runtime(args.web_package.as_deref()).context("cannot write the page")
}

/// ONNX Runtime, where something is to be run; fetched where it must be.
fn environment(args: &Args) -> anyhow::Result<Option<Environment>> {
    if args.proof.no_verify && args.precision == ExportPrecision::Fp32 {
        return Ok(None);
    }
    let search = Search::from_env(args.ort_lib.clone(), Build::Cpu);
    let library = locate(&search).context(match args.precision {
        ExportPrecision::Fp32 => "cannot prove the model without ONNX Runtime; `--no-verify` exports it unproven",
        ExportPrecision::Fp16 | ExportPrecision::Int8 => "cannot choose fewer bits without ONNX Runtime",
    })?;
    detail(&format!("library     ONNX Runtime {}: {}", library.version, library.path.shown()));
    Ok(Some(library.load()?))
}

/// Finds the ONNX Runtime library, or fetches it and says so.
fn locate(search: &Search) -> Result<Library, LibraryError> {
    if let Some(library) = search.find()? {
        return Ok(library);
    }
    if !search.offline {
        note("fetching the ONNX Runtime library; this happens once");
    }
    search.fetch()
}

/// Brings the model to the precision that was asked for, and tells what that does to it.
fn reduce_precision(args: &Args, export: &mut Export, environment: &Environment) -> anyhow::Result<()> {
    if args.precision == ExportPrecision::Fp32 {
        return Ok(());
    }
    let contract = &export.model.contract;
    let calibration = if args.calibrate.is_empty() {
        warn("warning: the precision is chosen on made-up images; name real ones with `--calibrate DIR`");
        Calibration::from_noise(environment, contract)
    } else {
        Calibration::from_files(environment, contract, &image_files(&args.calibrate)?)?
    };
    note(&format!("calibrated  on {} images", calibration.images().len()));
    match args.precision {
        ExportPrecision::Fp32 => {}
        ExportPrecision::Fp16 => note_half(&halve(export, &calibration)?),
        ExportPrecision::Int8 => {
            let quantization = args.quantization();
            let report = quantize(export, &calibration, &quantization, tell_tried);
            progress::clear();
            note_int8(&report?, quantization.scheme);
        }
    }
    Ok(())
}

/// Shows how many parts were quantised on their own.
fn tell_tried(tried: usize, all: usize) {
    progress::tell(&format!("quantising  part {}/{all} on its own", tried + 1), tried == 0);
}

fn note_half(HalfReport { kept, largest, simulated }: &HalfReport) {
    for (name, magnitude) in largest {
        note(&format!("magnitude   {magnitude:.4} at the most in {name}"));
    }
    for (name, reason) in kept {
        let reason = match reason {
            Kept::Large(magnitude) => format!("values up to {magnitude:.1}"),
            Kept::Sum => "it adds up a whole image or its rows".into(),
            Kept::Pooled => "it computes a few values of such a sum".into(),
            Kept::Edge => "it is what a caller gets".into(),
        };
        note(&format!("float32     {name}: {reason}"));
    }
    let [height, width] = simulated.size;
    note(&format!("agreement   {:.3} % of the pixels, simulated on {height}x{width}", 100.0 * simulated.agreement));
}

fn note_int8(report: &QuantizationReport, scheme: Scheme) {
    let QuantizationReport { quantized, kept, dice_loss, agreement, flipped, class_dice } = report;
    for (part, changed) in kept {
        note(&format!("float32     {part}: alone it changes {:.3} % of the pixels", 100.0 * changed));
    }
    if quantized.is_empty() {
        warn("warning: no part of the network is int8 within the bounds: the model is one of float32");
        return;
    }
    let (nodes, kinds, parts) = (quantized.len(), scheme.kinds(), kept.len());
    note(&format!("int8        {nodes} {kinds}; {parts} parts that could be stay float"));
    note(&format!("Dice loss   {dice_loss:.5} against the float model's masks of the images"));
    note(&format!("class Dice  {class_dice:.5} at least, of each class's pixels on all images together"));
    note(&format!(
        "agreement   {:.3} % of the pixels, {:.3} % in the worst image",
        100.0 * agreement,
        100.0 * (1.0 - flipped)
    ));
}

/// Warns where the input is bytes and the step between two of them is large beside the deviation of
/// the training images, as where these have 12 bits in files of 16.
fn coarse_bytes(input: &Input) -> Option<String> {
    const SHARE_MAX: f32 = 0.1;
    let share = input.byte_share();
    (input.form.element == Element::U8 && share > SHARE_MAX).then(|| {
        format!(
            "`--input u8` rounds images to bytes, and a byte is {share:.2} of the deviation of the training images: masks will differ \
             from those of the trained network; leave out `--input u8`, or train on images that fill the range of their type"
        )
    })
}

/// Returns the requested checkpoint, or that of the newest run; says which.
fn source(args: &Args) -> anyhow::Result<PathBuf> {
    let (path, how) = match &args.checkpoint {
        Some(path) => (path.clone(), ""),
        None => (runs::newest(&args.runs)?, ", the newest run"),
    };
    note(&format!("checkpoint  {}{how}", path.shown()));
    Ok(path)
}

/// Says which of several weights are taken, and how to take the others.
fn note_part(WeightsPart { key, others, .. }: &WeightsPart) {
    if others.is_empty() {
        return;
    }
    let shown = |key: &str| {
        let place = if key.is_empty() { "the top of the file".into() } else { format!("`{key}`") };
        if is_average(key) { format!("{place} (a moving average)") } else { place }
    };
    note(&format!("weights     {}; the file holds others, too", shown(key)));
    for other in others {
        let word = shell::path(Path::new(other));
        note(&format!("hint        for those under {}: `--weights-key {word}`", shown(other)));
    }
}

fn remedy(assumption: &Assumption) -> &'static str {
    match assumption {
        Assumption::Mean => "say it with `--mean R,G,B`",
        Assumption::Std => "say it with `--std R,G,B`",
        Assumption::Classes => "say them with `--classes BACKGROUND,TARGET`",
        Assumption::Color(_) | Assumption::Size => "only a checkpoint with a contract can say otherwise",
    }
}

fn summary(Export { model, bytes, report, .. }: &Export, args: &Args) -> String {
    let provenance = &model.contract.provenance;
    let mut lines = vec![
        format!("network     {} {}", provenance.network, provenance.configuration),
        format!("lowered     {}", extent(&report.lowered)),
    ];
    lines.push(format!("target      {}: {}", args.target, args.target.reason()));
    let before = [&report.formed].into_iter().chain(report.passes.iter().map(|(_, after)| after));
    for (before, (pass, after)) in before.zip(&report.passes) {
        if args.explain {
            lines.push(explanation(pass, before, after));
        } else if !pass.places.is_empty() {
            lines.push(format!("pass        {}: {}", pass.pass, pass.places.len()));
        }
    }
    lines.push(format!("exported    {}", extent(&report.exported)));
    for input in &model.graph.inputs {
        lines.push(format!("input       {}: {}", input.name, input.tensor_type));
    }
    for output in model.graph.outputs.iter().filter_map(|name| model.graph.nodes.iter().find(|node| node.name == *name))
    {
        lines.push(format!("output      {}: {}", output.name, output.output));
    }
    lines.push(format!("model       {}, opset {}, {} bytes", args.out().shown(), model.opset, bytes.len()));
    let input = &model.contract.input;
    if let (SizePolicy::Resize { height, width }, None) = (input.size, input.form.size) {
        let size = format!("{height}x{width}");
        lines.push(format!("hint        every image is run at {size}: with `--size {size}` the graph is faster"));
    }
    lines.join("\n")
}

/// Returns the places where a pass fired and its savings; a cost has a minus.
fn explanation(PassReport { pass, places }: &PassReport, before: &Extent, after: &Extent) -> String {
    if places.is_empty() {
        return format!("pass        {pass}: nowhere");
    }
    let saved = |before: u64, after: u64| (before as f64 - after as f64) / 1e6;
    let mut lines = vec![format!(
        "pass        {pass}: {}, saves {} nodes, {:.1} M multiply-adds, {:.1} MB",
        places.len(),
        before.nodes as i64 - after.nodes as i64,
        saved(before.multiply_adds, after.multiply_adds),
        saved(before.bytes, after.bytes),
    )];
    lines.extend(places.iter().map(|place| format!("            at {place}")));
    lines.join("\n")
}

fn extent(extent: &Extent) -> String {
    let Extent { nodes, parameters, size: [height, width], multiply_adds, bytes: _ } = extent;
    let giga = *multiply_adds as f64 / 1e9;
    format!("{nodes} nodes, {parameters} parameters, {giga:.2} G multiply-adds at {height}x{width}")
}
