//! De-identification of a DICOM file: PS3.15 annex E, Basic Application Level Confidentiality Profile,
//! without any of its options.
//!
//! Beyond the profile, all elements that cannot be judged are removed: private elements, elements that the
//! standard does not know, overlays and curves, and text, names, dates and titles that the profile's table
//! does not mention. UIDs become a function of the old one and a key, so that the references among files done
//! with one key stay; so do the patient's ID and name. A sequence for which the profile wants a dummy becomes
//! empty. Everything else stays byte for byte, the pixels too: text burned into them is not detected, and a
//! face can be reconstructed from a scan of the head.

mod key;
mod profile;
mod writer;

use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElementHeader, Length, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_parser::dataset::DataToken;
use dicom_parser::dataset::read::ValueReadStrategy;

use super::data_set::{DataSet, DataSetError, closes, opens};
use crate::dicom_file::part10::FileHead;
use crate::imaging::CharacterSet;

pub use key::PseudonymKey;

use profile::ElementAction;
use writer::TokenWriter;

/// A file without the patient's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeidentifiedFile {
    pub bytes: Vec<u8>,
    pub burned_in: BurnedIn,
}

/// Whether the file itself says that its pixels show who the patient is (0028,0301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BurnedIn {
    Yes,
    No,
    Unsaid,
}

/// Writes the file without the patient's identity, in its transfer syntax (as explicit little endian if it
/// was deflated).
///
/// # Errors
/// If the file cannot be read to its end: what cannot be read cannot be judged.
pub fn deidentify(file: &[u8], key: &PseudonymKey) -> Result<DeidentifiedFile, DataSetError> {
    let data_set = DataSet::open(file)?;
    let mut cleaning = FileDeidentification::begin(&data_set, key)?;
    for token in data_set.tokens(ValueReadStrategy::Raw)? {
        cleaning.take(token?)?;
    }
    cleaning.finish()
}

struct FileDeidentification<'a> {
    key: &'a PseudonymKey,
    writer: TokenWriter,
    /// Elements still to be added to the outermost data set, in reverse order.
    added: Vec<(Tag, Vec<DataToken>)>,
    /// Number of open sequences and items, and how many of them are in a sequence that is left out.
    open: usize,
    left_out: usize,
    /// Element whose value comes next.
    element: DataElementHeader,
    /// Character sets of the open data sets, the innermost last.
    character_sets: Vec<CharacterSet>,
    burned_in: BurnedIn,
}

