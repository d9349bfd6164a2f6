//! Queries to an archive, and its matches (PS3.4 annex C, Study Root).

use std::fmt;
use std::str::FromStr;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use dicom_encoding::transfer_syntax::TransferSyntaxIndex;
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

use crate::dicom_file::part10::FileHead;
use crate::imaging::Part10File;

/// Query/Retrieve Level: the kind of entity that one match describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryLevel {
    Study,
    Series,
    Instance,
}

impl QueryLevel {
    pub(in crate::dicom) fn code(self) -> &'static str {
        match self {
            QueryLevel::Study => "STUDY",
            QueryLevel::Series => "SERIES",
            QueryLevel::Instance => "IMAGE",
        }
    }

    /// Attributes returned for a match unless more are asked for.
    pub(in crate::dicom) fn told(self) -> &'static [Tag] {
        match self {
            QueryLevel::Study => &[
                tags::STUDY_INSTANCE_UID,
                tags::ACCESSION_NUMBER,
                tags::STUDY_DATE,
                tags::MODALITIES_IN_STUDY,
                tags::STUDY_DESCRIPTION,
                tags::PATIENT_ID,
                tags::PATIENT_NAME,
                tags::NUMBER_OF_STUDY_RELATED_INSTANCES,
            ],
            QueryLevel::Series => &[
                tags::SERIES_INSTANCE_UID,
                tags::MODALITY,
                tags::SERIES_NUMBER,
                tags::SERIES_DESCRIPTION,
                tags::NUMBER_OF_SERIES_RELATED_INSTANCES,
            ],
            QueryLevel::Instance => &[tags::SOP_INSTANCE_UID, tags::SOP_CLASS_UID, tags::INSTANCE_NUMBER],
        }
    }
}

/// A query: a level, and what must match. Read from `Keyword=value` pairs with `;` between them; `*` and
/// `?` stand for other letters, and dates may be ranges: `PatientID=P1;StudyDate=20260101-20260131`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DimseQuery {
    pub level: QueryLevel,
    pub keys: Vec<(Tag, String)>,
}

#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error(
        "{0:?} is not of the form Keyword=value;Keyword=value, for example PatientID=P1;StudyDate=20260101-"
    )]
    Form(String),
    #[error("{0:?} is not a keyword of DICOM that can be asked for, for example AccessionNumber")]
    Keyword(String),
    #[error("a query without a value would ask for everything: name at least one, `*` if that is wanted")]
    Empty,
}

impl DimseQuery {
    pub fn study(study_instance_uid: &str, level: QueryLevel) -> DimseQuery {
        DimseQuery { level, keys: vec![(tags::STUDY_INSTANCE_UID, study_instance_uid.to_owned())] }
    }

    /// Matching keys and their values, by keyword.
    pub(in crate::dicom) fn named(&self) -> Vec<(String, String)> {
        self.keys.iter().map(|(tag, value)| (keyword(*tag), value.clone())).collect()
    }

    /// The identifier of C-FIND, C-MOVE or C-GET: the matching keys, and with `told` the keys that a response
    /// shall return.
    pub(in crate::dicom) fn identifier(&self, told: ReturnKeys, transfer_syntax_uid: &str) -> Vec<u8> {
        let mut keys = vec![(tags::QUERY_RETRIEVE_LEVEL, self.level.code().to_owned())];
        if !self.keys.iter().all(|(_, value)| value.is_ascii()) {
            keys.push((tags::SPECIFIC_CHARACTER_SET, "ISO_IR 192".to_owned()));
        }
        keys.extend(self.keys.clone());
        if told == ReturnKeys::Usual {
            let missing = self.level.told().iter().filter(|tag| self.keys.iter().all(|(key, _)| key != *tag));
            keys.extend(missing.map(|tag| (*tag, String::new())));
        }
        data_set(keys, transfer_syntax_uid)
    }
}

pub(in crate::dicom) fn keyword(tag: Tag) -> String {
    let entry = StandardDataDictionary.by_tag(tag);
    entry.map_or_else(|| tag.to_string(), |entry| entry.alias().to_owned())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dicom) enum ReturnKeys {
    Nothing,
    Usual,
}

impl FromStr for DimseQuery {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<DimseQuery, QueryError> {
        let pairs = text.split(';').map(str::trim).filter(|pair| !pair.is_empty());
        let keys: Result<Vec<_>, _> = pairs.map(|pair| key(pair, text)).collect();
        let keys = keys?;
        if keys.iter().all(|(_, value)| value.is_empty()) {
            return Err(QueryError::Empty);
        }
        Ok(DimseQuery { level: QueryLevel::Study, keys })
    }
}

