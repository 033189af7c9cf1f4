//! The JSON schemas in `docs/schemas` are those of the types, and accept what the programs write.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::{env, fs};

use schemars::generate::{SchemaGenerator, SchemaSettings};
use seg_inference::{Cleanup, ComputePrecision, Options, Segmenter, Settings, Uncertainty, Views};
use seg_runtime::pipeline::{self, Task, create_folders};
use seg_runtime::record::{Entry, JOB, Job, PREDICTIONS, RecordWriter, record_schema};
use seg_runtime::save::Save;
use seg_tests::python::Python;
use seg_tests::runtime::environment;
use seg_verify::Certificate;
use serde_json::Value;

use crate::certified::certified_model;
use crate::corpus::corpus;

/// Set to anything, it makes the test write the schemas instead of comparing them.
const UPDATE_VARIABLE: &str = "SEG_UPDATE_SCHEMAS";

/// Returns the file of a schema.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas").join(name).with_extension("json")
}

/// Returns a generator of schemas of what is written, in the version of the language that most
/// tools read.
fn generator() -> SchemaGenerator {
    SchemaSettings::draft07().for_serialize().into_generator()
}

#[test]
fn the_committed_schemas_are_those_of_the_types() {
    for (name, title, mut schema) in [
        ("certificate", "Certificate", generator().into_root_schema_for::<Certificate>()),
        ("contract", "Contract", generator().into_root_schema_for::<seg_contract::Contract>()),
        ("job", "Job", generator().into_root_schema_for::<Job>()),
        ("record", "Line of a record", record_schema(generator())),
    ] {
        schema.insert("title".into(), title.into());
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if env::var_os(UPDATE_VARIABLE).is_some() {
            fs::write(path(name), &text).unwrap();
        }
        let is_current = fs::read_to_string(path(name)).is_ok_and(|committed| committed == text);
        assert!(is_current, "docs/schemas/{name}.json is not current: run this test with {UPDATE_VARIABLE}=1");
    }
}

/// Segments an image and a file that is none, with what a job can ask for, and returns the job and
/// the record's lines.
fn segmented(folder: &Path, model: &Path) -> (Value, Vec<Value>) {
    let inputs = ["image.png", "text.png"].map(|name| folder.join(name));
    fs::write(&inputs[1], "no image").unwrap();
    let settings = Settings {
        views: Views::Flips,
        threshold: Some(0.25),
        cleanup: [("nucleus".to_owned(), Cleanup { min_area: 3, ..Cleanup::default() })].into(),
        probabilities: true,
        uncertainty: Some(Uncertainty::Entropy),
        ..Settings::default()
    };
    let segmenter = Segmenter::open(environment(), model, &Options::default()).unwrap().with(settings.clone()).unwrap();
    let save = vec![Save::Mask, Save::ProbabilitiesNpy, Save::Polygons];
    let writers: Vec<_> = save.iter().flat_map(|save| save.writers(&segmenter.contract().classes)).collect();
    let names = ["image", "text"].map(str::to_owned);
    let job = Job::new(segmenter.files(), vec![ComputePrecision::Fp32], settings, save, &names);
    let out = folder.join("out");
    let mut record = RecordWriter::begin(&out, &job, None, None).unwrap();
    create_folders(&out, &writers).unwrap();
    let tasks: Vec<_> = inputs.into_iter().zip(names.clone()).map(|(input, name)| Task { input, name }).collect();
    pipeline::run(&mut [segmenter], &tasks, &out, &writers, |index, result| {
        let Task { name, input } = &tasks[index];
        let skipped = |error: String| Entry::skipped(name.clone(), input, error);
        let entry = result.map_or_else(|error| skipped(error.to_string()), |done| Entry::segmented(done, input));
        record.add(&entry).unwrap();
        ControlFlow::Continue(())
    });
    record.end(&names).unwrap();
    let job = serde_json::from_str(&fs::read_to_string(out.join(JOB)).unwrap()).unwrap();
    let lines = fs::read_to_string(out.join(PREDICTIONS)).unwrap();
    (job, lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Returns what the programs write, each with the name of its schema.
fn instances(folder: &Path) -> Vec<(&'static str, Value)> {
    let [good, bad] = ["good", "bad"].map(|name| folder.join(name));
    let (model, certificate) = certified_model(&good, |_| {});
    assert!(certificate.holds, "{:?}", certificate.proof.findings);
    let (_, against) = certified_model(&bad, |model| model.contract.classes.reverse());
    assert!(!against.holds && against.diagnosis.is_some());
    let certificates = [certificate, against].map(|it| serde_json::from_str(&it.to_json()).unwrap());
    let mut instances = certificates.map(|certificate| ("certificate", certificate)).to_vec();
    let is_valid = |path: &Path| path.file_stem().unwrap().to_str().unwrap().starts_with("valid");
    for (_, contract) in corpus("contract").into_iter().filter(|(path, _)| is_valid(path)) {
        instances.push(("contract", serde_json::from_slice(&contract).unwrap()));
    }
    let (job, lines) = segmented(&good, &model);
    assert_eq!(lines.len(), 2);
    instances.push(("job", job));
    instances.extend(lines.into_iter().map(|line| ("record", line)));
    instances
}

#[test]
fn the_schemas_accept_what_the_programs_write_and_refuse_what_lacks_a_field() {
    let python = Python::with("schemas", Path::new(env!("CARGO_TARGET_TMPDIR")));
    let folder = tempfile::tempdir().unwrap();
    let instances = instances(folder.path());
    let write = |name: String, value: &Value| {
        let path = folder.path().join(name);
        fs::write(&path, value.to_string()).unwrap();
        path
    };
    let mut files = Vec::new();
    for (number, (name, value)) in instances.iter().enumerate() {
        files.extend([path(name), write(format!("{number}.json"), value)]);
    }
    let output = python.run("check_schemas.py", &files);
    let accepted = String::from_utf8_lossy(&output.stdout).lines().count();
    let refused = instances.get(accepted);
    assert_eq!(refused, None, "{}", String::from_utf8_lossy(&output.stderr));
    for (name, field) in [("certificate", "proof"), ("contract", "classes"), ("job", "models"), ("record", "job")] {
        let (_, mut value) = instances.iter().find(|(of, _)| *of == name).unwrap().clone();
        value.as_object_mut().unwrap().remove(field).unwrap();
        let output = python.run("check_schemas.py", &[path(name), write("lacking.json".into(), &value)]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(field), "{name} without `{field}`: {stderr}");
    }
}
