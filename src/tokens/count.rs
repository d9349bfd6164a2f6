//! How many tokens are where: what `ls` would show.

use std::fs;
use std::time::SystemTime;

use super::name::TokenName;
use super::stage_folder::{StageFolder, TokenError, names};

/// Tokens whose time is looked at to find the oldest.
const DATED_MAX: usize = 2_000;

/// The tokens of a stage, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageCount {
    pub waiting: usize,
    pub in_work: usize,
    pub failed: usize,
    pub later: usize,
    /// When the oldest waiting token was last written, among the first few thousand.
    pub oldest: Option<SystemTime>,
}

impl StageCount {
    /// Counts the tokens of a stage.
    ///
    /// # Errors
    /// If a directory cannot be read.
    pub fn of(stage: &StageFolder) -> Result<StageCount, TokenError> {
        let mut count = StageCount::default();
        for name in names(&stage.waiting())? {
            if count.waiting < DATED_MAX
                && let Ok(metadata) = fs::symlink_metadata(stage.waiting().join(&name))
                && let Ok(modified) = metadata.modified()
            {
                count.oldest = Some(count.oldest.map_or(modified, |oldest| oldest.min(modified)));
            }
            count.waiting += 1;
        }
        for place in names(&stage.work())? {
            count.in_work += names(&stage.work().join(place))?.count();
        }
        count.failed = names(&stage.failed())?.count();
        count.later = names(&stage.later())?.count();
        Ok(count)
    }

    /// The tokens of a stage that are not at rest, counted without their times.
    ///
    /// # Errors
    /// If a directory cannot be read.
    pub fn moving_of(stage: &StageFolder) -> Result<usize, TokenError> {
        let mut moving = names(&stage.later())?.count() + names(&stage.waiting())?.count();
        for place in names(&stage.work())? {
            moving += names(&stage.work().join(place))?.count();
        }
        Ok(moving)
    }

    /// The tokens that are not at rest: they wait, are in work, or wait for a time.
    pub fn moving(&self) -> usize {
        self.waiting + self.in_work + self.later
    }
}

/// Tells the barcodes of all tokens of a stage: whether each is parked, or not. A token that moves meanwhile may be
/// told twice.
///
/// # Errors
/// If a directory cannot be read.
pub fn list_tokens(stage: &StageFolder, mut tell: impl FnMut(&str, TokenStanding)) -> Result<(), TokenError> {
    let mut tell_all = |folder: &std::path::Path, standing: TokenStanding| -> Result<(), TokenError> {
        for name in names(folder)? {
            if let Ok(name) = TokenName::read(&name) {
                tell(name.barcode(), standing);
            }
        }
        Ok(())
    };
    tell_all(&stage.later(), TokenStanding::Moving)?;
    tell_all(&stage.waiting(), TokenStanding::Moving)?;
    for place in names(&stage.work())? {
        tell_all(&stage.work().join(place), TokenStanding::Moving)?;
    }
    tell_all(&stage.failed(), TokenStanding::Parked)
}

/// Whether a token is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenStanding {
    Moving,
    Parked,
}
