//! The names that published checkpoints give to Attention U-Net's parameters.

use crate::names::{PublishedNames, Renaming, rename};

/// The names in checkpoints of the public PyTorch code (LeeJunHyun, `Image_Segmentation`).
pub(crate) const PUBLISHED: PublishedNames = PublishedNames {
    marks: &["Conv1.conv.0.weight", "Att5.psi.0.weight", "Up_conv2.conv.0.weight"],
    roots: &["Conv", "Up", "Att", "Up_conv", "Conv_1x1"],
    name,
};

const RENAMINGS: [Renaming; 6] = [
    Renaming::new("conv", "conv", "conv", &DOUBLE_CONV),
    Renaming::new("conv", "", "conv", &DOUBLE_CONV),
    Renaming::new("up", "", "up", &[("conv", "1"), ("norm", "2")]),
    Renaming::new(
        "att",
        "",
        "",
        &[
            ("deep", "W_g.0"),
            ("deep_norm", "W_g.1"),
            ("skip", "W_x.0"),
            ("skip_norm", "W_x.1"),
            ("weigh", "psi.0"),
            ("weigh_norm", "psi.1"),
        ],
    ),
    Renaming::new("up_conv", "", "conv", &DOUBLE_CONV),
    Renaming::new("conv_1x1", "", "", &[]),
];

/// The modules of a [`DoubleConv`](crate::blocks::DoubleConv): our name, the published one.
const DOUBLE_CONV: [(&str, &str); 4] = [("conv1", "0"), ("norm1", "1"), ("conv2", "3"), ("norm2", "4")];

/// The published stages are ours with a capital letter.
fn name(path: &str) -> Option<String> {
    let name = rename(path, &RENAMINGS)?;
    let (first, rest) = name.split_at_checked(1)?;
    Some(first.to_ascii_uppercase() + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_their_published_names() {
        for (path, name) in [
            ("conv1.conv1.weight", "Conv1.conv.0.weight"),
            ("conv3.conv.norm2.running_var", "Conv3.conv.4.running_var"),
            ("up5.conv.bias", "Up5.up.1.bias"),
            ("att2.weigh_norm.weight", "Att2.psi.1.weight"),
            ("att2.deep.weight", "Att2.W_g.0.weight"),
            ("up_conv4.conv2.weight", "Up_conv4.conv.3.weight"),
            ("conv_1x1.bias", "Conv_1x1.bias"),
        ] {
            assert_eq!((PUBLISHED.name)(path).as_deref(), Some(name), "{path}");
        }
        for path in ["weight", "down.x", "up1.amse.weight"] {
            assert_eq!((PUBLISHED.name)(path), None, "{path}");
        }
    }
}
