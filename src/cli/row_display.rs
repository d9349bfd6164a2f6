//! The screen of a row of directories: a line for each stage, and the summary at the end.

use std::fmt::Write;
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::books::{StageLine, StageRow, WorkCounts};
use crate::printable::{PrintableLines, escaped};

use super::output;

/// The lines of the stages: they move on a terminal, and are told again elsewhere.
pub struct RowDisplay {
    bar: Option<ProgressBar>,
}

impl RowDisplay {
    pub fn new() -> RowDisplay {
        let bar = output::shows_progress().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(ProgressStyle::with_template("{msg}").expect("the template is sound"));
            bar
        });
        RowDisplay { bar }
    }

    pub fn show(&mut self, lines: &[StageLine], done: usize) {
        let table = table(lines, done);
        match &self.bar {
            Some(bar) => bar.set_message(escaped_lines(&table)),
            None => {
                let told = table.lines().fold(PrintableLines::of("row"), |told, line| told.line(line));
                output::tell_event(&told);
            }
        }
    }

    pub fn clear(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}

fn escaped_lines(text: &str) -> String {
    text.lines().map(|line| escaped(line).into_owned()).collect::<Vec<String>>().join("\n")
}

/// A line for each stage.
pub fn table(lines: &[StageLine], done: usize) -> String {
    let width = lines.iter().map(|line| line.name.len()).max().unwrap_or_default().max(8);
    let mut text = format!(
        "{:width$}{:>10}{:>9}{:>8}{:>8}{:>9}{:>12}{:>14}\n",
        "stage", "waiting", "in work", "failed", "later", "a second", "oldest", "to finish"
    );
    for line in lines {
        let count = &line.count;
        let rate = line.rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"));
        let time = |time: Option<Duration>| {
            time.map_or_else(|| "-".to_owned(), |time| HumanDuration(time).to_string())
        };
        let (oldest, left) = (time(line.oldest), time(line.left));
        writeln!(
            text,
            "{:width$}{:>10}{:>9}{:>8}{:>8}{rate:>9}{oldest:>12}{left:>14}",
            line.name, count.waiting, count.in_work, count.failed, count.later
        )
        .expect("memory takes everything");
    }
    writeln!(text, "{:width$}{done:>10}", "done").expect("memory takes everything");
    text
}

/// How many, how fast and where.
pub fn summary(
    row: &StageRow,
    lines: &[StageLine],
    done: usize,
    counts: &[(String, WorkCounts)],
    took: Duration,
) -> PrintableLines {
    let seconds = took.as_secs_f64();
    let head = format!("{:12}{:>10}{:>10}{:>10}{:>12}", "stage", "done here", "parked", "waited", "a second");
    let mut text = PrintableLines::of(head);
    for (name, WorkCounts { done, failed, postponed }) in counts {
        let rate = *done as f64 / seconds.max(0.001);
        text.push(format_args!("{name:12}{done:>10}{failed:>10}{postponed:>10}{rate:>12.1}"));
    }
    let parked: usize = lines.iter().map(|line| line.count.failed).sum();
    let under_way: usize = lines.iter().map(|line| line.count.moving()).sum();
    text.push("");
    text.push(format_args!(
        "{done} books are done, {under_way} under way, {parked} parked; this run took {seconds:.1} s"
    ));
    text.push(format_args!("The tokens that are done lie in {}", row.last().waiting().display()));
    for store in row.stages.iter().filter_map(|stage| stage.store.as_ref()).take(1) {
        text.push(format_args!("The books lie in {store}"));
    }
    for line in lines.iter().filter(|line| line.count.failed > 0) {
        let folder = row.root.join(format!("{}.failed", line.folder));
        text.push(format_args!("{} parked tokens: ls {}", line.count.failed, folder.display()));
    }
    text
}
