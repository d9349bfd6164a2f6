//! A series, chosen and sorted, from which a volume is assembled.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::step::{PathOf, Payload, StepReservation};

use super::InstanceHeader;

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
