//! The completion of a study: the signals, and which of them decides.
//!
//! DICOM has no message that says that a study is complete, so several signals are evaluated, and the first
//! safe one decides. No study is complete while one of its instances is being stored, nor, except by the cap,
//! while a sender is active. An association that stays open without sending instances of the study is not
//! active. The expected series and the source's count can also delay a study: until they are met it waits, up
//! to the cap, or as long as after an aborted association.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::expected::ExpectedSeries;

/// The reason why a study counts as complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CompletionSignal {
    /// An operator ordered the study to be handed over.
    Operator,
    /// All instances that the source counts have been received.
    Count,
    /// The expected series have been received, and no sender is active.
    ExpectedSeries,
    /// The HTTP request that brought the study has ended.
    RequestEnd,
    /// The association has gone on to another study.
    NextStudy,
    /// The association was released.
    Released,
    /// No sender is active, and no instance has arrived for `quiet_time` (`open_quiet_time` while an
    /// association is open).
    QuietTime,
    /// The sender aborted, and has not sent the study again within `broken_time`.
    BrokenOff,
    /// Missing instances or series have not arrived within `broken_time`.
    Lacking,
    /// The study has waited as long as the cap allows.
    Cap,
    /// The receiver is stopping.
    End,
}

/// A function that asks a source for its number of instances; `None` if it does not say. It may block on the
/// network.
pub type Counter = Arc<dyn Fn(&str, &BTreeSet<String>) -> Option<u64> + Send + Sync>;

/// Rules for when a study is complete: the signals that count, and the waits.
#[derive(Clone, Debug)]
pub struct CompletionRules {
    /// Signals that complete a study at once; none by default, because many senders use several associations
    /// for a study, or requests of ten instances each. Without such a signal the quiet time decides.
    pub at_once: BTreeSet<CompletionSignal>,
    /// Time without a new instance after which a study is complete: 5 s.
    pub quiet_time: Duration,
    /// The same while an association that sent of the study is still open; without it the quiet time, and at
    /// least 2 s.
    pub open_quiet_time: Option<Duration>,
    /// Time that a study whose sender aborted waits to be sent again: 10 min.
    pub broken_time: Duration,
    /// The series that a study must have.
    pub expected: Option<ExpectedSeries>,
    /// Longest wait of a study, from its first instance on.
    pub cap: Option<WaitLimit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitLimit {
    pub after: Duration,
    pub then: WaitLimitAction,
}

/// Action on a study that has reached the cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitLimitAction {
    /// The study is handed over as it is.
    Proceed,
    /// The study's files are deleted, and an event reports that.
    Discard,
    /// An event reports the study, which goes on waiting for an operator or for what is missing.
    Wait,
}

impl Default for CompletionRules {
    fn default() -> CompletionRules {
        CompletionRules {
            at_once: BTreeSet::new(),
            quiet_time: Duration::from_secs(5),
            open_quiet_time: None,
            broken_time: Duration::from_secs(600),
            expected: None,
            cap: None,
        }
    }
}

/// The least such time: a slow sender pauses up to this long between two instances.
const OPEN_QUIET_TIME_MIN: Duration = Duration::from_secs(2);

/// The state of an arriving study, as far as its completion depends on it.
#[derive(Clone, Debug)]
pub(in crate::dicom) struct StudyStanding {
    pub first_arrival: Instant,
    pub last_arrival: Instant,
    /// Instances of the study are being moved into its folder.
    pub moving: bool,
    pub senders: SenderActivity,
    /// How the last session that sent the study ended.
    pub left: SenderEnd,
    pub instances: u64,
    pub count: InstanceCount,
    /// The marks of the expected series that have been received.
    pub marks: u64,
    /// An operator has ordered the study to be handed over.
    pub ordered: bool,
    /// An event has reported that the study reached the cap.
    pub cap_told: bool,
}

/// Activity of a study's senders whose sessions are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dicom) enum SenderActivity {
    /// No session is open, or all have gone on to other studies.
    Gone,
    /// An association is open and nothing is being received on it.
    Open,
    /// An instance, which may be of the study, is being received; the last of it arrived at this time.
    Sending(Instant),
}

/// How a session that sent a study ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dicom) enum SenderEnd {
    Released,
    RequestEnd,
    NextStudy,
    Aborted,
    /// The session has not ended.
    Open,
}

