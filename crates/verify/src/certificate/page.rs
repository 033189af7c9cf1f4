//! The page that shows a certificate to people.

use maud::{Markup, html};
use seg_contract::Element;
use seg_report::{Figure, count, figures, page as html_page, table};

use super::Certificate;
use super::criteria::{Criterion, Verdict, allowed, criteria, scientific};
use super::record::FileRecord;
use crate::bounds::{MASKS_REASON, ORDINARY};
use crate::finding::Finding;
use crate::layers::Layer;
use crate::proof::classes::ClassVerdict;
use crate::proof::report::InputReport;

/// The beginning of a page's title.
const TITLE: &str = "Certificate of ";

/// Returns true if bytes are a certificate's page.
pub(crate) fn is_page(bytes: &[u8]) -> bool {
    String::from_utf8_lossy(bytes).contains(&format!("<title>{TITLE}"))
}

/// Renders the certificate as one HTML page that needs no other file; `signed` is the time of its
/// signature, if it is signed.
pub fn page(certificate: &Certificate, signed: Option<&str>) -> String {
    let body = html! {
        (verdict(certificate, signed))
        (exhibit(certificate))
        (findings(certificate))
        (criteria_table(certificate))
        (input_table(certificate))
        (layers(&certificate.layers))
        (records(certificate))
        p.note { "This page shows the content of the certificate's JSON file. The JSON file counts, and is what is signed." }
    };
    html_page(&format!("{TITLE}{}", certificate.model.path), &body)
}

fn verdict(certificate: &Certificate, signed: Option<&str>) -> Markup {
    let inputs = &certificate.proof.inputs;
    // Beyond float32 there are no masks to compare.
    let within = || inputs.iter().filter(|input| !input.beyond_float32);
    let sum = |part: fn(&InputReport) -> usize| within().map(part).sum::<usize>();
    let [pixels, flipped] = [sum(|input| input.mask.pixels), sum(|input| input.mask.flipped)];
    let beyond = inputs.len() - within().count();
    let is = match certificate.holds {
        true => "is the trained network",
        false if certificate.proof.is_undecided() => "is not proven to be the trained network",
        false => "is not the trained network",
    };
    html! {
        header {
            (seal(certificate))
            p { "Certificate · " (certificate.environment.tool) }
            h1 { (certificate.model.path) }
            p.lead {
                "The model " strong { (is) } " on " (certificate.provider)
                @if let Some(device) = &certificate.device { " (" (device) ")" }
                " in " (certificate.precision) ", on " (count(inputs.len(), "input")) "."
            }
            p.note {
                @match signed {
                    Some(time) => {
                        "Signed on " (time.replace('T', " at ").replace('Z', " UTC")) " by the signer's clock. "
                        code { "seg verify --certificate FILE --public-key KEY" } " checks whose signature it is."
                    },
                    None => {
                        "Not signed: it shows that this model fits this proof, not who made them. "
                        code { "seg verify --certificate FILE" } " makes the proof again."
                    },
                }
            }
            @for unknown in certificate.unknown() { p.note { "Of " (unknown) "." } }
            @if beyond > 0 {
                p.note {
                    "For " (count(beyond, "input")) ", values inside the network exceed 32-bit floats, so that there is nothing to compare. "
                    "The figures below leave these inputs out."
                }
            }
        }
        (figures(&[
            Figure {
                name: "Identical pixels",
                value: format!("{:.4} %", 100.0 * (1.0 - flipped as f64 / pixels.max(1) as f64)),
                meaning: format!("{flipped} of {pixels} have another class than in the exact mask."),
            },
            largest_error(certificate),
            masks_or_times(certificate),
        ]))
    }
}

/// Shows the verdict at a glance: a mark in a circle, with a word.
fn seal(certificate: &Certificate) -> Markup {
    let (class, word, mark) = match certificate.holds {
        true => ("seal holds", "holds", "M14 25 l8 8 l14 -17"),
        false if certificate.proof.is_undecided() => ("seal open", "not proven", "M25 13 v15 M25 34 v3"),
        false => ("seal fails", "fails", "M16 16 l18 18 M34 16 l-18 18"),
    };
    html! {
        div class=(class) {
            svg viewBox="0 0 50 50" role="img" aria-label=(word) { circle cx="25" cy="25" r="23" {} path d=(mark) {} }
            strong { (word) }
        }
    }
}

