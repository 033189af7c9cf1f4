//! The names that published checkpoints give to SegNeXt's parameters.

use crate::names::PublishedNames;

/// The names in checkpoints of the authors' code (Visual-Attention-Network, `SegNeXt`).
pub(crate) const PUBLISHED: PublishedNames = PublishedNames {
    marks: &["backbone.patch_embed1.proj.0.weight", "decode_head.hamburger.ham_in.conv.weight"],
    roots: &["backbone", "decode_head"],
    name,
};

/// The modules of the head by our path and the published one below `decode_head`.
const HEAD: [(&str, &str); 9] = [
    ("squeeze.layer.conv", "squeeze.conv"),
    ("squeeze.layer.norm", "squeeze.gn"),
    ("hamburger.conv", "hamburger.ham_in.conv"),
    ("hamburger.factors", "hamburger.ham"),
    ("hamburger.out.conv", "hamburger.ham_out.conv"),
    ("hamburger.out.norm", "hamburger.ham_out.gn"),
    ("align.conv", "align.conv"),
    ("align.norm", "align.gn"),
    ("head", "conv_seg"),
];

/// The modules of an embedding, of the first stage and of a later one.
const EMBED: [(&str, &str); 6] = [
    ("conv1", "proj.0"),
    ("norm1", "proj.1"),
    ("conv2", "proj.3"),
    ("norm2", "proj.4"),
    ("conv", "proj"),
    ("norm", "norm"),
];

/// The modules of a [`Block`](super::Block).
const BLOCK: [(&str, &str); 14] = [
    ("norm1", "norm1"),
    ("norm2", "norm2"),
    ("attention.conv1", "attn.proj_1"),
    ("attention.local", "attn.spatial_gating_unit.conv0"),
    ("attention.strip_7.horizontal", "attn.spatial_gating_unit.conv0_1"),
    ("attention.strip_7.vertical", "attn.spatial_gating_unit.conv0_2"),
    ("attention.strip_11.horizontal", "attn.spatial_gating_unit.conv1_1"),
    ("attention.strip_11.vertical", "attn.spatial_gating_unit.conv1_2"),
    ("attention.strip_21.horizontal", "attn.spatial_gating_unit.conv2_1"),
    ("attention.strip_21.vertical", "attn.spatial_gating_unit.conv2_2"),
    ("attention.mix", "attn.spatial_gating_unit.conv3"),
    ("attention.conv2", "attn.proj_2"),
    ("feed_forward.expand", "mlp.fc1"),
    ("feed_forward.project", "mlp.fc2"),
];

/// The depthwise convolution of a block's feed-forward part.
const LOCAL: (&str, &str) = ("feed_forward.local", "mlp.dwconv.dwconv");

/// The factors of a block, which are parameters of its own.
const SCALES: [(&str, &str); 2] = [("scale1", "layer_scale_1"), ("scale2", "layer_scale_2")];

/// Returns the published name of the parameter at a path, which ends in the parameter's own name.
fn name(path: &str) -> Option<String> {
    let (module, parameter) = path.rsplit_once('.')?;
    if let Some((_, theirs)) = HEAD.iter().find(|(ours, _)| *ours == module) {
        return Some(format!("decode_head.{theirs}.{parameter}"));
    }
    let (number, rest) = path.strip_prefix("stage")?.split_once('.')?;
    if let Some(part) = rest.strip_prefix("embed.") {
        let (module, parameter) = part.rsplit_once('.')?;
        let (_, theirs) = EMBED.iter().find(|(ours, _)| *ours == module)?;
        return Some(format!("backbone.patch_embed{number}.{theirs}.{parameter}"));
    }
    let rest = rest.strip_prefix("trunk.")?;
    if let Some(parameter) = rest.strip_prefix("norm.") {
        return Some(format!("backbone.norm{number}.{parameter}"));
    }
    let (index, part) = rest.strip_prefix("blocks.")?.split_once('.')?;
    let block = format!("backbone.block{number}.{index}");
    if let Some((_, theirs)) = SCALES.iter().find(|(ours, _)| *ours == part) {
        return Some(format!("{block}.{theirs}"));
    }
    let (module, parameter) = part.rsplit_once('.')?;
    let (_, theirs) = BLOCK.iter().chain([&LOCAL]).find(|(ours, _)| *ours == module)?;
    Some(format!("{block}.{theirs}.{parameter}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_their_published_names() {
        for (path, name) in [
            ("stage1.embed.conv2.weight", "backbone.patch_embed1.proj.3.weight"),
            ("stage1.embed.norm1.running_var", "backbone.patch_embed1.proj.1.running_var"),
            ("stage3.embed.conv.bias", "backbone.patch_embed3.proj.bias"),
            ("stage3.embed.norm.bias", "backbone.patch_embed3.norm.bias"),
            ("stage2.trunk.norm.weight", "backbone.norm2.weight"),
            ("stage4.trunk.blocks.1.scale2", "backbone.block4.1.layer_scale_2"),
            ("stage4.trunk.blocks.1.norm2.bias", "backbone.block4.1.norm2.bias"),
            (
                "stage1.trunk.blocks.0.attention.strip_11.vertical.weight",
                "backbone.block1.0.attn.spatial_gating_unit.conv1_2.weight",
            ),
            ("stage1.trunk.blocks.0.feed_forward.local.weight", "backbone.block1.0.mlp.dwconv.dwconv.weight"),
            ("squeeze.layer.norm.bias", "decode_head.squeeze.gn.bias"),
            ("hamburger.factors.bases", "decode_head.hamburger.ham.bases"),
            ("hamburger.out.conv.weight", "decode_head.hamburger.ham_out.conv.weight"),
            ("head.bias", "decode_head.conv_seg.bias"),
        ] {
            assert_eq!((PUBLISHED.name)(path).as_deref(), Some(name), "{path}");
        }
        for path in ["weight", "stage.x", "stage1.trunk.blocks.0.gate.weight", "squeeze.gate.weight", "down1.conv.bias"]
        {
            assert_eq!((PUBLISHED.name)(path), None, "{path}");
        }
    }
}
