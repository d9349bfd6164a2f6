//! The drawing: what is wrong first, then a page of rows, then the keys. No colour carries a meaning alone.

use indicatif::HumanBytes;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};

use crate::journal::{AnswerKind, RequestRow, RequestState};
use crate::ledger::StepSummary;
use crate::printable::escaped;

use super::super::attention::ago;
use super::data::{TopData, words};
use super::view::{TopInput, TopPage, TopView};

/// The most lines about what is wrong.
const TROUBLES_MAX: usize = 5;

/// Draws everything.
pub fn draw(frame: &mut Frame, view: &TopView) {
    let Some(data) = &view.data else {
        return frame.render_widget(Paragraph::new(escaped(&view.said).into_owned()), frame.area());
    };
    let troubles = troubles(data);
    let height = u16::try_from(troubles.len()).unwrap_or(1);
    let parts = [
        Constraint::Length(2),
        Constraint::Length(height),
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(2),
    ];
    let [head, wrong, pages, body, foot] = Layout::vertical(parts).areas(frame.area());
    frame.render_widget(Paragraph::new(head_lines(data)), head);
    frame.render_widget(Paragraph::new(troubles), wrong);
    frame.render_widget(Paragraph::new(page_line(view)), pages);
    match view.page {
        TopPage::Requests => requests(frame, body, view, data),
        TopPage::Destinations => destinations(frame, body, data),
        TopPage::Steps => steps(frame, body, data),
        TopPage::Faults => faults(frame, body, data),
    }
    frame.render_widget(Paragraph::new(foot_lines(view)), foot);
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn bad() -> Style {
    bold().fg(Color::Red)
}

fn head_lines(data: &TopData) -> Vec<Line<'static>> {
    let running = match data.process {
        Some(process) => format!("flow {process}"),
        None => "NO FLOW RUNS".to_owned(),
    };
    let state = data.state.display().to_string();
    let (state, free) = (escaped(&state), HumanBytes(data.free_bytes));
    let commit = data.snapshot.commit;
    let first = Line::from(vec![
        Span::styled(running, if data.process.is_some() { bold() } else { bad() }),
        Span::raw(format!("  on {state}, {free} free, commit {commit}")),
    ]);
    let count = |state: RequestState, answer: Option<AnswerKind>| -> i64 {
        let counted = data
            .standing
            .iter()
            .filter(|(key, _)| key.state == state && answer.is_none_or(|answer| key.answer == answer));
        counted.map(|(_, totals)| totals.requests).sum()
    };
    let second = format!(
        "{} in work or waiting, {} in delivery, {} answered, {} with an error",
        count(RequestState::Accepted, None),
        count(RequestState::Responded, None),
        count(RequestState::Answered, None),
        count(RequestState::Answered, Some(AnswerKind::Failed)),
    );
    vec![first, Line::raw(second)]
}

/// What is wrong, the worst first.
fn troubles(data: &TopData) -> Vec<Line<'static>> {
    let mut lines: Vec<String> = data.troubles.iter().map(|trouble| format!("✗ {trouble}")).collect();
    let undelivered = data.standing.iter().filter(|(key, _)| key.state == RequestState::Undelivered);
    let undelivered: i64 = undelivered.map(|(_, totals)| totals.requests).sum();
    if undelivered > 0 {
        lines.push(format!("✗ {undelivered} NOT DELIVERED everywhere: choose one, and t tries again"));
    }
    for one in data.snapshot.destinations.iter().filter(|one| one.queued > 0) {
        if let (Some(reason), Some(since_ms)) = (&one.down, one.down_since_ms) {
            let (name, since, queued) = (&one.name, ago(since_ms), one.queued);
            lines.push(format!("✗ {name} takes nothing since {since}, {queued} wait: {reason}"));
        }
    }
    lines.extend(data.paused.iter().map(|paused| format!("‖ PAUSED {paused}")));
    let more = lines.len().saturating_sub(TROUBLES_MAX);
    lines.truncate(TROUBLES_MAX);
    if let Some(last) = lines.last_mut().filter(|_| more > 0) {
        *last += &format!("; {more} more");
    }
    if lines.is_empty() {
        return vec![Line::raw("✓ nothing is wrong")];
    }
    lines.iter().map(|line| Line::styled(escaped(line).into_owned(), bad())).collect()
}

fn page_line(view: &TopView) -> Line<'static> {
    let mut spans = Vec::new();
    for (page, name) in TopPage::ALL {
        let is_shown = page == view.page;
        let text = if is_shown { format!("[{name}] ") } else { format!(" {name}  ") };
        spans.push(Span::styled(text, if is_shown { bold() } else { Style::new() }));
    }
    if !view.search.is_empty() {
        spans.push(Span::raw(format!(" found for \"{}\"; esc shows all", escaped(&view.search))));
    }
    Line::from(spans)
}

fn foot_lines(view: &TopView) -> Vec<Line<'static>> {
    match &view.input {
        TopInput::Question { text, .. } => {
            vec![
                Line::styled(text.clone(), bold()),
                Line::styled("y: do it, any other key: leave it", bold()),
            ]
        }
        TopInput::Search(text) => {
            vec![Line::raw(format!("search: {}_", escaped(text))), Line::raw("enter: search, esc: leave it")]
        }
        TopInput::Keys => vec![
            Line::styled(escaped(&view.said).into_owned(), bold()),
            Line::raw("tab page  ↑↓ move  c cancel  t retry  h hurry  k keep  r release  / find  q end"),
        ],
    }
}

