//! Priorities: which of the waiting requests begins first.

use std::fmt;

/// The priority of a request. It says when the request begins, and nothing about its response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestPriority {
    /// Before the others.
    Urgent,
    /// As they come.
    #[default]
    Normal,
    /// When few others wait.
    OffPeak,
}

impl RequestPriority {
    /// All values, the first one first.
    pub const ALL: [RequestPriority; 3] =
        [RequestPriority::Urgent, RequestPriority::Normal, RequestPriority::OffPeak];

    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            RequestPriority::Urgent => "urgent",
            RequestPriority::Normal => "normal",
            RequestPriority::OffPeak => "off-peak",
        }
    }

    /// The priority of a name.
    ///
    /// ```
    /// use flow::dataflow::RequestPriority;
    ///
    /// assert_eq!(RequestPriority::named("off-peak"), Some(RequestPriority::OffPeak));
    /// assert_eq!(RequestPriority::named("high"), None);
    /// ```
    pub fn named(name: &str) -> Option<RequestPriority> {
        RequestPriority::ALL.into_iter().find(|priority| priority.name() == name)
    }
}

impl fmt::Display for RequestPriority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
