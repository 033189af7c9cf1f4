//! Files as PyTorch writes them, for tests: a zip archive of a pickle and the tensors' bytes.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A Python object.
#[derive(Clone, Debug)]
pub(super) enum Object {
    /// A number.
    Int(i32),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Object>),
    /// A dictionary.
    Dict(Vec<(Object, Object)>),
    /// A tensor: the class of its storage, its shape and its bytes.
    Tensor(&'static str, Vec<usize>, Vec<u8>),
    /// An object of a class that no reader knows, with a dictionary as its state.
    Foreign,
    /// A dictionary of a class that no reader knows.
    ForeignDict,
}

impl Object {
    /// Makes a dictionary with texts as keys.
    pub(super) fn dict<K: Into<String>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Dict(entries.into_iter().map(|(key, value)| (Self::Text(key.into()), value)).collect())
    }
}

/// Writes an object to a file.
pub(super) fn save(path: &Path, object: &Object) {
    let mut pickle = Pickle { bytes: b"\x80\x02".to_vec(), storages: Vec::new() };
    pickle.push(object);
    pickle.bytes.push(b'.');
    let mut zip = ZipWriter::new(File::create(path).unwrap());
    let mut add = |name: &str, bytes: &[u8]| {
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        zip.start_file(format!("archive/{name}"), stored).unwrap();
        zip.write_all(bytes).unwrap();
    };
    add("data.pkl", &pickle.bytes);
    add("byteorder", b"little");
    for (key, bytes) in pickle.storages.iter().enumerate() {
        add(&format!("data/{key}"), bytes);
    }
    add("version", b"3\n");
    zip.finish().unwrap();
}

/// A pickle of protocol 2 that is being written.
struct Pickle {
    bytes: Vec<u8>,
    storages: Vec<Vec<u8>>,
}

impl Pickle {
    fn push(&mut self, object: &Object) {
        match object {
            Object::Int(number) => {
                self.bytes.push(b'J');
                self.bytes.extend(number.to_le_bytes());
            }
            Object::Text(text) => {
                self.bytes.push(b'X');
                self.bytes.extend((text.len() as u32).to_le_bytes());
                self.bytes.extend(text.as_bytes());
            }
            Object::List(items) => {
                self.bytes.extend(b"](");
                items.iter().for_each(|item| self.push(item));
                self.bytes.push(b'e');
            }
            Object::Dict(entries) => {
                self.bytes.extend(b"}(");
                for (key, value) in entries {
                    self.push(key);
                    self.push(value);
                }
                self.bytes.push(b'u');
            }
            Object::Tensor(storage, shape, bytes) => self.push_tensor(storage, shape, bytes),
            Object::Foreign => {
                self.bytes.extend(b"clightning.pytorch.utilities.parsing\nAttributeDict\n)\x81");
                self.push(&Object::dict([("lr", Object::Int(1))]));
                self.bytes.push(b'b');
            }
            Object::ForeignDict => {
                self.bytes.extend(b"ccollections\ndefaultdict\n)R(");
                self.push(&Object::Text("lr".into()));
                self.push(&Object::Int(1));
                self.bytes.push(b'u');
            }
        }
    }

    /// Writes `_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`.
    fn push_tensor(&mut self, storage: &str, shape: &[usize], bytes: &[u8]) {
        let sizes: Vec<_> = shape.iter().map(|size| i32::try_from(*size).unwrap()).collect();
        let strides: Vec<_> = (1..=sizes.len()).map(|axis| sizes[axis..].iter().product()).collect();
        self.bytes.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.push(&Object::Text("storage".into()));
        self.bytes.extend(format!("ctorch\n{storage}\n").bytes());
        self.push(&Object::Text(self.storages.len().to_string()));
        self.push(&Object::Text("cpu".into()));
        self.push(&Object::Int(sizes.iter().product()));
        self.bytes.extend(b"tQ");
        self.push(&Object::Int(0));
        for numbers in [sizes, strides] {
            self.bytes.push(b'(');
            numbers.into_iter().for_each(|number| self.push(&Object::Int(number)));
            self.bytes.push(b't');
        }
        self.bytes.extend(b"\x89ccollections\nOrderedDict\n)RtR");
        self.storages.push(bytes.to_vec());
    }
}
