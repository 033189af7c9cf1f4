//! A certificate as a page that a person reads.

use maud::{Markup, html};
use seg_report::{Figure, count, figures, page as html_page, table};

use super::{
    bounds::ORDINARY, certificate::Certificate, facts::FileFacts, finding::Finding, layers::Layer, proof::CaseReport,
};

/// The certificate as one HTML page that needs no other file.
pub fn page(certificate: &Certificate) -> String {
    let body = html! {
        (verdict(certificate))
        (findings(certificate))
        (bounds(certificate))
        (cases(&certificate.proof.cases))
        (layers(&certificate.layers))
        (facts(certificate))
        p.note { "This page shows what the certificate's JSON file says; that file is what counts, and what is signed." }
    };
    html_page(&format!("Certificate of {}", certificate.model.path), &body)
}

fn verdict(certificate: &Certificate) -> Markup {
    let cases = &certificate.proof.cases;
    // Beyond float32 there is no mask to agree on.
    let within = || cases.iter().filter(|case| !case.beyond_float32);
    let sum = |part: fn(&CaseReport) -> usize| within().map(part).sum::<usize>();
    let [pixels, flipped] = [sum(|case| case.mask.pixels), sum(|case| case.mask.flipped)];
    let worst = |part: fn(&CaseReport) -> Option<f64>| within().filter_map(part).fold(0.0, f64::max);
    let beyond = cases.len() - within().count();
    let shown = [
        Figure {
            name: "Identical pixels",
            value: format!("{:.4} %", 100.0 * (1.0 - flipped as f64 / pixels.max(1) as f64)),
            meaning: format!(
                "{flipped} of {pixels} have another class than in the exact mask; {} lie so near to a border between classes that rounding could flip them.",
                sum(|case| case.mask.could_flip)
            ),
        },
        Figure {
            name: "Largest error",
            value: scientific(worst(CaseReport::relative)),
            meaning: "of the output, relative to the scale of the exact one.".into(),
        },
        Figure {
            name: "Times training's",
            value: format!("{:.2}", worst(|case| case.times_trained)),
            meaning: "the root mean square error divided by that of the training framework in 32-bit floats, of the worst input.".into(),
        },
    ];
    let is = match certificate.holds {
        true => "is the trained network",
        false if certificate.proof.lacks_images() => "is not proven to be the trained network",
        false => "is not the trained network",
    };
    html! {
        header {
            p { "Certificate · " (certificate.environment.tool) }
            h1 { (certificate.model.path) }
            p.lead {
                "The model " strong { (is) } " on " (certificate.provider) " in " (certificate.precision) ", on "
                (count(cases.len(), "input")) "."
            }
            @if beyond > 0 {
                p.note {
                    "In " (beyond) " of them values inside are beyond what 32-bit floats hold. There the model may not hide it, and no more is asked: "
                    "these figures are of the others."
                }
            }
        }
        (figures(&shown))
    }
}

fn findings(certificate: &Certificate) -> Markup {
    let of_cases = certificate
        .proof
        .cases
        .iter()
        .flat_map(|case| case.findings.iter().map(move |finding| (case.name.as_str(), finding)));
    let of_file = certificate.proof.findings.iter().map(|finding| ("file", finding));
    let all: Vec<(&str, &Finding)> = of_file.chain(of_cases).collect();
    html! {
        @if !all.is_empty() {
            section {
                h2 { "What speaks against it" }
                ul { @for (case, finding) in all { li { strong { (case) } ": " (finding) } } }
                @if let Some(diagnosis) = &certificate.diagnosis {
                    p { strong { "To blame: " } (diagnosis) "." }
                }
            }
        }
    }
}

fn bounds(certificate: &Certificate) -> Markup {
    html! {
        section {
            h2 { "What was asked" }
            p {
                "Fixed beforehand: no output may be farther from the exact one than " (scientific(certificate.relative))
                " of their scale, and " (scientific(certificate.per_pixel)) " more for each pixel of the longer side"
                @if let Some(times) = certificate.times_trained {
                    ", nor, in the root mean square and beside a tenth of what the side allows, than " (times) " times as far as the training framework's, where an image does not repeat itself"
                }
                ": " (certificate.reason) ". The training framework itself may be off by " (scientific(certificate.trained_relative))
                " of the scale. A pixel may have another class than in the exact mask only where the exact outputs of the two classes are closer than two such errors. "
                "The exact outputs are those of the network's graph, before any rewrite, in 64-bit floats."
            }
            p {
                "Where the network amplifies rounding, so that the exact graph with each of its values rounded to 32 bits is off by more than "
                (ORDINARY) " roundings of the output, all of this is as many times as much; such inputs are marked."
            }
        }
    }
}