fn heads(names: &[&'static str]) -> Row<'static> {
    Row::new(names.to_vec()).style(Style::new().add_modifier(Modifier::UNDERLINED))
}

fn cell(text: impl AsRef<str>) -> Cell<'static> {
    Cell::from(escaped(text.as_ref()).into_owned())
}

fn requests(frame: &mut Frame, area: Rect, view: &TopView, data: &TopData) {
    let row = |row: &RequestRow| {
        let is_cancelled = data.cancelled.contains(&row.number);
        let is_error = row.answer == AnswerKind::Failed && !is_cancelled;
        let is_bad = is_error || row.state == RequestState::Undelivered;
        let row_of = Row::new(vec![
            cell(row.number.to_string()),
            cell(&row.name),
            cell(state(row, is_cancelled)),
            cell(ago(row.changed_ms)),
            cell(data.waits.get(&row.number).map_or("", String::as_str)),
        ]);
        if is_bad { row_of.style(bad()) } else { row_of }
    };
    let widths = [
        Constraint::Length(7),
        Constraint::Fill(2),
        Constraint::Length(16),
        Constraint::Length(10),
        Constraint::Fill(2),
    ];
    let table = Table::new(data.requests.iter().map(row), widths)
        .header(heads(&["number", "request", "state", "since", "waits for"]))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .highlight_symbol("> ");
    let mut selected = TableState::new().with_selected(view.chosen.map(|_| view.place));
    frame.render_stateful_widget(table, area, &mut selected);
}

fn state(row: &RequestRow, is_cancelled: bool) -> String {
    let state = match row.state {
        RequestState::Undelivered => "NOT DELIVERED",
        state => state.name(),
    };
    let error = match row.answer {
        AnswerKind::Failed if is_cancelled => ", cancelled",
        AnswerKind::Failed => ", ERROR",
        AnswerKind::Complete | AnswerKind::Reserved => "",
    };
    let kept = if row.kept { ", kept" } else { "" };
    format!("{state}{error}{kept}")
}

fn destinations(frame: &mut Frame, area: Rect, data: &TopData) {
    let rows = data.snapshot.destinations.iter().map(|one| {
        let state = match (&one.down, one.down_since_ms) {
            (Some(reason), Some(since_ms)) => format!("✗ since {}: {reason}", ago(since_ms)),
            _ => "✓ takes responses".to_owned(),
        };
        let cells = [
            one.name.clone(),
            one.queued.to_string(),
            one.delivered.to_string(),
            one.not_delivered.to_string(),
            state,
        ];
        Row::new(cells.iter().map(cell)).style(if one.down.is_some() { bad() } else { Style::new() })
    });
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(8),
        Constraint::Length(9),
        Constraint::Length(12),
        Constraint::Fill(2),
    ];
    let table = Table::new(rows, widths);
    let heads = heads(&["destination", "waiting", "delivered", "failed tries", "state"]);
    frame.render_widget(table.header(heads), area);
}

fn steps(frame: &mut Frame, area: Rect, data: &TopData) {
    let rows = data.snapshot.steps.iter().map(|one: &StepSummary| {
        let times = one.times.map(|times| [seconds(times.p50), seconds(times.p99)]).unwrap_or_default();
        let [median, slow] = times;
        let (name, failed) = (format!("{} / {}", one.dataflow, one.step), one.failed.to_string());
        let cells = [name, one.ready.to_string(), one.runs.to_string(), failed, median, slow];
        Row::new(cells.iter().map(cell)).style(if one.failed > 0 { bad() } else { Style::new() })
    });
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(7),
        Constraint::Length(9),
        Constraint::Length(7),
        Constraint::Length(9),
        Constraint::Length(9),
    ];
    let table = Table::new(rows, widths);
    frame.render_widget(table.header(heads(&["step", "ready", "runs", "failed", "median", "99 %"])), area);
}

fn seconds(seconds: f64) -> String {
    match seconds {
        ..0.1 => format!("{:.1} ms", seconds * 1e3),
        0.1..120.0 => format!("{seconds:.1} s"),
        _ => format!("{:.1} min", seconds / 60.0),
    }
}

fn faults(frame: &mut Frame, area: Rect, data: &TopData) {
    let faults = data.snapshot.faults.iter().map(|one| {
        let step = format!("{} / {}", one.dataflow, one.step);
        Row::new([cell(one.count.to_string()), cell(step), cell(&one.reason)])
    });
    let waits = data.snapshot.waits.iter().map(|one| {
        let text = format!("waits for {}", words(one.reason, &one.name, &one.because));
        Row::new([cell(one.requests.to_string()), cell(&one.dataflow), cell(text)])
    });
    let widths = [Constraint::Length(8), Constraint::Fill(1), Constraint::Fill(2)];
    let table = Table::new(faults.chain(waits), widths);
    frame.render_widget(table.header(heads(&["count", "where", "reason"])), area);
}