/// Shows the first image with the exact mask and the model's.
fn exhibit(certificate: &Certificate) -> Markup {
    html! {
        @if let Some(exhibit) = &certificate.proof.exhibit {
            section {
                h2 { "One of the images" }
                (exhibit.render())
            }
        }
    }
}

/// Shows the error that is closest to its bound.
fn largest_error(certificate: &Certificate) -> Figure<'static> {
    let within = certificate.proof.inputs.iter().filter(|input| !input.beyond_float32);
    let errors = within.filter_map(|input| Some((input.relative()?, allowed(certificate, input))));
    let worst = errors.max_by(|(one, of), (other, of_other)| (one / of).total_cmp(&(other / of_other)));
    let (value, meaning) = match worst {
        Some((found, allowed)) => {
            let meaning = format!("of the scale of the exact output, where {} is allowed.", scientific(allowed));
            (scientific(found), meaning)
        }
        None => ("–".into(), "of the output: the model gives masks only.".into()),
    };
    Figure { name: "Largest error", value, meaning }
}

/// Shows the ratio to the training framework's error, or, if images' masks are judged, the least
/// Dice of a class.
fn masks_or_times(certificate: &Certificate) -> Figure<'static> {
    let inputs = certificate.proof.inputs.iter();
    let times = inputs.filter_map(|input| input.times_trained.zip(input.times_allowed));
    let worst = times.max_by(|(one, of), (other, of_other)| (one / of).total_cmp(&(other / of_other)));
    let judged = certificate.proof.classes.iter().filter(|class| class.verdict != ClassVerdict::NothingProven);
    let least = judged
        .filter_map(|class| Some((class.dice?, &class.class)))
        .min_by(|(one, _), (other, _)| one.total_cmp(other));
    match (least, certificate.dice, worst) {
        (Some((dice, class)), Some(allowed), _) => Figure {
            name: "Least Dice of a class",
            value: format!("{dice:.4}"),
            meaning: format!("of {class}, of all images' masks beside the exact ones, where {allowed} is allowed."),
        },
        (_, _, Some((found, allowed))) => Figure {
            name: "Times training's",
            value: format!("{found:.2}"),
            meaning: format!(
                "the root mean square error in those of the training framework in 32-bit floats, where {allowed:.2} is allowed."
            ),
        },
        _ => Figure { name: "Times training's", value: "–".into(), meaning: "not asked.".into() },
    }
}

fn findings(certificate: &Certificate) -> Markup {
    let of_inputs = certificate
        .proof
        .inputs
        .iter()
        .flat_map(|input| input.findings.iter().map(move |finding| (input.name.as_str(), finding)));
    let of_file = certificate.proof.findings.iter().map(|finding| ("file", finding));
    let all: Vec<(&str, &Finding)> = of_file.chain(of_inputs).collect();
    html! {
        @if !all.is_empty() {
            section {
                h2 { "Findings" }
                ul { @for (input, finding) in all { li { strong { (input) } ": " (finding) } } }
                @if let Some(diagnosis) = &certificate.diagnosis {
                    p { strong { "Cause: " } (diagnosis) "." }
                }
            }
        }
    }
}

