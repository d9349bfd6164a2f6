//! The state of the display, and the meaning of keys.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::journal::OperatorRequest;

use super::data::TopData;

/// The state of the display.
#[derive(Default)]
pub struct TopView {
    pub data: Option<TopData>,
    pub page: TopPage,
    /// The number of the chosen request, and its place in the list.
    pub chosen: Option<i64>,
    pub place: usize,
    pub input: TopInput,
    /// The text that requests are searched for.
    pub search: String,
    /// The outcome of the last action.
    pub said: String,
}

/// A page of the display.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TopPage {
    #[default]
    Requests,
    Destinations,
    Steps,
    Faults,
}

/// The meaning of the next key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TopInput {
    #[default]
    Keys,
    /// A question about a request, which `y` answers.
    Question { request: i64, action: OperatorRequest, text: String },
    /// A text to search for, so far.
    Search(String),
}

/// An order that a key gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopOrder {
    Nothing,
    End,
    Act(i64, OperatorRequest),
}

/// Requests that page up and page down pass over.
const PAGE: usize = 10;

impl TopPage {
    pub const ALL: [(TopPage, &str); 4] = [
        (TopPage::Requests, "requests"),
        (TopPage::Destinations, "destinations"),
        (TopPage::Steps, "steps"),
        (TopPage::Faults, "faults"),
    ];

    fn next(self) -> TopPage {
        let place = TopPage::ALL.iter().position(|(page, _)| *page == self).unwrap_or(0);
        TopPage::ALL[(place + 1) % TopPage::ALL.len()].0
    }
}

impl TopView {
    /// Shows newer data. The chosen request stays chosen, wherever it stands now.
    pub fn show(&mut self, data: TopData) {
        let place = data.requests.iter().position(|row| Some(row.number) == self.chosen);
        let last = data.requests.len().saturating_sub(1);
        self.data = Some(data);
        self.choose(place.unwrap_or(self.place).min(last));
    }

    fn choose(&mut self, place: usize) {
        let rows = self.data.as_ref().map(|data| data.requests.as_slice()).unwrap_or_default();
        self.place = place.min(rows.len().saturating_sub(1));
        self.chosen = rows.get(self.place).map(|row| row.number);
    }

    /// Takes account of a key.
    pub fn key(&mut self, key: KeyEvent) -> TopOrder {
        let is_interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        if is_interrupt {
            return TopOrder::End;
        }
        match std::mem::take(&mut self.input) {
            TopInput::Keys => self.command(key.code),
            TopInput::Question { request, action, .. } => match key.code {
                KeyCode::Char('y') => TopOrder::Act(request, action),
                _ => {
                    self.said = "nothing was done".to_owned();
                    TopOrder::Nothing
                }
            },
            TopInput::Search(text) => {
                self.search_key(text, key.code);
                TopOrder::Nothing
            }
        }
    }

    fn search_key(&mut self, mut text: String, code: KeyCode) {
        match code {
            KeyCode::Enter => {
                (self.search, self.chosen, self.place) = (text, None, 0);
                return;
            }
            KeyCode::Esc => {
                self.search.clear();
                return;
            }
            KeyCode::Backspace => _ = text.pop(),
            KeyCode::Char(letter) => text.push(letter),
            _ => {}
        }
        self.input = TopInput::Search(text);
    }

    fn command(&mut self, code: KeyCode) -> TopOrder {
        self.said.clear();
        match code {
            KeyCode::Char('q') => return TopOrder::End,
            KeyCode::Esc => self.search.clear(),
            KeyCode::Up => self.choose(self.place.saturating_sub(1)),
            KeyCode::Down => self.choose(self.place + 1),
            KeyCode::PageUp => self.choose(self.place.saturating_sub(PAGE)),
            KeyCode::PageDown => self.choose(self.place + PAGE),
            KeyCode::Home => self.choose(0),
            KeyCode::End => self.choose(usize::MAX),
            KeyCode::Tab => self.page = self.page.next(),
            KeyCode::Char('/') => {
                (self.page, self.input) = (TopPage::Requests, TopInput::Search(String::new()));
            }
            KeyCode::Char('c') => self.ask(OperatorRequest::Cancel),
            KeyCode::Char('t') => self.ask(OperatorRequest::Retry),
            KeyCode::Char('h') => self.ask(OperatorRequest::Hurry),
            KeyCode::Char('k') => self.ask(OperatorRequest::Keep),
            KeyCode::Char('r') => self.ask(OperatorRequest::Release),
            _ => {}
        }
        TopOrder::Nothing
    }

