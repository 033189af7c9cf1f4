//! The model card: what a model is, what it was made of and what is not known of it, for people to
//! read.
//!
//! Every fact comes from the model's own file; what the file does not say, the card says to be
//! unknown.

use std::fmt::Write;
use std::path::Path;

use seg_contract::{
    ColorOrder, Contract, Element, OutputKind, Provenance, Scores, SizePolicy, settings_without_digests,
};
use seg_onnx::Model;
use seg_onnx::graph::Graph;
use seg_text::terminal::Shown;
use seg_text::{markdown, shell};

const UNKNOWN: &str = "unknown";

/// Writes the card of a model as Markdown; `file` is the name of the model's file. All text that
/// the model's file brings is shown as it is, whatever it means in Markdown, HTML or a shell.
pub fn card(model: &Model, file: &Path) -> String {
    let mut text = String::new();
    write(&mut text, model, file).expect("a String takes any text");
    text
}

fn write(text: &mut String, Model { graph, opset, contract }: &Model, file: &Path) -> std::fmt::Result {
    let provenance = &contract.provenance;
    writeln!(text, "# {}: {}\n", known(&provenance.network), targets(contract))?;
    writeln!(text, "A segmentation model: it tells {} apart, pixel by pixel.\n", names(contract))?;

    writeln!(text, "## Intended use\n")?;
    writeln!(text, "- Images of the kind that it was trained on: {}.", known(&provenance.data))?;
    writeln!(
        text,
        "- Research. It is not a medical device, and no score here says that it is fit for clinical use.\n"
    )?;

    writeln!(text, "## Limits\n")?;
    writeln!(
        text,
        "- Other images (another device, another site, another preparation) were not measured; measure before use."
    )?;
    let (side, multiple) = (contract.input.side_min, contract.input.side_multiple);
    writeln!(text, "- Images have at least {side}x{side} pixels; smaller ones are extended by their border.")?;
    if multiple > 1 {
        writeln!(
            text,
            "- The network takes sides that are multiples of {multiple}; other images are mirrored to the right and below."
        )?;
    }
    if let Some([height, width]) = contract.input.form.size {
        writeln!(text, "- This file takes images of {height}x{width} (height x width) only.")?;
    }
    if contract.output.kind == OutputKind::Mask {
        writeln!(
            text,
            "- This file gives classes without probabilities: where the network fails, it shows background."
        )?;
    }
    writeln!(text, "- It knows no \"none of these\": every pixel is given one of the classes.")?;
    for assumption in &provenance.assumptions {
        writeln!(text, "- Assumed, because nobody said it: {}.", markdown::text(assumption))?;
    }

    writeln!(text, "\n## Data\n")?;
    table(
        text,
        ["what", "value"],
        &[
            ["trained on".into(), known(&provenance.data)],
            ["SHA-256 of the samples".into(), code(&provenance.data_sha256)],
            [
                "images that chose the epoch".into(),
                provenance.validation.as_ref().map_or(UNKNOWN.into(), |scores| scores.images.to_string()),
            ],
        ],
    )?;

    writeln!(text, "\n## Metrics\n")?;
    match &provenance.validation {
        Some(scores) => metrics(text, scores)?,
        None if provenance.score.is_empty() => writeln!(text, "They are unknown: the weights came without any.")?,
        None => writeln!(text, "{}; no more is known.", markdown::text(&provenance.score))?,
    }

    writeln!(text, "\n## The model\n")?;
    table(text, ["what", "value"], &facts(graph, *opset, contract, file))?;

    writeln!(text, "\n## How to run it\n")?;
    let word = shell::path(file);
    writeln!(text, "```sh\nseg infer --model {word} --out predictions images/\nseg inspect {word}\n```\n")?;
    writeln!(text, "In another program: {}\n", recipe(contract))?;

    writeln!(text, "## Training\n")?;
    training(text, provenance)
}

fn metrics(text: &mut String, scores: &Scores) -> std::fmt::Result {
    writeln!(
        text,
        "On {} validation images, which were not learned from but chose the epoch, so a test on others may be lower.\n",
        scores.images
    )?;
    let mut rows = vec![
        [
            "Dice per image, mean over images of the mean over the classes without the background".into(),
            score(scores.dice_per_image),
        ],
        ["mean IoU, pooled over all images, background included".into(), score(scores.mean_iou_pooled)],
        ["accuracy, pooled: the share of pixels whose class was found".into(), score(scores.accuracy_pooled)],
    ];
    for (class, dice) in &scores.dice_pooled {
        rows.push([format!("Dice of {}, pooled: `2 tp / (2 tp + fp + fn)`", markdown::text(class)), score(*dice)]);
    }
    for (class, iou) in &scores.iou_pooled {
        rows.push([format!("IoU of {}, pooled: `tp / (tp + fp + fn)`", markdown::text(class)), score(*iou)]);
    }
    table(text, ["metric", "value"], &rows)?;
    writeln!(text, "\nPixels that the data set marks as not counting are in none of them.")
}

