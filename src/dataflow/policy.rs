//! Policies of a dataflow: for late items, for failed steps, and for failed items of streams.

use std::fmt;

/// The treatment of items that arrive after the answer, for example late images of a study.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RevisionPolicy {
    /// All items together become a new request, and its answer supersedes the earlier one.
    #[default]
    Supersede,
    /// The answer stays as it is. Late items are noted and not kept.
    Ignore,
}

impl RevisionPolicy {
    pub(super) const ALL: [RevisionPolicy; 2] = [RevisionPolicy::Supersede, RevisionPolicy::Ignore];

    pub(super) fn name(self) -> &'static str {
        match self {
            RevisionPolicy::Supersede => "supersede",
            RevisionPolicy::Ignore => "ignore",
        }
    }
}

/// The treatment of the other steps when a step has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailurePolicy {
    /// Steps that do not need the failed one run. The response has results and faults.
    #[default]
    Continue,
    /// Steps after the failed one, in the order of the nodes, do not run. If one has run already, its result
    /// does not count.
    Stop,
}

impl FailurePolicy {
    /// All values.
    pub const ALL: [FailurePolicy; 2] = [FailurePolicy::Continue, FailurePolicy::Stop];

    /// The name in a dataflow file.
    pub fn name(self) -> &'static str {
        match self {
            FailurePolicy::Continue => "continue",
            FailurePolicy::Stop => "stop",
        }
    }
}

/// The treatment of a step when some items of a stream have failed in it, or before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ItemFailurePolicy {
    /// One failed item is enough: the step has failed.
    #[default]
    Fail,
    /// The step is done if at least this share of its items is, in hundredths of a percent. The response lists what
    /// is missing as reservations.
    PartialAbove(u32),
    /// The step is done, however many of its items failed. The response lists what is missing as reservations.
    Reservations,
}

impl ItemFailurePolicy {
    /// All, in hundredths of a percent.
    pub const WHOLE: u32 = 100 * 100;

    /// The policy that a text in a dataflow file names: `fail`, `partial above 95 %`, or
    /// `complete with reservations`.
    ///
    /// ```
    /// use flow::dataflow::ItemFailurePolicy;
    ///
    /// assert_eq!(ItemFailurePolicy::parse("partial above 99.5 %"), Some(ItemFailurePolicy::PartialAbove(9_950)));
    /// assert_eq!(ItemFailurePolicy::parse("partial above 120 %"), None);
    /// ```
    pub fn parse(text: &str) -> Option<ItemFailurePolicy> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            ["fail"] => Some(ItemFailurePolicy::Fail),
            ["complete", "with", "reservations"] => Some(ItemFailurePolicy::Reservations),
            ["partial", "above", share @ ..] => {
                let share: f64 = share.concat().strip_suffix('%')?.parse().ok()?;
                let share = (0.0..=100.0).contains(&share).then_some(share)?;
                Some(ItemFailurePolicy::PartialAbove((share * 100.0).round() as u32))
            }
            _ => None,
        }
    }
}

impl fmt::Display for ItemFailurePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ItemFailurePolicy::Fail => f.write_str("fail"),
            ItemFailurePolicy::PartialAbove(share) => {
                write!(f, "partial above {} %", f64::from(*share) / 100.0)
            }
            ItemFailurePolicy::Reservations => f.write_str("complete with reservations"),
        }
    }
}