fn criteria_table(certificate: &Certificate) -> Markup {
    html! {
        section {
            h2 { "Criteria" }
            div.wide { table.criteria {
                thead { tr { th { "Criterion" } th { "Bound, fixed in advance" } th { "Worst result" } th { "Verdict" } } }
                tbody { @for Criterion { name, bound, found, verdict } in criteria(certificate) {
                    tr {
                        th scope="row" { (name) } td { (bound) } td { (found) }
                        td { @match verdict {
                            Verdict::Holds => "holds",
                            Verdict::Fails => strong { "fails" },
                            Verdict::NotAsked => small { "not asked" },
                        } }
                    }
                } }
            } }
            p {
                "The exact outputs are computed in 64-bit floats from the network's graph as it was before any rewrite. The outputs of the training "
                "framework and of the model are compared with them. Errors are relative to a scale: the largest exact value minus the smallest, where zero counts as a value. "
                "If an output nearly vanishes, the scale is that of the values that it is computed from."
            }
            p { "Reason for these bounds: " (certificate.reason) "." }
            @if certificate.dice.is_some() { p { "Reason for the bounds of masks: " (MASKS_REASON) "." } }
            p {
                "The training framework's outputs were computed when the model was exported."
            }
            p {
                "Some networks amplify rounding: if every value of the exact graph is rounded to 32 bits, the output changes by more than "
                (ORDINARY) " roundings. The scale of such an input is multiplied by this amplification, and the input is marked."
            }
        }
    }
}

fn input_table(certificate: &Certificate) -> Markup {
    let inputs = &certificate.proof.inputs;
    html! {
        section {
            h2 { "Input by input" }
            div.wide { table {
                thead { tr {
                    th { "Input" } th.n { "Error of scale" } th.n { "allowed" } th.n { "× training's" } th.n { "allowed" } th.n { "Batch" }
                    th.n { "Flipped" } th.n { "not explained" } th.n { "could flip" } th.n { "Widest margin" } th.n { "allowed" }
                } }
                tbody { @for input in inputs {
                    @let mask = Some(&input.mask).filter(|_| !input.beyond_float32);
                    @let figure = |number: Option<f64>| optional(number.map(scientific));
                    @let times = |number: Option<f64>| optional(number.map(|times| format!("{times:.2}")));
                    tr {
                        th scope="row" { (mark(input)) }
                        td.n { (figure(input.relative().filter(|_| mask.is_some()))) }
                        td.n { (figure(mask.map(|_| allowed(certificate, input)))) }
                        td.n { (times(input.times_trained)) } td.n { (times(input.times_allowed)) }
                        td.n { (figure(input.batch)) }
                        td.n { (optional(mask.map(|mask| mask.flipped.to_string()))) }
                        td.n { (optional(mask.map(|mask| mask.unexplained.to_string()))) }
                        td.n { (optional(mask.map(|mask| mask.could_flip.to_string()))) }
                        td.n { (figure(mask.map(|mask| mask.widest))) } td.n { (figure(mask.map(|mask| mask.margin))) }
                    }
                } }
            } }
            h3 { "Reported, not judged" }
            (unjudged_table(inputs.iter().filter(|input| !input.beyond_float32)))
        }
    }
}

/// Shows further numbers of each input, which are not judged.
fn unjudged_table<'c>(inputs: impl Iterator<Item = &'c InputReport> + Clone) -> Markup {
    let is_scored = inputs.clone().any(|input| input.dice.is_some());
    html! {
        div.wide { table {
            thead { tr {
                th { "Input" } th.n { "Largest error" } th.n { "99.9 %" } th.n { "Largest ULP" } th.n { "Median ULP" }
                th.n { "Largest × training's" } th.n { "Not as in training" }
                @if is_scored { th.n { "True Dice, exact" } th.n { "True Dice" } }
            } }
            tbody { @for input in inputs {
                @let errors = input.exported.as_ref();
                tr {
                    th scope="row" { (mark(input)) }
                    td.n { (optional(errors.map(|errors| scientific(errors.max)))) }
                    td.n { (optional(errors.map(|errors| scientific(errors.p999)))) }
                    td.n { (optional(errors.map(|errors| format!("{:.1}", errors.max_ulp)))) }
                    td.n { (optional(errors.map(|errors| format!("{:.2}", errors.median_ulp)))) }
                    td.n { (optional(input.largest_times_trained.map(|times| format!("{times:.2}")))) }
                    td.n { (optional(input.mask.differing_from_trained.map(|pixels| pixels.to_string()))) }
                    @if is_scored {
                        td.n { (optional(input.dice.map(|dice| format!("{:.6}", dice.exact)))) }
                        td.n { (optional(input.dice.map(|dice| format!("{:.6}", dice.exported)))) }
                    }
                }
            } }
        } }
    }
}

