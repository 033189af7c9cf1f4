//! The names that published checkpoints give to the parameters of ResUNet.

use crate::names::{PublishedNames, Renaming, rename};

/// The names in checkpoints of the public PyTorch code (rishikksh20, `ResUnet`).
pub(crate) const PUBLISHED: PublishedNames = PublishedNames {
    marks: &["input_layer.0.weight", "input_skip.0.weight", "bridge.conv_block.2.weight"],
    roots: &["input_layer", "input_skip", "residual_conv_", "bridge", "upsample_", "up_residual_conv", "output_layer"],
    name,
};

const RENAMINGS: [Renaming; 5] = [
    Renaming::new("residual_conv_", "", "", &RESIDUAL),
    Renaming::new("bridge", "", "", &RESIDUAL),
    Renaming::new("upsample_", "", "upsample", &[]),
    Renaming::new("up_residual_conv", "", "", &RESIDUAL),
    Renaming::new("output_layer", "", "0", &[]),
];

/// The modules of a [`Residual`](super::Residual): our name, the published one.
const RESIDUAL: [(&str, &str); 6] = [
    ("norm1", "conv_block.0"),
    ("conv1", "conv_block.2"),
    ("norm2", "conv_block.3"),
    ("conv2", "conv_block.5"),
    ("skip", "conv_skip.0"),
    ("skip_norm", "conv_skip.1"),
];

/// The modules of an [`Input`](super::Input), which the public code keeps apart.
const INPUT: [(&str, &str); 4] =
    [("conv1", "input_layer.0"), ("norm", "input_layer.1"), ("conv2", "input_layer.3"), ("skip", "input_skip.0")];

fn name(path: &str) -> Option<String> {
    match path.strip_prefix("input.") {
        Some(rest) => {
            let (layer, rest) = rest.split_once('.')?;
            let (_, published) = INPUT.iter().find(|(own, _)| *own == layer)?;
            Some(format!("{published}.{rest}"))
        }
        None => rename(path, &RENAMINGS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_their_published_names() {
        for (path, name) in [
            ("input.conv2.weight", "input_layer.3.weight"),
            ("input.norm.running_var", "input_layer.1.running_var"),
            ("input.skip.bias", "input_skip.0.bias"),
            ("residual_conv_2.conv1.weight", "residual_conv_2.conv_block.2.weight"),
            ("bridge.skip_norm.weight", "bridge.conv_skip.1.weight"),
            ("upsample_3.weight", "upsample_3.upsample.weight"),
            ("up_residual_conv1.norm2.bias", "up_residual_conv1.conv_block.3.bias"),
            ("output_layer.bias", "output_layer.0.bias"),
        ] {
            assert_eq!((PUBLISHED.name)(path).as_deref(), Some(name), "{path}");
        }
        for path in ["weight", "input.weight", "bridge.weight", "down1.amse.norm1.weight"] {
            assert_eq!((PUBLISHED.name)(path), None, "{path}");
        }
    }
}