fn key(pair: &str, text: &str) -> Result<(Tag, String), QueryError> {
    let (keyword, value) = pair.split_once('=').ok_or_else(|| QueryError::Form(text.to_owned()))?;
    let entry = StandardDataDictionary.by_name(keyword.trim());
    let entry = entry.filter(|entry| entry.vr().relaxed() != VR::SQ);
    let tag = entry.map(|entry| entry.tag()).ok_or_else(|| QueryError::Keyword(keyword.trim().to_owned()))?;
    Ok((tag, value.trim().to_owned()))
}

/// Elements of text as a data set in one of the two uncompressed little-endian syntaxes.
pub(in crate::dicom) fn data_set(elements: Vec<(Tag, String)>, transfer_syntax_uid: &str) -> Vec<u8> {
    let elements = elements.into_iter().map(|(tag, text)| {
        let entry = StandardDataDictionary.by_tag(tag).expect("keys come from the dictionary");
        DataElement::new(tag, entry.vr().relaxed(), PrimitiveValue::from(text))
    });
    encode(&InMemDicomObject::from_element_iter(elements), transfer_syntax_uid)
}

pub(in crate::dicom) fn encode(object: &InMemDicomObject, transfer_syntax_uid: &str) -> Vec<u8> {
    let syntax = TransferSyntaxRegistry.get(transfer_syntax_uid).expect("a syntax that we proposed");
    let mut bytes = Vec::new();
    object.write_dataset_with_ts(&mut bytes, syntax).expect("memory takes everything");
    bytes
}

/// One match: the returned elements, decoded to Unicode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryMatch(pub Vec<(Tag, String)>);

impl QueryMatch {
    pub fn text(&self, tag: Tag) -> &str {
        self.0.iter().find(|(own, _)| *own == tag).map_or("", |(_, text)| text)
    }

    /// Attributes that the archive returned, by keyword.
    pub fn told(&self) -> Vec<(String, serde_json::Value)> {
        let named = self.0.iter().map(|(tag, text)| (keyword(*tag), serde_json::Value::from(text.as_str())));
        named.collect()
    }

    /// A number that is written as text; `None` if the archive does not return it.
    pub fn count(&self, tag: Tag) -> Option<u64> {
        self.text(tag).trim().parse().ok()
    }

    pub(in crate::dicom) fn read(
        data_set: &[u8],
        transfer_syntax_uid: &str,
        query: &DimseQuery,
    ) -> QueryMatch {
        let head = FileHead { transfer_syntax_uid: transfer_syntax_uid.to_owned(), ..FileHead::default() };
        let file = [head.encode(), data_set.to_vec()].concat();
        let file = Part10File::open(&file).expect("it has the head of a file");
        let elements = file.elements();
        let mut tags: Vec<Tag> = query.level.told().to_vec();
        let keys = query.keys.iter().map(|(tag, _)| *tag);
        tags.extend(keys.filter(|tag| !query.level.told().contains(tag)));
        QueryMatch(tags.into_iter().map(|tag| (tag, elements.text(tag))).collect())
    }
}

impl fmt::Display for QueryLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            QueryLevel::Study => "study",
            QueryLevel::Series => "series",
            QueryLevel::Instance => "instance",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_and_what_is_none_is_told() {
        let query: DimseQuery = "PatientID=P1; StudyDate=20260101-".parse().unwrap();
        let keys = [(tags::PATIENT_ID, "P1"), (tags::STUDY_DATE, "20260101-")];
        assert_eq!(query.keys, keys.map(|(tag, text)| (tag, text.to_owned())));
        for wrong in ["", "P1", "PatientId=P1", "PatientID=", "ReferencedSOPSequence=1"] {
            assert!(wrong.parse::<DimseQuery>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_identifier_is_read_back_as_an_answer() {
        let query: DimseQuery = "PatientName=Å*".parse().unwrap();
        for syntax in ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"] {
            let answer = QueryMatch::read(&query.identifier(ReturnKeys::Usual, syntax), syntax, &query);
            assert_eq!(answer.text(tags::PATIENT_NAME), "Å*");
            assert_eq!(answer.text(tags::STUDY_INSTANCE_UID), "");
        }
        assert_eq!(QueryMatch::read(&[1, 2, 3], "1.2.840.10008.1.2", &query).text(tags::PATIENT_NAME), "");
    }
}
