//! Random changes of files: of their bytes, and of the values in their JSON.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value};

use super::text;

/// A change of bytes at a place.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// The byte is another one.
    Replace(u8),
    /// A bit of the byte is the other one.
    Flip(u8),
    /// A byte is added before it.
    Insert(u8),
    /// The byte is left out.
    Remove,
    /// The byte and all behind it are left out.
    Cut,
    /// Eight bytes stand there twice.
    Repeat,
}

impl Change {
    fn apply(self, bytes: &mut Vec<u8>, place: Index) {
        if bytes.is_empty() {
            return;
        }
        let place = place.index(bytes.len());
        match self {
            Self::Replace(byte) => bytes[place] = byte,
            Self::Flip(bit) => bytes[place] ^= 1 << (bit % 8),
            Self::Insert(byte) => bytes.insert(place, byte),
            Self::Remove => drop(bytes.remove(place)),
            Self::Cut => bytes.truncate(place),
            Self::Repeat => {
                let repeated = bytes[place..].iter().copied().take(8).collect::<Vec<_>>();
                bytes.splice(place..place, repeated);
            }
        }
    }
}

/// Makes files with a few changes of their bytes.
pub(super) fn changed_bytes(files: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let change = prop_oneof![
        4 => any::<u8>().prop_map(Change::Replace),
        4 => any::<u8>().prop_map(Change::Flip),
        2 => any::<u8>().prop_map(Change::Insert),
        2 => Just(Change::Remove),
        1 => Just(Change::Cut),
        1 => Just(Change::Repeat),
    ];
    let changes = prop::collection::vec((change, any::<Index>()), 1..6);
    (prop::sample::select(files), changes).prop_map(|(mut bytes, changes)| {
        for (change, place) in changes {
            change.apply(&mut bytes, place);
        }
        bytes
    })
}

/// Makes JSON documents of which one or two values are others.
pub(super) fn changed_json(documents: Vec<Value>) -> impl Strategy<Value = Value> {
    let changes = prop::collection::vec((any::<Index>(), any_json()), 1..3);
    (prop::sample::select(documents), changes).prop_map(|(mut document, changes)| {
        for (place, value) in changes {
            let pointer = place.get(&pointers(&document)).clone();
            *document.pointer_mut(&pointer).unwrap() = value;
        }
        document
    })
}

/// Makes any JSON values, among them numbers at the ends of their ranges.
fn any_json() -> impl Strategy<Value = Value> {
    let numbers = [0_u64, 1, 2, 255, 256, 65_535, 65_536, 1 << 31, 1 << 32, 1 << 53, u64::MAX / 2, u64::MAX];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(numbers.to_vec()).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![0.0, -0.0, 1e-300, 1e-45, 1e38, 1e39, f64::MAX]).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((text(), inner), 0..4).prop_map(|fields| Value::from(Map::from_iter(fields))),
        ]
    })
}

/// Returns the JSON pointers of all values of a document, itself first.
pub(super) fn pointers(document: &Value) -> Vec<String> {
    let inner: Vec<(String, &Value)> = match document {
        Value::Array(values) => (0..).map(|index: usize| index.to_string()).zip(values).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value)).collect(),
        _ => Vec::new(),
    };
    let mut found = vec![String::new()];
    for (key, value) in inner {
        let key = key.replace('~', "~0").replace('/', "~1");
        found.extend(pointers(value).into_iter().map(|rest| format!("/{key}{rest}")));
    }
    found
}

#[test]
fn each_value_of_a_document_has_a_pointer() {
    let document = serde_json::json!({"a": [1, {"b/c": 2}], "d": 3});
    let found = pointers(&document);
    assert_eq!(found, ["", "/a", "/a/0", "/a/1", "/a/1/b~1c", "/d"]);
    assert_eq!(document.pointer(&found[4]), Some(&Value::from(2)));
}
