//! The names that published checkpoints give to U-Net's parameters.

use crate::names::{PublishedNames, Renaming, rename};

/// The names in checkpoints of the public PyTorch code (WZMIAOMIAO, `pytorch_segmentation/unet`).
pub(crate) const PUBLISHED: PublishedNames = PublishedNames {
    // AMSUnet's files have the first one too.
    marks: &["in_conv.0.weight", "in_conv.4.weight"],
    roots: &["in_conv", "down", "up", "out_conv"],
    name: |path| rename(path, &RENAMINGS),
};

const RENAMINGS: [Renaming; 4] = [
    Renaming::new("in_conv", "", "", &DOUBLE_CONV),
    Renaming::new("down", "conv", "1", &DOUBLE_CONV),
    Renaming::new("up", "conv", "conv", &DOUBLE_CONV),
    Renaming::new("out_conv", "", "0", &[]),
];

/// The modules of a [`DoubleConv`](crate::blocks::DoubleConv): our name, the published one.
const DOUBLE_CONV: [(&str, &str); 4] = [("conv1", "0"), ("norm1", "1"), ("conv2", "3"), ("norm2", "4")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_their_published_names() {
        for (path, name) in [
            ("in_conv.conv1.weight", "in_conv.0.weight"),
            ("in_conv.norm2.running_var", "in_conv.4.running_var"),
            ("down3.conv.conv2.weight", "down3.1.3.weight"),
            ("up2.conv.norm1.bias", "up2.conv.1.bias"),
            ("out_conv.bias", "out_conv.0.bias"),
        ] {
            assert_eq!((PUBLISHED.name)(path).as_deref(), Some(name), "{path}");
        }
        for path in ["weight", "down.x", "down1.amse.norm1.weight", "up1.conv.weight"] {
            assert_eq!((PUBLISHED.name)(path), None, "{path}");
        }
    }
}
