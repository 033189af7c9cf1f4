//! Attributes of operators under their ONNX names: the form in which operators are written, read
//! and printed.

use std::collections::BTreeMap;
use std::fmt;

use super::DataType;
use super::op::{AveragePool, Conv, Coordinates, MaxPool, Op, PadMode, ResizeBy, ResizeMode};

/// The value of one attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// An integer.
    Int(i64),
    /// A list of integers.
    Ints(Vec<i64>),
    /// A 32-bit float.
    Float(f32),
    /// A string.
    Text(String),
}

/// The reason why an operator and its attributes are not those of an [`Op`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AttributeError {
    /// The operator is unknown.
    #[error("operator `{0}` is not supported")]
    UnknownOperator(String),
    /// An attribute that [`Op::attributes`] always lists is absent.
    #[error("attribute `{0}` is missing")]
    Missing(&'static str),
    /// An attribute has a value of another type or out of range.
    #[error("attribute `{attribute}` is {found}: expected {expected}")]
    Value {
        /// The attribute.
        attribute: &'static str,
        /// The possible values.
        expected: String,
        /// The value that was found.
        found: Attribute,
    },
    /// An attribute that the operator does not have here.
    #[error("attribute `{0}` is not supported")]
    Unknown(String),
}

const NEAREST_MODE: &str = "floor";
const NO: Attribute = Attribute::Int(0);

