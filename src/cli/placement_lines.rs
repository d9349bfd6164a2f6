//! The processes of a running flow by what they can run of a dataflow, for `flow graph --placement`.

use indicatif::HumanBytes;

use crate::cluster::{ClusterStanding, ProcessStanding};
use crate::dataflow::Dataflow;
use crate::printable::{PrintableLines, counted};

/// The order in which differences decide among processes, as `engine/process_choice.rs` has it.
const DECIDES: [&str; 3] = [
    "Of the processes with the label and the memory, the first that differs decides: a free thread and the memory free now,",
    "the most of the inputs there already, the least work for its threads, the most free memory, the lowest index.",
    "Process 0 runs what it can itself; `flow explain REQUEST` says where each step of a request ran.",
];

/// The memory of requests, the processes if a flow runs, and what decides among them.
pub fn lines(dataflow: &Dataflow, standing: Option<&ClusterStanding>) -> PrintableLines {
    let (fixed, per_byte) = dataflow.memory.parts();
    let mut lines = PrintableLines::of("");
    lines.push(format_args!(
        "a request takes {} of memory, and {per_byte} B for each byte of its items when decoded",
        HumanBytes(fixed)
    ));
    for one in standing.iter().flat_map(|standing| &standing.processes) {
        lines.push(line(dataflow, one));
    }
    DECIDES.iter().fold(lines.line(""), |lines, line| lines.line(line))
}

/// The work that a process can run.
fn line(dataflow: &Dataflow, one: &ProcessStanding) -> String {
    let ProcessStanding { process, workers, memory, .. } = *one;
    let head = format!("process {process}, {}, {}", counted(workers, "thread"), HumanBytes(memory));
    if !one.is_connected {
        return format!("process {process}: NOT THERE");
    }
    let labels = dataflow.labels();
    let own = labels.iter().filter(|(label, _)| one.labels.contains(**label)).flat_map(|(_, steps)| steps);
    let mut steps: Vec<&str> = own.copied().collect();
    if process == 0 && !labels.is_empty() {
        steps.insert(0, "steps without a label");
    }
    let what = match (labels.is_empty() && !one.is_joined, steps.is_empty()) {
        (true, _) => "whole requests".to_owned(),
        (false, true) => return format!("{head}: none of these steps"),
        (false, false) => steps.join(", "),
    };
    match dataflow.memory.decoded_max(memory) {
        Some(u64::MAX) => format!("{head}: {what}, of every request"),
        Some(decoded) => format!("{head}: {what}, of requests with up to {} of items", HumanBytes(decoded)),
        None if process == 0 && !labels.is_empty() => {
            format!("{head}: steps without a label, of requests whose other steps run elsewhere")
        }
        None => format!("{head}: nothing, as a request takes more memory"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::StepTable;

    fn placed(on: &str, memory: &str) -> Dataflow {
        let text = format!(
            "dataflow: x\nlimits: {{memory: {memory}}}\nsteps:\n  one: {{step: run-program, needs: {{request: request}}, \
             with: {{program: sh}}}}\n  two: {{step: run-program, needs: {{request: request}}, with: {{program: sh}}{on}}}\n\
             response: [one, two]\n"
        );
        Dataflow::parse("x", &text, &StepTable::built_in()).unwrap()
    }

    #[test]
    fn each_process_has_what_it_can_run() {
        let process = |process, labels: &[&str], memory: u64| ProcessStanding {
            process,
            is_connected: true,
            is_joined: process > 1,
            workers: 2,
            memory: memory << 20,
            labels: labels.iter().map(|label| label.parse().unwrap()).collect(),
            ..ProcessStanding::default()
        };
        let (growing, fixed) =
            ("{fixed: 64 MiB, per_decoded_byte: 2.0}", "{fixed: 64 MiB, per_decoded_byte: 0.0}");
        let table = [
            (
                ", on: big",
                growing,
                process(0, &[], 64),
                "steps without a label, of requests with up to 0 B of items",
            ),
            (
                ", on: big",
                growing,
                process(0, &[], 32),
                "steps without a label, of requests whose other steps run elsewhere",
            ),
            (
                ", on: big",
                growing,
                process(1, &["big"], 128),
                "two, of requests with up to 32.00 MiB of items",
            ),
            (", on: big", growing, process(2, &["big"], 63), "nothing, as a request takes more memory"),
            (", on: big", growing, process(2, &["small"], 128), "none of these steps"),
            (
                "",
                growing,
                process(1, &["big"], 128),
                "whole requests, of requests with up to 32.00 MiB of items",
            ),
            ("", fixed, process(0, &[], 64), "whole requests, of every request"),
            ("", fixed, process(2, &["big"], 64), "none of these steps"),
        ];
        for (on, memory, one, expected) in table {
            let line = line(&placed(on, memory), &one);
            assert!(line.starts_with(&format!("process {}, 2 threads, ", one.process)), "{line}");
            assert_eq!(line.split_once(": ").unwrap().1, expected);
        }
        let lost = ProcessStanding { process: 1, ..ProcessStanding::default() };
        assert_eq!(line(&placed("", fixed), &lost), "process 1: NOT THERE");
    }
}
