//! The names that published checkpoints give to ConvUNeXt's parameters.

use crate::names::{PublishedNames, Renaming, rename};

/// The names in checkpoints of the authors' code (1914669687, `ConvUNeXt`).
pub(crate) const PUBLISHED: PublishedNames = PublishedNames {
    // AMSUnet's files have the first one too.
    marks: &["in_conv.0.weight", "in_conv.3.dwconv.weight", "up1.gate.weight"],
    roots: &["in_conv", "down", "up", "out_conv"],
    name: |path| rename(path, &RENAMINGS),
};

const RENAMINGS: [Renaming; 13] = [
    Renaming::new("in_conv", "conv", "0", &[]),
    Renaming::new("in_conv", "norm", "1", &[]),
    Renaming::new("in_conv", "block", "3", &BLOCK),
    Renaming::new("down", "norm", "0", &[]),
    Renaming::new("down", "conv", "1", &[]),
    Renaming::new("down", "blocks.0", "2", &BLOCK),
    Renaming::new("down", "blocks.1", "3", &BLOCK),
    Renaming::new("down", "blocks.2", "4", &BLOCK),
    Renaming::new("up", "norm", "norm", &[]),
    Renaming::new("up", "gate", "", &GATE),
    Renaming::new("up", "conv", "conv1x1", &[]),
    Renaming::new("up", "block", "conv.0", &BLOCK),
    Renaming::new("out_conv", "", "0", &[]),
];

/// The modules of a [`Gate`](super::Gate), which have their published names.
const GATE: [(&str, &str); 3] = [("gate", "gate"), ("linear1", "linear1"), ("linear2", "linear2")];

/// The modules of a [`Block`](super::Block): our name, the published one.
const BLOCK: [(&str, &str); 5] =
    [("conv", "dwconv"), ("norm1", "norm1"), ("expand", "pwconv1"), ("project", "pwconv2"), ("norm2", "norm2")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_their_published_names() {
        for (path, name) in [
            ("in_conv.conv.weight", "in_conv.0.weight"),
            ("in_conv.norm.running_var", "in_conv.1.running_var"),
            ("in_conv.block.expand.bias", "in_conv.3.pwconv1.bias"),
            ("down3.norm.weight", "down3.0.weight"),
            ("down3.blocks.2.conv.weight", "down3.4.dwconv.weight"),
            ("up2.gate.gate.weight", "up2.gate.weight"),
            ("up2.gate.linear1.bias", "up2.linear1.bias"),
            ("up2.conv.weight", "up2.conv1x1.weight"),
            ("up4.block.norm2.weight", "up4.conv.0.norm2.weight"),
            ("out_conv.bias", "out_conv.0.bias"),
        ] {
            assert_eq!((PUBLISHED.name)(path).as_deref(), Some(name), "{path}");
        }
        for path in ["weight", "up1.gate.gate1.starts", "down.x", "down1.amse.norm1.weight", "up1.block.weight"] {
            assert_eq!((PUBLISHED.name)(path), None, "{path}");
        }
    }
}