impl Op {
    /// Returns all attributes under their ONNX names, defaults included, in a fixed order.
    pub fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        let name = |name: &str| Attribute::Text(name.to_owned());
        match self {
            Self::Conv(conv) => vec![
                ("strides", ints(&conv.strides)),
                ("pads", ints(&conv.pads)),
                ("dilations", ints(&conv.dilations)),
                ("group", int(conv.group)),
            ],
            Self::ConvTranspose { strides } => {
                vec![
                    ("strides", ints(strides)),
                    ("pads", ints(&[0; 4])),
                    ("dilations", ints(&[1; 2])),
                    ("group", int(1)),
                ]
            }
            Self::MaxPool(pool) => vec![
                ("kernel_shape", ints(&pool.kernel)),
                ("strides", ints(&pool.strides)),
                ("pads", ints(&pool.pads)),
                ("ceil_mode", NO),
            ],
            Self::AveragePool(pool) => vec![
                ("kernel_shape", ints(&pool.kernel)),
                ("strides", ints(&pool.strides)),
                ("pads", ints(&[0; 4])),
                ("ceil_mode", NO),
                ("count_include_pad", NO),
            ],
            Self::BatchNormalization { epsilon } | Self::InstanceNormalization { epsilon } => {
                vec![("epsilon", Attribute::Float(*epsilon))]
            }
            Self::LayerNormalization { axis, epsilon } => {
                vec![("axis", int(*axis)), ("epsilon", Attribute::Float(*epsilon))]
            }
            Self::Concat { axis } => vec![("axis", int(*axis))],
            Self::Pad { mode } => vec![("mode", name(mode.name()))],
            Self::Resize { mode, coordinates, by: _ } => {
                let mut attributes =
                    vec![("mode", name(mode.name())), ("coordinate_transformation_mode", name(coordinates.name()))];
                if *mode == ResizeMode::Nearest {
                    attributes.push(("nearest_mode", name(NEAREST_MODE)));
                }
                attributes
            }
            Self::Shape { start, end } => vec![("start", int(*start)), ("end", int(*end))],
            Self::Cast { to } => vec![("to", Attribute::Int(to.onnx_number().into()))],
            Self::Transpose { perm } => vec![("perm", ints(perm))],
            Self::Softmax { axis } | Self::QuantizeLinear { axis } | Self::DequantizeLinear { axis } => {
                vec![("axis", int(*axis))]
            }
            Self::ArgMax { axis } => {
                vec![("axis", int(*axis)), ("keepdims", NO), ("select_last_index", NO)]
            }
            Self::Gelu
            | Self::Erf
            | Self::Sigmoid
            | Self::Relu
            | Self::Tanh
            | Self::Add
            | Self::Sub
            | Self::Mul
            | Self::Div
            | Self::Greater
            | Self::GlobalAveragePool
            | Self::GlobalMaxPool
            | Self::ReduceMean
            | Self::ReduceSum
            | Self::MatMul
            | Self::Reshape
            | Self::Squeeze
            | Self::Slice
            | Self::Identity => Vec::new(),
        }
    }

    /// Creates the operator with the given ONNX name and attributes: the inverse of
    /// [`name`](Self::name) and [`attributes`](Self::attributes).
    ///
    /// `by` says what ONNX distinguishes by the operands alone; operators other than `Resize`
    /// ignore it.
    pub fn from_attributes(
        name: &str,
        attributes: BTreeMap<String, Attribute>,
        by: ResizeBy,
    ) -> Result<Self, AttributeError> {
        let mut given = Given(attributes);
        let op = match name {
            "Conv" => Self::Conv(Conv {
                strides: given.sizes("strides")?,
                pads: given.sizes("pads")?,
                dilations: given.sizes("dilations")?,
                group: given.size("group")?,
            }),
            "ConvTranspose" => {
                given.only("pads", ints(&[0; 4]))?;
                given.only("dilations", ints(&[1; 2]))?;
                given.only("group", int(1))?;
                Self::ConvTranspose { strides: given.sizes("strides")? }
            }
            "BatchNormalization" => Self::BatchNormalization { epsilon: given.float("epsilon")? },
            "Gelu" => Self::Gelu,
            "Erf" => Self::Erf,
            "Sigmoid" => Self::Sigmoid,
            "Relu" => Self::Relu,
            "Tanh" => Self::Tanh,
            "Add" => Self::Add,
            "Sub" => Self::Sub,
            "Mul" => Self::Mul,
            "Div" => Self::Div,
            "Concat" => Self::Concat { axis: given.size("axis")? },
            "MaxPool" => {
                given.no("ceil_mode")?;
                Self::MaxPool(MaxPool {
                    kernel: given.sizes("kernel_shape")?,
                    strides: given.sizes("strides")?,
                    pads: given.sizes("pads")?,
                })
            }
            "AveragePool" => {
                given.no("ceil_mode")?;
                given.no("count_include_pad")?;
                given.only("pads", ints(&[0; 4]))?;
                Self::AveragePool(AveragePool {
                    kernel: given.sizes("kernel_shape")?,
                    strides: given.sizes("strides")?,
                })
            }
            "GlobalAveragePool" => Self::GlobalAveragePool,
            "GlobalMaxPool" => Self::GlobalMaxPool,
            "ReduceMean" => Self::ReduceMean,
            "ReduceSum" => Self::ReduceSum,
            "LayerNormalization" => {
                Self::LayerNormalization { axis: given.size("axis")?, epsilon: given.float("epsilon")? }
            }
            "InstanceNormalization" => Self::InstanceNormalization { epsilon: given.float("epsilon")? },
            "MatMul" => Self::MatMul,
            "Reshape" => Self::Reshape,
            "Pad" => Self::Pad { mode: given.choice("mode", &PadMode::NAMES)? },
            "Resize" => {
                let mode = given.choice("mode", &ResizeMode::NAMES)?;
                let coordinates = given.choice("coordinate_transformation_mode", &Coordinates::NAMES)?;
                if mode == ResizeMode::Nearest {
                    given.choice("nearest_mode", &[((), NEAREST_MODE)])?;
                }
                Self::Resize { mode, coordinates, by }
            }
            "Shape" => Self::Shape { start: given.size("start")?, end: given.size("end")? },
            "Cast" => Self::Cast { to: given.data_type("to")? },
            "Transpose" => Self::Transpose { perm: given.list("perm")? },
            "Squeeze" => Self::Squeeze,
            "Slice" => Self::Slice,
            "Softmax" => Self::Softmax { axis: given.size("axis")? },
            "ArgMax" => {
                given.no("keepdims")?;
                given.no("select_last_index")?;
                Self::ArgMax { axis: given.size("axis")? }
            }
            "Greater" => Self::Greater,
            "QuantizeLinear" => Self::QuantizeLinear { axis: given.size("axis")? },
            "DequantizeLinear" => Self::DequantizeLinear { axis: given.size("axis")? },
            "Identity" => Self::Identity,
            _ => return Err(AttributeError::UnknownOperator(name.to_owned())),
        };
        match given.0.into_keys().next() {
            Some(unknown) => Err(AttributeError::Unknown(unknown)),
            None => Ok(op),
        }
    }
}