    fn ask(&mut self, action: OperatorRequest) {
        let rows = self.data.as_ref().map(|data| data.requests.as_slice()).unwrap_or_default();
        let chosen = rows.iter().find(|row| Some(row.number) == self.chosen);
        let Some(row) = chosen.filter(|_| self.page == TopPage::Requests) else { return };
        let name = crate::printable::escaped(&row.name);
        let text = match action {
            OperatorRequest::Cancel => {
                format!("End {name}? Its sender gets an error response that says so.")
            }
            OperatorRequest::Retry => format!("Run again what failed of {name}, and deliver the rest?"),
            OperatorRequest::Hurry => format!("Let {name} begin before all that are not urgent?"),
            // No key asks for it.
            OperatorRequest::Replay => format!("Run {name} again beside its answer?"),
            OperatorRequest::Keep => format!("Remember {name} with its files, however old it gets?"),
            OperatorRequest::Release => format!("Let {name} be removed when its time has come?"),
        };
        self.input = TopInput::Question { request: row.number, action, text };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::top::picture;
    use crate::journal::RequestRow;
    use crate::ledger::LedgerSnapshot;

    fn data(rows: Vec<RequestRow>) -> TopData {
        TopData {
            state: "flow-state".into(),
            process: Some(7),
            free_bytes: 1 << 30,
            troubles: Vec::new(),
            paused: Vec::new(),
            standing: Default::default(),
            snapshot: LedgerSnapshot::default(),
            requests: rows,
            cancelled: Default::default(),
            waits: [(2, "the step lungs".to_owned())].into(),
        }
    }

    fn press(view: &mut TopView, code: KeyCode) -> TopOrder {
        view.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn an_action_is_for_the_chosen_request_and_only_after_a_question() {
        let mut view = TopView::default();
        view.show(data(vec![RequestRow::accepted(1, "one"), RequestRow::accepted(2, "two\u{1b}[2J")]));
        press(&mut view, KeyCode::Down);
        assert_eq!(press(&mut view, KeyCode::Char('c')), TopOrder::Nothing);
        let shown = picture(&view);
        assert!(shown.contains("> 2") && shown.contains("End two"), "{shown}");
        assert!(!shown.contains('\u{1b}') && shown.contains("the step lungs"), "{shown}");
        assert_eq!(press(&mut view, KeyCode::Enter), TopOrder::Nothing, "any other key");
        assert_eq!(view.input, TopInput::Keys);
        press(&mut view, KeyCode::Char('c'));
        // The request stays the one that was asked about, whatever comes before it meanwhile.
        view.show(data(vec![
            RequestRow::accepted(3, "three"),
            RequestRow::accepted(1, "one"),
            RequestRow::accepted(2, "two"),
        ]));
        assert_eq!(press(&mut view, KeyCode::Char('y')), TopOrder::Act(2, OperatorRequest::Cancel));
        assert_eq!((view.chosen, view.place), (Some(2), 2));
        press(&mut view, KeyCode::Char('h'));
        assert!(picture(&view).contains("begin before all that are not urgent"), "{}", picture(&view));
        assert_eq!(press(&mut view, KeyCode::Char('y')), TopOrder::Act(2, OperatorRequest::Hurry));
    }

    #[test]
    fn pages_change_and_a_search_is_typed() {
        let mut view = TopView::default();
        view.show(data(vec![RequestRow::accepted(1, "one")]));
        for expected in ["[destinations]", "[steps]", "[faults]", "[requests]"] {
            press(&mut view, KeyCode::Tab);
            assert!(picture(&view).contains(expected), "{}", picture(&view));
        }
        for letter in "/qc".chars() {
            assert_eq!(press(&mut view, KeyCode::Char(letter)), TopOrder::Nothing);
        }
        assert!(picture(&view).contains("search: qc_"));
        press(&mut view, KeyCode::Enter);
        assert_eq!(view.search, "qc");
        assert_eq!(press(&mut view, KeyCode::Char('q')), TopOrder::End);
    }
}
