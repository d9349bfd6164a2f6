//! When a study is complete: the signals, and which of them decides.
//!
//! Nobody says in DICOM that a study is complete, so several signals are looked at, and the first safe
//! one wins. Nothing is complete while one of its instances is on its way in, nor, but for the cap,
//! while somebody is still sending. What is expected, and the count of the source, also hold back:
//! without them a study waits, up to the cap, or as long as for a sender that broke off.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::expected::Expected;

/// What tells that a study is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// An operator has said so.
    Operator,
    /// The source has as many instances of it as are here.
    Count,
    /// The series that are expected are here, and nobody is sending.
    ExpectedSeries,
    /// The request over HTTP that brought it has ended.
    RequestEnd,
    /// The association has gone on to another study.
    NextStudy,
    /// The association was released.
    Released,
    /// Nobody is sending, and nothing has come for a while.
    QuietTime,
    /// Its sender broke off, and has not come back for a while.
    BrokenOff,
    /// What it lacks has not come for a while.
    Lacking,
    /// It has waited as long as it may.
    Cap,
    /// The receiver ends.
    End,
}

/// Asks a source for its count; `None` if it does not say. May take as long as a network does.
pub type Counter = Arc<dyn Fn(&str, &BTreeSet<String>) -> Option<u64> + Send + Sync>;

/// Which signals count, and how long to wait.
#[derive(Clone, Debug)]
pub struct Completion {
    /// Those that complete a study at once: none. Many senders use several associations for a study, or
    /// requests of ten instances each. Without one of them the quiet time decides.
    pub at_once: BTreeSet<Signal>,
    /// How long nothing may have arrived: 5 s.
    pub quiet_time: Duration,
    /// How long a study whose sender broke off waits to be sent again: 10 min.
    pub broken_time: Duration,
    /// The series that a study must have.
    pub expected: Option<Expected>,
    /// No study waits longer than so, from its first instance on.
    pub cap: Option<Cap>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    pub after: Duration,
    pub then: AtCap,
}

/// What becomes of a study that has waited too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtCap {
    /// It is handed over as it is.
    Proceed,
    /// Its files are deleted, and that is told.
    Discard,
    /// It is told, and goes on waiting, for an operator or for what is missing.
    Wait,
}

impl Default for Completion {
    fn default() -> Completion {
        Completion {
            at_once: BTreeSet::new(),
            quiet_time: Duration::from_secs(5),
            broken_time: Duration::from_secs(600),
            expected: None,
            cap: None,
        }
    }
}

/// What is known of a study that is arriving.
#[derive(Clone, Debug)]
pub(in crate::dicom) struct Standing {
    pub first_arrival: Instant,
    pub last_arrival: Instant,
    /// Instances of it are on their way into its folder.
    pub moving: bool,
    /// Somebody is sending it.
    pub attended: bool,
    /// How the last of its senders left.
    pub left: Left,
    pub instances: u64,
    pub count: Count,
    /// The marks of what is expected that have been seen.
    pub marks: u64,
    /// An operator says that it is complete.
    pub ordered: bool,
    /// That it has waited too long has been told.
    pub cap_told: bool,
}

/// How a sender of a study went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dicom) enum Left {
    Released,
    RequestEnd,
    NextStudy,
    Aborted,
}

/// How many instances the source has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dicom) enum Count {
    /// Nobody is asked.
    Unasked,
    /// The question is to be put as soon as nobody is sending.
    Wanted,
    Asking,
    Known(u64),
    /// The source does not say.
    Unknown,
}

/// What is to be done with a study, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dicom) enum Verdict {
    HandOver(Signal),
    Discard,
    TellCap,
}

impl Completion {
    /// When something is to be done with a study if nothing else happens. `None`: something must happen
    /// first.
    pub(in crate::dicom) fn due(&self, study: &Standing) -> Option<(Instant, Verdict)> {
        if study.moving {
            return None;
        }
        let now = study.last_arrival;
        if study.ordered {
            return Some((now, Verdict::HandOver(Signal::Operator)));
        }
        let complete = if study.attended { None } else { self.complete(study) };
        let complete = complete.map(|(at, signal)| (at, Verdict::HandOver(signal)));
        let cap = self.cap.map(|cap| (study.first_arrival + cap.after, cap.then));
        let cap = cap.and_then(|(at, then)| match then {
            AtCap::Proceed => Some((at, Verdict::HandOver(Signal::Cap))),
            AtCap::Discard => Some((at, Verdict::Discard)),
            AtCap::Wait if study.cap_told => None,
            AtCap::Wait => Some((at, Verdict::TellCap)),
        });
        [complete, cap].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// When a study that nobody is sending is complete, and by which signal.
    fn complete(&self, study: &Standing) -> Option<(Instant, Signal)> {
        let now = study.last_arrival;
        let expected = self.expected.as_ref().map(|expected| expected.is_met(study.marks));
        match study.count {
            Count::Known(count) if study.instances >= count => return Some((now, Signal::Count)),
            Count::Known(_) => return self.lacking(now),
            Count::Wanted | Count::Asking => return None,
            Count::Unasked | Count::Unknown => {}
        }
        match (expected, study.left) {
            (Some(false), _) => self.lacking(now),
            (_, Left::Aborted) => Some((now + self.broken_time.max(self.quiet_time), Signal::BrokenOff)),
            (Some(true), _) => Some((now, Signal::ExpectedSeries)),
            (None, left) => Some(match left.signal() {
                Some(signal) if self.at_once.contains(&signal) => (now, signal),
                _ => (now + self.quiet_time, Signal::QuietTime),
            }),
        }
    }
}

impl Completion {
    /// What comes late of a study that was complete lacks all that came before: it must not wait for ever,
    /// and fill the receiver. With a cap, that decides.
    fn lacking(&self, last_arrival: Instant) -> Option<(Instant, Signal)> {
        let wait = self.broken_time.max(self.quiet_time);
        self.cap.is_none().then_some((last_arrival + wait, Signal::Lacking))
    }
}

impl Left {
    fn signal(self) -> Option<Signal> {
        match self {
            Left::Released => Some(Signal::Released),
            Left::RequestEnd => Some(Signal::RequestEnd),
            Left::NextStudy => Some(Signal::NextStudy),
            Left::Aborted => None,
        }
    }
}

impl Signal {
    /// Its name in a request's attribute `complete_by`, and in settings.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Operator => "operator",
            Signal::Count => "count",
            Signal::ExpectedSeries => "expected_series",
            Signal::RequestEnd => "request_end",
            Signal::NextStudy => "next_study",
            Signal::Released => "released",
            Signal::QuietTime => "quiet_time",
            Signal::BrokenOff => "broken_off",
            Signal::Lacking => "lacking",
            Signal::Cap => "cap",
            Signal::End => "end",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Signal::Operator => "an operator said so",
            Signal::Count => "the source has as many instances",
            Signal::ExpectedSeries => "the expected series are here",
            Signal::RequestEnd => "the request over HTTP has ended",
            Signal::NextStudy => "its sender went on to the next study",
            Signal::Released => "the association was released",
            Signal::QuietTime => "nothing more has come",
            Signal::BrokenOff => "its sender broke off and has not come back",
            Signal::Lacking => "what it lacks has not come",
            Signal::Cap => "it has waited as long as it may",
            Signal::End => "receiving ends",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn standing() -> Standing {
        let now = Instant::now() + HOUR;
        Standing {
            first_arrival: now - Duration::from_secs(60),
            last_arrival: now,
            moving: false,
            attended: false,
            left: Left::Released,
            instances: 3,
            count: Count::Unasked,
            marks: 0,
            ordered: false,
            cap_told: false,
        }
    }

