//! Views that a site declares in its file: counts of events, by up to four of their fields.
//!
//! Each count of the journal is mapped to at most one row of each view, when it comes and when it is taken back.
//! So these rows are kept as all others are, and past events are in them, too.

use crate::journal::tally::{TallyCounts, TallyEvent, TallyKey};
use crate::site::{BuiltInSection, SectionReader, SectionSettings, SiteSection};

use super::names::{NameId, NameTable};
use super::row::{RowCounts, ViewRow, add, count};

/// Reads `views`.
pub struct ViewsSection;

inventory::submit! { BuiltInSection(&ViewsSection) }

/// The views of a site.
#[derive(Clone, Debug, Default)]
pub struct DeclaredViews(pub Vec<DeclaredView>);

/// A view of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredView {
    pub name: String,
    pub event: EventName,
    /// The fields by which events are counted apart.
    pub by: Vec<EventField>,
    /// Values that fields must have.
    pub only: Vec<(EventField, String)>,
}

/// A kind of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventName {
    Accepted,
    Answered,
    Ran,
    Failed,
    Delivered,
    NotDelivered,
}

/// A field of events. A field that an event does not have is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventField {
    /// UTC: `2026-11-29 06`.
    Hour,
    /// UTC: `2026-11-29`.
    Day,
    Dataflow,
    Source,
    Answer,
    Step,
    Kind,
    Reason,
    Destination,
}

const EVENTS: [(&str, EventName); 6] = [
    ("accepted", EventName::Accepted),
    ("answered", EventName::Answered),
    ("ran", EventName::Ran),
    ("failed", EventName::Failed),
    ("delivered", EventName::Delivered),
    ("not_delivered", EventName::NotDelivered),
];

const FIELDS: [(&str, EventField); 9] = [
    ("hour", EventField::Hour),
    ("day", EventField::Day),
    ("dataflow", EventField::Dataflow),
    ("source", EventField::Source),
    ("answer", EventField::Answer),
    ("step", EventField::Step),
    ("kind", EventField::Kind),
    ("reason", EventField::Reason),
    ("destination", EventField::Destination),
];

/// The most fields by which a view counts.
const FIELDS_MAX: usize = 4;

const VIEWS_MAX: usize = 32;

impl SiteSection for ViewsSection {
    fn keys(&self) -> &'static [&'static str] {
        &["views"]
    }

    fn read(&self, reader: &mut SectionReader) -> Box<dyn SectionSettings> {
        let views = reader.section("views", |reader| {
            let views = reader.named("\"views\"", |name, reader| view(&name.value, reader));
            let views: Vec<DeclaredView> = views.into_iter().map(|(_, view)| view).collect();
            if views.len() > VIEWS_MAX {
                reader.wrong("there are more than 32 views", "`flow sql` answers further questions");
            }
            views
        });
        Box::new(DeclaredViews(views.unwrap_or_default()))
    }
}

impl SectionSettings for DeclaredViews {}

fn view(name: &str, reader: &mut SectionReader) -> Option<DeclaredView> {
    reader.known("a view", &["of", "by", "where"]);
    let event = reader.required("of", |reader| reader.choice("of", &EVENTS));
    let written = reader.texts("by");
    let by: Vec<EventField> = written.iter().filter_map(|field| reader.choose(field, &FIELDS)).collect();
    if by.len() > FIELDS_MAX {
        reader.wrong("it counts by more than four fields", "leave some out");
    }
    let only = reader.section("where", |reader| {
        reader.known("\"where\"", &FIELDS.map(|(name, _)| name));
        let given = FIELDS.iter().filter_map(|(name, field)| Some((*field, reader.text(name)?.value)));
        given.collect()
    });
    Some(DeclaredView { name: name.to_owned(), event: event?, by, only: only.unwrap_or_default() })
}

impl DeclaredView {
    /// The name with what is counted: `slow: ran by step`.
    pub fn title(&self) -> String {
        let event = EVENTS.iter().find(|(_, event)| *event == self.event).map_or("", |(name, _)| name);
        let by: Vec<&str> = self.by.iter().map(|field| field_name(*field)).collect();
        let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(", ")) };
        let only: Vec<String> =
            self.only.iter().map(|(field, value)| format!("{} {value}", field_name(*field))).collect();
        let only = if only.is_empty() { String::new() } else { format!(", only {}", only.join(", ")) };
        format!("{}: {event}{by}{only}", self.name)
    }

    /// The row in which a count is, if it is in this view.
    pub(super) fn row(&self, key: &TallyKey, names: &mut NameTable) -> Option<ViewRow> {
        if event_name(&key.event) != self.event {
            return None;
        }
        if self.only.iter().any(|(field, value)| field_text(*field, key) != *value) {
            return None;
        }
        let mut keys = [names.id(""); FIELDS_MAX];
        for (place, field) in keys.iter_mut().zip(&self.by) {
            *place = key_name(*field, key, names);
        }
        let bucket = match key.event {
            TallyEvent::Answered { bucket, .. } | TallyEvent::Ran { bucket, .. } => bucket,
            _ => 0,
        };
        Some(ViewRow::Declared(names.id(&self.title()), keys, bucket))
    }
}

