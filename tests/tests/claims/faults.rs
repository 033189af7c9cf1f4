//! A proof sees every fault that is planted, whoever makes it, and names the place.

use std::io::{self, Write};
use std::path::Path;

use ndarray::{Array4, ArrayView4, Axis, s};
use seg_export::contract::Stated;
use seg_export::{Export, Options, export, proof};
use seg_onnx::contract::{ColorOrder, Contract, SizePolicy};
use seg_onnx::graph::{Coordinates, Data, Graph, Node, Op, PadMode, Tensor};
use seg_onnx::passes::{Pass, of, run_selected};
use seg_onnx::{Model, Opset, Target};
use seg_runtime::tensors::TensorFile;
use seg_runtime::verify::bounds::CPU_FLOAT32;
use seg_runtime::verify::{
    Case, Culprit, Deployed, Diagnosis, Probe, Proof, Reference, Subject, Yardstick, bisect, check_graph, check_layers,
    layers, prove, smallest_failing,
};
use seg_runtime::{Answer, RunError, Session};
use seg_tests::fixtures::{checkpoint, network};
use seg_tests::runtime::environment;
use seg_train::model::AmsUnet;

/// Who makes a fault.
enum Fault {
    /// Whoever lowers the network: the reference has it, too.
    Lowered(fn(&mut Graph)),
    /// The pass `clumsy`.
    Pass(fn(&mut Graph)),
    /// Whoever writes the graph into the file.
    File(fn(&mut Graph)),
    /// Whoever writes the contract into the file.
    Contract(fn(&mut Contract)),
    /// What runs the file: it changes the answer to an input.
    Runtime(fn(ArrayView4<'_, f32>, &mut Array4<f32>)),
}

use Fault::{Contract as InContract, File, Lowered, Pass as InPass, Runtime};

/// What is wrong, the place that must be named, and how it comes about. A place is a culprit and what it is called, by its beginning.
const FAULTS: &[(&str, &str, Fault)] = &[
    // Attributes and structure, as the network is lowered.
    ("corners not aligned", "lowering up3", Lowered(|g| *coordinates(g, "up3.upsample") = Coordinates::HalfPixel)),
    ("asymmetric corners", "lowering up1", Lowered(|g| *coordinates(g, "up1.upsample") = Coordinates::Asymmetric)),
    (
        "zeros at the border of the image",
        "lowering in_conv",
        Lowered(|g| *op(g, "in_conv.pad") = Op::Pad { mode: PadMode::Constant }),
    ),
    (
        "the border of the image repeated",
        "lowering in_conv",
        Lowered(|g| *op(g, "in_conv.pad") = Op::Pad { mode: PadMode::Edge }),
    ),
    (
        "no zeros beside the deep image, which shows at odd sizes",
        "lowering up2",
        Lowered(|g| *op(g, "up2.pad") = Op::Pad { mode: PadMode::Edge }),
    ),
    (
        "the epsilon of another framework",
        "lowering down2",
        Lowered(|g| *op(g, "down2.norm") = Op::BatchNormalization { epsilon: 1e-3 }),
    ),
    (
        "the epsilon of another framework, not folded",
        "lowering up4",
        Lowered(|g| *op(g, "up4.norm") = Op::BatchNormalization { epsilon: 1e-3 }),
    ),
    (
        "another dilation",
        "lowering down3",
        Lowered(|g| match op(g, "down3.amse.attention.ams.atrous") {
            Op::Conv(conv) => (conv.dilations, conv.pads) = ([2; 2], [2; 4]),
            other => panic!("{other:?}"),
        }),
    ),
    ("the deep image first", "lowering up2", Lowered(|g| node(g, "up2.joined").inputs.reverse())),
    ("a gate left out", "lowering up2", Lowered(|g| *op(g, "up2.rsc.spatial_sigmoid") = Op::Identity)),
    ("a gate with another curve", "lowering up3", Lowered(|g| *op(g, "up3.rsc.channel_sigmoid") = Op::Relu)),
    ("another activation", "lowering up1", Lowered(|g| *op(g, "up1.amse.ffn.gelu") = Op::Relu)),
    ("the difference of a residual", "lowering up4", Lowered(|g| *op(g, "up4.amse.sum") = Op::Sub)),
    // Weights.
    (
        "statistics of a fresh normalisation",
        "weights down4.2.bn1.running_mean",
        Lowered(|g| {
            weights(g, "down4.amse.norm1.running_mean", |mean| mean.fill(0.0));
            weights(g, "down4.amse.norm1.running_var", |variance| variance.fill(1.0));
        }),
    ),
    (
        "a transposed kernel",
        "weights down1.2.ffn.conv2.weight",
        Lowered(|g| weights(g, "down1.amse.ffn.local.weight", transpose)),
    ),
    (
        "a strip from right to left",
        "weights down3.2.attn.ams.conv2_1.weight",
        Lowered(|g| {
            weights(g, "down3.amse.attention.ams.strip_11.horizontal.weight", |weights| {
                weights.chunks_exact_mut(11).for_each(<[f32]>::reverse);
            });
        }),
    ),
    (
        "blue, green, red in the weights",
        "weights in_conv.0.weight",
        Lowered(|g| weights(g, "in_conv.conv.weight", swap_red)),
    ),
    (
        "classes the other way round in the weights",
        "weights out_conv.0.bias",
        Lowered(|g| {
            weights(g, "out_conv.weight", |weights| weights.rotate_left(WIDTH));
            weights(g, "out_conv.bias", <[f32]>::reverse);
        }),
    ),
    (
        "a bias left out",
        "weights down2.2.ffn.conv3.bias",
        Lowered(|g| weights(g, "down2.amse.ffn.project.bias", |bias| bias.fill(0.0))),
    ),
    (
        "the last bit of one weight",
        "weights up4.conv1x1.weight",
        Lowered(|g| weights(g, "up4.conv.weight", |weights| weights[0] = f32::from_bits(weights[0].to_bits() ^ 1))),
    ),
    (
        "weights in half precision",
        "weights up3.catt.conv1.weight",
        Lowered(|g| weights(g, "up3.rsc.reduce.weight", |weights| weights.iter_mut().for_each(shorten))),
    ),
    // Passes.
    (
        "a pass that forgets a bias",
        "pass clumsy",
        InPass(|g| weights_of(g, "down1.amse.ffn.project", 2, |bias| bias.fill(0.0))),
    ),
    ("a pass that transposes", "pass clumsy", InPass(|g| weights_of(g, "down2.amse.ffn.local", 1, transpose))),
    (
        "a pass that scales by channel",
        "pass clumsy",
        InPass(|g| weights_of(g, "up4.amse.ffn.expand", 1, |w| w[0] *= 1.01)),
    ),
    (
        "a pass that mistakes one padding for another",
        "pass clumsy",
        InPass(|g| *op(g, "in_conv.pad") = Op::Pad { mode: PadMode::Edge }),
    ),
    ("a pass that drops a residual", "pass clumsy", InPass(|g| *op(g, "down3.amse.sum") = Op::Sub)),
    (
        "a pass that approximates",
        "pass clumsy",
        InPass(|g| weights_of(g, "up1.amse.ffn.project", 1, |w| w.iter_mut().for_each(shorten))),
    ),
    // The file.
    ("another activation in the file", "file up4.amse.gelu", File(|g| *op(g, "up4.amse.gelu") = Op::Relu)),
    (
        "another gate in the file",
        "file up1.rsc.spatial_sigmoid",
        File(|g| *op(g, "up1.rsc.spatial_sigmoid") = Op::Relu),
    ),
    (
        "corners not aligned in the file",
        "file up2.conv.part_2.enlarged",
        File(|g| *coordinates(g, "up2.conv.part_2.enlarged") = Coordinates::HalfPixel),
    ),
    (
        "zeros at the border in the file",
        "file in_conv.pad",
        File(|g| *op(g, "in_conv.pad") = Op::Pad { mode: PadMode::Constant }),
    ),
    (
        "a padding that shows at odd sizes only",
        "file up4.conv.part_2",
        File(|g| *op(g, "up4.conv.part_2") = Op::Pad { mode: PadMode::Edge }),
    ),
    (
        "another operand in the file",
        "file up1.rsc.product",
        File(|g| node(g, "up1.rsc.product").inputs[0] = "up1.rsc.product.factor".into()),
    ),
    (
        "one weight off by a thousandth in the file",
        "file up3.amse.ffn.project",
        File(|g| weights_of(g, "up3.amse.ffn.project", 1, |weights| weights[0] += 1e-2)),
    ),
    (
        "the last bit of one weight in the file",
        "file up2.amse.ffn.project",
        File(|g| weights_of(g, "up2.amse.ffn.project", 1, |w| w[0] = f32::from_bits(w[0].to_bits() ^ 1))),
    ),
    (
        "a transposed kernel in the file",
        "file down4.amse.ffn.local",
        File(|g| weights_of(g, "down4.amse.ffn.local", 1, transpose)),
    ),
    (
        "a bias left out in the file",
        "file down1.amse.ffn.expand",
        File(|g| weights_of(g, "down1.amse.ffn.expand", 2, |bias| bias.fill(0.0))),
    ),
    ("nothing beyond 65504 in the file", "file up4.rsc.product", File(|g| saturate(g, "up4.rsc.product"))),
    ("red and blue in the file's weights", "file in_conv.norm", File(|g| weights_of(g, "in_conv.norm", 1, swap_red))),
    (
        "classes the other way round in the file's weights",
        "file logits",
        File(|g| {
            weights_of(g, "logits", 1, |weights| weights.rotate_left(WIDTH));
            weights_of(g, "logits", 2, <[f32]>::reverse);
        }),
    ),
    // What the file says of itself.
    ("another mean", "contract input.mean", InContract(|c| c.input.mean[1] += 0.01)),
    ("another deviation", "contract input.std", InContract(|c| c.input.std[2] *= 1.01)),
    ("the mean's channels the other way round", "contract input.mean", InContract(|c| c.input.mean.reverse())),
    ("another order of colours", "contract input.color", InContract(|c| c.input.color = ColorOrder::Bgr)),
    (
        "another size",
        "contract input.size",
        InContract(|c| c.input.size = SizePolicy::Resize { height: 64, width: 64 }),
    ),
    ("another smallest side", "contract input.side_min", InContract(|c| c.input.side_min = 8)),
    ("classes the other way round", "contract classes", InContract(|c| c.classes.reverse())),
    ("a class by another name", "contract classes", InContract(|c| c.classes[1].name.push('s'))),
    (
        "the hash of other weights",
        "contract provenance.weights_sha256",
        InContract(|c| c.provenance.weights_sha256.clear()),
    ),
    // What runs it.
    (
        "images exchanged within a batch",
        "runtime in batches",
        Runtime(|_, y| {
            let last = y.len_of(Axis(0)) - 1;
            let (first, end) = (y.slice(s![..1, .., .., ..]).to_owned(), y.slice(s![last.., .., .., ..]).to_owned());
            y.slice_mut(s![..1, .., .., ..]).assign(&end);
            y.slice_mut(s![last.., .., .., ..]).assign(&first);
        }),
    ),
    (
        "the first image's answer for all",
        "runtime in batches",
        Runtime(|_, y| {
            let first = y.slice(s![..1, .., .., ..]).to_owned();
            let size = y.dim();
            y.assign(&first.broadcast(size).unwrap());
        }),
    ),
    (
        "the last column of an odd width",
        "runtime where a side is odd",
        Runtime(|_, y| {
            let width = y.len_of(Axis(3));
            if width % 2 == 1 {
                y.slice_mut(s![.., .., .., width - 1]).fill(0.0);
            }
        }),
    ),
    ("one answer that is no number", "runtime", Runtime(|_, y| y[[0, 0, 3, 4]] = f32::NAN)),
    ("half precision", "runtime", Runtime(|_, y| y.iter_mut().for_each(shorten))),
    ("the classes' channels exchanged", "runtime", Runtime(|_, y| y.invert_axis(Axis(1)))),
    ("the image upside down", "runtime", Runtime(|_, y| y.invert_axis(Axis(2)))),
    ("a thousandth too much", "runtime", Runtime(|_, y| *y += 1e-3)),
];

/// The share of faults whose place must be named.
const NAMED_MIN: f64 = 0.9;

/// Enough inputs for every fault: several images, odd sides, and values far outside of what images have.
const CASES: [&str; 4] = ["noise 2x35x45", "noise 1x16x16", "noise 3x48x33", "huge 1x32x33"];

/// The width of the network, which is proven some fifty times.
const WIDTH: usize = 4;

fn node<'g>(graph: &'g mut Graph, name: &str) -> &'g mut Node {
    graph.nodes.iter_mut().find(|node| node.name == name).unwrap_or_else(|| panic!("no node `{name}`"))
}

