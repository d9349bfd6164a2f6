//! The rectangle in which the slices of a series stand upright: where each slice lies in the volume.
//!
//! Slices of a tilted gantry lie aside of each other. The volume moves them by whole pixels; objects that
//! refer to the slices move them back.

use crate::step::Fault;

use super::SortedSeries;

/// The rectangle, in pixels of the first slice, that holds all slices where they lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UprightFrame {
    /// First column and row: 0 or less.
    pub start: [i32; 2],
    /// Columns and rows.
    pub size: [usize; 2],
}

impl UprightFrame {
    /// # Errors
    /// If slices lie aside of each other by more than their own size.
    ///
    /// # Panics
    /// If the series is empty.
    pub fn around(series: &SortedSeries) -> Result<UprightFrame, Fault> {
        let first = series.slices.first().expect("a series has slices");
        let size = [usize::from(first.columns), usize::from(first.rows)];
        let least = |axis: usize| series.shifts.iter().map(|shift| shift[axis]).min().unwrap_or(0).min(0);
        let most = |axis: usize| series.shifts.iter().map(|shift| shift[axis]).max().unwrap_or(0).max(0);
        let start = [least(0), least(1)];
        let more = [0, 1].map(|axis| most(axis).abs_diff(start[axis]) as usize);
        if more[0] > size[0] || more[1] > size[1] {
            return Err(Fault::new(
                format!("the slices lie up to {} pixels aside of each other", more[0].max(more[1])),
                "Send a series whose slices lie above each other.",
            ));
        }
        Ok(UprightFrame { start, size: [size[0] + more[0], size[1] + more[1]] })
    }

    /// Column and row of the volume at which a slice with this shift begins.
    pub fn corner(&self, shift: [i32; 2]) -> [usize; 2] {
        [0, 1].map(|axis| shift[axis].abs_diff(self.start[axis]) as usize)
    }
}