/// Adds the rows of declared views, counted afresh.
pub fn add_declared_rows(
    tally: &TallyCounts,
    views: &[DeclaredView],
    names: &mut NameTable,
    rows: &mut RowCounts,
) {
    for (key, number) in tally {
        views.iter().filter_map(|view| view.row(key, names)).for_each(|row| add(rows, row, count(*number)));
    }
}

fn field_name(field: EventField) -> &'static str {
    FIELDS.iter().find(|(_, other)| *other == field).map_or("", |(name, _)| name)
}

fn event_name(event: &TallyEvent) -> EventName {
    match event {
        TallyEvent::Accepted { .. } => EventName::Accepted,
        TallyEvent::Answered { .. } => EventName::Answered,
        TallyEvent::Ran { .. } => EventName::Ran,
        TallyEvent::Failed { .. } => EventName::Failed,
        TallyEvent::Delivered { .. } => EventName::Delivered,
        TallyEvent::NotDelivered { .. } => EventName::NotDelivered,
    }
}

fn key_name(field: EventField, key: &TallyKey, names: &mut NameTable) -> NameId {
    let text = field_text(field, key);
    // Peers have a say in reasons.
    if field == EventField::Reason { names.reason(&text) } else { names.id(&text) }
}

fn field_text(field: EventField, key: &TallyKey) -> String {
    let text = match (field, &key.event) {
        (EventField::Hour, _) => return format!("{} {:02}", day(key.hour), key.hour.rem_euclid(24)),
        (EventField::Day, _) => return day(key.hour),
        (EventField::Dataflow, _) => &key.dataflow,
        (EventField::Source, TallyEvent::Accepted { source }) => source,
        (EventField::Answer, TallyEvent::Answered { answer, .. }) => return answer.name().to_owned(),
        (EventField::Step, TallyEvent::Ran { step, .. } | TallyEvent::Failed { step, .. }) => step,
        (EventField::Kind, TallyEvent::Failed { kind, .. }) => kind,
        (EventField::Reason, TallyEvent::Failed { reason, .. }) => reason,
        (
            EventField::Destination,
            TallyEvent::Delivered { destination } | TallyEvent::NotDelivered { destination },
        ) => destination,
        _ => "",
    };
    text.to_owned()
}

/// The date of an hour since 1970 in UTC (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn day(hour: i64) -> String {
    let days = hour.div_euclid(24) + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{date:02}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::site::Site;

    fn read(text: &str) -> Result<Vec<DeclaredView>, String> {
        let site = Site::parse("site.yaml", text, Path::new(""), &[&ViewsSection]);
        let site = site.map_err(|problems| problems.to_string())?;
        Ok(site.section::<DeclaredViews>().cloned().unwrap_or_default().0)
    }

    #[test]
    fn a_view_counts_what_its_words_say() {
        let views = read("views:\n  slow: {of: ran, by: [day, step], where: {dataflow: d}}\n").unwrap();
        assert_eq!(views[0].title(), "slow: ran by day, step, only dataflow d");
        let ran = |hour, dataflow: &str, step: &str| TallyKey {
            hour,
            dataflow: dataflow.to_owned(),
            event: TallyEvent::Ran { step: step.to_owned(), bucket: 4 },
        };
        let tally = [
            (ran(0, "d", "a"), 2),
            (ran(23, "d", "a"), 3),
            (ran(24, "d", "a"), 5),
            (ran(0, "other", "a"), 7),
        ];
        let (mut names, mut rows) = (NameTable::default(), RowCounts::new());
        add_declared_rows(&tally.into(), &views, &mut names, &mut rows);
        let counted: Vec<(String, isize)> = rows
            .iter()
            .map(|(row, count)| match row {
                ViewRow::Declared(_, keys, _) => (names.text(keys[0]).to_owned(), *count),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(counted, [("1970-01-01".to_owned(), 5), ("1970-01-02".to_owned(), 5)]);
        assert_eq!([day(24 * 19_782), day(24 * 11_016)], ["2024-02-29", "2000-02-29"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expected) in [
            ("views: {a: {of: run}}\n", "did you mean \"ran\"?"),
            ("views: {a: {by: [step]}}\n", "lacks the key \"of\""),
            ("views: {a: {of: ran, by: [stepp]}}\n", "did you mean \"step\"?"),
            ("views: {a: {of: ran, by: [hour, day, dataflow, step, kind]}}\n", "more than four"),
        ] {
            let problems = read(text).unwrap_err();
            assert!(problems.contains(expected), "{text}: {problems}");
        }
    }
}
