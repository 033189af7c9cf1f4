//! Values of tensors, from JSON and from binary.

use std::fmt;

use ndarray::Array4;
use seg_contract::Element;
use seg_inference::GraphTensor;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

/// The datatypes of the protocol.
pub(crate) const DATATYPES: [&str; 14] = [
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES",
    "BF16",
];

/// A value of a tensor, as JSON may write it.
trait Number: Copy {
    const EXPECTED: &'static str;

    fn from_u64(value: u64) -> Option<Self>;
    fn from_i64(value: i64) -> Option<Self>;
    fn from_f64(value: f64) -> Option<Self>;
}

impl Number for f32 {
    const EXPECTED: &'static str = "numbers of 32-bit floats, in lists";

    fn from_u64(value: u64) -> Option<Self> {
        Some(value as f32)
    }

    fn from_i64(value: i64) -> Option<Self> {
        Some(value as f32)
    }

    fn from_f64(value: f64) -> Option<Self> {
        Some(value as f32).filter(|value| value.is_finite())
    }
}

impl Number for u8 {
    const EXPECTED: &'static str = "whole numbers from 0 to 255, in lists";

    fn from_u64(value: u64) -> Option<Self> {
        u8::try_from(value).ok()
    }

    fn from_i64(value: i64) -> Option<Self> {
        u8::try_from(value).ok()
    }

    fn from_f64(value: f64) -> Option<Self> {
        let byte = value as u8;
        (f64::from(byte) == value).then_some(byte)
    }
}

/// The values so far, flat or nested.
struct Values<'a, T> {
    values: &'a mut Vec<T>,
    count: usize,
}

impl<'de, T: Number> DeserializeSeed<'de> for Values<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<T: Number> Values<'_, T> {
    fn push<E: Error>(self, value: Option<T>, shown: impl fmt::Display) -> Result<(), E> {
        let value = value.ok_or_else(|| E::custom(format!("found {shown}, expected {}", T::EXPECTED)))?;
        if self.values.len() == self.count {
            return Err(E::custom(format!("there are more than {} values", self.count)));
        }
        self.values.push(value);
        Ok(())
    }
}

impl<'de, T: Number> Visitor<'de> for Values<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { values, count } = self;
        while list.next_element_seed(Values { values: &mut *values, count })?.is_some() {}
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.push(T::from_u64(value), value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.push(T::from_i64(value), value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.push(T::from_f64(value), format_args!("{value:e}"))
    }
}

/// Reads values from JSON, flat or nested.
fn values<T: Number>(json: &str, count: usize) -> Result<Vec<T>, String> {
    // The text has two characters or more for each value, so that no small request takes much.
    let mut values = Vec::with_capacity(count.min(json.len()));
    let mut reader = serde_json::Deserializer::from_str(json);
    Values { values: &mut values, count }.deserialize(&mut reader).map_err(|error| error.to_string())?;
    if values.len() < count {
        return Err(format!("there are {} values, expected {count}", values.len()));
    }
    Ok(values)
}

/// Reads a tensor of `count` values from the text of JSON.
///
/// # Errors
/// With what is wrong, in words.
pub(crate) fn from_json(element: Element, shape: [usize; 4], count: usize, json: &str) -> Result<GraphTensor, String> {
    Ok(match element {
        Element::Float => GraphTensor::Floats(shaped(shape, values(json, count)?)?),
        Element::U8 => GraphTensor::Bytes(shaped(shape, values(json, count)?)?),
    })
}

/// Reads a tensor of `count` values from bytes, the low one first.
///
/// # Errors
/// With what is wrong, in words.
pub(crate) fn from_bytes(
    element: Element,
    shape: [usize; 4],
    count: usize,
    bytes: &[u8],
) -> Result<GraphTensor, String> {
    let size = match element {
        Element::Float => size_of::<f32>(),
        Element::U8 => 1,
    };
    if Some(bytes.len()) != count.checked_mul(size) {
        return Err(format!("`binary_data_size` is {}, but {count} values take {size} bytes each", bytes.len()));
    }
    Ok(match element {
        Element::Float => {
            let values = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            GraphTensor::Floats(shaped(shape, values.collect())?)
        }
        Element::U8 => GraphTensor::Bytes(shaped(shape, bytes.to_vec())?),
    })
}

fn shaped<T>(shape: [usize; 4], values: Vec<T>) -> Result<Array4<T>, String> {
    Array4::from_shape_vec(shape, values).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_flat_or_nested_and_hold_as_many_values_as_the_shape() {
        for (name, json, expected) in [
            ("flat", "[1, -2.5, 3e2, 0]", Ok(vec![1.0, -2.5, 300.0, 0.0])),
            ("nested", "[[[1], [-2.5]], [[3e2], [0]]]", Ok(vec![1.0, -2.5, 300.0, 0.0])),
            ("too few", "[1, 2, 3]", Err("there are 3 values, expected 4")),
            ("too many", "[1, 2, 3, 4, 5]", Err("more than 4 values")),
            ("too large for 32 bits", "[1e39, 2, 3, 4]", Err("found 1e39")),
            ("a word", "[1, \"2\", 3, 4]", Err("expected numbers")),
            ("nothing", "[1, null, 3, 4]", Err("expected numbers")),
            ("no list", "{\"a\": 1}", Err("expected numbers")),
        ] {
            match (values::<f32>(json, 4), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{name}"),
                (Err(found), Err(part)) => assert!(found.contains(part), "{name}: {found}"),
                (found, _) => panic!("{name}: {found:?}"),
            }
        }
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(values::<f32>(&deep, 1).is_err(), "no stack is deep enough for every list");
        assert_eq!(values::<u8>("[0, 255, 7.0]", 3), Ok(vec![0, 255, 7]));
        for json in ["[256]", "[-1]", "[0.5]"] {
            assert!(values::<u8>(json, 1).is_err(), "{json}");
        }
    }

    #[test]
    fn bytes_are_as_many_as_the_shape_says() {
        let bytes: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let GraphTensor::Floats(found) = from_bytes(Element::Float, [1, 1, 1, 2], 2, &bytes).unwrap() else { panic!() };
        assert_eq!(found.into_raw_vec_and_offset().0, [1.5, -2.0]);
        assert!(from_bytes(Element::Float, [1, 1, 1, 2], 2, &bytes[..7]).is_err());
        assert!(from_bytes(Element::U8, [1, 1, 2, 1], 2, &bytes[..3]).is_err());
    }
}
