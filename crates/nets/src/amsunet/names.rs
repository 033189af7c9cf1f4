//! The names that the authors' checkpoints give to AMSUnet's parameters.

use crate::names::{PublishedNames, Renaming, rename};

/// The names in the authors' checkpoints.
pub(crate) const PUBLISHED: PublishedNames = PublishedNames {
    marks: &["in_conv.0.weight"],
    roots: &["in_conv", "down", "up", "out_conv"],
    name: |path| rename(path, &RENAMINGS),
};

const RENAMINGS: [Renaming; 16] = [
    Renaming::new("in_conv", "conv", "0", &[]),
    Renaming::new("in_conv", "norm", "1", &[]),
    Renaming::new("in_conv", "amse", "3", &AMSE),
    Renaming::new("down", "norm", "0", &[]),
    Renaming::new("down", "conv", "1", &[]),
    Renaming::new("down", "amse", "2", &AMSE),
    Renaming::new("up", "norm", "norm", &[]),
    Renaming::new("up", "rsc.spatial", "satt.squeeze", &[]),
    Renaming::new("up", "rsc.reduce", "catt.conv1", &[]),
    Renaming::new("up", "rsc.restore", "catt.conv2", &[]),
    Renaming::new("up", "se", "skip", &[("reduce", "fc1"), ("restore", "fc2")]),
    Renaming::new("up", "cbam", "skip", &[("reduce", "fc1"), ("restore", "fc2"), ("spatial", "conv"), ("norm", "bn")]),
    Renaming::new("up", "scse", "skip", &[("reduce", "fc1"), ("restore", "fc2"), ("spatial", "squeeze")]),
    Renaming::new("up", "conv", "conv1x1", &[]),
    Renaming::new("up", "amse", "conv.0", &AMSE),
    Renaming::new("out_conv", "", "0", &[]),
];

/// The parts of an AMSE block: our path, the published one.
const AMSE: [(&str, &str); 16] = [
    ("norm1", "bn1"),
    ("attention.conv1", "attn.conv1"),
    ("attention.ams.local", "attn.ams.conv"),
    ("attention.ams.atrous", "attn.ams.conv0"),
    ("attention.ams.strip_5.horizontal", "attn.ams.conv0_1"),
    ("attention.ams.strip_5.vertical", "attn.ams.conv0_2"),
    ("attention.ams.strip_7.horizontal", "attn.ams.conv1_1"),
    ("attention.ams.strip_7.vertical", "attn.ams.conv1_2"),
    ("attention.ams.strip_11.horizontal", "attn.ams.conv2_1"),
    ("attention.ams.strip_11.vertical", "attn.ams.conv2_2"),
    ("attention.ams.mix", "attn.ams.conv3"),
    ("attention.conv2", "attn.conv2"),
    ("norm2", "bn2"),
    ("ffn.expand", "ffn.conv1"),
    ("ffn.local", "ffn.conv2"),
    ("ffn.project", "ffn.conv3"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_their_published_names() {
        for (path, name) in [
            ("in_conv.conv.weight", "in_conv.0.weight"),
            ("in_conv.norm.running_var", "in_conv.1.running_var"),
            ("in_conv.amse.ffn.project.bias", "in_conv.3.ffn.conv3.bias"),
            ("down3.norm.running_mean", "down3.0.running_mean"),
            ("down4.amse.attention.ams.strip_5.vertical.weight", "down4.2.attn.ams.conv0_2.weight"),
            ("down1.amse.attention.ams.atrous.bias", "down1.2.attn.ams.conv0.bias"),
            ("down1.amse.attention.ams.local.bias", "down1.2.attn.ams.conv.bias"),
            ("up1.rsc.spatial.weight", "up1.satt.squeeze.weight"),
            ("up3.se.restore.weight", "up3.skip.fc2.weight"),
            ("up3.cbam.norm.running_var", "up3.skip.bn.running_var"),
            ("up3.scse.spatial.bias", "up3.skip.squeeze.bias"),
            ("up2.conv.weight", "up2.conv1x1.weight"),
            ("up4.amse.norm2.weight", "up4.conv.0.bn2.weight"),
            ("out_conv.bias", "out_conv.0.bias"),
        ] {
            assert_eq!((PUBLISHED.name)(path).as_deref(), Some(name), "{path}");
        }
        for path in ["weight", "down.x", "encoder.conv.weight", "up1.amse.gate.weight"] {
            assert_eq!((PUBLISHED.name)(path), None, "{path}");
        }
    }
}