/// Lossless in a checked graph: inference refuses attributes beyond 63 bits.
fn int(size: usize) -> Attribute {
    Attribute::Int(size as i64)
}

fn ints(sizes: &[usize]) -> Attribute {
    Attribute::Ints(sizes.iter().map(|&size| size as i64).collect())
}

/// The attributes of an operator that have not been read yet.
struct Given(BTreeMap<String, Attribute>);

impl Given {
    fn take(&mut self, attribute: &'static str) -> Result<Attribute, AttributeError> {
        self.0.remove(attribute).ok_or(AttributeError::Missing(attribute))
    }

    fn size(&mut self, attribute: &'static str) -> Result<usize, AttributeError> {
        let found = self.take(attribute)?;
        match found {
            Attribute::Int(value) => usize::try_from(value).ok(),
            _ => None,
        }
        .ok_or_else(|| AttributeError::Value { attribute, expected: "an integer from 0".to_owned(), found })
    }

    fn sizes<const N: usize>(&mut self, attribute: &'static str) -> Result<[usize; N], AttributeError> {
        let sizes = self.list(attribute)?;
        sizes.try_into().map_err(|sizes: Vec<_>| AttributeError::Value {
            attribute,
            expected: format!("{N} integers from 0"),
            found: ints(&sizes),
        })
    }

    fn list(&mut self, attribute: &'static str) -> Result<Vec<usize>, AttributeError> {
        let found = self.take(attribute)?;
        let sizes = match &found {
            Attribute::Ints(values) => values.iter().map(|&value| usize::try_from(value).ok()).collect(),
            _ => None,
        };
        sizes.ok_or_else(|| AttributeError::Value { attribute, expected: "integers from 0".to_owned(), found })
    }

    fn data_type(&mut self, attribute: &'static str) -> Result<DataType, AttributeError> {
        let found = self.take(attribute)?;
        let number = match found {
            Attribute::Int(number) => i32::try_from(number).ok(),
            _ => None,
        };
        number.and_then(DataType::from_onnx_number).ok_or_else(|| AttributeError::Value {
            attribute,
            expected: "the number of a supported element type".to_owned(),
            found,
        })
    }

    /// Checks that a switch is off.
    fn no(&mut self, attribute: &'static str) -> Result<(), AttributeError> {
        self.only(attribute, NO)
    }

    /// Checks that an attribute has its only supported value.
    fn only(&mut self, attribute: &'static str, expected: Attribute) -> Result<(), AttributeError> {
        match self.take(attribute)? {
            found if found == expected => Ok(()),
            found => Err(AttributeError::Value { attribute, expected: expected.to_string(), found }),
        }
    }

    fn float(&mut self, attribute: &'static str) -> Result<f32, AttributeError> {
        match self.take(attribute)? {
            Attribute::Float(value) => Ok(value),
            found => Err(AttributeError::Value { attribute, expected: "a float".to_owned(), found }),
        }
    }

    fn choice<T: Copy>(&mut self, attribute: &'static str, names: &[(T, &str)]) -> Result<T, AttributeError> {
        let found = self.take(attribute)?;
        let choice = names.iter().find(|(_, name)| matches!(&found, Attribute::Text(text) if text == name));
        choice.map(|&(value, _)| value).ok_or_else(|| {
            let names: Vec<_> = names.iter().map(|(_, name)| format!("`{name}`")).collect();
            AttributeError::Value { attribute, expected: names.join(" or "), found }
        })
    }
}

