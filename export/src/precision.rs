//! An exported model in fewer bits, as its own values on images allow.

use std::collections::{BTreeMap, BTreeSet};

use image::GrayImage;
use ndarray::{ArrayD, Axis};
use seg_contract::{ConfusionMatrix, Element, EvaluationError};
use seg_onnx::evaluate::{Array, EvaluateError, evaluate};
use seg_onnx::graph::{DimError, Graph};
use seg_onnx::precision::{
    self, CalibrationMethod, HalfError, Halved, Kept, Magnitudes, QuantizeError, Ranges, Scheme, float_groups,
    quantizable, values_around,
};
use seg_onnx::{Model, ModelError};
use seg_verify::bounds::CLASS_PIXELS_LEAST;
use thiserror::Error;

use crate::calibration::{Calibration, CalibrationError, Seen, View, middle};
use crate::export::{Export, Extent};

/// The precision in which an exported model computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ExportPrecision {
    /// 32-bit floats.
    #[default]
    Fp32,
    /// 16-bit floats where they suffice.
    Fp16,
    /// 8-bit integers in convolutions, sums and products.
    Int8,
}

/// The options of a quantisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantization {
    /// The rule by which the ranges of values are chosen.
    pub method: CalibrationMethod,
    /// The values that become integers, and their type.
    pub scheme: Scheme,
    /// The largest loss of Dice against the float model's masks on the calibration images.
    pub dice_loss_max: f64,
    /// The largest share of a calibration image's pixels whose class may change.
    pub flipped_max: f64,
    /// The least Dice of each class's pixels on all calibration images together, of classes that
    /// have enough to be judged.
    pub class_dice_min: f64,
}

/// The effect of half precision on a model.
#[derive(Clone, Debug, PartialEq)]
pub struct HalfReport {
    /// The nodes that stay in float32, with the reason of each.
    pub kept: BTreeMap<String, Kept>,
    /// The largest magnitudes, the largest first.
    pub largest: Vec<(String, f64)>,
    /// The effect of the rounding on a calibration image.
    pub simulated: Simulated,
}

/// The result of the evaluator, which rounds every 16-bit value, on one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Simulated {
    /// Height and width of the image, or of its middle that was evaluated.
    pub size: [usize; 2],
    /// The share of pixels whose class stays the same.
    pub agreement: f64,
}

/// The effect of quantisation on a model.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizationReport {
    /// The convolutions, sums and products that are computed in 8 bits.
    pub quantized: Vec<String>,
    /// The parts of the network that could be and stay in float32, by their first and last node,
    /// with the share of pixels whose class each alone would change.
    pub kept: Vec<(String, f64)>,
    /// One minus the Dice of the model's masks against the float model's, on the calibration
    /// images.
    pub dice_loss: f64,
    /// The share of the calibration images' pixels whose class stays the same.
    pub agreement: f64,
    /// The largest share of an image's pixels whose class changes.
    pub flipped: f64,
    /// The least Dice of a class's pixels on all calibration images together.
    pub class_dice: f64,
}

