//! The messages of findings.

use std::fmt;

use super::Finding;
use crate::bounds::CLASS_PIXELS_LEAST;
use crate::proof::masks::Overlap;

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Weights { tensor, problem } => write!(f, "the weights `{tensor}`: {problem}"),
            Self::Hash { found, expected } => {
                write!(f, "the reference's weights have the hash {found}, the contract names {expected}")
            }
            Self::Contract { field, found, expected } => {
                write!(f, "the contract's `{field}` is {found}, expected {expected}")
            }
            Self::Trained { value, found, not_finite, allowed } => {
                write!(f, "the training framework's `{value}` is {}", off(*found, *not_finite, *allowed))
            }
            Self::TrainedMask { unexplained, widest, allowed } => {
                write!(f, "the training framework's mask: {}", flips(*unexplained, *widest, *allowed))
            }
            Self::File { node, operator, what } => write!(
                f,
                "the file's node `{node}` ({operator}) is not what the passes make of the reference: {what}; export \
                 the model again"
            ),
            Self::NoImage { precision } => write!(
                f,
                "{precision} is proven on images only, and there was none: name some with `seg export --verify DIR` or \
                 `seg verify --data DIR`"
            ),
            Self::OneClass { precision } => write!(
                f,
                "{precision} is proven on images only, and in the exact masks of these only one class has \
                 {CLASS_PIXELS_LEAST} pixels: name images that show others with `seg export --verify DIR` or `seg verify \
                 --data DIR`"
            ),
            Self::Nothing => f.write_str(
                "no input could be compared: the network takes each beyond what 32-bit floats hold, or amplifies \
                 rounding to the size of its answer; train it again",
            ),
            Self::NothingOfImage => f.write_str(
                "nothing could be compared: the network takes this image beyond what 32-bit floats hold, or amplifies \
                 rounding to the size of its answer; leave the image out, or train the network again",
            ),
            Self::NoFramework { unknown, inputs } => write!(
                f,
                "for {unknown} of {inputs} inputs the reference lacks the training framework's output, so nothing shows \
                 that its graph is the trained network: use the reference that `seg export` wrote, or export the model \
                 again"
            ),
            Self::NoValues => f.write_str(
                "the reference lacks the training framework's values inside the network, so nothing shows that they are \
                 those of its graph: use the reference that `seg export` wrote, or export the model again",
            ),
            Self::Input => f.write_str("the training framework saw another input: export the model again"),
            Self::Shape { found, expected } => write!(f, "the output has the shape {found:?}, expected {expected:?}"),
            Self::NotFinite { count, elements } => {
                write!(f, "{count} of {elements} outputs are infinite or not a number")
            }
            Self::Hidden { count, elements } => {
                write!(f, "{count} of {elements} outputs are finite, and no 32-bit float holds the exact ones")
            }
            Self::Error { found, allowed } => write!(f, "the output is {}", off(*found, 0, *allowed)),
            Self::TimesTrained { found, allowed } => {
                write!(f, "the error is {found:.2} times the training framework's, allowed {allowed:.2}")
            }
            Self::Batch { found, allowed } => {
                write!(
                    f,
                    "in a batch an image's answer differs by {found:.1e} of the scale, or of the mask, allowed {allowed:.1e}"
                )
            }
            Self::Mask { unexplained, widest, allowed } => {
                write!(f, "the mask: {}", flips(*unexplained, *widest, *allowed))
            }
            Self::Flipped { found, allowed } => {
                write!(f, "{:.3} % of the pixels have another class, allowed {:.3} %", 100.0 * found, 100.0 * allowed)
            }
            Self::Class { class, pixels: Overlap { exact, exported, both }, found, allowed } => {
                let how = class_change(*exact, *exported);
                write!(
                    f,
                    "class `{class}` {how}: of all images the exact masks have {exact} pixels of it, the model's \
                     {exported}, both {both}, a Dice of {found:.3}, allowed {allowed} and more"
                )
            }
            Self::Overflow { value, found, allowed } => {
                write!(f, "`{value}` reaches {found:.3e}, the precision holds {allowed:.3e}")
            }
            Self::Value { value, found, not_finite, allowed } => {
                write!(f, "`{value}` is {}", off(*found, *not_finite, *allowed))
            }
        }
    }
}

fn off(found: f64, not_finite: usize, allowed: f64) -> String {
    let more = if not_finite > 0 { format!(", and {not_finite} values are not finite") } else { String::new() };
    format!("off by {found:.1e} of its scale, allowed {allowed:.1e}{more}")
}

fn flips(unexplained: usize, widest: f64, allowed: f64) -> String {
    format!(
        "{unexplained} pixels have another class across a margin of up to {widest:.1e}, rounding explains {allowed:.1e}"
    )
}

/// Describes the change of a class by its pixels in the exact and in the exported masks.
fn class_change(exact: usize, exported: usize) -> &'static str {
    match (exact, exported) {
        (0, _) => "is invented",
        (_, 0) => "is lost",
        _ => "is another one",
    }
}