fn cases(cases: &[CaseReport]) -> Markup {
    let scored = cases.iter().any(|case| case.dice.is_some());
    html! {
        section {
            h2 { "Inputs" }
            div.wide { table {
                thead { tr {
                    th { "Input" } th.n { "Largest error" } th.n { "99.9 %" } th.n { "of scale" } th.n { "Largest ULP" } th.n { "Median ULP" }
                    th.n { "× training's" } th.n { "largest" } th.n { "Not finite" } th.n { "Batch" } th.n { "Flipped" } th.n { "Unexplained" } th.n { "Could flip" }
                    @if scored { th.n { "Dice, exact" } th.n { "Dice" } }
                } }
                tbody { @for case in cases {
                    @let figures = case.exported.as_ref();
                    tr {
                        th scope="row" {
                            (case.name)
                            @if case.beyond_float32 { " (beyond float32)" }
                            @if let Some(amplification) = case.amplification { " (rounding amplified " (format!("{amplification:.1}")) " times)" }
                            @if !case.findings.is_empty() { " " strong { "(fails)" } }
                        }
                        td.n { (optional(figures.map(|figures| scientific(figures.max)))) }
                        td.n { (optional(figures.map(|figures| scientific(figures.p999)))) }
                        td.n { (optional(case.relative().map(scientific))) }
                        td.n { (optional(figures.map(|figures| format!("{:.1}", figures.max_ulp)))) }
                        td.n { (optional(figures.map(|figures| format!("{:.2}", figures.median_ulp)))) }
                        td.n { (optional(case.times_trained.map(|times| format!("{times:.2}")))) }
                        td.n { (optional(case.largest_times_trained.map(|times| format!("{times:.2}")))) }
                        td.n { (optional(figures.map(|figures| figures.not_finite.to_string()))) }
                        td.n { (optional(case.batch.map(scientific))) }
                        td.n { (case.mask.flipped) } td.n { (case.mask.unexplained) } td.n { (case.mask.could_flip) }
                        @if scored {
                            td.n { (optional(case.dice.map(|dice| format!("{:.6}", dice.exact)))) }
                            td.n { (optional(case.dice.map(|dice| format!("{:.6}", dice.exported)))) }
                        }
                    }
                } }
            } }
        }
    }
}

fn layers(layers: &[Layer]) -> Markup {
    html! {
        @if !layers.is_empty() {
            section {
                h2 { "Inside of the model" }
                div.wide { table {
                    thead { tr {
                        th { "Value" } th { "Operator" } th.n { "of scale" } th.n { "Largest error" } th.n { "99.9 %" } th.n { "Largest ULP" }
                        th.n { "Median ULP" } th.n { "× training's" } th.n { "Largest magnitude" } th.n { "Fits 16 bits" }
                    } }
                    tbody { @for layer in layers {
                        tr {
                            th scope="row" { (layer.value) } td { (layer.operator) }
                            td.n { (scientific(layer.figures.relative())) } td.n { (scientific(layer.figures.max)) }
                            td.n { (scientific(layer.figures.p999)) }
                            td.n { (format!("{:.1}", layer.figures.max_ulp)) } td.n { (format!("{:.2}", layer.figures.median_ulp)) }
                            td.n { (optional(layer.times_trained.map(|times| format!("{times:.2}")))) }
                            td.n { (scientific(layer.magnitude)) } td.n { (if layer.fits_half { "yes" } else { "no" }) }
                        }
                    } }
                } }
            }
        }
    }
}

fn facts(certificate: &Certificate) -> Markup {
    let hash = |sha256: &str| html! { code { "sha256 " (sha256) } };
    let file = |file: &FileFacts| {
        html! { (file.path) @if let Some(tool) = &file.tool { ", written by " (tool) } br; (hash(&file.sha256)) }
    };
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
        ("On", html! { (environment.system) ", " (count(environment.processors, "processor")) }),
    ]);
    html! { section { h2 { "Of what, by what, on what" } (table::facts(&rows)) } }
}

fn scientific(value: f64) -> String {
    format!("{value:.1e}")
}

fn optional(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".into())
}