fn op<'g>(graph: &'g mut Graph, name: &str) -> &'g mut Op {
    &mut node(graph, name).op
}

fn coordinates<'g>(graph: &'g mut Graph, name: &str) -> &'g mut Coordinates {
    match op(graph, name) {
        Op::Resize { coordinates, .. } => coordinates,
        other => panic!("`{name}` is {other:?}"),
    }
}

/// Changes the values of a constant.
fn weights(graph: &mut Graph, name: &str, change: impl FnOnce(&mut [f32])) {
    let constant = graph.initializers.get_mut(name).unwrap_or_else(|| panic!("no constant `{name}`"));
    let mut values = constant.as_f32().unwrap().to_vec();
    change(&mut values);
    *constant = Tensor::new(constant.shape(), Data::F32(values)).unwrap();
}

/// Changes the values of a constant that a node reads.
fn weights_of(graph: &mut Graph, name: &str, operand: usize, change: impl FnOnce(&mut [f32])) {
    let constant = node(graph, name).inputs[operand].clone();
    weights(graph, &constant, change);
}

fn transpose(weights: &mut [f32]) {
    for kernel in weights.chunks_exact_mut(3 * 3) {
        for (above, below) in [(1, 3), (2, 6), (5, 7)] {
            kernel.swap(above, below);
        }
    }
}