fn facts(graph: &Graph, opset: seg_onnx::Opset, contract: &Contract, file: &Path) -> Vec<[String; 2]> {
    let provenance = &contract.provenance;
    let mut rows = vec![
        [
            "file".into(),
            format!("{}, ONNX opset {opset}, {} operators", code(&file.shown().to_string()), graph.nodes.len()),
        ],
        [
            "network".into(),
            [known(&provenance.network), markdown::text(&provenance.configuration)].join(" ").trim().to_owned(),
        ],
        [
            "precision".into(),
            if provenance.precision.is_empty() { "float32".into() } else { markdown::text(&provenance.precision) },
        ],
        ["SHA-256 of the weights".into(), code(&provenance.weights_sha256)],
        ["epoch".into(), provenance.epoch.map_or(UNKNOWN.into(), |epoch| epoch.to_string())],
        ["written by".into(), known(&provenance.tool)],
    ];
    rows.extend(
        graph.inputs.iter().map(|input| ["input".into(), format!("{}: `{}`", code(&input.name), input.tensor_type)]),
    );
    let outputs = graph.outputs.iter().filter_map(|output| Some((output, graph.tensor_type(output)?)));
    rows.extend(outputs.map(|(name, tensor_type)| ["output".into(), format!("{}: `{tensor_type}`", code(name))]));
    rows
}

/// Returns instructions to make the input and to read the output, in a sentence or two.
fn recipe(Contract { input, output, .. }: &Contract) -> String {
    let order = match input.color {
        ColorOrder::Rgb => "red, green, blue",
        ColorOrder::Bgr => "blue, green, red",
        ColorOrder::Gray => "one luma channel (ITU-R BT.709)",
    };
    let pixels = match input.form.element {
        Element::U8 => format!("bytes 0 to 255, channels last, in the order {order}; the graph normalises them itself"),
        Element::Float => format!(
            "float32, channels first, in the order {order}, each `(x/255 - mean)/std` with the mean {:?} and the standard \
             deviation {:?}",
            input.mean, input.std
        ),
    };
    let size = match (input.size, input.reading.resample) {
        (SizePolicy::Native, Some(spacing)) => format!("resampled to {spacing} mm a pixel"),
        (SizePolicy::Native, None) => "at the image's own size".to_owned(),
        (SizePolicy::Resize { height, width }, _) => format!("stretched to {height}x{width} (height x width)"),
    };
    let answer = match output.kind {
        OutputKind::Logits => "a score for each class; the largest one is the pixel's class, the lowest index on a tie",
        OutputKind::Probabilities => "the probability of each class; the largest one is the pixel's class",
        OutputKind::Mask => "the index of each pixel's class",
    };
    format!("the input {} is {pixels}, {size}. The output {} is {answer}.", code(&input.name), code(&output.name))
}

fn training(text: &mut String, provenance: &Provenance) -> std::fmt::Result {
    if provenance.training.is_empty() {
        return writeln!(text, "How the weights were trained is unknown.");
    }
    let settings =
        serde_json::to_string_pretty(&settings_without_digests(&provenance.training)).map_err(|_| std::fmt::Error)?;
    writeln!(text, "```json\n{settings}\n```")
}

fn table(text: &mut String, head: [&str; 2], rows: &[[String; 2]]) -> std::fmt::Result {
    writeln!(text, "| {} | {} |\n|---|---|", head[0], head[1])?;
    rows.iter().try_for_each(|[what, value]| writeln!(text, "| {what} | {value} |"))
}

fn known(fact: &str) -> String {
    if fact.is_empty() { UNKNOWN.into() } else { markdown::text(fact) }
}

fn code(fact: &str) -> String {
    if fact.is_empty() { UNKNOWN.into() } else { markdown::code(fact) }
}

fn score(value: f64) -> String {
    format!("{value:.4}")
}

fn names(contract: &Contract) -> String {
    let names: Vec<_> = contract.classes.iter().map(|class| markdown::text(&class.name)).collect();
    names.join(", ")
}

