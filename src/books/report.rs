//! Counts and rates of the stages of a row: what is in the directories, whichever processes work on them.

use std::time::{Duration, Instant, SystemTime};

use crate::tokens::{StageCount, TokenError};

use super::stages::StageRow;

/// The line of a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct StageLine {
    pub name: String,
    /// The directory in which its tokens wait.
    pub folder: String,
    pub count: StageCount,
    /// Tokens a second that have left it lately.
    pub rate: Option<f64>,
    /// The age of the oldest waiting token.
    pub oldest: Option<Duration>,
    /// The time until all that is under way has left it, at this rate.
    pub left: Option<Duration>,
}

/// The stages of a row, looked at again and again.
pub struct RowReport {
    row: StageRow,
    /// Earlier looks: how many tokens were behind each stage.
    looks: Vec<(Instant, Vec<usize>)>,
}

/// Rates are over the looks of this time.
const WINDOW: Duration = Duration::from_secs(20);

impl RowReport {
    pub fn new(row: &StageRow) -> RowReport {
        RowReport { row: row.clone(), looks: Vec::new() }
    }

    /// Looks at the directories. Gives the stages, and the number of tokens that are done.
    ///
    /// # Errors
    /// If a directory cannot be read.
    pub fn look(&mut self) -> Result<(Vec<StageLine>, usize), TokenError> {
        let folders = self.row.folders();
        let counts: Vec<StageCount> = folders.iter().map(StageCount::of).collect::<Result<_, _>>()?;
        let all = |count: &StageCount| count.moving() + count.failed;
        let behind = |stage: usize| counts[stage + 1..].iter().map(all).sum::<usize>();
        let now = Instant::now();
        let passed: Vec<usize> = (0..self.row.stages.len()).map(behind).collect();
        self.looks.push((now, passed.clone()));
        self.looks.retain(|(at, _)| now.duration_since(*at) <= WINDOW);
        let (since, first) = &self.looks[0];
        let seconds = now.duration_since(*since).as_secs_f64();
        let lines = self.row.stages.iter().enumerate().map(|(index, stage)| {
            let rate = (seconds > 0.5).then(|| passed[index].saturating_sub(first[index]) as f64 / seconds);
            let under_way: usize = counts[..=index].iter().map(StageCount::moving).sum();
            let left = rate.filter(|rate| *rate > 0.0).map(|rate| under_way as f64 / rate);
            let age = |oldest: SystemTime| SystemTime::now().duration_since(oldest).unwrap_or_default();
            StageLine {
                name: stage.name.clone(),
                folder: stage.from.name().to_owned(),
                oldest: counts[index].oldest.map(age),
                rate,
                left: left.and_then(|left| Duration::try_from_secs_f64(left).ok()),
                count: counts[index].clone(),
            }
        });
        let lines = lines.collect();
        let done = counts.last().map_or(0, |count| count.waiting);
        Ok((lines, done))
    }
}