    /// Seconds after the last arrival, and the verdict.
    fn due(completion: &Completion, study: &Standing) -> Option<(i64, Verdict)> {
        let (at, verdict) = completion.due(study)?;
        let seconds = match at.checked_duration_since(study.last_arrival) {
            Some(after) => after.as_secs() as i64,
            None => -(study.last_arrival.duration_since(at).as_secs() as i64),
        };
        Some((seconds, verdict))
    }

    fn hand_over(seconds: i64, signal: Signal) -> Option<(i64, Verdict)> {
        Some((seconds, Verdict::HandOver(signal)))
    }

    #[test]
    fn the_quiet_time_decides_unless_a_signal_counts_at_once() {
        let mut completion = Completion::default();
        assert_eq!(due(&completion, &standing()), hand_over(5, Signal::QuietTime));
        completion.at_once.insert(Signal::Released);
        assert_eq!(due(&completion, &standing()), hand_over(0, Signal::Released));
        let next = Standing { left: Left::NextStudy, ..standing() };
        assert_eq!(due(&completion, &next), hand_over(5, Signal::QuietTime));
        completion.at_once.insert(Signal::NextStudy);
        assert_eq!(due(&completion, &next), hand_over(0, Signal::NextStudy));
        let broken = Standing { left: Left::Aborted, ..standing() };
        assert_eq!(due(&completion, &broken), hand_over(600, Signal::BrokenOff));
    }

    #[test]
    fn a_count_completes_and_holds_back() {
        let completion = Completion::default();
        let counted = |count, left| due(&completion, &Standing { count, left, ..standing() });
        assert_eq!(counted(Count::Known(3), Left::Released), hand_over(0, Signal::Count));
        assert_eq!(counted(Count::Known(3), Left::Aborted), hand_over(0, Signal::Count));
        assert_eq!(counted(Count::Known(4), Left::Released), hand_over(600, Signal::Lacking));
        assert_eq!(counted(Count::Asking, Left::Released), None);
        assert_eq!(counted(Count::Unknown, Left::Released), hand_over(5, Signal::QuietTime));
    }

    #[test]
    fn expected_series_complete_and_hold_back() {
        let expected = Some("'A' and 'B'".parse().unwrap());
        let completion = Completion { expected, ..Completion::default() };
        let seen = |marks| due(&completion, &Standing { marks, ..standing() });
        assert_eq!(seen(0b01), hand_over(600, Signal::Lacking));
        let capped = Completion { cap: Some(Cap { after: HOUR, then: AtCap::Wait }), ..completion.clone() };
        assert_eq!(due(&capped, &Standing { cap_told: true, ..standing() }), None, "the cap decides");
        assert_eq!(seen(0b11), hand_over(0, Signal::ExpectedSeries));
    }

    #[test]
    fn the_cap_is_hard_and_an_operator_is_harder() {
        let cap = |then| Some(Cap { after: Duration::from_secs(30), then });
        let capped =
            |then, study: &Standing| due(&Completion { cap: cap(then), ..Completion::default() }, study);
        let attended = Standing { attended: true, ..standing() };
        assert_eq!(capped(AtCap::Proceed, &attended), hand_over(-30, Signal::Cap));
        assert_eq!(capped(AtCap::Discard, &attended), Some((-30, Verdict::Discard)));
        assert_eq!(capped(AtCap::Wait, &attended), Some((-30, Verdict::TellCap)));
        assert_eq!(capped(AtCap::Wait, &Standing { cap_told: true, ..attended.clone() }), None);
        let ordered = Standing { ordered: true, ..attended };
        assert_eq!(capped(AtCap::Discard, &ordered), hand_over(0, Signal::Operator));
        let moving = Standing { moving: true, ..ordered };
        assert_eq!(capped(AtCap::Proceed, &moving), None, "not while an instance is on its way in");
    }
}
