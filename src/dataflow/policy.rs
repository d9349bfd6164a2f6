//! Policies of a dataflow: for late items, and for failed steps.

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
