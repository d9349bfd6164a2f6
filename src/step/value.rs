//! What travels from step to step: a shared, immutable, typed value.

use std::any::Any;
use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Digest, Digester};

/// A type that steps may exchange. Its form on disk, and what its digest is taken of, is CBOR
/// (RFC 8949), as its serde implementation says: the same value must give the same bytes.
pub trait Payload: Any + Send + Sync + Serialize + DeserializeOwned {
    /// The name that messages and dataflow files use, for example `volume`. One type, one name.
    const TYPE: &'static str;

    /// The value's digest, where it is not that of its form on disk.
    fn digest(&self) -> Option<Digest> {
        None
    }

    /// Finds the request's files again that the value refers to. Where they lie is not part of a
    /// value: a type with paths leaves them out of its form on disk, and sets them here from the
    /// digest of the item.
    fn locate(&mut self, _path_of: PathOf) {}
}

/// Where the file of the item with this digest lies.
pub type PathOf<'a> = &'a dyn Fn(Digest) -> Option<PathBuf>;

/// A value with its type's name. Cloning shares it: pixels stay where they are.
#[derive(Clone)]
pub struct Value {
    kind: &'static str,
    data: Arc<Data>,
    digest: Arc<OnceLock<Digest>>,
    form: Form,
}

type Data = dyn Any + Send + Sync;

/// What can be done with the data behind a value's pointer, which is of the value's type.
#[derive(Clone, Copy)]
struct Form {
    write: fn(&Data, &mut dyn Write) -> io::Result<()>,
    digest: fn(&Data) -> Option<Digest>,
}

impl Value {
    pub fn new<T: Payload>(data: T) -> Value {
        Value::shared(Arc::new(data))
    }

    pub fn shared<T: Payload>(data: Arc<T>) -> Value {
        let form = Form { write: write::<T>, digest: |data| typed::<T>(data).digest() };
        Value { kind: T::TYPE, data, digest: Arc::default(), form }
    }

    /// Reads a value back from its form on disk. `path_of` finds the files of the request's items.
    ///
    /// # Errors
    /// If the bytes are not the form of such a value.
    pub fn read<T: Payload>(bytes: &[u8], path_of: PathOf) -> io::Result<Value> {
        let mut data: T = ciborium::from_reader(bytes).map_err(io::Error::other)?;
        data.locate(path_of);
        Ok(Value::new(data))
    }

    pub fn kind(&self) -> &'static str {
        self.kind
    }

    pub fn get<T: Payload>(&self) -> Option<&T> {
        self.data.downcast_ref()
    }

    /// What the value is known by: the digest of its form on disk, if its type does not say
    /// otherwise. It is taken once.
    pub fn digest(&self) -> Digest {
        *self.digest.get_or_init(|| {
            if let Some(digest) = (self.form.digest)(&*self.data) {
                return digest;
            }
            let mut digester = Digester::default();
            // Small pieces cost a hash more than large ones.
            let mut buffer = BufWriter::with_capacity(16 << 10, &mut digester);
            let written = self.write(&mut buffer).and_then(|()| buffer.flush());
            written.expect("a digester takes everything");
            drop(buffer);
            digester.digest()
        })
    }

    /// Its form on disk.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes).expect("memory takes everything");
        // Who asks for it next need not write it once more.
        self.digest.get_or_init(|| (self.form.digest)(&*self.data).unwrap_or_else(|| Digest::of(&bytes)));
        bytes
    }

    fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        (self.form.write)(&*self.data, to)
    }
}

fn write<T: Payload>(data: &Data, to: &mut dyn Write) -> io::Result<()> {
    ciborium::into_writer(typed::<T>(data), to).map_err(|error| match error {
        ciborium::ser::Error::Io(error) => error,
        ciborium::ser::Error::Value(text) => io::Error::other(text),
    })
}

fn typed<T: Payload>(data: &Data) -> &T {
    data.downcast_ref().expect("a value is used as the type it was made of")
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({})", self.kind)
    }
}
