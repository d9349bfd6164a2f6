//! One record of a request: a handle on a file, on bytes in memory, or on bytes in a store.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use super::octets::{OctetString, Octets};
use super::{Digest, Payload};

/// One record inside a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ItemForm")]
pub struct Item {
    /// The name for a person, for example the file's path below the input folder.
    pub name: String,
    /// The place of its bytes.
    pub place: ItemPlace,
    /// The digest of its content: of its bytes, or of what they mean where a source knows several forms of it.
    pub digest: Digest,
    /// Bytes of the content.
    pub size: u64,
    /// Bytes of its content when decoded; what a memory estimate counts with.
    pub decoded: u64,
}

/// The place of an item's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemPlace {
    /// A file that its source keeps until the request is forgotten.
    File(PathBuf),
    /// The bytes themselves: right for a message, too much for an image.
    Inline(Arc<[u8]>),
    /// Bytes in a store under this digest. A step that has the store opens it with [`Item::open_with`].
    Stored(Digest),
}

/// The bytes of an opened item.
#[derive(Debug)]
pub enum ItemContent {
    /// A large file of a store, mapped into memory.
    Mapped(Mmap),
    /// A file that was read: it may be another's, who cuts it meanwhile, or to read it costs no more than to map it.
    Read(Vec<u8>),
    /// Bytes that the item carries.
    Shared(Arc<[u8]>),
}

/// The bytes from which on a file of a store is mapped.
const MAPPED_FROM: u64 = 16 << 20;

impl Item {
    /// An item that carries its bytes with it.
    pub fn inline(name: impl Into<String>, bytes: impl Into<Arc<[u8]>>) -> Item {
        let bytes = bytes.into();
        let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
        Item { name: name.into(), place: ItemPlace::Inline(bytes), digest, size, decoded: size }
    }

    /// The item's bytes, which stay the same whatever becomes of the file. Those of a large file take that much memory; see
    /// [`Item::reader`].
    ///
    /// # Errors
    /// If the file cannot be read; [`ErrorKind::UnexpectedEof`] if it is cut meanwhile; [`ErrorKind::Unsupported`] for a
    /// stored item, see [`Item::open_with`].
    pub fn open(&self) -> io::Result<ItemContent> {
        self.open_with(|_| None)
    }

    /// As [`Item::open`]; `find` gives the file of a stored item. Such a file is mapped if it is large: it must not be cut as
    /// long as the content is used, because the system ends a process that reads behind the end of a mapped file.
    ///
    /// # Errors
    /// If the file cannot be read, or `find` does not know it.
    pub fn open_with(&self, find: impl FnOnce(Digest) -> Option<PathBuf>) -> io::Result<ItemContent> {
        match &self.place {
            ItemPlace::File(path) => File::open(path).and_then(ItemContent::read),
            ItemPlace::Inline(bytes) => Ok(ItemContent::Shared(Arc::clone(bytes))),
            ItemPlace::Stored(digest) => match find(*digest) {
                Some(path) => ItemContent::of_stored(&path),
                None => {
                    let text = format!("{digest} can only be opened with the store that keeps it");
                    Err(io::Error::new(ErrorKind::Unsupported, text))
                }
            },
        }
    }

    /// The item's bytes from their beginning. A file that is changed or cut meanwhile gives other bytes, or fewer; it is
    /// never mapped.
    ///
    /// # Errors
    /// As those of [`Item::open`].
    pub fn reader(&self) -> io::Result<Box<dyn BufRead + Send>> {
        Ok(match &self.place {
            ItemPlace::File(path) => Box::new(BufReader::new(File::open(path)?)),
            ItemPlace::Inline(_) | ItemPlace::Stored(_) => Box::new(Cursor::new(self.open()?)),
        })
    }

    /// The file of an item that is one.
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            ItemPlace::File(path) => Some(path),
            ItemPlace::Inline(_) | ItemPlace::Stored(_) => None,
        }
    }

    /// The file of an item, for what can only read files.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the item is not a file.
    pub fn file(&self) -> io::Result<&Path> {
        let text = || format!("the item {} is not a file", self.name);
        self.path().ok_or_else(|| io::Error::new(ErrorKind::Unsupported, text()))
    }

    pub(super) fn value_digest(&self) -> Digest {
        Digest::of_parts([self.digest.as_bytes().as_slice(), self.name.as_bytes()])
    }
}

impl ItemContent {
    fn of_stored(path: &Path) -> io::Result<ItemContent> {
        let file = File::open(path)?;
        if file.metadata()?.len() < MAPPED_FROM {
            return ItemContent::read(file);
        }
        // SAFETY: a store never changes a file: it is written under another name, and removed as a whole.
        unsafe { Mmap::map(&file) }.map(ItemContent::Mapped)
    }

    fn read(file: File) -> io::Result<ItemContent> {
        let bytes = file.metadata()?.len();
        read_whole(file, bytes).map(ItemContent::Read)
    }
}

