//! The names that published checkpoints give to UNet++'s parameters.

use crate::names::PublishedNames;

/// The names in checkpoints of the public PyTorch code (4uiiurz1, `pytorch-nested-unet`).
pub(crate) const PUBLISHED: PublishedNames = PublishedNames {
    marks: &["conv0_0.conv1.weight", "conv0_4.conv1.weight", "conv4_0.conv2.weight"],
    roots: &["conv0_", "conv1_", "conv2_", "conv3_", "conv4_", "final"],
    name,
};

/// The layers of a node: our name, the published one.
const LAYERS: [(&str, &str); 4] = [("conv1", "conv1"), ("norm1", "bn1"), ("conv2", "conv2"), ("norm2", "bn2")];

fn name(path: &str) -> Option<String> {
    let (stage, rest) = path.split_once('.')?;
    match stage {
        "head" => Some(format!("final.{rest}")),
        "heads" => {
            let (index, rest) = rest.split_once('.')?;
            Some(format!("final{}.{rest}", index.parse::<usize>().ok()? + 1))
        }
        _ if stage.starts_with("conv") => {
            // A node that is more than its two convolutions has them in a module of their own.
            let (layer, rest) = rest.strip_prefix("conv.").unwrap_or(rest).split_once('.')?;
            let (_, published) = LAYERS.iter().find(|(own, _)| *own == layer)?;
            Some(format!("{stage}.{published}.{rest}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_their_published_names() {
        for (path, name) in [
            ("conv0_0.conv1.weight", "conv0_0.conv1.weight"),
            ("conv3_0.conv.norm2.running_var", "conv3_0.bn2.running_var"),
            ("conv1_2.conv.conv2.bias", "conv1_2.conv2.bias"),
            ("head.weight", "final.weight"),
            ("heads.0.bias", "final1.bias"),
            ("heads.3.weight", "final4.weight"),
        ] {
            assert_eq!((PUBLISHED.name)(path).as_deref(), Some(name), "{path}");
        }
        for path in ["weight", "head", "heads.weight", "down1.conv.weight", "conv1_2.conv.weight"] {
            assert_eq!((PUBLISHED.name)(path), None, "{path}");
        }
    }
}