fn targets(contract: &Contract) -> String {
    let names: Vec<_> = contract.classes.iter().skip(1).map(|class| markdown::text(&class.name)).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use burn::tensor::Device;
    use seg_nets::amsunet::AmsUnetConfig;
    use seg_nets::checkpoint::Checkpoint;
    use seg_nets::weights::Weights;

    use super::*;
    use crate::{Options, export};

    fn model(options: &Options) -> Model {
        let weights = Weights::from_network(&AmsUnetConfig::new().with_base_width(4).init(&Device::flex()));
        export(&Checkpoint { path: "net.safetensors".into(), weights, contract: None }, options).unwrap().model
    }

    #[test]
    fn what_is_not_known_is_said_to_be_unknown() {
        let text = card(&model(&Options::default()), Path::new("net.onnx"));
        for line in [
            "| trained on | unknown |",
            "| SHA-256 of the samples | unknown |",
            "They are unknown: the weights came without any.",
            "- Assumed, because nobody said it: the mean of the images is assumed to be 0.",
            "How the weights were trained is unknown.",
            "seg infer --model net.onnx --out predictions images/",
        ] {
            assert!(text.lines().any(|found| found == line), "`{line}` in:\n{text}");
        }
    }

    #[test]
    fn text_is_shown_as_it_is_and_becomes_no_markup() {
        let mut model = model(&Options::default());
        model.contract.classes[1].name = "t\" <img src=x onerror=alert(1)> | `x`".into();
        let provenance = &mut model.contract.provenance;
        provenance.network = "<b>".into();
        provenance.configuration = "a | b".into();
        provenance.tool = "[tool](http://x)".into();
        provenance.data = "# heading <script>alert(1)</script> |a|b|".into();
        provenance.score = "- <i>".into();
        provenance.precision = "`p`".into();
        provenance.weights_sha256 = "a`b|c".into();
        provenance.assumptions = vec!["</details><script>".into()];
        provenance.training.insert("```".into(), "</code>\n```\n# x".into());
        let text = card(&model, Path::new("my net's <v1>.onnx"));
        for line in [
            r#"# &lt;b&gt;: t" &lt;img src=x onerror=alert(1)&gt; \| \`x\`"#,
            r"- Images of the kind that it was trained on: \# heading &lt;script&gt;alert(1)&lt;/script&gt; \|a\|b\|.",
            r"| trained on | \# heading &lt;script&gt;alert(1)&lt;/script&gt; \|a\|b\| |",
            r"\- &lt;i&gt;; no more is known.",
            r"| network | &lt;b&gt; a \| b |",
            r"| written by | \[tool\](http://x) |",
            r"| precision | \`p\` |",
            r"| SHA-256 of the weights | `` a`b\|c `` |",
            "- Assumed, because nobody said it: &lt;/details&gt;&lt;script&gt;.",
            r"seg inspect 'my net'\''s <v1>.onnx'",
        ] {
            assert!(text.lines().any(|found| found == line), "`{line}` in:\n{text}");
        }
        // Within blocks of code nothing is markup, and none of them ends before its end.
        assert_eq!(text.lines().filter(|line| line.trim_start().starts_with("```")).count(), 4, "{text}");
        let prose: String = text.split("```").step_by(2).collect();
        assert!(!prose.contains("<img") && !prose.contains("<script") && !prose.contains("<i>"), "{text}");
    }

    #[test]
    fn what_is_known_is_told() {
        let mut model = model(&Options { output: OutputKind::Mask, ..Options::default() });
        let by_class = BTreeMap::from([("background".to_owned(), 0.97), ("target".to_owned(), 0.8125)]);
        let scores = Scores {
            images: 4,
            dice_per_image: 0.8,
            dice_pooled: by_class.clone(),
            iou_pooled: by_class,
            mean_iou_pooled: 0.85,
            accuracy_pooled: 0.95,
        };
        let provenance = &mut model.contract.provenance;
        provenance.data = "DRIVE | v1, 16 training images".into();
        provenance.data_sha256 = "8b68".into();
        provenance.validation = Some(scores);
        provenance.training.insert("epochs".into(), 300.into());
        let text = card(&model, Path::new("net.onnx"));
        for part in [
            "# amsunet: target\n",
            "| trained on | DRIVE \\| v1, 16 training images |",
            "| SHA-256 of the samples | `8b68` |",
            "| Dice of target, pooled: `2 tp / (2 tp + fp + fn)` | 0.8125 |",
            "On 4 validation images",
            "\"epochs\": 300",
            "- This file gives classes without probabilities",
            "The output `mask` is the index of each pixel's class.",
            "| output | `mask`: `u8[batch, height, width]` |",
        ] {
            assert!(text.contains(part), "`{part}` in:\n{text}");
        }
        assert!(!text.contains(UNKNOWN) || text.contains("| epoch | unknown |"), "{text}");
    }
}
