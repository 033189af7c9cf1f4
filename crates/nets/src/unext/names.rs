//! The names that published checkpoints give to UNeXt's parameters.

use crate::names::PublishedNames;

/// The names in checkpoints of the authors' code (jeya-maria-jose, `UNeXt-pytorch`).
pub(crate) const PUBLISHED: PublishedNames = PublishedNames {
    marks: &["encoder1.weight", "patch_embed3.proj.weight"],
    roots: &["encoder", "ebn", "patch_embed", "block", "norm", "decoder", "dbn", "dblock", "dnorm", "final"],
    name,
};

/// The modules by our path and the published one.
const MODULES: [(&str, &str); 28] = [
    ("encoder1.conv", "encoder1"),
    ("encoder1.norm", "ebn1"),
    ("encoder2.conv", "encoder2"),
    ("encoder2.norm", "ebn2"),
    ("encoder3.conv", "encoder3"),
    ("encoder3.norm", "ebn3"),
    ("tokens1.conv", "patch_embed3.proj"),
    ("tokens1.norm", "patch_embed3.norm"),
    ("tokens1.block", "block1.0"),
    ("tokens1.norm_out", "norm3"),
    ("tokens2.conv", "patch_embed4.proj"),
    ("tokens2.norm", "patch_embed4.norm"),
    ("tokens2.block", "block2.0"),
    ("tokens2.norm_out", "norm4"),
    ("decoder1.join.conv", "decoder1"),
    ("decoder1.join.norm", "dbn1"),
    ("decoder1.block", "dblock1.0"),
    ("decoder1.norm_out", "dnorm3"),
    ("decoder2.join.conv", "decoder2"),
    ("decoder2.join.norm", "dbn2"),
    ("decoder2.block", "dblock2.0"),
    ("decoder2.norm_out", "dnorm4"),
    ("decoder3.conv", "decoder3"),
    ("decoder3.norm", "dbn3"),
    ("decoder4.conv", "decoder4"),
    ("decoder4.norm", "dbn4"),
    ("decoder5", "decoder5"),
    ("head", "final"),
];

/// The modules of a [`ShiftedBlock`](super::ShiftedBlock): our name, the published one.
const BLOCK: [(&str, &str); 4] =
    [("norm", "norm2"), ("expand", "mlp.fc1"), ("local", "mlp.dwconv.dwconv"), ("project", "mlp.fc2")];

/// Returns the published name of the parameter at a path, which ends in the parameter's own name.
fn name(path: &str) -> Option<String> {
    let (module, parameter) = path.rsplit_once('.')?;
    let find = |modules: &[(&str, &'static str)], module: &str| {
        modules.iter().find(|(ours, _)| *ours == module).map(|(_, theirs)| *theirs)
    };
    if let Some(theirs) = find(&MODULES, module) {
        return Some(format!("{theirs}.{parameter}"));
    }
    let (block, part) = module.rsplit_once('.').filter(|(block, _)| block.ends_with(".block"))?;
    Some(format!("{}.{}.{parameter}", find(&MODULES, block)?, find(&BLOCK, part)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_their_published_names() {
        for (path, name) in [
            ("encoder2.conv.weight", "encoder2.weight"),
            ("encoder3.norm.running_var", "ebn3.running_var"),
            ("tokens1.conv.bias", "patch_embed3.proj.bias"),
            ("tokens2.block.local.weight", "block2.0.mlp.dwconv.dwconv.weight"),
            ("tokens2.norm_out.bias", "norm4.bias"),
            ("decoder1.join.norm.running_mean", "dbn1.running_mean"),
            ("decoder2.block.norm.weight", "dblock2.0.norm2.weight"),
            ("decoder4.conv.weight", "decoder4.weight"),
            ("decoder5.bias", "decoder5.bias"),
            ("head.weight", "final.weight"),
        ] {
            assert_eq!((PUBLISHED.name)(path).as_deref(), Some(name), "{path}");
        }
        for path in ["weight", "down.x", "tokens1.weight", "tokens1.block.gate.weight", "encoder1.conv.norm.weight"] {
            assert_eq!((PUBLISHED.name)(path), None, "{path}");
        }
    }
}
