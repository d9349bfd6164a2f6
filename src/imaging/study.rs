//! Attributes that generated DICOM objects copy to belong to the study of a request.

use std::collections::BTreeMap;

use crate::step::{AttributeValues, Request};

/// Patient and study attributes, decoded to Unicode; empty where the study lacks them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StudyAttributes {
    pub study_instance_uid: String,
    pub study_id: String,
    pub study_date: String,
    pub study_time: String,
    pub study_description: String,
    pub accession_number: String,
    pub referring_physician_name: String,
    pub patient_name: String,
    pub patient_id: String,
    pub patient_birth_date: String,
    pub patient_sex: String,
    pub patient_age: String,
}

impl StudyAttributes {
    /// The study's date, `20260131` as `2026-01-31`; any other text unchanged.
    pub fn study_date_text(&self) -> String {
        let text = &self.study_date;
        match (text.get(..4), text.get(4..6), text.get(6..)) {
            (Some(year), Some(month), Some(day)) if text.len() == 8 => format!("{year}-{month}-{day}"),
            _ => text.clone(),
        }
    }
}

/// The source's remark about a request, which applies to all of its results.
pub fn request_remarks(request: &Request) -> impl Iterator<Item = &str> {
    request.attributes.get("remarks").into_iter().flat_map(AttributeValues::iter)
}

macro_rules! attributes {
    ($($field:ident),*) => {
        impl StudyAttributes {
            /// Reads the study from a request's attributes. A request that belongs to no study
            /// gets one of its own, so that an error response always has a place.
            pub fn of(request: &Request) -> StudyAttributes {
                let mut study = StudyAttributes { $($field: request.attribute(stringify!($field)).to_owned()),* };
                if study.study_instance_uid.is_empty() {
                    study.study_instance_uid = request.id.uid();
                }
                study
            }

            /// The attributes of a request, by the names of the fields.
            pub fn attributes(&self) -> BTreeMap<String, AttributeValues> {
                [$((stringify!($field).to_owned(), AttributeValues::split(&*self.$field))),*].into()
            }
        }
    };
}

attributes!(
    study_instance_uid,
    study_id,
    study_date,
    study_time,
    study_description,
    accession_number,
    referring_physician_name,
    patient_name,
    patient_id,
    patient_birth_date,
    patient_sex,
    patient_age
);
