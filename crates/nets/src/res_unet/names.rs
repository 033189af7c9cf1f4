//! The names that PyTorch checkpoints give to ResUNet's parameters.

use crate::names::{PublishedNames, Renaming, rename};

/// The names in PyTorch: U-Net's public code with residual blocks.
pub(crate) const PUBLISHED: PublishedNames = PublishedNames {
    marks: &["in_conv.conv1.weight", "in_conv.conv2.weight", "up1.conv.conv2.weight"],
    roots: &["in_conv", "down", "up", "out_conv"],
    name: |path| rename(path, &RENAMINGS),
};

const RENAMINGS: [Renaming; 4] = [
    Renaming::new("in_conv", "", "", &RESIDUAL),
    Renaming::new("down", "conv", "1", &RESIDUAL),
    Renaming::new("up", "conv", "conv", &RESIDUAL),
    Renaming::new("out_conv", "", "0", &[]),
];

/// The modules of a [`Residual`](super::Residual): our name, the published one.
const RESIDUAL: [(&str, &str); 6] = [
    ("conv1", "conv1"),
    ("norm1", "bn1"),
    ("conv2", "conv2"),
    ("norm2", "bn2"),
    ("shortcut.conv", "shortcut.0"),
    ("shortcut.norm", "shortcut.1"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_their_published_names() {
        for (path, name) in [
            ("in_conv.conv1.weight", "in_conv.conv1.weight"),
            ("in_conv.shortcut.norm.running_var", "in_conv.shortcut.1.running_var"),
            ("down3.conv.conv2.weight", "down3.1.conv2.weight"),
            ("up2.conv.norm1.bias", "up2.conv.bn1.bias"),
            ("up2.conv.shortcut.conv.weight", "up2.conv.shortcut.0.weight"),
            ("out_conv.bias", "out_conv.0.bias"),
        ] {
            assert_eq!((PUBLISHED.name)(path).as_deref(), Some(name), "{path}");
        }
        for path in ["weight", "down.x", "down1.amse.norm1.weight", "up1.conv.weight"] {
            assert_eq!((PUBLISHED.name)(path), None, "{path}");
        }
    }
}
