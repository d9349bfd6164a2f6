//! The inventory of a study: its series, and the findings about them.

use serde::{Deserialize, Serialize};

use crate::step::{PathOf, Payload};

use super::InstanceHeader;

/// The series of a study in the order of their numbers, and findings about the study as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudyInventory {
    pub series: Vec<SeriesEntry>,
    /// Sentences without a full stop, for example "the instances have 2 different Patient IDs".
    pub findings: Vec<String>,
}

/// One series of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesEntry {
    pub series_instance_uid: String,
    pub number: Option<i32>,
    pub description: String,
    pub modality: String,
    /// Names of the SOP classes, with the number of instances of each.
    pub classes: Vec<(String, usize)>,
    /// Names of the transfer syntaxes, with the number of instances of each.
    pub transfer_syntaxes: Vec<(String, usize)>,
    pub instances: usize,
    /// Images: an instance without pixels has none, a multi-frame object has several.
    pub frames: u64,
    /// Columns and rows, where all images have the same.
    pub size: Option<[u16; 2]>,
    /// Between rows, then between columns, in mm, where all images have the same.
    pub pixel_spacing_mm: Option<[f64; 2]>,
    /// The distance of the slices in mm, where the images are axial slices at even distances.
    pub slice_spacing_mm: Option<f64>,
    /// As the findings of the study.
    pub findings: Vec<String>,
    /// The instance in the middle of the series.
    pub middle: InstanceHeader,
}

impl SeriesEntry {
    /// The series' name in messages.
    pub fn label(&self) -> String {
        self.middle.series_label()
    }
}

impl Payload for StudyInventory {
    const TYPE: &'static str = "inventory";

    fn locate(&mut self, path_of: PathOf) {
        self.series.iter_mut().for_each(|series| series.middle.locate(path_of));
    }
}
