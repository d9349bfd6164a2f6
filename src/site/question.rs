//! A request that nobody has sent, described by its attributes: for the question which dataflow it would go through.

use std::collections::BTreeMap;

use crate::step::{AttributeValues, Request, StepTable};
use crate::yaml::meant_or_all;

/// Checks that requests can have an attribute.
///
/// # Errors
/// If none has; the text says which is meant.
pub fn check_attribute(name: &str, table: &StepTable) -> Result<(), String> {
    if table.attribute(name).is_some() {
        return Ok(());
    }
    let hint = meant_or_all(name, table.attributes().map(|declared| declared.name)).unwrap_or_default();
    Err(format!("a request has no attribute \"{name}\"; {hint}"))
}

/// A request with these attributes and no items. A name that is there several times has several values.
///
/// ```
/// use flow::site::described_request;
///
/// let pairs = [("modality", "CT"), ("modality", "MR")].map(|(name, value)| (name.into(), value.into()));
/// assert_eq!(described_request(pairs).attributes["modality"].text(), "CT\\MR");
/// ```
pub fn described_request(pairs: impl IntoIterator<Item = (String, String)>) -> Request {
    let mut values = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in pairs {
        values.entry(name).or_default().push(value);
    }
    let values = values.into_iter().map(|(name, values)| (name, AttributeValues::from_iter(values)));
    Request::new("request", values.collect(), Vec::new())
}
