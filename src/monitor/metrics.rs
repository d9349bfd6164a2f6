//! The snapshot in the text format of Prometheus (version 0.0.4). Labels are dataflows, steps, sources,
//! destinations, processes and fixed words: none names a request or a patient.

use std::fmt::Write;

use crate::cluster::{ClusterStanding, ProcessStanding};
use crate::ledger::{LedgerSnapshot, TimeHistogram};

/// The disk of the state folder, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageStatus {
    pub free_bytes: u64,
    /// With less, no request is accepted.
    pub free_bytes_min: u64,
}

/// The most series of one metric.
const SERIES_MAX: usize = 1000;

/// The bounds of histograms: powers of two of microseconds, from a millisecond to an hour.
const BOUNDS: std::ops::RangeInclusive<u32> = 10..=32;

/// The metrics of a snapshot.
pub fn metrics_text(snapshot: &LedgerSnapshot, storage: StorageStatus, cluster: &ClusterStanding) -> String {
    let mut text = MetricsText::default();
    requests(&mut text, snapshot);
    steps(&mut text, snapshot);
    destinations(&mut text, snapshot);
    processes(&mut text, cluster);
    let free = storage.free_bytes as f64;
    text.gauge("flow_storage_free_bytes", "Free bytes on the disk of the state folder.", [(vec![], free)]);
    let commit = [(vec![], snapshot.commit as f64)];
    text.metric("flow_journal_commits_total", "counter", "Commits of the journal.", commit);
    text.0
}

fn requests(text: &mut MetricsText, snapshot: &LedgerSnapshot) {
    let standing = snapshot.standing.iter().map(|one| {
        let labels = vec![
            ("dataflow", one.dataflow.as_str()),
            ("state", one.state.name()),
            ("answer", one.answer.name()),
        ];
        (labels, one.requests as f64, one.bytes as f64)
    });
    let requests = standing.clone().map(|(labels, requests, _)| (labels, requests));
    text.gauge("flow_requests", "Remembered requests by where they stand.", requests);
    let bytes = standing.map(|(labels, _, bytes)| (labels, bytes));
    text.gauge("flow_request_bytes", "Bytes of received files and results of remembered requests.", bytes);
    let accepted = snapshot.sources.iter().map(|one| {
        let labels = vec![("dataflow", one.dataflow.as_str()), ("source", one.source.as_str())];
        (labels, one.accepted as f64)
    });
    text.metric("flow_requests_accepted_total", "counter", "Accepted requests.", accepted);
    let answered = snapshot.dataflows.iter().flat_map(|one| {
        let counts = [("complete", one.complete), ("reserved", one.reserved), ("failed", one.failed)];
        counts.map(|(answer, count)| {
            (vec![("dataflow", one.dataflow.as_str()), ("answer", answer)], count as f64)
        })
    });
    text.metric("flow_requests_answered_total", "counter", "Answered requests.", answered);
    let waiting = snapshot.waits.iter().map(|one| {
        let labels =
            vec![("dataflow", one.dataflow.as_str()), ("reason", one.reason), ("name", one.name.as_str())];
        (labels, one.requests as f64)
    });
    text.gauge("flow_waiting_requests", "Unanswered requests by the reason why they wait.", merged(waiting));
    let oldest = snapshot.oldest.first().map(|one| (vec![], one.opened_ms as f64 / 1000.0));
    let help = "Unix time at which the oldest unanswered request was opened.";
    text.gauge("flow_oldest_unanswered_timestamp_seconds", help, oldest);
    let times = snapshot.dataflows.iter();
    let times = times.map(|one| (vec![("dataflow", one.dataflow.as_str())], &one.histogram));
    text.histogram("flow_request_duration_seconds", "Time from acceptance to answer.", times);
}

fn steps(text: &mut MetricsText, snapshot: &LedgerSnapshot) {
    let steps = snapshot.steps.iter().map(|one| {
        let labels = vec![("dataflow", one.dataflow.as_str()), ("step", one.step.as_str())];
        (labels, one)
    });
    let failed = steps.clone().map(|(labels, one)| (labels, one.failed as f64));
    text.metric("flow_step_failures_total", "counter", "Runs of steps that failed.", failed);
    let ready = steps.clone().map(|(labels, one)| (labels, one.ready as f64));
    text.gauge("flow_step_ready_requests", "Requests in which a step can run and has not ended.", ready);
    let running = steps.clone().map(|(labels, one)| (labels, one.running as f64));
    text.gauge("flow_step_running", "Runs of steps under way.", running);
    let times = steps.map(|(labels, one)| (labels, &one.histogram));
    text.histogram("flow_step_duration_seconds", "Time of a run of a step.", times);
}

fn destinations(text: &mut MetricsText, snapshot: &LedgerSnapshot) {
    let all = snapshot.destinations.iter().map(|one| (vec![("destination", one.name.as_str())], one));
    let up = all.clone().map(|(labels, one)| (labels, if one.down.is_none() { 1.0 } else { 0.0 }));
    text.gauge("flow_destination_up", "Whether a destination took everything at its last try.", up);
    let queued = all.clone().map(|(labels, one)| (labels, one.queued as f64));
    text.gauge(
        "flow_destination_queued_requests",
        "Unanswered requests that wait for a destination.",
        queued,
    );
    let tries = all.flat_map(|(labels, one)| {
        let with = |outcome| [labels.clone(), vec![("outcome", outcome)]].concat();
        [(with("delivered"), one.delivered as f64), (with("not_delivered"), one.not_delivered as f64)]
    });
    text.metric("flow_deliveries_total", "counter", "Tries to deliver by outcome.", tries);
}

