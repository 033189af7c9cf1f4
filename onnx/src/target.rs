//! The engine that an exported graph is meant for.

use std::fmt;
use std::str::FromStr;

/// The engine that a graph is rewritten for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Target {
    /// Any of them: only rewrites that slow none of them down.
    #[default]
    Portable,
    /// ONNX Runtime's CPU provider.
    Cpu,
    /// The project's own kernels.
    Fused,
    /// ONNX Runtime's CUDA provider.
    Cuda,
    /// TensorRT, alone or as ONNX Runtime's provider.
    TensorRt,
}

/// A text is not the name of a [`Target`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a target: expected {names}", names = Target::names())]
pub struct UnknownTarget(pub String);

/// The operators of our graphs that the parser of TensorRT 10 supports, each with the restrictions
/// in its table (`docs/operators.md` of onnx-tensorrt); `docs/operators.md` of this project shows
/// it to readers.
pub const TENSORRT_OPERATORS: [(&str, &str); 36] = [
    ("Add", "f32, f16, i64"),
    ("ArgMax", "f32, f16"),
    ("AveragePool", "f32, f16"),
    ("BatchNormalization", "f32, f16"),
    ("Cast", "f32, f16, i32, i64, u8, bool; u8 only next to an input or an output"),
    ("Concat", "f32, f16, i64"),
    ("Conv", "f32, f16"),
    ("ConvTranspose", "f32, f16"),
    ("DequantizeLinear", "i8 to f32 or f16"),
    ("Div", "f32, f16, i64"),
    ("Erf", "f32, f16"),
    ("Gelu", "f32, f16"),
    ("GlobalAveragePool", "f32, f16"),
    ("GlobalMaxPool", "f32, f16"),
    ("Greater", "f32, f16"),
    ("Identity", "any"),
    ("InstanceNormalization", "f32, f16"),
    ("LayerNormalization", "f32, f16"),
    ("MatMul", "f32, f16"),
    ("MaxPool", "f32, f16"),
    ("Mul", "f32, f16, i64"),
    ("Pad", "f32, f16; constant, reflect and edge"),
    ("QuantizeLinear", "f32 or f16 to i8, with a zero point of 0"),
    ("ReduceMean", "f32, f16, with constant axes"),
    ("ReduceSum", "f32, f16, with constant axes"),
    ("Relu", "f32, f16"),
    ("Reshape", "any, to a constant shape"),
    ("Resize", "f32, f16; linear and nearest, half_pixel, asymmetric and align_corners"),
    ("Shape", "any"),
    ("Sigmoid", "f32, f16"),
    ("Slice", "f32, f16, i64"),
    ("Softmax", "f32, f16"),
    ("Squeeze", "any, with constant axes"),
    ("Sub", "f32, f16, i64"),
    ("Tanh", "f32, f16"),
    ("Transpose", "any"),
];

impl Target {
    /// All targets.
    pub const ALL: [Self; 5] = [Self::Portable, Self::Cpu, Self::Fused, Self::Cuda, Self::TensorRt];

    /// Returns true for a GPU, on which each node is a launch.
    pub fn is_gpu(self) -> bool {
        matches!(self, Self::Cuda | Self::TensorRt)
    }

    /// Describes the engine or hardware that its rewrites were chosen for.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Portable => "only rewrites that slow no engine down",
            Self::Cpu => "what makes ONNX Runtime's CPU provider faster or smaller, by measurement",
            Self::Fused => "the graph of `portable`; in int8, the products that the fused kernel computes in integers",
            Self::Cuda => "what leaves the fewest nodes, by count: no GPU has timed it",
            Self::TensorRt => "what leaves the fewest kernels in an engine, by TensorRT's builder: no GPU has timed it",
        }
    }

    fn names() -> String {
        Self::ALL.map(|target| format!("`{target}`")).join(", ")
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Cpu => "cpu",
            Self::Fused => "fused",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
        })
    }
}

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(text: &str) -> Result<Self, UnknownTarget> {
        let found = Self::ALL.into_iter().find(|target| target.to_string() == text);
        found.ok_or_else(|| UnknownTarget(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_by_its_name() {
        for target in Target::ALL {
            assert_eq!(target.to_string().parse(), Ok(target));
        }
        let error = "gpu".parse::<Target>().unwrap_err();
        assert_eq!(error.to_string(), "`gpu` is not a target: expected `portable`, `cpu`, `fused`, `cuda`, `tensorrt`");
    }

    #[test]
    fn readers_see_the_operators_that_tensorrt_takes() {
        let page = include_str!("../../docs/operators.md");
        let shown: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
        let expected = TENSORRT_OPERATORS.map(|(operator, types)| format!("| `{operator}` | {types} |"));
        assert_eq!(shown, expected);
    }
}
