//! A DICOM file that can be sent: its head is in memory, its bytes stay in the file.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use crate::dicom_file::part10::FileHead;
use crate::imaging::implementation_uid;

/// A DICOM file that can be sent. However large it is, it takes no more memory than its head.
#[derive(Clone, Debug)]
pub struct DicomObject {
    name: String,
    pub(in crate::dicom) head: FileHead,
    source: ObjectSource,
    data_set_begins: u64,
    is_of_flow: bool,
}

#[derive(Clone, Debug)]
enum ObjectSource {
    Bytes(Arc<[u8]>),
    File(PathBuf),
}

#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("{name} is not a DICOM file with SOP class, SOP instance and transfer syntax in its head")]
    NotDicom { name: String },
    /// A read error, which may be temporary.
    #[error("{name} could not be read: {source}")]
    Unreadable { name: String, source: io::Error },
}

/// The longest part of a file in which the head is read. Real heads have some hundred bytes.
const HEAD_BYTES_MAX: u64 = 64 << 10;

/// Whether the head at the beginning of a file names flow as its writer.
fn is_of_flow(begin: &[u8]) -> bool {
    let writer = implementation_uid();
    let head = &begin[..begin.len().min(WRITER_BYTES_MAX)];
    head.windows(writer.len()).any(|part| part == writer.as_bytes())
}

/// The bytes at the beginning of a file that include the name of its writer.
const WRITER_BYTES_MAX: usize = 1 << 10;

impl DicomObject {
    /// Makes an object of the bytes of a file.
    ///
    /// # Errors
    /// If the bytes are not a DICOM file (PS3.10).
    pub fn read(name: impl Into<String>, bytes: Arc<[u8]>) -> Result<DicomObject, ObjectError> {
        let head = FileHead::decode(&bytes).map(|(head, data_set)| (head, data_set.start));
        let is_of_flow = is_of_flow(&bytes);
        let object = DicomObject::new(name.into(), head, ObjectSource::Bytes(bytes))?;
        Ok(DicomObject { is_of_flow, ..object })
    }

    /// Opens a file, which must not change while the object is in use.
    ///
    /// # Errors
    /// If it cannot be read, or is not a DICOM file (PS3.10).
    pub fn open(name: impl Into<String>, path: impl Into<PathBuf>) -> Result<DicomObject, ObjectError> {
        let (name, path) = (name.into(), path.into());
        let mut begin = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(HEAD_BYTES_MAX).read_to_end(&mut begin));
        if let Err(source) = read {
            return Err(ObjectError::Unreadable { name, source });
        }
        let head = FileHead::decode(&begin).map(|(head, data_set)| (head, data_set.start));
        let object = DicomObject::new(name, head, ObjectSource::File(path))?;
        Ok(DicomObject { is_of_flow: is_of_flow(&begin), ..object })
    }

    fn new(
        name: String,
        head: Option<(FileHead, usize)>,
        source: ObjectSource,
    ) -> Result<DicomObject, ObjectError> {
        let is_complete = |head: &FileHead| {
            let uids = [&head.sop_class_uid, &head.sop_instance_uid, &head.transfer_syntax_uid];
            uids.into_iter().all(|uid| !uid.is_empty())
        };
        match head {
            Some((head, begins)) if is_complete(&head) => {
                let data_set_begins = begins as u64;
                Ok(DicomObject { name, head, source, data_set_begins, is_of_flow: false })
            }
            _ => Err(ObjectError::NotDicom { name }),
        }
    }

    /// The object's name for messages, as the caller gave it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether flow has made the object: the head of its file says which program has written it.
    pub fn is_of_flow(&self) -> bool {
        self.is_of_flow
    }

    pub fn sop_class_uid(&self) -> &str {
        &self.head.sop_class_uid
    }

    pub fn sop_instance_uid(&self) -> &str {
        &self.head.sop_instance_uid
    }

    pub fn transfer_syntax_uid(&self) -> &str {
        &self.head.transfer_syntax_uid
    }

    /// Bytes of the file.
    ///
    /// # Errors
    /// If it is gone.
    pub fn size(&self) -> io::Result<u64> {
        match &self.source {
            ObjectSource::Bytes(bytes) => Ok(bytes.len() as u64),
            ObjectSource::File(path) => Ok(std::fs::metadata(path)?.len()),
        }
    }

    /// The whole file, from its beginning.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn file(&self) -> io::Result<Box<dyn Read + '_>> {
        self.from(0)
    }

    /// The data set behind the head.
    pub(in crate::dicom) fn data_set(&self) -> io::Result<Box<dyn Read + '_>> {
        self.from(self.data_set_begins)
    }

    fn from(&self, place: u64) -> io::Result<Box<dyn Read + '_>> {
        match &self.source {
            ObjectSource::Bytes(bytes) => {
                let mut bytes = Cursor::new(bytes);
                bytes.set_position(place);
                Ok(Box::new(bytes))
            }
            ObjectSource::File(path) => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(place))?;
                Ok(Box::new(file))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> FileHead {
        FileHead {
            sop_class_uid: "1.2".to_owned(),
            sop_instance_uid: "1.2.3".to_owned(),
            transfer_syntax_uid: "1.2.840.10008.1.2.1".to_owned(),
        }
    }

    #[test]
    fn only_dicom_files_are_sent() {
        assert!(DicomObject::read("text", b"hello".as_slice().into()).is_err());
        let lacking = FileHead { sop_instance_uid: String::new(), ..head() };
        assert!(DicomObject::read("lacking", lacking.encode().into()).is_err());
        let gone = DicomObject::open("gone", "/nowhere/gone.dcm").unwrap_err();
        assert!(gone.to_string().contains("No such file"), "{gone}");
    }

    #[test]
    fn a_file_and_its_bytes_are_the_same_object() {
        let bytes = [head().encode(), b"data set".to_vec()].concat();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, &bytes).unwrap();
        let objects = [
            DicomObject::open("object", &path).unwrap(),
            DicomObject::read("object", bytes.clone().into()).unwrap(),
        ];
        for object in objects {
            let (mut whole, mut data_set) = (Vec::new(), Vec::new());
            object.file().unwrap().read_to_end(&mut whole).unwrap();
            object.data_set().unwrap().read_to_end(&mut data_set).unwrap();
            assert_eq!((whole, data_set), (bytes.clone(), b"data set".to_vec()));
            assert_eq!(object.sop_instance_uid(), "1.2.3");
        }
    }
}