/// Shows the name of an input with what is special about it.
fn mark(input: &InputReport) -> Markup {
    html! {
        (input.name)
        @if let Some([height, width]) = input.middle_of { " (the middle of " (height) "x" (width) ")" }
        @if input.beyond_float32 { " (beyond float32)" }
        @if let Some(amplification) = input.amplification { " (rounding amplified " (format!("{amplification:.1}")) " times)" }
        @if !input.findings.is_empty() { " " strong { "(fails)" } }
    }
}

fn layers(layers: &[Layer]) -> Markup {
    html! {
        @if !layers.is_empty() {
            section {
                h2 { "Intermediate values" }
                div.wide { table {
                    thead { tr {
                        th { "Value" } th { "Operator" } th.n { "of scale" } th.n { "Largest error" } th.n { "99.9 %" } th.n { "Largest ULP" }
                        th.n { "Median ULP" } th.n { "× training's" } th.n { "Largest magnitude" } th.n { "Fits 16 bits" }
                    } }
                    tbody { @for layer in layers {
                        tr {
                            th scope="row" { (layer.value) } td { (layer.operator) }
                            td.n { (scientific(layer.errors.relative())) } td.n { (scientific(layer.errors.max)) }
                            td.n { (scientific(layer.errors.p999)) }
                            td.n { (format!("{:.1}", layer.errors.max_ulp)) } td.n { (format!("{:.2}", layer.errors.median_ulp)) }
                            td.n { (optional(layer.times_trained.map(|times| format!("{times:.2}")))) }
                            td.n { (scientific(layer.magnitude)) } td.n { (if layer.fits_half { "yes" } else { "no" }) }
                        }
                    } }
                } }
            }
        }
    }
}

fn records(certificate: &Certificate) -> Markup {
    let environment = &certificate.environment;
    let placement: Vec<_> =
        certificate.placement.iter().map(|(provider, nodes)| format!("{provider} {nodes}")).collect();
    let mut rows = vec![
        ("Certificate", html! { code { (certificate.id) } }),
        ("Model", file(&certificate.model)),
        ("Reference", file(&certificate.reference)),
        ("Weights", hash(&certificate.weights_sha256)),
        (
            "Passes",
            html! {
                (certificate.passes.join(", ")) br;
                "What they make of the reference was "
                @if !certificate.rebuilt { "not " }
                "compared with the model's graph."
            },
        ),
    ];
    if certificate.element == Element::U8 {
        let rounded = "bytes. Values of resized, 16-bit and gray-converted images are rounded to bytes before any output is computed";
        rows.push(("Takes", html! { (rounded) }));
    }
    if let Some(weights) = &certificate.weights {
        rows.push(("Checkpoint, equal bit for bit", file(weights)));
    }
    if let Some(data) = &certificate.data {
        let sha256 = data.sha256.as_deref().map(hash);
        rows.push((
            "Images",
            html! { (data.images) " of " (data.inputs.join(", ")) @if let Some(sha256) = sha256 { br; (sha256) } },
        ));
    }
    rows.extend([
        ("Nodes", html! { (placement.join(", ")) }),
        ("ONNX Runtime", html! { (environment.onnx_runtime) }),
        ("Proven by", html! { (environment.tool) br; (hash(&environment.tool_sha256)) }),
        (
            "On",
            html! {
                (environment.system) ", " (environment.processor) ", " (count(environment.processors, "thread"))
                @for gpu in &environment.gpus { br; (gpu) }
            },
        ),
    ]);
    html! { section { h2 { "Files and environment" } (table::facts(&rows)) } }
}

fn hash(sha256: &str) -> Markup {
    html! { code { "sha256 " (sha256) } }
}

fn file(file: &FileRecord) -> Markup {
    html! { (file.path) @if let Some(tool) = &file.tool { ", written by " (tool) } br; (hash(&file.sha256)) }
}

fn optional(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".into())
}
