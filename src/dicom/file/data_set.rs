//! A DICOM file opened as a stream of tokens: element by element, without recursion, so that deep
//! nesting in a forged file costs nothing but its own bytes.

use std::ops::Deref;

use dicom_core::DataElementHeader;
use dicom_encoding::transfer_syntax::{TransferSyntax, TransferSyntaxIndex};
use dicom_parser::dataset::read::{DataSetReaderOptions, ValueReadStrategy};
use dicom_parser::dataset::{DataSetReader, DataToken};
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

use crate::dicom_file::encoding::{DEFLATED, EXPLICIT_LITTLE_ENDIAN};
use crate::dicom_file::inflate::{InflatedBytes, InflatedEnd, inflate};
use crate::dicom_file::part10::FileHead;

/// The limit to which a deflated data set is inflated: a crafted one could inflate without end.
const INFLATED_BYTES_MAX: u64 = 64 << 20;

/// The most tokens of a data set. An item may have eight bytes in a file and take a hundred in memory. Images
/// of ten thousand frames, with a hundred elements for each, are below this.
const TOKENS_MAX: usize = 5_000_000;

/// A file whose head has been read.
pub(in crate::dicom) struct DataSet<'a> {
    /// The file head for the bytes here: if the data set has been inflated, its transfer syntax is another.
    pub head: FileHead,
    pub syntax: &'static TransferSyntax,
    bytes: ReadBytes<'a>,
}

/// A data set as it is in a file, or inflated.
enum ReadBytes<'a> {
    InFile(&'a [u8]),
    Inflated(InflatedBytes),
}

impl Deref for ReadBytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            ReadBytes::InFile(bytes) => bytes,
            ReadBytes::Inflated(bytes) => bytes,
        }
    }
}

/// The reason why a file cannot be read element by element.
#[derive(Debug, thiserror::Error)]
pub enum DataSetError {
    #[error("it is not a DICOM file, or its head is damaged")]
    NotDicom,
    #[error("its transfer syntax {0:?} is not known")]
    Syntax(String),
    #[error("its deflated data set is damaged or too large")]
    Deflated,
    #[error("its data set is damaged: {0}")]
    Damaged(String),
    #[error("its data set is cut off")]
    CutOff,
}

