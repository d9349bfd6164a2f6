//! What goes on beside the work of a row: leases are renewed, the tokens of lost workers taken over, postponed ones
//! put back, books chosen, and the end found.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::admission::StopSignal;
use crate::printable::with_causes;
use crate::tokens::{LeaseWatch, StageCount, StageFolder, TakenOver, TokenError, release_due};

use super::chooser::{BookChooser, ChooserLook, ChooserTurn};
use super::stages::StageRow;
use super::work::StageWork;

/// When a row ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowEnd {
    /// When nothing is under way and no book is left to choose.
    Empty,
    /// When it is told to.
    Signal,
}

/// Settings of the upkeep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpkeepOptions {
    pub end: RowEnd,
    /// The time after which a lease that does not change has lapsed.
    pub lapse: Duration,
}

/// The upkeep of a row in this process.
pub struct RowUpkeep {
    pub row: StageRow,
    pub works: Vec<Arc<StageWork>>,
    pub chooser: Option<BookChooser>,
    pub options: UpkeepOptions,
    /// Ends the sources.
    pub stop: Arc<StopSignal>,
    /// Takes what a person may want to know.
    pub tell: Arc<dyn Fn(&str) + Send + Sync>,
}

/// The time between two rounds.
const ROUND: Duration = Duration::from_millis(200);

/// Looks at an empty row before it counts as empty: a token may move back while it is looked at.
const EMPTY_LOOKS: u32 = 2;

/// Beats in the time of a lease.
const BEATS: u32 = 5;

impl RowUpkeep {
    /// Runs until `over` is requested: as long as tokens may be in work.
    pub fn run(&self, over: &StopSignal) {
        let is_exhausted = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // A list of a million books takes long, and leases are to be renewed meanwhile.
            scope.spawn(|| self.choose_all(over, &is_exhausted));
            self.keep_up(over, &is_exhausted);
        });
    }

    fn choose_all(&self, over: &StopSignal, is_exhausted: &AtomicBool) {
        let (mut turn, mut told) = (None, String::new());
        loop {
            is_exhausted.store(self.choose(&mut turn, &mut told), Ordering::Release);
            if over.wait(ROUND) {
                return;
            }
        }
    }

    fn keep_up(&self, over: &StopSignal, is_exhausted: &AtomicBool) {
        let watch = |work: &Arc<StageWork>| LeaseWatch::new(&work.stage.from, self.options.lapse);
        let mut watches: Vec<LeaseWatch> = self.works.iter().map(watch).collect();
        let (mut empty, mut beaten, mut told) = (0, None::<Instant>, String::new());
        loop {
            let now = Instant::now();
            if beaten.is_none_or(|beaten| now.duration_since(beaten) >= self.options.lapse / BEATS) {
                beaten = Some(now);
                self.beat(&mut watches, now);
            }
            // In this order: what was chosen last is under way.
            let is_exhausted = is_exhausted.load(Ordering::Acquire);
            match self.round() {
                Ok(is_empty) if is_empty && is_exhausted => empty += 1,
                Ok(_) => empty = 0,
                Err(error) => self.say(&mut told, &with_causes(&error)),
            }
            if empty >= EMPTY_LOOKS && self.options.end == RowEnd::Empty {
                self.stop.request();
            }
            if over.wait(ROUND) {
                return;
            }
        }
    }

    fn beat(&self, watches: &mut [LeaseWatch], now: Instant) {
        for (work, watch) in self.works.iter().zip(watches) {
            let place = work.place();
            if let Err(error) = place.beat() {
                (self.tell)(&format!("{}: another place is made", with_causes(&error)));
                if let Err(error) = work.renew(&place) {
                    (self.tell)(&with_causes(&error));
                }
            }
            match watch.look(&work.place(), now) {
                Ok(TakenOver { back: 0, forward: 0 }) => {}
                Ok(taken) => {
                    let TakenOver { back, forward } = taken;
                    let stage = &work.stage.name;
                    let text =
                        format!("{stage}: of a lost worker, {back} tokens wait again, {forward} go on");
                    (self.tell)(&text);
                    work.wake();
                }
                Err(error) => (self.tell)(&with_causes(&error)),
            }
        }
    }

    /// Chooses books; gives whether no more can be chosen.
    fn choose(&self, turn: &mut Option<ChooserTurn>, told: &mut String) -> bool {
        if self.stop.is_requested() {
            return true;
        }
        let Some(chooser) = &self.chooser else { return true };
        match chooser.look(turn, &*self.tell, &self.stop) {
            Ok(ChooserLook::Chose(count)) => {
                if count > 0 {
                    self.works.iter().take(1).for_each(|work| work.wake());
                }
                false
            }
            Ok(ChooserLook::NotItsTurn | ChooserLook::Exhausted) => true,
            Err(_) if self.stop.is_requested() => true,
            Err(error) => {
                self.say(told, &with_causes(&error));
                false
            }
        }
    }

    /// Puts postponed tokens back; gives whether nothing is under way up to the last stage of this process.
    fn round(&self) -> Result<bool, TokenError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut failed = None;
        for work in &self.works {
            match release_due(&work.stage.from, now) {
                Ok(0) => {}
                Ok(_) => work.wake(),
                // It holds up no other stage.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if self.options.end != RowEnd::Empty {
            return Ok(false);
        }
        let last = self.works.last().map(|work| work.stage.from.clone());
        let folders = self.row.folders();
        let end = folders.iter().position(|folder| Some(folder) == last.as_ref()).map_or(0, |at| at + 1);
        let moving = |folder: &StageFolder| StageCount::moving_of(folder);
        let moving: usize = folders[..end].iter().map(moving).sum::<Result<usize, TokenError>>()?;
        Ok(moving == 0)
    }

    fn say(&self, told: &mut String, text: &str) {
        if told != text {
            (self.tell)(text);
            text.clone_into(told);
        }
    }
}