/// An error in reducing a model's precision.
#[derive(Debug, Error)]
pub enum PrecisionError {
    /// It cannot be measured.
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
    /// It cannot be halved.
    #[error(transparent)]
    Half(#[from] HalfError),
    /// It cannot be quantised.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// Its rounding cannot be simulated.
    #[error("cannot simulate half precision")]
    Evaluate(#[from] EvaluateError),
    /// Masks cannot be compared.
    #[error("cannot compare the quantised model's masks with the float model's")]
    Masks(#[from] EvaluationError),
    /// The graph cannot be measured.
    #[error("cannot count the operations of the graph")]
    Extent(#[from] DimError),
    /// The result is not a valid model.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// The number of magnitudes that a report names.
const LARGEST: usize = 5;
/// The longest side of an image whose rounding is simulated: the evaluator is clear rather than
/// fast.
const SIMULATED_SIDE_MAX: usize = 96;

/// Brings a model to half precision: 16-bit floats wherever its values on the images leave room.
///
/// # Errors
/// When the model cannot be run on the images, or computes what is not finite.
pub fn halve(export: &mut Export, calibration: &Calibration<'_>) -> Result<HalfReport, PrecisionError> {
    let before = export.model.graph.clone();
    let floats = before.nodes.iter().filter(|node| node.output.data_type.is_float());
    let names = floats.map(|node| node.name.as_str()).collect();
    let seen = calibration.watch(&export.model, &names)?;
    let magnitudes: Magnitudes = seen.iter().map(|(name, seen)| (name.clone(), seen.magnitude())).collect();
    let Halved { graph, kept } = precision::halve(&before, &magnitudes)?;
    let simulated = simulate(&export.model, &graph, calibration)?;
    let images = calibration.images().len();
    let note = format!("float16 but for {} nodes in float32, chosen on {images} images", kept.len());
    replace(export, graph, note)?;
    let mut largest: Vec<_> = magnitudes.into_iter().collect();
    largest.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    largest.truncate(LARGEST);
    Ok(HalfReport { kept, largest, simulated })
}

/// Gives the export another graph, and says so in its contract.
fn replace(export: &mut Export, graph: Graph, precision: String) -> Result<(), PrecisionError> {
    export.report.exported = Extent::measure(&graph, &export.model.contract.input)?;
    export.model.graph = graph;
    export.model.contract.provenance.precision = precision;
    export.bytes = export.model.to_bytes()?;
    Ok(())
}

/// Runs the first image through both graphs, in 64 bits except for values that are rounded to 16.
fn simulate(model: &Model, halved: &Graph, calibration: &Calibration<'_>) -> Result<Simulated, PrecisionError> {
    let input = &model.contract.input;
    let image = calibration.images()[0].view();
    let image = if input.form.size.is_none() { middle(image, SIMULATED_SIDE_MAX) } else { image };
    let size = [2, 3].map(|axis| image.len_of(Axis(axis)));
    let copies = vec![image; input.form.batch.unwrap_or(1)];
    let images = ndarray::concatenate(Axis(0), &copies).expect("copies have one size");
    let images = match input.form.element {
        Element::Float => images.mapv(f64::from).into_dyn(),
        Element::U8 => input.to_bytes(images.view()).mapv(f64::from).into_dyn(),
    };
    let [before, after] = [&model.graph, halved].map(|graph| classes(model, graph, &images));
    let (before, after) = (before?, after?);
    let same = before.iter().zip(&after).filter(|(before, after)| before == after).count();
    Ok(Simulated { size, agreement: same as f64 / before.len().max(1) as f64 })
}

/// Returns the class of each pixel, by the evaluator.
fn classes(model: &Model, graph: &Graph, images: &ArrayD<f64>) -> Result<Vec<i64>, EvaluateError> {
    let output = model.contract.output.name.as_str();
    let value = evaluate(graph, &[(&model.contract.input.name, images.clone())], &[output])?.remove(output);
    Ok(match value {
        Some(Array::I64(classes)) => classes.into_iter().collect(),
        Some(Array::F64(scores)) => scores
            .map_axis(Axis(1), |pixel| {
                (1..pixel.len()).fold(0, |best, class| if pixel[class] > pixel[best] { class } else { best }) as i64
            })
            .into_iter()
            .collect(),
        None => Vec::new(),
    })
}

/// Sorts the parts of a network by their sensitivity to 8 bits, the most sensitive first: the share
/// of pixels that changes where this part alone is quantised, by `changed`.
fn by_sensitivity<'p, 'g>(
    parts: &'p [Vec<&'g str>],
    changed: impl Fn(&BTreeSet<&'g str>) -> Result<f64, PrecisionError>,
    mut tell: impl FnMut(usize, usize),
) -> Result<Vec<(&'p Vec<&'g str>, f64)>, PrecisionError> {
    let mut sensitivities = Vec::with_capacity(parts.len());
    for (tried, part) in parts.iter().enumerate() {
        tell(tried, parts.len());
        sensitivities.push((part, changed(&part.iter().copied().collect())?));
    }
    sensitivities.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    Ok(sensitivities)
}

/// Brings a model to 8 bits, as many of its parts as the bounds on the masks allow.
///
/// The loss is measured on the calibration images against the masks of the float model, so it needs
/// no labels. Where all parts together lose too much, those whose quantisation alone changes the
/// most pixels of the images' middles stay in float32. How many, is found by halving, as if more of
/// them always lost less: where that is not so, fewer might do. Where nothing is left, the export
/// stays as it is. `tell` hears how many parts of how many have been tried on their own.
///
/// # Errors
/// When the model cannot be run on the images.
pub fn quantize(
    export: &mut Export,
    calibration: &Calibration<'_>,
    quantization: &Quantization,
    tell: impl FnMut(usize, usize),
) -> Result<QuantizationReport, PrecisionError> {
    let before = export.model.clone();
    let candidates = quantizable(&before.graph, quantization.scheme);
    let all = candidates.iter().copied().collect();
    let mut seen = calibration.watch(&before, &values_around(&before.graph, &all, quantization.scheme))?;
    let mut ranges = Ranges::default();
    for (name, Seen { range, channels, sample }) in &mut seen {
        let range = precision::range(quantization.method, sample, *range);
        ranges.insert(name.clone(), range, channels.iter().map(|channel| channel.within(range)).collect());
    }
    let compare = |nodes: &BTreeSet<&str>, view, truth: &[GrayImage]| -> Result<(Graph, Agreement), PrecisionError> {
        let graph = precision::quantize(&before.graph, nodes, &ranges, quantization.scheme)?.graph;
        let model = Model { graph, ..before.clone() };
        let agreement = Agreement::between(before.contract.classes.len(), &calibration.masks(&model, view)?, truth)?;
        Ok((model.graph, agreement))
    };
    let truth = calibration.masks(&before, View::Whole)?;
    let trial = |nodes: &BTreeSet<&str>| compare(nodes, View::Whole, &truth);
    let mut chosen = trial(&all)?;
    let mut kept = Vec::new();
    let mut quantized = candidates.clone();
    if !chosen.1.is_within(quantization) {
        let parts = float_groups(&before.graph, &all);
        let truth = calibration.masks(&before, View::Middle)?;
        let changed = |part: &BTreeSet<&str>| Ok(1.0 - compare(part, View::Middle, &truth)?.1.agreement);
        let worst = by_sensitivity(&parts, changed, tell)?;
        let (mut too_few, mut enough) = (0, worst.len());
        chosen = trial(&BTreeSet::new())?;
        while enough - too_few > 1 {
            let middle = usize::midpoint(too_few, enough);
            let attempt = trial(&worst[middle..].iter().flat_map(|(part, _)| *part).copied().collect())?;
            if attempt.1.is_within(quantization) {
                (enough, chosen) = (middle, attempt);
            } else {
                too_few = middle;
            }
        }
        let (floats, _) = worst.split_at(enough);
        kept = floats.iter().map(|(part, changed)| (name(part), *changed)).collect();
        quantized.retain(|name| floats.iter().all(|(part, _)| !part.contains(name)));
    }
    let (graph, Agreement { dice_loss, agreement, flipped, class_dice }) = chosen;
    let quantized: Vec<_> = quantized.into_iter().map(str::to_owned).collect();
    if !quantized.is_empty() {
        let (nodes, images) = (quantized.len(), calibration.images().len());
        let kinds = quantization.scheme.kinds();
        let what = format!("int8 in {nodes} {kinds}, float32 elsewhere");
        replace(export, graph, format!("{what}, calibrated on {images} images"))?;
    }
    Ok(QuantizationReport { quantized, kept, dice_loss, agreement, flipped, class_dice })
}

/// Returns a part by its ends.
fn name(part: &[&str]) -> String {
    match part {
        [first, .., last] => format!("{first} to {last}"),
        nodes => nodes.concat(),
    }
}

/// The difference of masks from others.
struct Agreement {
    dice_loss: f64,
    agreement: f64,
    flipped: f64,
    class_dice: f64,
}

impl Agreement {
    fn between(classes: usize, masks: &[GrayImage], truth: &[GrayImage]) -> Result<Self, EvaluationError> {
        let mut pooled = ConfusionMatrix::new(classes);
        let (mut dice, mut flipped) = (0.0, 0.0_f64);
        for (mask, truth) in masks.iter().zip(truth) {
            let mut matrix = ConfusionMatrix::new(classes);
            matrix.add(mask, truth)?;
            dice += matrix.target_dice();
            flipped = flipped.max(1.0 - matrix.accuracy());
            pooled.merge(&matrix);
        }
        // As the proof judges classes: of a few pixels nothing can be said.
        let judged = (0..classes).filter(|class| pixels(&pooled, *class) >= CLASS_PIXELS_LEAST as u64);
        let class_dice = judged.map(|class| pooled.dice(class)).fold(1.0, f64::min);
        let dice_loss = 1.0 - dice / masks.len().max(1) as f64;
        Ok(Self { dice_loss, agreement: pooled.accuracy(), flipped, class_dice })
    }

    fn is_within(&self, quantization: &Quantization) -> bool {
        self.dice_loss <= quantization.dice_loss_max
            && self.flipped <= quantization.flipped_max
            && self.class_dice >= quantization.class_dice_min
    }
}

/// Returns the pixels of a class in the masks or in the truth, whichever are more.
fn pixels(pooled: &ConfusionMatrix, class: usize) -> u64 {
    let counts = pooled.counts();
    let found = counts.iter().map(|row| row[class]).sum::<u64>();
    found.max(counts[class].iter().sum())
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use burn::tensor::Device;
    use ort::environment::Environment;
    use seg_contract::{InputForm, OutputKind};
    use seg_inference::library::{Build, Search};
    use seg_nets::amsunet::AmsUnetConfig;
    use seg_nets::checkpoint::Checkpoint;
    use seg_nets::weights::Weights;
    use seg_onnx::graph::{DataType, Op};
    use seg_verify::bounds::DICE;

    use super::*;
    use crate::parity::randomised;
    use crate::{Options, export};

    /// ONNX Runtime, which a process can start once; with the CPU alone a static does no harm.
    fn environment() -> &'static Environment {
        static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
        ENVIRONMENT.get_or_init(|| Search::from_env(None, Build::Cpu).locate().unwrap().load().unwrap())
    }

    fn exported(base_width: usize, input: InputForm, output: OutputKind) -> Export {
        let net = randomised(AmsUnetConfig::new().with_base_width(base_width).init(&Device::flex()));
        let checkpoint =
            Checkpoint { path: "net.safetensors".into(), weights: Weights::from_network(&net), contract: None };
        export(&checkpoint, &Options { input, output, ..Options::default() }).unwrap()
    }

    fn form(element: Element) -> InputForm {
        InputForm { element, batch: Some(2), size: Some([48, 33]) }
    }

    #[test]
    fn half_precision_keeps_the_masks_and_the_edges_in_every_form() {
        for (input, output) in [
            (InputForm::default(), OutputKind::Logits),
            (form(Element::Float), OutputKind::Probabilities),
            (form(Element::U8), OutputKind::Mask),
        ] {
            let mut halved = exported(4, input, output);
            let (bytes, edges) = (halved.bytes.len(), halved.model.graph.inputs.clone());
            let calibration = Calibration::from_noise(environment(), &halved.model.contract);
            let report = halve(&mut halved, &calibration).unwrap();
            assert!(report.simulated.agreement > 0.97, "{output}: {:?}", report.simulated);
            assert!(
                report.kept.values().filter(|kept| **kept == Kept::Sum).count() == 8,
                "{output}: {:?}",
                report.kept
            );
            assert_eq!(report.largest.len(), LARGEST);
            assert_eq!(halved.model.graph.inputs, edges, "{output}");
            assert!(halved.bytes.len() < bytes, "{output}");
            assert_eq!(Model::from_bytes(&halved.bytes).unwrap(), halved.model, "{output}");
            assert!(halved.model.contract.provenance.precision.starts_with("float16 but for"));
            // ONNX Runtime takes the file, and what it computes of it is close too.
            let before = exported(4, input, output);
            let [before, after] =
                [&before.model, &halved.model].map(|model| calibration.masks(model, View::Whole).unwrap());
            let Agreement { agreement, .. } = Agreement::between(2, &after, &before).unwrap();
            assert!(agreement > 0.97, "{output}: {agreement}");
        }
    }

    /// Counts the convolutions in 8 bits.
    fn convs(export: &Export) -> usize {
        let nodes = &export.model.graph.nodes;
        nodes.iter().filter(|node| matches!(node.op, Op::Conv(_)) && node.inputs[1].ends_with(".dequantized")).count()
    }

    /// Returns settings that bound nothing but the loss of Dice.
    fn bound(dice_loss_max: f64) -> Quantization {
        Quantization {
            method: CalibrationMethod::MinMax,
            scheme: Scheme::Cpu,
            dice_loss_max,
            flipped_max: 1.0,
            class_dice_min: 0.0,
        }
    }

    #[test]
    fn quantisation_stays_within_the_bound_on_the_dice() {
        let before = exported(8, InputForm { size: Some([48, 48]), ..InputForm::default() }, OutputKind::Logits);
        let calibration = Calibration::from_noise(environment(), &before.model.contract);
        let quantized = |quantization| {
            let mut export = before.clone();
            let report = quantize(&mut export, &calibration, &quantization, |_, _| {}).unwrap();
            assert_eq!(Model::from_bytes(&export.bytes).unwrap(), export.model);
            assert!(report.dice_loss <= quantization.dice_loss_max, "{report:?}");
            (export, report)
        };
        let (loose, report) = quantized(bound(1.0));
        assert_eq!(report.kept, []);
        // A random network on noise decides nothing clearly: every pixel is near a tie.
        assert!(report.dice_loss > 0.0 && report.flipped >= 1.0 - report.agreement, "{report:?}");
        // In so narrow a network, the added nodes take more bytes than remain of the weights.
        assert!(
            loose.bytes.len() < before.bytes.len() * 3 / 4,
            "{} of {} bytes",
            loose.bytes.len(),
            before.bytes.len()
        );

        let strict = report.dice_loss / 3.0;
        let (middle, report) = quantized(bound(strict));
        assert!(!report.kept.is_empty() && convs(&middle) < convs(&loose), "{report:?}");
        assert!(report.kept.is_sorted_by(|(_, a), (_, b)| a >= b), "{report:?}");

        let half_flipped = Quantization { flipped_max: report.flipped / 2.0, ..bound(1.0) };
        let report = quantized(half_flipped).1;
        assert!(report.flipped <= half_flipped.flipped_max && !report.kept.is_empty(), "{report:?}");

        let (none, report) = quantized(bound(0.0));
        assert!(report.dice_loss == 0.0 && report.agreement == 1.0, "{report:?}");
        assert!(convs(&none) < convs(&middle));
        assert_eq!(quantized(bound(1.0)).0.bytes, loose.bytes, "the same each time");
    }

    #[test]
    fn a_class_that_few_pixels_show_is_kept_as_the_proof_asks() {
        let quantization = Quantization { class_dice_min: DICE, ..bound(1.0) };
        let mask = |pixels| GrayImage::from_fn(100, 100, |x, y| image::Luma([u8::from(100 * y + x < pixels)]));
        // Pixels of the class in each of two images, before and after.
        for (name, truth, found, is_within) in [
            ("the same", [100, 100], [100, 100], true),
            ("borders moved", [100, 100], [100, 95], true),
            ("kept in one image and lost in the other", [100, 100], [100, 0], false),
            ("lost", [50, 50], [0, 0], false),
            ("invented", [0, 0], [100, 0], false),
            ("too few to say", [50, 49], [0, 0], true),
        ] {
            let [found, truth] = [found, truth].map(|pixels| pixels.map(mask));
            let agreement = Agreement::between(2, &found, &truth).unwrap();
            assert_eq!(agreement.is_within(&quantization), is_within, "{name}: {}", agreement.class_dice);
        }
    }

    #[test]
    fn images_must_be_there_and_are_looked_at_in_the_size_that_the_model_takes() {
        let model = exported(4, form(Element::Float), OutputKind::Logits).model;
        let message = Calibration::from_files(environment(), &model.contract, &[]).unwrap_err().to_string();
        assert_eq!(message, "cannot calibrate: there are no images");
        let folder = tempfile::tempdir().unwrap();
        for (width, height) in [(20, 20), (60, 50)] {
            let path = folder.path().join("a.png");
            seg_data::write_png(&path, &image::RgbImage::new(width, height)).unwrap();
            let calibration = Calibration::from_files(environment(), &model.contract, &[path]).unwrap();
            assert_eq!(calibration.images()[0].dim(), (1, 3, 48, 33), "{width}x{height}");
        }
        assert_eq!(model.graph.inputs[0].tensor_type.data_type, DataType::F32);
    }
}
