//! Values of the options of `flow run`.

use std::num::NonZero;
use std::time::Duration;

use crate::dataflow::RequestPriority;
use crate::yaml;

/// A number of threads or lanes.
pub fn count(text: &str) -> Result<NonZero<usize>, String> {
    text.parse().map_err(|_| "a whole number of at least 1 is needed".to_owned())
}

/// A time, or a number of hours.
pub fn hours(text: &str) -> Result<Duration, String> {
    yaml::duration::parse_in(text, "h")
        .ok_or_else(|| "write a number of hours, or a time, for example 2 or 90 min".to_owned())
}

/// A number of days.
pub fn days(text: &str) -> Result<f64, String> {
    let days = text.parse().ok().filter(|days| *days >= 0.0);
    days.ok_or_else(|| "write a number of days, for example 30".to_owned())
}

/// A priority.
pub fn priority(text: &str) -> Result<RequestPriority, String> {
    RequestPriority::named(text).ok_or_else(|| "write urgent, normal or off-peak".to_owned())
}