impl<'a> DataSet<'a> {
    /// Opens a file.
    ///
    /// # Errors
    /// If the head cannot be read or names an unknown transfer syntax.
    pub fn open(bytes: &'a [u8]) -> Result<DataSet<'a>, DataSetError> {
        let (mut head, place) = FileHead::decode(bytes).ok_or(DataSetError::NotDicom)?;
        let bytes = if head.transfer_syntax_uid == DEFLATED {
            head.transfer_syntax_uid = EXPLICIT_LITTLE_ENDIAN.to_owned();
            let inflated = inflate(&bytes[place], INFLATED_BYTES_MAX);
            let is_whole = inflated.end == InflatedEnd::Whole;
            ReadBytes::Inflated(is_whole.then_some(inflated).ok_or(DataSetError::Deflated)?)
        } else {
            ReadBytes::InFile(&bytes[place])
        };
        let syntax = TransferSyntaxRegistry.get(&head.transfer_syntax_uid);
        let syntax = syntax.ok_or_else(|| DataSetError::Syntax(head.transfer_syntax_uid.clone()))?;
        Ok(DataSet { head, syntax, bytes })
    }

    /// The tokens of the data set. The last one is an error if the data set is damaged or cut off.
    ///
    /// The reader allocates memory for a value before it reads it. So this ends with an error at a length
    /// that exceeds the rest of the file, and at too many tokens.
    ///
    /// # Errors
    /// If the transfer syntax cannot be read.
    pub fn tokens(
        &self,
        values: ValueReadStrategy,
    ) -> Result<impl Iterator<Item = Result<DataToken, DataSetError>>, DataSetError> {
        let options = DataSetReaderOptions::default().value_read(values);
        let reader = DataSetReader::new_with_ts_options(&*self.bytes, self.syntax, options);
        let mut reader = reader.map_err(|error| damaged(&error))?;
        let mut depth = 0_usize;
        let there = self.bytes.len();
        let is_there = move |token: &DataToken| announced(token).is_none_or(|length| length <= there);
        let tokens = std::iter::from_fn(move || match reader.next() {
            Some(Ok(token)) if !is_there(&token) => {
                depth = 0;
                Some(Err(DataSetError::CutOff))
            }
            // The reader ends without an error also inside of a sequence; that is an error here.
            None => (std::mem::take(&mut depth) > 0).then_some(Err(DataSetError::CutOff)),
            Some(Err(error)) => {
                depth = 0;
                Some(Err(damaged(&error)))
            }
            Some(Ok(token)) => {
                depth = (depth + usize::from(opens(&token))).saturating_sub(usize::from(closes(&token)));
                Some(Ok(token))
            }
        });
        let few = |(number, token)| if number < TOKENS_MAX { token } else { Err(too_many()) };
        Ok(tokens.enumerate().map(few).take(TOKENS_MAX + 1))
    }
}

pub(in crate::dicom) fn opens(token: &DataToken) -> bool {
    use DataToken::{ItemStart, PixelSequenceStart, SequenceStart};
    matches!(token, SequenceStart { .. } | PixelSequenceStart | ItemStart { .. })
}

pub(in crate::dicom) fn closes(token: &DataToken) -> bool {
    matches!(token, DataToken::SequenceEnd | DataToken::ItemEnd)
}

/// The length of the value that a header announces, if it does.
fn announced(token: &DataToken) -> Option<usize> {
    let (DataToken::ElementHeader(DataElementHeader { len, .. })
    | DataToken::SequenceStart { len, .. }
    | DataToken::ItemStart { len }) = token
    else {
        return None;
    };
    len.get().map(|length| length as usize)
}

fn too_many() -> DataSetError {
    DataSetError::Damaged(format!("it has more than {TOKENS_MAX} elements, values and items"))
}

fn damaged(error: &dyn std::error::Error) -> DataSetError {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    DataSetError::Damaged(causes.last().map_or_else(|| error.to_string(), ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(data_set: &[u8]) -> Option<DataSetError> {
        let head = FileHead { transfer_syntax_uid: EXPLICIT_LITTLE_ENDIAN.to_owned(), ..FileHead::default() };
        let file = [&head.encode(), data_set].concat();
        let file = DataSet::open(&file).unwrap();
        file.tokens(ValueReadStrategy::Raw).unwrap().find_map(Result::err)
    }

    /// The reader would make room for them before it finds that they are not there.
    #[test]
    fn announced_bytes_must_be_there() {
        let value = |length: u32| [b"\x09\0\x10\0UN\0\0".as_slice(), &length.to_le_bytes(), b"ab"].concat();
        let pixels = |length: u32| {
            let begin = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff";
            let end = b"\xfe\xff\xdd\xe0\0\0\0\0";
            [begin, b"\xfe\xff\0\xe0\0\0\0\0\xfe\xff\0\xe0".as_slice(), &length.to_le_bytes(), b"ab", end]
                .concat()
        };
        assert!(end(&value(2)).is_none() && end(&pixels(2)).is_none());
        for forged in [1 << 20, 0xB800_0000] {
            assert!(matches!(end(&value(forged)), Some(DataSetError::CutOff)), "{forged}");
            assert!(matches!(end(&pixels(forged)), Some(DataSetError::CutOff)), "{forged}");
        }
    }

    /// Eight bytes each, that would cost a hundred times as much.
    #[test]
    fn a_data_set_has_not_too_many_parts() {
        let many = |count: usize| {
            let begin = b"\x09\0\x10\x10SQ\0\0\xff\xff\xff\xff".as_slice();
            let items = b"\xfe\xff\0\xe0\0\0\0\0".repeat(count);
            [begin, &items, b"\xfe\xff\xdd\xe0\0\0\0\0"].concat()
        };
        assert!(end(&many(1000)).is_none());
        assert!(matches!(end(&many(TOKENS_MAX / 2)), Some(DataSetError::Damaged(_))));
    }
}
