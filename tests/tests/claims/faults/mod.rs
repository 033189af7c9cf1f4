//! A proof detects every planted fault, wherever it is planted, and names the place.

mod damage;
mod nodes;
mod planted;
mod weakened;

use std::io::{self, Write};
use std::path::Path;

use ndarray::{Array4, ArrayView4, Axis};
use planted::Fault::{self, Contract as InContract, File, Lowered, Pass as InPass, Runtime};
use planted::{FAULTS, WIDTH};
use seg_export::contract::GivenFacts;
use seg_export::{Export, Options, export, verify_inputs};
use seg_inference::{ModelOutput, RunError, Session, TensorFile};
use seg_nets::network::Network;
use seg_onnx::graph::Graph;
use seg_onnx::passes::{Pass, applicable, run_selected};
use seg_onnx::{Model, Opset, Target};
use seg_tests::fixtures::{checkpoint, network};
use seg_tests::runtime::environment;
use seg_verify::bounds::CPU_FLOAT32;
use seg_verify::{
    Culprit, Diagnosis, ExactEvaluator, IntermediateOutputs, ModelUnderTest, Proof, ProofInput, Reference, Runner,
    bisect, check_graph, check_layers, layers, prove, smallest_failing,
};

/// The share of faults whose place must be named.
const NAMED_MIN: f64 = 0.9;

/// The inputs, which suffice for every fault: several images, odd sides, and values far outside of
/// those of images.
const CASES: [&str; 4] = ["noise 2x35x45", "noise 1x16x16", "noise 3x48x33", "huge 1x32x33"];

/// A network, its export, and its reference.
struct Setting {
    net: Network,
    export: Export,
    cases: Vec<ProofInput>,
    checkpoint: TensorFile,
}

/// A runner of a model, which may have a fault.
struct Faulty {
    session: Session,
    fault: fn(ArrayView4<'_, f32>, &mut Array4<f32>),
}

impl Runner for Faulty {
    fn run_batch(&mut self, input: ArrayView4<'_, f32>) -> Result<ModelOutput, RunError> {
        let mut logits = self.session.run(input)?;
        (self.fault)(input, &mut logits);
        Ok(ModelOutput::Scores(logits))
    }
}

impl Setting {
    fn new(net: Network) -> Self {
        let trained = checkpoint(&net);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.safetensors");
        trained.weights.write(&path, None).unwrap();
        // A normalisation in which every channel differs.
        let given =
            GivenFacts { mean: Some(vec![0.5, 0.4, 0.3]), std: Some(vec![0.3, 0.25, 0.2]), ..GivenFacts::default() };
        let export = export(&trained, &Options { given, ..Options::default() }).unwrap();
        let cases = ProofInput::fixed(false, &export.model.contract.input);
        Self { net, export, cases, checkpoint: TensorFile::open(&path).unwrap() }
    }

    /// Proves with the inputs of these names alone.
    fn with_cases(mut self, names: &[&str]) -> Self {
        self.cases.retain(|case| names.contains(&case.name.as_str()));
        assert_eq!(self.cases.len(), names.len());
        self
    }

    /// Creates the reference with Burn's outputs, in which the lowering has a fault.
    fn reference(&self, fault: impl FnOnce(&mut Graph)) -> Reference {
        let mut reference = verify_inputs::reference(&self.export);
        fault(&mut reference.model.graph);
        let mut evaluator = ExactEvaluator::new(&reference.model.graph);
        reference.framework_outputs =
            verify_inputs::trained(&self.net, &reference, &self.cases, &mut evaluator).unwrap();
        reference
    }

    /// Proves a model, and searches for the cause of a failure.
    fn prove(
        &self,
        good: &Reference,
        evaluator: &mut ExactEvaluator,
        fault: Option<&Fault>,
    ) -> (Proof, Option<Diagnosis>) {
        // A pass that does nothing unless a fault is planted in it.
        let clumsy = match fault {
            Some(InPass(_)) => CLUMSY,
            _ => Pass { run: |_| Vec::new(), ..CLUMSY },
        };
        let passes: Vec<Pass> = applicable(Opset::V20, Target::Portable).copied().chain([clumsy]).collect();
        let lowered = match fault {
            Some(Lowered(fault)) => Some(self.reference(fault)),
            _ => None,
        };
        let mut reference = lowered.as_ref().unwrap_or(good).clone();
        reference.passes = passes.iter().map(|pass| pass.name.to_owned()).collect();
        let graph = reference.model.graph.clone();
        let mut own_evaluator = ExactEvaluator::new(&graph);
        let evaluator = if lowered.is_some() { &mut own_evaluator } else { evaluator };

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
        self.prove_model(&reference, &model, &passes, evaluator, answer)
    }

