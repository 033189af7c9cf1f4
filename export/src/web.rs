//! The page that runs a model in the visitor's browser, as a folder that any web server can offer.

use std::io;
use std::path::Path;

use seg_contract::{Contract, OutputKind, sha256};
use seg_inference::library::WebRuntime;
use seg_onnx::Model;
use seg_page::{BROWSER, SHARED};
use seg_verify::Certificate;
use serde::Serialize;

use crate::card::card;

/// The file by which a folder is known as a page.
pub const MARKER: &str = "model.json";

/// The files of ONNX Runtime beside the page, by their names in its package. They end in `.js`,
/// because many servers have no media type for `.mjs`, and browsers refuse such scripts.
const RUNTIME: [(&str, &str); 4] = [
    (WebRuntime::FILES[0], "ort/ort.wasm.js"),
    (WebRuntime::FILES[1], "ort/ort-wasm-simd-threaded.wasm"),
    (WebRuntime::FILES[2], "ort/ort.webgpu.js"),
    (WebRuntime::FILES[3], "ort/ort-wasm-simd-threaded.asyncify.wasm"),
];

/// ONNX Runtime's licence, which its package does not hold as a file.
const LICENSE: &str = include_str!("web/LICENSE.txt");

/// The facts that the page shows of its model.
#[derive(Serialize)]
struct PageModel<'a> {
    name: &'a str,
    version: &'static str,
    sha256: String,
    contract: &'a Contract,
    certificate: Verdict,
    /// True if the model gives probabilities, and not only masks.
    probabilities: bool,
    onnx_runtime_web: &'static str,
}

/// The verdict of the certificate.
#[derive(Serialize)]
#[serde(rename_all = "lowercase", tag = "verdict")]
enum Verdict {
    /// The model is proven for ONNX Runtime on a processor, and not for the browser's.
    Elsewhere { detail: String, page: &'static str },
    /// There is none.
    None { detail: &'static str },
}

/// Lists the names of the page's files.
pub fn names(has_certificate: bool) -> impl Iterator<Item = String> {
    let certificate = if has_certificate { &["certificate.json", "certificate.html"][..] } else { &[] };
    let assets = SHARED.iter().chain(BROWSER.scripts).map(|asset| asset.name);
    let runtime = RUNTIME.iter().map(|(_, name)| *name);
    let others = ["index.html", "card.md", "ort/LICENSE.txt", "model.onnx", MARKER];
    assets.chain(runtime).chain(others).chain(certificate.iter().copied()).map(str::to_owned)
}

/// Makes the files of the page of a model, with their names; `name` is the title.
///
/// # Errors
/// When a file of ONNX Runtime cannot be read.
pub fn page(
    model: &Model,
    bytes: &[u8],
    name: &str,
    certificate: Option<&Certificate>,
    runtime: &WebRuntime,
) -> io::Result<Vec<(String, Vec<u8>)>> {
    let facts = PageModel {
        name,
        version: "1",
        sha256: sha256(bytes),
        contract: &model.contract,
        certificate: certificate.map_or(
            Verdict::None { detail: "the model was exported with `--no-verify`, which left out its proof" },
            verdict,
        ),
        probabilities: model.contract.output.kind != OutputKind::Mask,
        onnx_runtime_web: WebRuntime::VERSION,
    };
    let mut files: Vec<(String, Vec<u8>)> = vec![("index.html".into(), BROWSER.html().into_bytes())];
    files.extend(SHARED.iter().chain(BROWSER.scripts).map(|asset| (asset.name.into(), asset.text.as_bytes().to_vec())));
    files.push(("card.md".into(), card(model, Path::new("model.onnx")).into_bytes()));
    if let Some(certificate) = certificate {
        files.push(("certificate.json".into(), certificate.to_json().into_bytes()));
        files.push(("certificate.html".into(), seg_verify::page(certificate, None).into_bytes()));
    }
    for (file, name) in RUNTIME {
        let path = runtime.path(file);
        let bytes = std::fs::read(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot read `{}`: {error}", path.display())))?;
        files.push((name.into(), bytes));
    }
    files.push(("ort/LICENSE.txt".into(), LICENSE.into()));
    files.push(("model.onnx".into(), bytes.to_vec()));
    // The last, so that a folder with it holds the others too.
    files.push((MARKER.into(), serde_json::to_vec_pretty(&facts).map_err(io::Error::other)?));
    Ok(files)
}

/// Describes a certificate.
fn verdict(certificate: &Certificate) -> Verdict {
    let inputs = certificate.proof.inputs.len();
    let detail = format!(
        "proven on {inputs} inputs: this file computes the trained network with {}, {}, in ONNX Runtime. The browser runs \
         ONNX Runtime Web {}, which the proof does not cover.",
        certificate.provider,
        certificate.precision,
        WebRuntime::VERSION
    );
    Verdict::Elsewhere { detail, page: "certificate.html" }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use burn::tensor::Device;
    use seg_nets::amsunet::AmsUnetConfig;
    use seg_nets::checkpoint::Checkpoint;
    use seg_nets::weights::Weights;

    use super::*;
    use crate::{Export, Options, export};

    #[test]
    fn the_folder_of_a_page_holds_every_file_that_it_names() {
        let folder = tempfile::tempdir().unwrap();
        for file in WebRuntime::FILES {
            fs::write(folder.path().join(file), file).unwrap();
        }
        let weights = Weights::from_network(&AmsUnetConfig::new().with_base_width(4).init(&Device::flex()));
        let checkpoint = Checkpoint { path: "net.safetensors".into(), weights, contract: None };
        let Export { model, bytes, .. } = export(&checkpoint, &Options::default()).unwrap();
        let runtime = WebRuntime::new(folder.path().into());
        let files = page(&model, &bytes, "<b>net</b>", None, &runtime).unwrap();
        let found: BTreeSet<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        let expected: Vec<_> = names(false).collect();
        assert_eq!(found, expected.iter().map(String::as_str).collect());
        let content = |name: &str| String::from_utf8_lossy(&files.iter().find(|(own, _)| own == name).unwrap().1);
        for (file, name) in RUNTIME {
            assert_eq!(content(name), file);
            let named = name.strip_prefix("ort/").unwrap();
            assert!(content("worker.js").contains(named), "{named}");
        }
        for part in content("index.html").split("href=\"").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(name.starts_with('#') || found.contains(name), "{name}");
        }
        let facts: serde_json::Value = serde_json::from_str(&content(MARKER)).unwrap();
        assert_eq!(facts["name"], "<b>net</b>");
        assert_eq!(facts["sha256"], sha256(&bytes));
        assert_eq!(facts["certificate"]["verdict"], "none");
        let contract = serde_json::to_string(&facts["contract"]).unwrap();
        assert_eq!(Contract::from_json(&contract).unwrap(), model.contract);
    }

    #[test]
    fn a_file_of_onnx_runtime_that_is_missing_is_named() {
        let weights = Weights::from_network(&AmsUnetConfig::new().with_base_width(4).init(&Device::flex()));
        let checkpoint = Checkpoint { path: "net.safetensors".into(), weights, contract: None };
        let Export { model, bytes, .. } = export(&checkpoint, &Options::default()).unwrap();
        let message = page(&model, &bytes, "net", None, &WebRuntime::new("absent".into())).unwrap_err().to_string();
        assert!(message.contains("absent/ort.wasm.bundle.min.mjs"), "{message}");
    }
}