fn swap_red(weights: &mut [f32]) {
    for filter in weights.chunks_exact_mut(3 * 9) {
        let (red, others) = filter.split_at_mut(9);
        red.swap_with_slice(&mut others[9..]);
    }
}

/// Lets a value be at most 65504, the largest of half precision: `x - relu(x - 65504)`.
fn saturate(graph: &mut Graph, name: &str) {
    let position = graph.nodes.iter().position(|node| node.name == name).unwrap();
    let output = graph.nodes[position].output.clone();
    let part = |part: &str| format!("{name}.{part}");
    graph.initializers.insert(part("largest"), Tensor::new([1], vec![65504.0_f32]).unwrap());
    graph.nodes[position].name = part("all");
    let nodes = [
        (part("beside"), Op::Sub, [part("all"), part("largest")].to_vec()),
        (part("beyond"), Op::Relu, [part("beside")].to_vec()),
        (name.to_owned(), Op::Sub, [part("all"), part("beyond")].to_vec()),
    ];
    let nodes = nodes.map(|(name, op, inputs)| Node { name, op, inputs, output: output.clone() });
    graph.nodes.splice(position + 1..=position, nodes);
}

/// Rounds to the eleven binary digits of half precision.
fn shorten(value: &mut f32) {
    *value = f32::from_bits((value.to_bits() + 0x1000) & !0x1fff);
}

