//! `nodes`: the DICOM nodes that we send to, ask, and take commitments from.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use crate::dicom::PeerAddress;
use crate::outbox::{DeliveryPolicy, DeliveryWindow};
use crate::site::SectionReader;

/// A node, by its name in the file.
#[derive(Clone, Debug)]
pub struct SiteNode {
    pub address: PeerAddress,
    pub tls: bool,
    /// Longest wait for the connection, and for each answer.
    pub wait_max: Option<Duration>,
    /// File whose first line is the `Authorization` header of HTTP requests.
    pub authorization: Option<PathBuf>,
    /// Method to verify that the node has stored the results.
    pub verify: VerifyMethod,
    /// Retry policy for sending results to the node; `None`: that of the command line.
    pub retry: Option<NodeRetry>,
    pub windows: Vec<DeliveryWindow>,
    pub associations_max: Option<NonZero<usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyMethod {
    /// Storage commitment by the node.
    Commitment,
    /// A query that finds the results on the node, if it answers queries.
    Query,
    /// No check beyond the node's response to each instance.
    Nothing,
}

/// `retry`: waits that grow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NodeRetry {
    pub first_delay: Duration,
    pub factor: f64,
    pub cap: Duration,
    pub give_up: Duration,
}

const VERIFY: [(&str, VerifyMethod); 3] = [
    ("commitment", VerifyMethod::Commitment),
    ("query", VerifyMethod::Query),
    ("none", VerifyMethod::Nothing),
];

const KEYS: [&str; 8] =
    ["address", "tls", "wait", "authorization", "verify", "retry", "windows", "associations"];

pub(super) fn all(reader: &mut SectionReader) -> BTreeMap<String, SiteNode> {
    let nodes = reader.named("\"nodes\"", |name, reader| {
        if let Some(single) = reader.single() {
            return address(reader, &single.value, single.place).map(SiteNode::usual);
        }
        reader.known(&format!("the node \"{}\"", name.value), &KEYS);
        let written = reader.required("address", |reader| reader.text("address"));
        let address = written.and_then(|written| address(reader, &written.value, written.place));
        let windows = reader.texts("windows");
        let read = |text: &crate::yaml::PlacedValue<String>| {
            reader.reads(text, "a time of day", "write 20:00-06:00, or sat,sun 00:00-24:00", window)
        };
        let windows = windows.iter().filter_map(read).collect();
        let usual = SiteNode {
            tls: reader.flag("tls").unwrap_or(false),
            wait_max: reader.duration("wait"),
            authorization: reader.path("authorization"),
            verify: reader.choice("verify", &VERIFY).unwrap_or(VerifyMethod::Query),
            retry: reader.section("retry", retry),
            associations_max: reader.count("associations", 64).and_then(NonZero::new),
            windows,
            address: address?,
        };
        Some(usual)
    });
    nodes.into_iter().collect()
}

impl SiteNode {
    fn usual(address: PeerAddress) -> SiteNode {
        SiteNode {
            address,
            tls: false,
            wait_max: None,
            authorization: None,
            verify: VerifyMethod::Query,
            retry: None,
            windows: Vec::new(),
            associations_max: None,
        }
    }

    /// The retry policy for this node; `usual` is that of the command line.
    pub fn policy(&self, usual: &DeliveryPolicy, utc_offset_min: i32) -> DeliveryPolicy {
        let mut policy = DeliveryPolicy { windows: self.windows.clone(), utc_offset_min, ..usual.clone() };
        if let Some(associations_max) = self.associations_max {
            policy.associations_max = associations_max;
        }
        if let Some(NodeRetry { first_delay, factor, cap, give_up }) = self.retry {
            policy = DeliveryPolicy { first_delay, factor, cap, give_up_after: give_up, ..policy };
        }
        policy
    }
}

fn address(reader: &mut SectionReader, text: &str, place: crate::yaml::SourcePlace) -> Option<PeerAddress> {
    let written = crate::yaml::PlacedValue { place, value: text.to_owned() };
    reader.parse(&written)
}

fn retry(reader: &mut SectionReader) -> NodeRetry {
    reader.known("\"retry\"", &["first_delay", "factor", "cap", "give_up"]);
    let usual = DeliveryPolicy::default();
    let factor = reader.value("factor", "a number from 1 to 100", "", |text| {
        crate::yaml::number(text).filter(|factor| (1.0..=100.0).contains(factor))
    });
    NodeRetry {
        first_delay: reader.duration("first_delay").unwrap_or(usual.first_delay),
        factor: factor.unwrap_or(usual.factor),
        cap: reader.duration("cap").unwrap_or(usual.cap),
        give_up: reader.duration("give_up").unwrap_or(usual.give_up_after),
    }
}

/// `20:00-06:00`, with days before it if not on all: `mon,tue 20:00-06:00`.
fn window(text: &str) -> Option<DeliveryWindow> {
    let (days, hours) = text.trim().rsplit_once(' ').unwrap_or(("", text.trim()));
    let (from, to) = hours.split_once('-')?;
    let mut window = DeliveryWindow::daily(minutes(from)?, minutes(to)?);
    if !days.is_empty() {
        window.weekdays = [false; 7];
        for day in days.split(',') {
            window.weekdays[WEEKDAYS.iter().position(|name| *name == day.trim())?] = true;
        }
    }
    Some(window)
}

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Minutes since midnight.
fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 24 && minutes < 60 && (hours < 24 || minutes == 0)).then(|| hours * 60 + minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read() {
        assert_eq!(window("20:00-06:30"), Some(DeliveryWindow::daily(1200, 390)));
        let weekend = [false, false, false, false, false, true, true];
        assert_eq!(
            window("sat,sun 00:00-24:00"),
            Some(DeliveryWindow { from_min: 0, to_min: 1440, weekdays: weekend })
        );
        for wrong in [
            "",
            "20:00",
            "25:00-26:00",
            "sat",
            "so 10:00-11:00",
            "24:30-25:00",
            "10:60-11:00",
            "65000:00-06:00",
        ] {
            assert_eq!(window(wrong), None, "{wrong}");
        }
    }
}
