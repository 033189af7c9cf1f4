//! The names that published checkpoints give to the parameters.

/// Parts of a stage: the kind of stage, our name, the published one.
const STAGE_PARTS: [(&str, &str, &str); 13] = [
    ("in_conv", "conv", "0"),
    ("in_conv", "norm", "1"),
    ("in_conv", "amse", "3"),
    ("down", "norm", "0"),
    ("down", "conv", "1"),
    ("down", "amse", "2"),
    ("up", "norm", "norm"),
    ("up", "rsc.spatial", "satt.squeeze"),
    ("up", "rsc.reduce", "catt.conv1"),
    ("up", "rsc.restore", "catt.conv2"),
    ("up", "conv", "conv1x1"),
    ("up", "amse", "conv.0"),
    ("out_conv", "", "0"),
];

/// Parts of an AMSE block: our name, the published one.
const AMSE_PARTS: [(&str, &str); 16] = [
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

/// A parameter whose published file everyone has: its name finds the prefix under which a file keeps the weights.
pub(super) const FIRST: &str = "in_conv.0.weight";

/// The published name of the parameter at a module path of AMSUnet, as `down3.amse.attention.ams.strip_5.vertical.weight`.
///
/// `None` where the path is not one of AMSUnet's.
pub fn published(path: &str) -> Option<String> {
    let (stage, rest) = path.split_once('.')?;
    STAGE_PARTS.iter().filter(|(kind, ..)| is_stage(stage, kind)).find_map(|(_, ours, theirs)| {
        let rest = below(rest, ours)?;
        if *ours != "amse" {
            return Some(format!("{stage}.{theirs}.{rest}"));
        }
        AMSE_PARTS.iter().find_map(|(ours, block)| Some(format!("{stage}.{theirs}.{block}.{}", below(rest, ours)?)))
    })
}

/// Whether `stage` is `kind`, with its number where the kind has several.
fn is_stage(stage: &str, kind: &str) -> bool {
    stage.strip_prefix(kind).is_some_and(|number| number.chars().all(|digit| digit.is_ascii_digit()))
}

/// What of `path` lies below `part`; an empty part holds everything.
fn below<'a>(path: &'a str, part: &str) -> Option<&'a str> {
    if part.is_empty() { Some(path) } else { path.strip_prefix(part)?.strip_prefix('.') }
}

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
            ("up2.conv.weight", "up2.conv1x1.weight"),
            ("up4.amse.norm2.weight", "up4.conv.0.bn2.weight"),
            ("out_conv.bias", "out_conv.0.bias"),
        ] {
            assert_eq!(published(path).as_deref(), Some(name), "{path}");
        }
        for path in ["weight", "down.x", "encoder.conv.weight", "up1.amse.gate.weight"] {
            assert_eq!(published(path), None, "{path}");
        }
    }
}