/// The number of instances that the source has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dicom) enum InstanceCount {
    /// No source is to be asked.
    Unasked,
    /// The source is to be asked as soon as no sender is active.
    Wanted,
    Asking,
    Known(u64),
    /// The source does not say.
    Unknown,
}

/// The next action on a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dicom) enum StudyVerdict {
    HandOver(CompletionSignal),
    Discard,
    TellCap,
}

impl CompletionRules {
    /// The next time at which an action on the study is due if nothing happens before. `None`: something must
    /// happen first.
    pub(in crate::dicom) fn due(&self, study: &StudyStanding) -> Option<(Instant, StudyVerdict)> {
        if study.moving {
            return None;
        }
        let now = study.last_arrival;
        if study.ordered {
            return Some((now, StudyVerdict::HandOver(CompletionSignal::Operator)));
        }
        let complete = match study.senders {
            SenderActivity::Gone => self.complete(study, now),
            SenderActivity::Open => self.complete_while_open(study, now + self.open_quiet_time()),
            SenderActivity::Sending(last) => {
                self.complete_while_open(study, now.max(last) + self.broken_time.max(self.open_quiet_time()))
            }
        };
        let complete = complete.map(|(at, signal)| (at, StudyVerdict::HandOver(signal)));
        let cap = self.cap.map(|cap| (study.first_arrival + cap.after, cap.then));
        let cap = cap.and_then(|(at, then)| match then {
            WaitLimitAction::Proceed => Some((at, StudyVerdict::HandOver(CompletionSignal::Cap))),
            WaitLimitAction::Discard => Some((at, StudyVerdict::Discard)),
            WaitLimitAction::Wait if study.cap_told => None,
            WaitLimitAction::Wait => Some((at, StudyVerdict::TellCap)),
        });
        [complete, cap].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Time without a new instance after which a study is complete although an association is open.
    pub(in crate::dicom) fn open_quiet_time(&self) -> Duration {
        self.open_quiet_time.unwrap_or(self.quiet_time.max(OPEN_QUIET_TIME_MIN))
    }

    /// As [`CompletionRules::complete`], for a study with an open session that has sent nothing until
    /// `quiet`.
    fn complete_while_open(
        &self,
        study: &StudyStanding,
        quiet: Instant,
    ) -> Option<(Instant, CompletionSignal)> {
        // The end of an earlier session says nothing about the open one.
        let left = match study.left {
            SenderEnd::Aborted => SenderEnd::Aborted,
            _ => SenderEnd::Open,
        };
        let (at, signal) = self.complete(&StudyStanding { left, ..study.clone() }, quiet)?;
        Some((at.max(quiet), signal))
    }

    /// The time at which a study is complete that has had no active sender since `now`, with the signal.
    fn complete(&self, study: &StudyStanding, now: Instant) -> Option<(Instant, CompletionSignal)> {
        let expected = self.expected.as_ref().map(|expected| expected.is_met(study.marks));
        match study.count {
            InstanceCount::Known(count) if study.instances >= count => {
                return Some((now, CompletionSignal::Count));
            }
            InstanceCount::Known(_) => return self.lacking(now),
            InstanceCount::Wanted | InstanceCount::Asking => return None,
            InstanceCount::Unasked | InstanceCount::Unknown => {}
        }
        match (expected, study.left) {
            (Some(false), _) => self.lacking(now),
            (_, SenderEnd::Aborted) => {
                Some((now + self.broken_time.max(self.quiet_time), CompletionSignal::BrokenOff))
            }
            (Some(true), _) => Some((now, CompletionSignal::ExpectedSeries)),
            (None, SenderEnd::Open) => Some((now, CompletionSignal::QuietTime)),
            (None, left) => Some(match left.signal() {
                Some(signal) if self.at_once.contains(&signal) => (now, signal),
                _ => (now + self.quiet_time, CompletionSignal::QuietTime),
            }),
        }
    }
}

impl CompletionRules {
    /// Late instances of a study that was handed over can never complete the expected set, so they are
    /// released after `broken_time` and do not fill the inbox. With a cap, the cap decides.
    fn lacking(&self, last_arrival: Instant) -> Option<(Instant, CompletionSignal)> {
        let wait = self.broken_time.max(self.quiet_time);
        self.cap.is_none().then_some((last_arrival + wait, CompletionSignal::Lacking))
    }
}

impl SenderEnd {
    fn signal(self) -> Option<CompletionSignal> {
        match self {
            SenderEnd::Released => Some(CompletionSignal::Released),
            SenderEnd::RequestEnd => Some(CompletionSignal::RequestEnd),
            SenderEnd::NextStudy => Some(CompletionSignal::NextStudy),
            SenderEnd::Aborted | SenderEnd::Open => None,
        }
    }
}

impl CompletionSignal {
    /// The signal's name in a request's attribute `complete_by`, and in settings.
    pub fn name(self) -> &'static str {
        match self {
            CompletionSignal::Operator => "operator",
            CompletionSignal::Count => "count",
            CompletionSignal::ExpectedSeries => "expected_series",
            CompletionSignal::RequestEnd => "request_end",
            CompletionSignal::NextStudy => "next_study",
            CompletionSignal::Released => "released",
            CompletionSignal::QuietTime => "quiet_time",
            CompletionSignal::BrokenOff => "broken_off",
            CompletionSignal::Lacking => "lacking",
            CompletionSignal::Cap => "cap",
            CompletionSignal::End => "end",
        }
    }
}