/// Defines the ONNX names of an enum, once for both directions.
macro_rules! names {
    ($type:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $type {
            const NAMES: [(Self, &'static str); [$($name),+].len()] = [$((Self::$variant, $name)),+];

            fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }
    };
}

names!(PadMode { Constant = "constant", Reflect = "reflect", Edge = "edge" });
names!(ResizeMode { Linear = "linear", Nearest = "nearest" });
names!(Coordinates { AlignCorners = "align_corners", HalfPixel = "half_pixel", Asymmetric = "asymmetric" });

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => write!(f, "{value}"),
            Self::Ints(values) => write!(f, "{values:?}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(op: &Op, by: ResizeBy) -> Result<Op, AttributeError> {
        let attributes = op.attributes().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Op::from_attributes(op.name(), attributes, by)
    }

    #[test]
    fn every_operator_is_read_as_it_was_written() {
        let by = ResizeBy::Sizes;
        for op in [
            Op::Conv(Conv { strides: [2, 3], pads: [1, 2, 3, 4], dilations: [5, 6], group: 7 }),
            Op::ConvTranspose { strides: [2, 3] },
            Op::BatchNormalization { epsilon: 1e-5 },
            Op::Gelu,
            Op::Erf,
            Op::Sigmoid,
            Op::Relu,
            Op::Tanh,
            Op::Add,
            Op::Sub,
            Op::Mul,
            Op::Div,
            Op::Concat { axis: 1 },
            Op::MaxPool(MaxPool { kernel: [2, 3], strides: [4, 5], pads: [0, 1, 1, 2] }),
            Op::AveragePool(AveragePool { kernel: [2, 3], strides: [4, 5] }),
            Op::GlobalAveragePool,
            Op::GlobalMaxPool,
            Op::ReduceMean,
            Op::ReduceSum,
            Op::LayerNormalization { axis: 3, epsilon: 1e-6 },
            Op::InstanceNormalization { epsilon: 1e-6 },
            Op::MatMul,
            Op::Reshape,
            Op::Pad { mode: PadMode::Constant },
            Op::Pad { mode: PadMode::Reflect },
            Op::Pad { mode: PadMode::Edge },
            Op::Resize { mode: ResizeMode::Linear, coordinates: Coordinates::AlignCorners, by },
            Op::Resize { mode: ResizeMode::Linear, coordinates: Coordinates::HalfPixel, by },
            Op::Resize { mode: ResizeMode::Nearest, coordinates: Coordinates::Asymmetric, by },
            Op::Shape { start: 2, end: 4 },
            Op::Cast { to: DataType::U8 },
            Op::Transpose { perm: vec![0, 3, 1, 2] },
            Op::Squeeze,
            Op::Slice,
            Op::Softmax { axis: 1 },
            Op::ArgMax { axis: 1 },
            Op::Greater,
            Op::QuantizeLinear { axis: 1 },
            Op::DequantizeLinear { axis: 0 },
            Op::Identity,
        ] {
            assert_eq!(round_trip(&op, by).as_ref(), Ok(&op));
        }
    }

    #[test]
    fn a_foreign_operator_or_attribute_is_named() {
        let concat = [("axis", Attribute::Int(1))];
        for (name, op, attributes, message) in [
            ("operator", "Einsum", vec![], "operator `Einsum` is not supported"),
            ("missing", "Concat", vec![], "attribute `axis` is missing"),
            (
                "out of range",
                "Concat",
                vec![("axis", Attribute::Int(-1))],
                "attribute `axis` is -1: expected an integer from 0",
            ),
            (
                "number of elements",
                "Conv",
                vec![("strides", Attribute::Ints(vec![1]))],
                "attribute `strides` is [1]: expected 2 integers from 0",
            ),
            (
                "unknown type",
                "Cast",
                vec![("to", Attribute::Int(16))],
                "attribute `to` is 16: expected the number of a supported element type",
            ),
            (
                "another rule for ties",
                "ArgMax",
                vec![("axis", Attribute::Int(1)), ("keepdims", NO), ("select_last_index", Attribute::Int(1))],
                "attribute `select_last_index` is 1: expected 0",
            ),
            (
                "a size that is rounded up",
                "MaxPool",
                vec![("ceil_mode", Attribute::Int(1))],
                "attribute `ceil_mode` is 1: expected 0",
            ),
            (
                "unknown word",
                "Pad",
                vec![("mode", Attribute::Text("wrap".into()))],
                "attribute `mode` is wrap: expected `constant` or `reflect` or `edge`",
            ),
            (
                "extra",
                "Concat",
                [&concat[..], &[("speed", Attribute::Int(9))]].concat(),
                "attribute `speed` is not supported",
            ),
        ] {
            let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let error = Op::from_attributes(op, attributes, ResizeBy::Scales).unwrap_err();
            assert_eq!(error.to_string(), message, "{name}");
        }
    }
}