    /// Proves a model that these passes made of the reference, whose outputs `answer` may change,
    /// and searches for the cause of a failure.
    fn prove_model(
        &self,
        reference: &Reference,
        model: &Model,
        passes: &[Pass],
        evaluator: &mut ExactEvaluator,
        answer: fn(ArrayView4<'_, f32>, &mut Array4<f32>),
    ) -> (Proof, Option<Diagnosis>) {
        let graph = &reference.model.graph;
        let (path, options) = (Path::new("model.onnx"), seg_inference::Options::default());
        let bytes = model.to_bytes().unwrap();
        let session = Session::start(environment(), path, &bytes, model.clone(), &options).unwrap();
        let tested = ModelUnderTest { reference, model, bound: &CPU_FLOAT32 };
        let mut deployed = Faulty { session, fault: answer };
        let mut proof = prove(tested, evaluator, &mut deployed, &self.cases, |_| {}).unwrap();
        proof.findings.extend(reference.check_weights(&self.checkpoint).unwrap());
        proof
            .findings
            .extend(check_graph(reference, model, passes).unwrap().expect("there are 32 bits and all passes"));
        let names: Vec<_> = model.graph.nodes.iter().map(|node| node.name.as_str()).collect();
        let names: Vec<_> = names.into_iter().filter(|name| graph.tensor_type(name).is_some()).collect();
        let mut probe = IntermediateOutputs::open(environment(), path, model, &names, &options).unwrap();
        let mut inside = |case: &ProofInput| {
            let input = case.load(&model.contract).unwrap().tensor;
            let values = probe.values(input.view()).unwrap();
            (input, values)
        };
        let (input, values) = inside(&self.cases[0]);
        let found = layers(reference, model, input.view(), &values, None, evaluator.magnitudes()).unwrap();
        proof.findings.extend(check_layers(&found, &CPU_FLOAT32, input.len_of(Axis(3))));
        let Some(case) = smallest_failing(&self.cases, &proof) else { return (proof, None) };
        let (input, values) = inside(case);
        let diagnosis = bisect(tested, passes, &proof, input.view(), &values).unwrap();
        (proof, Some(diagnosis))
    }
}

thread_local! {
    /// The fault of the pass `clumsy`: a pass is a plain function, which cannot capture
    /// anything.
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

/// Formats a diagnosis as in [`FAULTS`].
fn place(diagnosis: &Diagnosis) -> String {
    let value = diagnosis.value.clone().unwrap_or_default();
    match &diagnosis.culprit {
        Culprit::Weights { tensor } => format!("weights {}", tensor.clone().unwrap_or_default()),
        Culprit::Contract { field } => format!("contract {field}"),
        Culprit::Reference { input } => format!("reference {input}"),
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
    let setting = Setting::new(network(WIDTH, 1)).with_cases(&CASES);
    let reference = setting.reference(|_| {});
    let mut evaluator = ExactEvaluator::new(&reference.model.graph);
    let (proof, diagnosis) = setting.prove(&reference, &mut evaluator, None);
    assert!(proof.holds() && diagnosis.is_none(), "no fault: {:?}", proof.findings().collect::<Vec<_>>());

    assert!(FAULTS.len() >= 40);
    let (mut unseen, mut misnamed) = (Vec::new(), Vec::new());
    for (name, expected, fault) in FAULTS {
        let (proof, diagnosis) = setting.prove(&reference, &mut evaluator, Some(fault));
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
    // Printed beside the test's captured output, because the score is worth reading when it passes.
    writeln!(io::stderr(), "{score}").unwrap();
    assert!(unseen.is_empty(), "{score}: not seen {unseen:#?}");
    assert!(named >= NAMED_MIN, "{score}: {misnamed:#?}");
}