impl fmt::Display for CompletionSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CompletionSignal::Operator => "an operator said so",
            CompletionSignal::Count => "the source has as many instances",
            CompletionSignal::ExpectedSeries => "the expected series are here",
            CompletionSignal::RequestEnd => "the request over HTTP has ended",
            CompletionSignal::NextStudy => "its sender went on to the next study",
            CompletionSignal::Released => "the association was released",
            CompletionSignal::QuietTime => "nothing more has come",
            CompletionSignal::BrokenOff => "its sender aborted and has not sent it again",
            CompletionSignal::Lacking => "missing instances have not arrived",
            CompletionSignal::Cap => "it has waited as long as it may",
            CompletionSignal::End => "receiving ends",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn standing() -> StudyStanding {
        let now = Instant::now() + HOUR;
        StudyStanding {
            first_arrival: now - Duration::from_secs(60),
            last_arrival: now,
            moving: false,
            senders: SenderActivity::Gone,
            left: SenderEnd::Released,
            instances: 3,
            count: InstanceCount::Unasked,
            marks: 0,
            ordered: false,
            cap_told: false,
        }
    }

    /// Seconds after the last arrival, and the verdict.
    fn due(completion: &CompletionRules, study: &StudyStanding) -> Option<(i64, StudyVerdict)> {
        let (at, verdict) = completion.due(study)?;
        let seconds = match at.checked_duration_since(study.last_arrival) {
            Some(after) => after.as_secs() as i64,
            None => -(study.last_arrival.duration_since(at).as_secs() as i64),
        };
        Some((seconds, verdict))
    }

    fn hand_over(seconds: i64, signal: CompletionSignal) -> Option<(i64, StudyVerdict)> {
        Some((seconds, StudyVerdict::HandOver(signal)))
    }

    #[test]
    fn the_quiet_time_decides_unless_a_signal_counts_at_once() {
        let mut completion = CompletionRules::default();
        assert_eq!(due(&completion, &standing()), hand_over(5, CompletionSignal::QuietTime));
        completion.at_once.insert(CompletionSignal::Released);
        assert_eq!(due(&completion, &standing()), hand_over(0, CompletionSignal::Released));
        let next = StudyStanding { left: SenderEnd::NextStudy, ..standing() };
        assert_eq!(due(&completion, &next), hand_over(5, CompletionSignal::QuietTime));
        completion.at_once.insert(CompletionSignal::NextStudy);
        assert_eq!(due(&completion, &next), hand_over(0, CompletionSignal::NextStudy));
        let broken = StudyStanding { left: SenderEnd::Aborted, ..standing() };
        assert_eq!(due(&completion, &broken), hand_over(600, CompletionSignal::BrokenOff));
    }

    #[test]
    fn an_open_association_that_brings_nothing_does_not_hold_a_study() {
        let open = StudyStanding { senders: SenderActivity::Open, ..standing() };
        let mut completion = CompletionRules::default();
        assert_eq!(due(&completion, &open), hand_over(5, CompletionSignal::QuietTime));
        completion.at_once.insert(CompletionSignal::Released);
        assert_eq!(due(&completion, &open), hand_over(5, CompletionSignal::QuietTime), "it is not released");
        completion.quiet_time = Duration::ZERO;
        assert_eq!(due(&completion, &open), hand_over(2, CompletionSignal::QuietTime), "it may be slow");
        completion.open_quiet_time = Some(Duration::from_secs(30));
        assert_eq!(due(&completion, &open), hand_over(30, CompletionSignal::QuietTime));
        let last = open.last_arrival + Duration::from_secs(10);
        let sending = StudyStanding { senders: SenderActivity::Sending(last), ..open.clone() };
        assert_eq!(due(&completion, &sending), hand_over(610, CompletionSignal::QuietTime));
        let broken = StudyStanding { left: SenderEnd::Aborted, ..open.clone() };
        assert_eq!(due(&completion, &broken), hand_over(630, CompletionSignal::BrokenOff));
        let counted = StudyStanding { count: InstanceCount::Known(3), ..open };
        assert_eq!(due(&completion, &counted), hand_over(30, CompletionSignal::Count));
    }

    #[test]
    fn a_count_completes_and_holds_back() {
        let completion = CompletionRules::default();
        let counted = |count, left| due(&completion, &StudyStanding { count, left, ..standing() });
        assert_eq!(
            counted(InstanceCount::Known(3), SenderEnd::Released),
            hand_over(0, CompletionSignal::Count)
        );
        assert_eq!(
            counted(InstanceCount::Known(3), SenderEnd::Aborted),
            hand_over(0, CompletionSignal::Count)
        );
        assert_eq!(
            counted(InstanceCount::Known(4), SenderEnd::Released),
            hand_over(600, CompletionSignal::Lacking)
        );
        assert_eq!(counted(InstanceCount::Asking, SenderEnd::Released), None);
        assert_eq!(
            counted(InstanceCount::Unknown, SenderEnd::Released),
            hand_over(5, CompletionSignal::QuietTime)
        );
    }

    #[test]
    fn expected_series_complete_and_hold_back() {
        let expected = Some("'A' and 'B'".parse().unwrap());
        let completion = CompletionRules { expected, ..CompletionRules::default() };
        let seen = |marks| due(&completion, &StudyStanding { marks, ..standing() });
        assert_eq!(seen(0b01), hand_over(600, CompletionSignal::Lacking));
        let capped = CompletionRules {
            cap: Some(WaitLimit { after: HOUR, then: WaitLimitAction::Wait }),
            ..completion.clone()
        };
        assert_eq!(due(&capped, &StudyStanding { cap_told: true, ..standing() }), None, "the cap decides");
        assert_eq!(seen(0b11), hand_over(0, CompletionSignal::ExpectedSeries));
    }

    #[test]
    fn the_cap_is_hard_and_an_operator_is_harder() {
        let cap = |then| Some(WaitLimit { after: Duration::from_secs(30), then });
        let capped = |then, study: &StudyStanding| {
            due(&CompletionRules { cap: cap(then), ..CompletionRules::default() }, study)
        };
        let has_senders = StudyStanding { senders: SenderActivity::Open, ..standing() };
        assert_eq!(capped(WaitLimitAction::Proceed, &has_senders), hand_over(-30, CompletionSignal::Cap));
        assert_eq!(capped(WaitLimitAction::Discard, &has_senders), Some((-30, StudyVerdict::Discard)));
        assert_eq!(capped(WaitLimitAction::Wait, &has_senders), Some((-30, StudyVerdict::TellCap)));
        assert_eq!(
            capped(WaitLimitAction::Wait, &StudyStanding { cap_told: true, ..has_senders.clone() }),
            hand_over(5, CompletionSignal::QuietTime),
            "the open association brings nothing"
        );
        let ordered = StudyStanding { ordered: true, ..has_senders };
        assert_eq!(capped(WaitLimitAction::Discard, &ordered), hand_over(0, CompletionSignal::Operator));
        let moving = StudyStanding { moving: true, ..ordered };
        assert_eq!(capped(WaitLimitAction::Proceed, &moving), None, "not while an instance is on its way in");
    }
}