impl<'a> FileDeidentification<'a> {
    fn begin(of: &DataSet, key: &'a PseudonymKey) -> Result<FileDeidentification<'a>, DataSetError> {
        let sop_instance_uid = key.uids(of.head.sop_instance_uid.as_bytes());
        let head = FileHead { sop_instance_uid, ..of.head.clone() }.encode();
        let unknown = || DataSetError::Syntax(of.head.transfer_syntax_uid.clone());
        Ok(FileDeidentification {
            key,
            writer: TokenWriter::after(head, of.syntax).ok_or_else(unknown)?,
            added: added(),
            open: 0,
            left_out: 0,
            element: DataElementHeader::new(Tag(0, 0), VR::UN, Length(0)),
            character_sets: vec![CharacterSet::default()],
            burned_in: BurnedIn::Unsaid,
        })
    }

    fn take(&mut self, token: DataToken) -> Result<(), DataSetError> {
        let (opens, closes) = (usize::from(opens(&token)), usize::from(closes(&token)));
        if self.left_out > 0 {
            self.left_out = self.left_out + opens - closes;
            return Ok(());
        }
        match token {
            DataToken::ElementHeader(header) => self.element = header,
            DataToken::PrimitiveValue(value) => self.value(&value.to_bytes())?,
            DataToken::SequenceStart { tag, .. } => return self.sequence(tag),
            DataToken::PixelSequenceStart => {
                self.add_before(tags::PIXEL_DATA)?;
                self.write(&token)?;
            }
            DataToken::ItemStart { .. } => {
                // A data set that declares no character set has that of the data set around it.
                self.character_sets.push(self.character_set());
                self.write(&token)?;
            }
            DataToken::ItemEnd => {
                self.character_sets.pop();
                self.write(&token)?;
            }
            other => self.write(&other)?,
        }
        self.open = (self.open + opens).saturating_sub(closes);
        Ok(())
    }

    fn sequence(&mut self, tag: Tag) -> Result<(), DataSetError> {
        let begin = DataToken::SequenceStart { tag, len: Length::UNDEFINED };
        let action = ElementAction::on(tag, VR::SQ);
        if action != ElementAction::Remove {
            self.add_before(tag)?;
            self.write(&begin)?;
        }
        match action {
            ElementAction::Keep => self.open += 1,
            ElementAction::Remove => self.left_out = 1,
            ElementAction::Empty | ElementAction::Dummy | ElementAction::Uids | ElementAction::Pseudonym => {
                self.write(&DataToken::SequenceEnd)?;
                self.left_out = 1;
            }
        }
        Ok(())
    }

    fn value(&mut self, value: &[u8]) -> Result<(), DataSetError> {
        let DataElementHeader { tag, vr, .. } = self.element;
        if tag == tags::BURNED_IN_ANNOTATION && self.open == 0 {
            self.burned_in = BurnedIn::said(value);
        }
        if let (tags::SPECIFIC_CHARACTER_SET, Some(innermost)) = (tag, self.character_sets.last_mut()) {
            *innermost = CharacterSet::declared(&String::from_utf8_lossy(value));
        }
        let value = match ElementAction::on(tag, vr) {
            ElementAction::Remove => return Ok(()),
            ElementAction::Keep => value.to_vec(),
            ElementAction::Empty => Vec::new(),
            ElementAction::Dummy if value.is_empty() => Vec::new(),
            ElementAction::Dummy => profile::dummy(vr, value.len()),
            ElementAction::Uids => self.key.uids(value).into_bytes(),
            ElementAction::Pseudonym => {
                self.key.pseudonym(&self.character_set().decode(vr, value)).into_bytes()
            }
        };
        self.add_before(tag)?;
        element(tag, vr, value).iter().try_for_each(|token| self.write(token))
    }

    fn character_set(&self) -> CharacterSet {
        self.character_sets.last().copied().unwrap_or_default()
    }

    /// Adds the elements that come before `tag`: a data set is in the order of tags.
    fn add_before(&mut self, tag: Tag) -> Result<(), DataSetError> {
        while self.open == 0
            && let Some((_, tokens)) = self.added.pop_if(|(other, _)| *other < tag)
        {
            tokens.iter().try_for_each(|token| self.write(token))?;
        }
        Ok(())
    }

    fn write(&mut self, token: &DataToken) -> Result<(), DataSetError> {
        self.writer.write(token).map_err(|error| DataSetError::Damaged(error.to_string()))
    }

    fn finish(mut self) -> Result<DeidentifiedFile, DataSetError> {
        self.add_before(Tag(u16::MAX, u16::MAX))?;
        Ok(DeidentifiedFile { bytes: self.writer.finish(), burned_in: self.burned_in })
    }
}

impl BurnedIn {
    fn said(value: &[u8]) -> BurnedIn {
        match value.trim_ascii() {
            b"YES" => BurnedIn::Yes,
            b"NO" => BurnedIn::No,
            _ => BurnedIn::Unsaid,
        }
    }
}

/// The elements that say how the file was de-identified (PS3.3 C.7.1.1, C.12.1), the last one first.
fn added() -> Vec<(Tag, Vec<DataToken>)> {
    const METHOD: &str = concat!(
        "flow ",
        env!("CARGO_PKG_VERSION"),
        "\\PS3.15 Basic Application Level Confidentiality Profile"
    );
    let text = |tag, vr, text: &str| element(tag, vr, text.as_bytes().to_vec());
    // PS3.16 CID 7050.
    let code = [
        text(tags::CODE_VALUE, VR::SH, "113100"),
        text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "DCM"),
        text(tags::CODE_MEANING, VR::LO, "Basic Application Confidentiality Profile"),
    ];
    let codes = tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE;
    let begin = [
        DataToken::SequenceStart { tag: codes, len: Length::UNDEFINED },
        DataToken::ItemStart { len: Length::UNDEFINED },
    ];
    let end = [DataToken::ItemEnd, DataToken::SequenceEnd];
    let code = begin.into_iter().chain(code.into_iter().flatten()).chain(end).collect();
    let modified = tags::LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED;
    vec![
        (modified, text(modified, VR::CS, "REMOVED").into()),
        (codes, code),
        (tags::DEIDENTIFICATION_METHOD, text(tags::DEIDENTIFICATION_METHOD, VR::LO, METHOD).into()),
        (tags::PATIENT_IDENTITY_REMOVED, text(tags::PATIENT_IDENTITY_REMOVED, VR::CS, "YES").into()),
    ]
}

fn element(tag: Tag, vr: VR, value: Vec<u8>) -> [DataToken; 2] {
    let header = DataElementHeader::new(tag, vr, Length(value.len() as u32));
    [DataToken::ElementHeader(header), DataToken::PrimitiveValue(PrimitiveValue::U8(value.into()))]
}
