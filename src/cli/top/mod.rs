//! `flow top`: what a flow does, on a terminal, as it changes.
//!
//! It reads the journal as `flow status` does, beside a running flow or without one, whenever a commit was made.

mod data;
mod draw;
mod view;

use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use crate::printable::PrintableLines;
use crate::step::StepTable;

use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::output::print;
use super::state_arguments::StateArguments;

use data::TopReader;
use draw::draw;
use view::{TopOrder, TopView};

/// Follow what a flow does, on a terminal
///
/// Requests with what they wait for, destinations, steps and the reasons of faults, drawn again
/// as they change. Keys cancel, retry, keep and release the request that is chosen, after a question.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Keys:
  up, down, page up, page down   choose a request
  tab                            requests, destinations, steps, faults
  /                              search: name, number, patient ID, accession number, study UID
  c  t  k  r                     cancel, retry, keep, release the chosen request
  q                              end")]
pub struct TopArguments {
    #[command(flatten)]
    state: StateArguments,

    /// Draw once, as text of 80 columns and 24 lines, and end
    #[arg(long)]
    once: bool,
}

/// The time between two looks at the journal.
const LOOK: Duration = Duration::from_millis(500);

/// The longest time between two drawings: ages and the disk change without a commit.
const DRAWN_TIME_MAX: Duration = Duration::from_secs(5);

impl TopArguments {
    pub fn run(self, table: &StepTable) -> Result<CommandExit, CommandError> {
        let state = self.state.find()?;
        let reader = TopReader::open(&state, table)?;
        let failed = CommandError::of(CommandErrorKind::InputOutput);
        if self.once {
            let mut view = TopView::default();
            view.show(reader.read(&view.search).map_err(&failed)?);
            print(&PrintableLines::default().lines_of(picture(&view)))?;
            return Ok(CommandExit::Done);
        }
        let mut terminal = ratatui::try_init().map_err(|error| {
            let error =
                CommandError::new(CommandErrorKind::Usage, format!("this is not a terminal: {error}"));
            error.hint("`flow top --once` prints a picture, `flow status` a text")
        })?;
        let ended = follow(&mut terminal, &reader);
        ratatui::restore();
        ended.map(|()| CommandExit::Done)
    }
}

/// Draws, and does what is asked for by keys, until the end is.
fn follow(terminal: &mut ratatui::DefaultTerminal, reader: &TopReader) -> Result<(), CommandError> {
    let failed = CommandError::of(CommandErrorKind::InputOutput);
    let mut view = TopView::default();
    let (mut read, mut drawn) = (None, Instant::now());
    loop {
        let now = (reader.commits().ok(), view.search.clone());
        if read.as_ref() != Some(&now) || drawn.elapsed() > DRAWN_TIME_MAX {
            match reader.read(&view.search) {
                Ok(data) => view.show(data),
                Err(error) => view.said = error.to_string(),
            }
            (read, drawn) = (Some(now), Instant::now());
        }
        terminal.draw(|frame| draw(frame, &view)).map_err(&failed)?;
        if !event::poll(LOOK).map_err(&failed)? {
            continue;
        }
        let Event::Key(key) = event::read().map_err(&failed)? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match view.key(key) {
            TopOrder::Nothing => {}
            TopOrder::End => return Ok(()),
            TopOrder::Act(request, action) => {
                view.said = reader.act(request, action);
                read = None;
            }
        }
    }
}

/// A drawing as text, without the blanks at the ends of lines.
fn picture(view: &TopView) -> String {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(80, 24));
    let Ok(_) = terminal.draw(|frame| draw(frame, view));
    let buffer = terminal.backend().buffer();
    let width = usize::from(buffer.area.width).max(1);
    let symbols: Vec<&str> = buffer.content.iter().map(|cell| cell.symbol()).collect();
    let lines: Vec<String> = symbols.chunks(width).map(|line| line.concat().trim_end().to_owned()).collect();
    lines.join("\n")
}