/// The content of a file that had so many bytes when it was opened.
fn read_whole(mut file: impl Read, bytes: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    content.try_reserve_exact(usize::try_from(bytes).map_err(io::Error::other)?)?;
    file.read_to_end(&mut content)?;
    let read = content.len() as u64;
    if read < bytes {
        let text = format!("the file was cut while it was read: of {bytes} bytes, {read} were left");
        return Err(io::Error::new(ErrorKind::UnexpectedEof, text));
    }
    Ok(content)
}

impl Deref for ItemContent {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            ItemContent::Mapped(bytes) => bytes,
            ItemContent::Read(bytes) => bytes,
            ItemContent::Shared(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for ItemContent {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Payload for Item {
    const TYPE: &'static str = "item";

    fn digest(&self) -> Option<Digest> {
        Some(self.value_digest())
    }
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut form = serializer.serialize_struct("Item", 5)?;
        form.serialize_field("name", &self.name)?;
        match &self.place {
            ItemPlace::File(path) => form.serialize_field("path", &Octets::of_path(path))?,
            ItemPlace::Inline(bytes) => form.serialize_field("inline", &Octets(bytes))?,
            ItemPlace::Stored(digest) => form.serialize_field("stored", digest)?,
        }
        form.serialize_field("digest", &self.digest)?;
        form.serialize_field("size", &self.size)?;
        form.serialize_field("decoded", &self.decoded)?;
        form.end()
    }
}

/// An item as it is written, also by earlier versions: one of the three places is there.
#[derive(Deserialize)]
pub(super) struct ItemForm {
    name: String,
    path: Option<OctetString>,
    inline: Option<OctetString>,
    stored: Option<Digest>,
    digest: Digest,
    size: u64,
    decoded: u64,
    /// Written by earlier versions for a file in a folder that the DICOM source had made for it.
    #[serde(default)]
    received: bool,
}

impl ItemForm {
    /// The folder that an earlier version would have removed with the request.
    pub(super) fn received_folder(&self) -> Option<String> {
        let path = self.path.clone().filter(|_| self.received)?.into_path();
        Some(path.parent()?.to_string_lossy().into_owned())
    }
}

impl TryFrom<ItemForm> for Item {
    type Error = &'static str;

    fn try_from(form: ItemForm) -> Result<Item, Self::Error> {
        let ItemForm { name, path, inline, stored, digest, size, decoded, received: _ } = form;
        let place = match (path, inline, stored) {
            (Some(path), None, None) => ItemPlace::File(path.into_path()),
            (None, Some(bytes), None) => ItemPlace::Inline(bytes.0.into()),
            (None, None, Some(digest)) => ItemPlace::Stored(digest),
            _ => return Err("an item needs one of `path`, `inline` and `stored`"),
        };
        Ok(Item { name, place, digest, size, decoded })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_opened_wherever_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let inline = Item::inline("greeting", *b"hello");
        assert_eq!(&*inline.open().unwrap(), b"hello");
        assert_eq!(inline.path(), None);
        for content in ["hello", ""] {
            let path = folder.path().join("x");
            std::fs::write(&path, content).unwrap();
            let file = Item { place: ItemPlace::File(path.clone()), ..inline.clone() };
            assert_eq!(&*file.open().unwrap(), content.as_bytes());
            let stored = Item { place: ItemPlace::Stored(inline.digest), ..inline.clone() };
            assert_eq!(stored.open().unwrap_err().kind(), ErrorKind::Unsupported);
            assert_eq!(&*stored.open_with(|_| Some(path)).unwrap(), content.as_bytes());
        }
    }

    #[test]
    fn a_large_file_may_be_cut_after_it_was_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let bytes = MAPPED_FROM + 1;
        File::create(&path).unwrap().set_len(bytes).unwrap();
        let item = Item { place: ItemPlace::File(path.clone()), ..Item::inline("x", *b"") };
        let content = item.open().unwrap();
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        assert_eq!(content.iter().filter(|byte| **byte == 0).count() as u64, bytes);
    }

    #[test]
    fn a_file_that_is_cut_while_it_is_read_is_an_error() {
        assert_eq!(read_whole(&b"hello"[..], 5).unwrap(), b"hello");
        assert_eq!(read_whole(&b"hello, longer"[..], 5).unwrap(), b"hello, longer");
        let error = read_whole(&b"hel"[..], 5).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(error.to_string(), "the file was cut while it was read: of 5 bytes, 3 were left");
        assert_eq!(read_whole(&b""[..], u64::MAX / 4).unwrap_err().kind(), ErrorKind::OutOfMemory);
    }

    #[test]
    fn a_place_is_written_and_read_back() {
        let inline = Item::inline("x", *b"\xff\0");
        let places = [
            ItemPlace::Inline(Arc::from(*b"text")),
            ItemPlace::File("/in/x".into()),
            ItemPlace::Stored(inline.digest),
        ];
        let others = places.map(|place| Item { place, ..inline.clone() });
        for item in others.into_iter().chain([inline]) {
            let text = serde_json::to_string(&item).unwrap();
            assert_eq!(serde_json::from_str::<Item>(&text).unwrap(), item, "{text}");
        }
        let nowhere = r#"{"name":"x","digest":"","size":1,"decoded":1}"#;
        assert!(serde_json::from_str::<Item>(nowhere).is_err());
    }
}
