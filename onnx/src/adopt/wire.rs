//! The fields of a protobuf message, kept as they are: what is not understood is not lost.

use prost::DecodeError;
use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field};

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    /// The field's number.
    pub(super) number: u32,
    /// The field with its key.
    whole: &'a [u8],
    /// The content of a field of text, bytes or a message; empty for numbers.
    pub(super) content: &'a [u8],
}

/// Returns the fields of a message in their order.
///
/// # Errors
/// When the bytes are no message, or are cut off.
pub(super) fn fields(message: &[u8]) -> Result<Vec<Field<'_>>, DecodeError> {
    let (mut rest, mut fields) = (message, Vec::new());
    while !rest.is_empty() {
        let start = rest;
        let (number, wire_type) = decode_key(&mut rest)?;
        let mut content = rest;
        skip_field(wire_type, number, &mut rest, DecodeContext::default())?;
        let whole = &start[..start.len() - rest.len()];
        if wire_type == WireType::LengthDelimited {
            let len = decode_varint(&mut content)? as usize;
            content = &content[..len.min(content.remaining())];
        } else {
            content = &[];
        }
        fields.push(Field { number, whole, content });
    }
    Ok(fields)
}

/// A message that is put together.
#[derive(Debug, Default)]
pub(super) struct Message(pub(super) Vec<u8>);

impl Message {
    /// Adds a field as it was read.
    pub(super) fn keep(&mut self, field: &Field<'_>) {
        self.0.extend_from_slice(field.whole);
    }

    /// Adds a field of text, bytes or a message.
    pub(super) fn add(&mut self, number: u32, content: &[u8]) {
        encode_key(number, WireType::LengthDelimited, &mut self.0);
        encode_varint(content.len() as u64, &mut self.0);
        self.0.extend_from_slice(content);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_put_together_as_it_was() {
        // Field 1 is the number 150, field 2 the text "testing", as in protobuf's own description
        // of its encoding; field 3 is a 32-bit number.
        let bytes = b"\x08\x96\x01\x12\x07testing\x1d\x01\x02\x03\x04";
        let found = fields(bytes).unwrap();
        assert_eq!(found.iter().map(|field| field.number).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(found[1].content, b"testing");
        let mut message = Message::default();
        message.keep(&found[0]);
        message.add(2, b"testing");
        message.keep(&found[2]);
        assert_eq!(message.0, bytes);
        for length in 1..bytes.len() {
            // What ends between two fields is a message.
            assert_eq!(fields(&bytes[..length]).is_ok(), [3, 12].contains(&length), "{length}");
        }
    }
}
