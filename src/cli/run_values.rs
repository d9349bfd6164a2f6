//! Values of the options of `flow run`.

use std::num::NonZero;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::dataflow::RequestPriority;
use crate::site::{LANES_MAX, WORKERS_MAX};
use crate::yaml;

/// A number of threads.
pub fn workers(text: &str) -> Result<NonZero<usize>, String> {
    count(text, WORKERS_MAX)
}

/// A number of lanes.
pub fn lanes(text: &str) -> Result<NonZero<usize>, String> {
    count(text, LANES_MAX)
}

fn count(text: &str, most: usize) -> Result<NonZero<usize>, String> {
    let number = text.parse().ok().filter(|number: &NonZero<usize>| number.get() <= most);
    number.ok_or_else(|| format!("a whole number from 1 to {most} is needed"))
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

/// A priority. Shells complete its names.
pub fn priority() -> impl TypedValueParser<Value = RequestPriority> {
    let names = PossibleValuesParser::new(RequestPriority::ALL.map(RequestPriority::name));
    names.map(|name| RequestPriority::named(&name).expect("it is one of these"))
}
