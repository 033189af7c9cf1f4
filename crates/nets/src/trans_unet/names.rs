//! The names that published checkpoints give to TransUNet's parameters.

use crate::names::PublishedNames;

/// The names in checkpoints of the authors' code (Beckschen, `TransUNet`).
pub(crate) const PUBLISHED: PublishedNames = PublishedNames {
    marks: &[
        "transformer.embeddings.hybrid_model.root.conv.weight",
        "transformer.encoder.encoder_norm.weight",
        "decoder.conv_more.0.weight",
    ],
    roots: &["transformer", "decoder", "segmentation_head"],
    name,
};

/// The modules of a [`Unit`](super::Unit): our name, the published one.
const UNIT: [(&str, &str); 8] = [
    ("conv1", "conv1"),
    ("norm1", "gn1"),
    ("conv2", "conv2"),
    ("norm2", "gn2"),
    ("conv3", "conv3"),
    ("norm3", "gn3"),
    ("shortcut.conv", "downsample"),
    ("shortcut.norm", "gn_proj"),
];

/// The modules of a [`Layer`](super::Layer): our name, the published one.
const LAYER: [(&str, &str); 8] = [
    ("norm1", "attention_norm"),
    ("attention.query", "attn.query"),
    ("attention.key", "attn.key"),
    ("attention.value", "attn.value"),
    ("attention.out", "attn.out"),
    ("norm2", "ffn_norm"),
    ("mlp.expand", "ffn.fc1"),
    ("mlp.project", "ffn.fc2"),
];

/// The modules of a step of the decoder: our name, the published one.
const UP: [(&str, &str); 4] =
    [("conv.conv1", "conv1.0"), ("conv.norm1", "conv1.1"), ("conv.conv2", "conv2.0"), ("conv.norm2", "conv2.1")];

/// The modules that are there once: our path, the published one.
const OTHERS: [(&str, &str); 7] = [
    ("root.conv", "transformer.embeddings.hybrid_model.root.conv"),
    ("root.norm", "transformer.embeddings.hybrid_model.root.gn"),
    ("embedding.conv", "transformer.embeddings.patch_embeddings"),
    ("encoder.norm", "transformer.encoder.encoder_norm"),
    ("more.conv", "decoder.conv_more.0"),
    ("more.norm", "decoder.conv_more.1"),
    ("head", "segmentation_head.0"),
];

/// Returns the published name of the parameter at a path, which ends in the parameter's own name.
fn name(path: &str) -> Option<String> {
    if path == "embedding.position" {
        return Some("transformer.embeddings.position_embeddings".into());
    }
    let (module, parameter) = path.rsplit_once('.')?;
    let find = |modules: &[(&str, &'static str)], module: &str| {
        modules.iter().find(|(ours, _)| *ours == module).map(|(_, theirs)| *theirs)
    };
    if let Some(theirs) = find(&OTHERS, module) {
        return Some(format!("{theirs}.{parameter}"));
    }
    let (stage, rest) = module.split_once('.')?;
    if let Some(number) = stage.strip_prefix("block") {
        let (index, part) = rest.strip_prefix("units.")?.split_once('.')?;
        // Units are counted from 1.
        let unit = index.parse::<usize>().ok()?.checked_add(1)?;
        let part = find(&UNIT, part)?;
        return Some(format!("transformer.embeddings.hybrid_model.body.block{number}.unit{unit}.{part}.{parameter}"));
    }
    if stage == "encoder" {
        let (index, part) = rest.strip_prefix("layers.")?.split_once('.')?;
        return Some(format!("transformer.encoder.layer.{index}.{}.{parameter}", find(&LAYER, part)?));
    }
    let number = stage.strip_prefix("up")?;
    // Ours are counted from 1, theirs from 0.
    let index = number.parse::<usize>().ok()?.checked_sub(1)?;
    Some(format!("decoder.blocks.{index}.{}.{parameter}", find(&UP, rest)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_their_published_names() {
        let body = "transformer.embeddings.hybrid_model.body";
        for (path, name) in [
            ("root.norm.weight", "transformer.embeddings.hybrid_model.root.gn.weight".to_owned()),
            ("block2.units.0.shortcut.norm.bias", format!("{body}.block2.unit1.gn_proj.bias")),
            ("block3.units.8.conv2.weight", format!("{body}.block3.unit9.conv2.weight")),
            ("embedding.position", "transformer.embeddings.position_embeddings".into()),
            ("encoder.layers.11.attention.query.weight", "transformer.encoder.layer.11.attn.query.weight".into()),
            ("encoder.layers.0.mlp.project.bias", "transformer.encoder.layer.0.ffn.fc2.bias".into()),
            ("encoder.norm.bias", "transformer.encoder.encoder_norm.bias".into()),
            ("more.norm.running_var", "decoder.conv_more.1.running_var".into()),
            ("up4.conv.conv2.weight", "decoder.blocks.3.conv2.0.weight".into()),
            ("head.bias", "segmentation_head.0.bias".into()),
        ] {
            assert_eq!((PUBLISHED.name)(path), Some(name), "{path}");
        }
        for path in ["weight", "up0.conv.conv1.weight", "block1.units.x.conv1.weight", "encoder.layers.0.weight"] {
            assert_eq!((PUBLISHED.name)(path), None, "{path}");
        }
    }
}
