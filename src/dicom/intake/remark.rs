//! Remarks about how a study was received, for its response.

use serde::{Deserialize, Serialize};

use crate::printable::counted;

/// Something about one of a study's instances, or about its wait, that its response says. No text has a file's name,
/// which may be a patient's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::dicom) enum StudyRemark {
    /// Nothing was written at the end of its file, and it was taken in the end.
    UnwrittenEnd,
    /// A copy beside its files went on for so long that the study was not held for it.
    EndlessCopy,
}

impl StudyRemark {
    pub fn text(self, count: u64) -> String {
        match self {
            StudyRemark::UnwrittenEnd => format!(
                "nothing was written at the end of {} in a watched folder: zeros are used there",
                counted(count, "file")
            ),
            StudyRemark::EndlessCopy => {
                "an unfinished copy in the watched folder, as .part, went on for too long \
                                         and was not waited for: an instance may be missing"
                    .to_owned()
            }
        }
    }
}