/// A network, what it is exported as, and what it is held against.
struct Setting {
    net: AmsUnet,
    export: Export,
    cases: Vec<Case>,
    checkpoint: TensorFile,
}

/// A model with what runs it, in which there may be a fault.
struct Faulty {
    session: Session,
    fault: fn(ArrayView4<'_, f32>, &mut Array4<f32>),
}

impl Deployed for Faulty {
    fn answer(&mut self, input: ArrayView4<'_, f32>) -> Result<Answer, RunError> {
        let mut logits = self.session.run(input)?;
        (self.fault)(input, &mut logits);
        Ok(Answer::Scores(logits))
    }
}

impl Setting {
    fn new() -> Self {
        let net = network(WIDTH, 1);
        let trained = checkpoint(&net);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.safetensors");
        trained.weights.write(&path, None).unwrap();
        // A normalisation in which every channel is another one.
        let stated = Stated { mean: Some(vec![0.5, 0.4, 0.3]), std: Some(vec![0.3, 0.25, 0.2]), ..Stated::default() };
        let export = export(&trained, &Options { stated, ..Options::default() }).unwrap();
        let all = Case::fixed(false, [None; 3], export.model.contract.input.side_min);
        let cases: Vec<_> = all.into_iter().filter(|case| CASES.contains(&case.name.as_str())).collect();
        assert_eq!(cases.len(), CASES.len());
        Self { net, export, cases, checkpoint: TensorFile::open(&path).unwrap() }
    }

