//! Values that steps exchange: shared, immutable and typed.

use std::any::Any;
use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Digest, Digester};

/// A type that steps exchange. Its form on disk is CBOR (RFC 8949), written by serde, and its digest is that
/// of this form. So the same value must always give the same bytes: no hash maps.
///
/// ```
/// use flow::step::{Payload, Value};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Length {
///     mm: f64,
/// }
///
/// impl Payload for Length {
///     const TYPE: &'static str = "length";
/// }
///
/// let value = Value::new(Length { mm: 12.5 });
/// let copy = Value::read::<Length>(&value.to_bytes(), &|_| None)?;
/// assert_eq!(copy.get::<Length>().map(|length| length.mm), Some(12.5));
/// assert_eq!(copy.digest(), value.digest());
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Payload: Any + Send + Sync + Serialize + DeserializeOwned {
    /// The name in messages and dataflow files, for example `volume`. Each type has a name of its own.
    const TYPE: &'static str;

    /// The digest of the value, if it is not that of its form on disk.
    fn digest(&self) -> Option<Digest> {
        None
    }

    /// The bytes that the value takes in memory, for the bounds of streams. A type with texts or lists adds those.
    fn bytes_in_memory(&self) -> usize {
        size_of::<Self>()
    }

    /// Restores paths to the request's files after reading. Paths are not part of a value: a type with
    /// paths leaves them out of its form on disk, and sets them here by the digest of the item.
    fn locate(&mut self, _path_of: PathOf) {}
}

/// The function that finds the file of an item by the item's digest.
pub type PathOf<'a> = &'a dyn Fn(Digest) -> Option<PathBuf>;

/// A value with the name of its type. Clones share the data.
#[derive(Clone)]
pub struct Value {
    kind: &'static str,
    data: Arc<ValueData>,
    digest: Arc<OnceLock<Digest>>,
    form: ValueForm,
}

type ValueData = dyn Any + Send + Sync;

/// The functions of the value's type.
#[derive(Clone, Copy)]
struct ValueForm {
    write: fn(&ValueData, &mut dyn Write) -> io::Result<()>,
    digest: fn(&ValueData) -> Option<Digest>,
    json: fn(&ValueData) -> serde_json::Result<serde_json::Value>,
    bytes: fn(&ValueData) -> usize,
}

impl Value {
    /// A value of this data.
    pub fn new<T: Payload>(data: T) -> Value {
        Value::shared(Arc::new(data))
    }

    /// A value of data that is shared already.
    pub fn shared<T: Payload>(data: Arc<T>) -> Value {
        let form = ValueForm {
            write: write::<T>,
            digest: |data| typed::<T>(data).digest(),
            json: |data| serde_json::to_value(typed::<T>(data)),
            bytes: |data| typed::<T>(data).bytes_in_memory(),
        };
        Value { kind: T::TYPE, data, digest: Arc::default(), form }
    }

    /// Reads a value from its form on disk. `path_of` finds the files of the request's items.
    ///
    /// # Errors
    /// If the bytes are not the form of a `T`.
    pub fn read<T: Payload>(bytes: &[u8], path_of: PathOf) -> io::Result<Value> {
        let mut data: T = ciborium::from_reader(bytes).map_err(|error| io::Error::other(in_words(error)))?;
        data.locate(path_of);
        Ok(Value::new(data))
    }

    /// The name of the type: its [`Payload::TYPE`].
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The bytes that the data takes in memory: [`Payload::bytes_in_memory`].
    pub fn bytes_in_memory(&self) -> usize {
        (self.form.bytes)(&*self.data)
    }

    /// The data, if the type is `T`.
    pub fn get<T: Payload>(&self) -> Option<&T> {
        self.data.downcast_ref()
    }

    /// The data, shared, if the type is `T`.
    pub fn share<T: Payload>(&self) -> Option<Arc<T>> {
        Arc::clone(&self.data).downcast().ok()
    }

    /// The digest of the value: [`Payload::digest`], or the digest of its form on disk. Computed once.
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

    /// The form on disk.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_form().0
    }

    /// The form on disk, and its digest.
    pub fn to_form(&self) -> (Vec<u8>, Digest) {
        let mut bytes = Vec::new();
        self.write(&mut bytes).expect("memory takes everything");
        let form = match (self.form.digest)(&*self.data) {
            Some(_) => Digest::of(&bytes),
            // Kept, so that a later call need not write the value again.
            None => *self.digest.get_or_init(|| Digest::of(&bytes)),
        };
        (bytes, form)
    }

    /// The value as JSON, for what cannot know its type.
    ///
    /// # Errors
    /// If the type has no form in JSON: its maps have keys that are not texts.
    pub fn to_json(&self) -> serde_json::Result<serde_json::Value> {
        (self.form.json)(&*self.data)
    }

    fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        (self.form.write)(&*self.data, to)
    }
}

fn write<T: Payload>(data: &ValueData, to: &mut dyn Write) -> io::Result<()> {
    ciborium::into_writer(typed::<T>(data), to).map_err(|error| match error {
        ciborium::ser::Error::Io(error) => error,
        ciborium::ser::Error::Value(text) => io::Error::other(text),
    })
}

fn typed<T: Payload>(data: &ValueData) -> &T {
    data.downcast_ref().expect("a value is used as the type it was made of")
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({})", self.kind)
    }
}
/// Names the fault in the form of a value; the library shows it as the program has it.
fn in_words(error: ciborium::de::Error<io::Error>) -> String {
    use ciborium::de::Error;
    match error {
        Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
        Error::Io(error) => error.to_string(),
        Error::Syntax(byte) => format!("byte {byte} is no CBOR"),
        Error::Semantic(_, what) => what,
        Error::RecursionLimitExceeded => "it is nested too deeply".to_owned(),
    }
}
