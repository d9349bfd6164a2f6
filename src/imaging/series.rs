//! A series, chosen and sorted, from which a volume is assembled.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::step::{PathOf, Payload, Request, StepReservation};

use super::{InstanceHeader, StudyAttributes};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SortedSeries {
    /// Headers from the first slice to the last along the slice normal (row × column direction).
    pub slices: Vec<InstanceHeader>,
    /// Distance of neighbouring slices' positions along the normal, in mm.
    pub slice_spacing: f64,
    /// The shift of each slice against the first one across the normal, in whole pixels (columns, rows), as
    /// in a scan with a tilted gantry. Empty if the slices lie straight above each other.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub shifts: Vec<[i32; 2]>,
    /// Decisions of the sorting, for the report: series left out, duplicates dropped.
    pub remarks: Vec<String>,
    /// Limits of what the study says of its patient.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub reservations: Vec<StepReservation>,
}

impl SortedSeries {
    /// The instances that hold the slices: the frames of an enhanced object are slices of one.
    pub fn instances(&self) -> impl Iterator<Item = &InstanceHeader> {
        let before = [None].into_iter().chain(self.slices.iter().map(Some));
        let pairs = before.zip(&self.slices);
        let is_new = |before: Option<&InstanceHeader>, slice: &InstanceHeader| {
            before.is_none_or(|before| before.sop_instance_uid != slice.sop_instance_uid)
        };
        pairs.filter(move |(before, slice)| is_new(*before, slice)).map(|(_, slice)| slice)
    }
}

impl SortedSeries {
    /// The first slice of each series, as slices of one stack name several where an exporter gave each image a series of
    /// its own.
    pub fn series(&self) -> impl Iterator<Item = &InstanceHeader> {
        let mut seen: HashSet<&str> = HashSet::new();
        self.slices.iter().filter(move |slice| seen.insert(&slice.series_instance_uid))
    }

    /// The study of a request, with the patient as the images of this series name them: other instances of the study may
    /// name somebody else.
    pub fn study(&self, request: &Request) -> StudyAttributes {
        let mut study = StudyAttributes::of(request);
        let Some(first) = self.slices.first() else { return study };
        let named = [
            (&mut study.patient_name, &first.patient_name),
            (&mut study.patient_id, &first.patient_id),
            (&mut study.patient_birth_date, &first.patient_birth_date),
            (&mut study.patient_sex, &first.patient_sex),
        ];
        for (attribute, value) in named.into_iter().filter(|(_, value)| !value.is_empty()) {
            attribute.clone_from(value);
        }
        study
    }

    /// The words for the series beside the first one; empty if there are none.
    pub fn and_others(&self) -> String {
        match self.series().count().saturating_sub(1) {
            0 => String::new(),
            1 => "and 1 other of the same acquisition".to_owned(),
            others => format!("and {others} others of the same acquisition"),
        }
    }
}

impl Payload for SortedSeries {
    const TYPE: &'static str = "series";

    fn locate(&mut self, path_of: PathOf) {
        self.slices.iter_mut().for_each(|slice| slice.locate(path_of));
    }
}