    /// The reference, with what Burn makes of the cases; a fault of the lowering may be planted in it.
    fn reference(&self, fault: Option<fn(&mut Graph)>) -> Reference {
        let mut reference = proof::reference(&self.export);
        if let Some(fault) = fault {
            fault(&mut reference.model.graph);
        }
        let mut yardstick = Yardstick::new(&reference.model.graph);
        reference.trained = proof::trained(&self.net, &reference, &self.cases, &mut yardstick).unwrap();
        reference
    }

    /// What a proof finds, and whom it blames.
    fn prove(&self, good: &Reference, yardstick: &mut Yardstick, fault: Option<&Fault>) -> (Proof, Option<Diagnosis>) {
        // A pass that does nothing where no fault is planted in it.
        let clumsy = match fault {
            Some(InPass(_)) => CLUMSY,
            _ => Pass { run: |_| Vec::new(), ..CLUMSY },
        };
        let passes: Vec<Pass> = of(Opset::V20, Target::Portable).copied().chain([clumsy]).collect();
        let lowered = match fault {
            Some(Lowered(fault)) => Some(self.reference(Some(*fault))),
            _ => None,
        };
        let mut reference = lowered.as_ref().unwrap_or(good).clone();
        reference.passes = passes.iter().map(|pass| pass.name.to_owned()).collect();
        let graph = reference.model.graph.clone();
        let mut own_yardstick = Yardstick::new(&graph);
        let yardstick = if lowered.is_some() { &mut own_yardstick } else { yardstick };

        let mut model = Model { graph: graph.clone(), ..self.export.model.clone() };
        PLANTED.with(|planted| {
            planted.set(match fault {
                Some(InPass(fault)) => Some(*fault),
                _ => None,
            })
        });
        run_selected(&mut model.graph, &passes).unwrap();
        match fault {
            Some(File(fault)) => fault(&mut model.graph),
            Some(InContract(fault)) => fault(&mut model.contract),
            _ => {}
        }
        let answer = match fault {
            Some(Runtime(fault)) => *fault,
            _ => |_: ArrayView4<'_, f32>, _: &mut Array4<f32>| {},
        };
        let (path, options) = (Path::new("model.onnx"), seg_runtime::Options::default());
        let bytes = model.to_bytes().unwrap();
        let session = Session::start(environment(), path, &bytes, model.clone(), &options).unwrap();
        let subject = Subject { reference: &reference, model: &model, bound: &CPU_FLOAT32 };
        let mut deployed = Faulty { session, fault: answer };
        let mut proof = prove(subject, yardstick, &mut deployed, &self.cases, |_| {}).unwrap();
        proof.findings.extend(reference.check_weights(&self.checkpoint).unwrap());
        proof
            .findings
            .extend(check_graph(&reference, &model, &passes).unwrap().expect("there are 32 bits and all passes"));
        let names: Vec<_> = model.graph.nodes.iter().map(|node| node.name.as_str()).collect();
        let names: Vec<_> = names.into_iter().filter(|name| graph.tensor_type(name).is_some()).collect();
        let mut probe = Probe::open(environment(), path, &model, &names, &options).unwrap();
        let mut inside = |case: &Case| {
            let input = case.load(&model.contract).unwrap().tensor;
            let values = probe.values(input.view()).unwrap();
            (input, values)
        };
        let (input, values) = inside(&self.cases[0]);
        let found = layers(&reference, &model, input.view(), &values, None, yardstick.magnitudes()).unwrap();
        proof.findings.extend(check_layers(&found, &CPU_FLOAT32, input.len_of(Axis(3))));
        let Some(case) = smallest_failing(&self.cases, &proof) else { return (proof, None) };
        let (input, values) = inside(case);
        let diagnosis = bisect(subject, &passes, &proof, input.view(), &values).unwrap();
        (proof, Some(diagnosis))
    }
}

thread_local! {
    /// What the pass `clumsy` does: a pass is a plain function, which can hold nothing.
    static PLANTED: std::cell::Cell<Option<fn(&mut Graph)>> = const { std::cell::Cell::new(None) };
}

/// A pass with a fault.
const CLUMSY: Pass = Pass {
    name: "clumsy",
    applies: |_, _| true,
    run: |graph| {
        if let Some(fault) = PLANTED.with(std::cell::Cell::get) {
            fault(graph);
        }
        vec!["clumsy".into()]
    },
};

/// A diagnosis as [`FAULTS`] write it.
fn place(diagnosis: &Diagnosis) -> String {
    let value = diagnosis.value.clone().unwrap_or_default();
    match &diagnosis.culprit {
        Culprit::Weights { tensor } => format!("weights {}", tensor.clone().unwrap_or_default()),
        Culprit::Contract { field } => format!("contract {field}"),
        Culprit::Lowering => format!("lowering {value}"),
        Culprit::Pass { pass } => format!("pass {pass}"),
        Culprit::File { node, .. } => format!("file {node}"),
        Culprit::Runtime { node } => {
            let when = diagnosis.when.clone().unwrap_or_default();
            format!("runtime {}{when}", node.clone().unwrap_or_default())
        }
        Culprit::Precision => "precision".into(),
        Culprit::Unknown => "unknown".into(),
    }
}

#[test]
fn every_planted_fault_is_seen_and_its_place_is_named() {
    let setting = Setting::new();
    let reference = setting.reference(None);
    let mut yardstick = Yardstick::new(&reference.model.graph);
    let (proof, diagnosis) = setting.prove(&reference, &mut yardstick, None);
    assert!(proof.holds() && diagnosis.is_none(), "no fault: {:?}", proof.findings().collect::<Vec<_>>());

    assert!(FAULTS.len() >= 40);
    let (mut unseen, mut misnamed) = (Vec::new(), Vec::new());
    for (name, expected, fault) in FAULTS {
        let (proof, diagnosis) = setting.prove(&reference, &mut yardstick, Some(fault));
        let found = diagnosis.as_ref().map(place).unwrap_or_default();
        if proof.holds() {
            unseen.push(name);
        }
        if !found.starts_with(expected) {
            misnamed.push(format!("{name}: expected {expected}, found {found}"));
        }
    }
    let named = 1.0 - misnamed.len() as f64 / FAULTS.len() as f64;
    let score = format!(
        "mutation score: {} of {} planted faults seen, the place of {:.1} % named",
        FAULTS.len() - unseen.len(),
        FAULTS.len(),
        100.0 * named
    );
    // Beside the test's captured output, for the score is worth reading when it passes.
    writeln!(io::stderr(), "{score}").unwrap();
    assert!(unseen.is_empty(), "{score}: not seen {unseen:#?}");
    assert!(named >= NAMED_MIN, "{score}: {misnamed:#?}");
}