/// The processes, where there are several.
fn processes(text: &mut MetricsText, cluster: &ClusterStanding) {
    if cluster.processes.is_empty() && cluster.waiting.is_empty() {
        return;
    }
    let indices: Vec<String> = cluster.processes.iter().map(|one| one.process.to_string()).collect();
    let mut gauge = |name, kind, help, of: fn(&ProcessStanding) -> f64| {
        let series = cluster.processes.iter().zip(&indices);
        text.metric(
            name,
            kind,
            help,
            series.map(|(one, index)| (vec![("process", index.as_str())], of(one))),
        );
    };
    let up = |one: &ProcessStanding| if one.is_connected { 1.0 } else { 0.0 };
    gauge("flow_process_up", "gauge", "Whether a process is there.", up);
    gauge("flow_process_requests", "gauge", "Requests that a process runs.", |one| one.requests as f64);
    gauge("flow_process_steps", "gauge", "Steps that a process runs for process 0.", |one| one.steps as f64);
    let help = "Bytes of memory that the work of a process may take.";
    gauge("flow_process_memory_bytes", "gauge", help, |one| one.memory as f64);
    let help = "Bytes of memory that the work of a process takes.";
    gauge("flow_process_memory_taken_bytes", "gauge", help, |one| one.memory_taken as f64);
    gauge("flow_process_outages_total", "counter", "Losses of a process.", |one| one.outages as f64);
    let help = "The generation of the last connection of a process.";
    gauge("flow_process_generation", "gauge", help, |one| one.generation as f64);
    let missing = cluster.missing();
    let missing = missing.iter().map(|one| (vec![("label", one.label.as_str())], one.steps as f64));
    let help = "Steps that wait for a process with a label, or with the label and the memory.";
    text.gauge("flow_missing_process_steps", help, merged(missing));
}

/// Series with the same labels added up.
fn merged<'a>(series: impl Iterator<Item = MetricSeries<'a>>) -> Vec<MetricSeries<'a>> {
    let mut merged: Vec<MetricSeries> = Vec::new();
    for (labels, value) in series {
        match merged.iter_mut().find(|(known, _)| *known == labels) {
            Some((_, sum)) => *sum += value,
            None => merged.push((labels, value)),
        }
    }
    merged
}

/// Labels and a value.
type MetricSeries<'a> = (Vec<(&'static str, &'a str)>, f64);

#[derive(Default)]
struct MetricsText(String);

impl MetricsText {
    fn gauge<'a>(&mut self, name: &str, help: &str, series: impl IntoIterator<Item = MetricSeries<'a>>) {
        self.metric(name, "gauge", help, series);
    }

    fn metric<'a>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        series: impl IntoIterator<Item = MetricSeries<'a>>,
    ) {
        self.head(name, kind, help);
        for (labels, value) in series.into_iter().take(SERIES_MAX) {
            self.line(name, &labels, value);
        }
    }

    fn histogram<'a>(
        &mut self,
        name: &str,
        help: &str,
        series: impl Iterator<Item = (Vec<(&'static str, &'a str)>, &'a TimeHistogram)>,
    ) {
        self.head(name, "histogram", help);
        for (labels, times) in series.filter(|(_, times)| times.count() > 0).take(SERIES_MAX) {
            for power in BOUNDS {
                let seconds = f64::from(power).exp2() / 1e6;
                let bound = seconds.to_string();
                let labels = [labels.clone(), vec![("le", bound.as_str())]].concat();
                self.line(&format!("{name}_bucket"), &labels, times.below(seconds) as f64);
            }
            let endless = [labels.clone(), vec![("le", "+Inf")]].concat();
            self.line(&format!("{name}_bucket"), &endless, times.count() as f64);
            self.line(&format!("{name}_sum"), &labels, times.sum());
            self.line(&format!("{name}_count"), &labels, times.count() as f64);
        }
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &[(&'static str, &str)], value: f64) {
        let labels: Vec<String> =
            labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escaped(text))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{DestinationSummary, StepSummary, histogram_of};

    #[test]
    fn labels_are_escaped_and_a_histogram_is_cumulative() {
        let histogram = histogram_of([(crate::journal::tally::bucket(3_000_000), 2)]);
        let (dataflow, step) = ("d\"\n".to_owned(), "s\\".to_owned());
        let step = StepSummary { dataflow, step, histogram, ..StepSummary::default() };
        let destination = DestinationSummary { name: "PACS".to_owned(), ..DestinationSummary::default() };
        let snapshot = LedgerSnapshot {
            steps: vec![step],
            destinations: vec![destination],
            ..LedgerSnapshot::default()
        };
        let process =
            ProcessStanding { process: 1, is_connected: true, steps: 3, ..ProcessStanding::default() };
        let cluster = ClusterStanding { processes: vec![process], ..ClusterStanding::default() };
        let storage = StorageStatus { free_bytes: 5, free_bytes_min: 0 };
        assert!(!metrics_text(&snapshot, storage, &ClusterStanding::default()).contains("flow_process"));
        let text = metrics_text(&snapshot, storage, &cluster);
        let labels = r#"dataflow="d\"\n",step="s\\""#;
        let has = |line: &str| assert!(text.lines().any(|one| one == line), "{line} in {text}");
        has(&format!("flow_step_duration_seconds_bucket{{{labels},le=\"2.097152\"}} 0"));
        has(&format!("flow_step_duration_seconds_bucket{{{labels},le=\"4.194304\"}} 2"));
        has(&format!("flow_step_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 2"));
        has("flow_destination_up{destination=\"PACS\"} 1");
        has("flow_storage_free_bytes 5");
        has("flow_process_up{process=\"1\"} 1");
        has("flow_process_steps{process=\"1\"} 3");
    }
}
