//! The key `message` of a dataflow file: it makes the dataflow a message type.
//!
//! ```yaml
//! message:
//!   from: [patient, provider]        # the roles that may send it
//!   answer: in line                  # or: background
//!   order: none                      # or: conversation
//!   keep: 90 d                       # or: always, nothing
//!   context: 20                      # so many last events of the conversation are attached
//!   content: {type: object}          # JSON Schema of the content
//!   examples:
//!     - from: patient
//!       content: {text: Hello}
//!       events: [{to: all, type: text, content: {text: Hello}}]
//!     - from: patient
//!       content: {}
//!       refused: /text               # the field that the problem names
//! ```

use std::time::Duration;

use serde_json::Value;

use crate::dataflow::OwnedSection;
use crate::yaml::{
    self, MapFields, PlacedValue, ProblemCollector, YamlEntry, YamlShape, YamlTree, duration, list, text,
    value,
};

use super::message_type::{
    AnswerMode, ContentSchema, ExampleOutcome, MessageExample, MessageOrder, MessageRetention,
};

pub(super) const KEY: &str = "message";

inventory::submit! { OwnedSection { key: KEY, check: |tree, collector| _ = read(tree, collector) } }

/// The content of the key.
pub(super) struct MessageSection {
    pub from: Vec<String>,
    pub answer: AnswerMode,
    pub order: MessageOrder,
    pub keep: MessageRetention,
    pub context: u32,
    pub content: ContentSchema,
    pub examples: Vec<MessageExample>,
}

const KEYS: [&str; 7] = ["from", "answer", "order", "keep", "context", "content", "examples"];
const EXAMPLE_KEYS: [&str; 5] = ["from", "content", "context", "events", "refused"];

/// Words of `to` in an event that are no roles.
const RECEIVERS: [&str; 3] = ["all", "sender", "others"];

const CONTEXT_MAX: u32 = 200;
const KEEP_USUAL: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Reads the section of a dataflow's text, which was checked when the dataflow was made.
pub(super) fn of_text(text: &str) -> Option<MessageSection> {
    let mut collector = ProblemCollector::new("", text);
    let YamlShape::Map(entries) = yaml::read(text, &mut collector)?.value else { return None };
    let (_, tree) = entries.into_iter().find(|(key, _)| key.value == KEY)?;
    read(tree, &mut collector)
}

/// Reads the section; nothing if it has a problem that leaves out a part.
fn read(tree: YamlTree, collector: &mut ProblemCollector) -> Option<MessageSection> {
    let mut fields = MapFields::read(tree, "\"message\"", &KEYS, collector);
    let from = fields.take_required("from", collector).map(|(_, tree)| roles(tree, collector));
    let answer = fields.take("answer").and_then(|(_, tree)| answer(tree, collector));
    let order = fields.take("order").and_then(|(_, tree)| order(tree, collector));
    let keep = fields.take("keep").and_then(|(_, tree)| keep(tree, collector));
    let context = fields.take("context").and_then(|(_, tree)| context(tree, collector));
    let content = fields.take_required("content", collector).and_then(|entry| content(&entry, collector));
    let examples = fields.take("examples").map(|(_, tree)| examples(tree, collector)).unwrap_or_default();
    let (from, content) = (from?, content?);
    let examples = examples.into_iter().filter_map(|one| one.checked(&from, &content, collector)).collect();
    Some(MessageSection {
        from,
        answer: answer.unwrap_or_default(),
        order: order.unwrap_or_default(),
        keep: keep.unwrap_or(MessageRetention::For(KEEP_USUAL)),
        context: context.unwrap_or(0),
        content,
        examples,
    })
}

fn roles(tree: YamlTree, collector: &mut ProblemCollector) -> Vec<String> {
    let place = tree.place;
    let Some(list) = list(tree, "\"from\"", collector) else { return Vec::new() };
    if list.is_empty() {
        collector
            .add(place, "\"from\" is empty")
            .hint("name the roles that may send it: [patient]".to_owned());
    }
    let role = |tree| {
        let role = text(tree, "a role", collector)?;
        let word = role.value.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        let reserved = RECEIVERS.contains(&role.value.as_str());
        if !word || reserved || role.value.is_empty() {
            let hint = "a role is small letters, digits and hyphens, and none of all, sender, others";
            collector.add(role.place, format!("\"{}\" is not a role", role.value)).hint(hint.to_owned());
            return None;
        }
        Some(role.value)
    };
    list.into_iter().filter_map(role).collect()
}

fn answer(tree: YamlTree, collector: &mut ProblemCollector) -> Option<AnswerMode> {
    let read = |word: &str| match word {
        "in line" => Some(AnswerMode::InLine),
        "background" => Some(AnswerMode::Background),
        _ => None,
    };
    let hint = "an answer that needs a model is made in the background";
    value(tree, "\"answer\"", "one of \"in line\", \"background\"", hint, read, collector)
}

fn order(tree: YamlTree, collector: &mut ProblemCollector) -> Option<MessageOrder> {
    let read = |word: &str| match word {
        "none" => Some(MessageOrder::None),
        "conversation" => Some(MessageOrder::Conversation),
        _ => None,
    };
    let hint = "with \"conversation\", events appear in the order in which the messages were accepted";
    value(tree, "\"order\"", "one of \"none\", \"conversation\"", hint, read, collector)
}

fn keep(tree: YamlTree, collector: &mut ProblemCollector) -> Option<MessageRetention> {
    let read = |word: &str| match word {
        "nothing" => Some(MessageRetention::Nothing),
        "always" => Some(MessageRetention::Always),
        _ => duration::parse(word).filter(|time| !time.is_zero()).map(MessageRetention::For),
    };
    let hint = format!("a time is a number and one of {}: 90 d", duration::units());
    value(tree, "\"keep\"", "a time, \"always\" or \"nothing\"", &hint, read, collector)
}

fn context(tree: YamlTree, collector: &mut ProblemCollector) -> Option<u32> {
    let read = |word: &str| word.parse().ok().filter(|count| *count <= CONTEXT_MAX);
    let takes = format!("a whole number up to {CONTEXT_MAX}");
    value(tree, "\"context\"", &takes, "it is a number of events", read, collector)
}

fn content((key, tree): &YamlEntry, collector: &mut ProblemCollector) -> Option<ContentSchema> {
    let schema = yaml::json(tree, "\"content\"", collector)?;
    let is_object = schema.get("type").is_some_and(|kind| kind == "object");
    if !is_object {
        let hint = "write `type: object`, and the fields under `properties`".to_owned();
        collector.add(key.place, "the content of a message is not described as an object").hint(hint);
        return None;
    }
    let read = ContentSchema::read(schema);
    read.map_err(|reason| {
        let hint = "the content is described by JSON Schema, draft 2020-12".to_owned();
        collector.add(key.place, format!("\"content\" is no JSON Schema: {reason}")).hint(hint);
    })
    .ok()
}

/// An example whose parts have been read.
struct DraftExample {
    from: PlacedValue<String>,
    example: MessageExample,
}

fn examples(tree: YamlTree, collector: &mut ProblemCollector) -> Vec<DraftExample> {
    let list = list(tree, "\"examples\"", collector).unwrap_or_default();
    list.into_iter().filter_map(|tree| example(tree, collector)).collect()
}

fn example(tree: YamlTree, collector: &mut ProblemCollector) -> Option<DraftExample> {
    let place = tree.place;
    let mut fields = MapFields::read(tree, "an example", &EXAMPLE_KEYS, collector);
    let from = fields.take_required("from", collector);
    let from = from.and_then(|(_, tree)| text(tree, "\"from\" of an example", collector));
    let content = fields.take_required("content", collector);
    let content = content.and_then(|(_, tree)| yaml::json(&tree, "the content", collector));
    let mut events_at = |key: &str, needs: &[&str]| {
        let (key, tree) = fields.take(key)?;
        let what = format!("\"{}\" of an example", key.value);
        list(tree, &what, collector)?
            .iter()
            .map(|one| event(one, needs, collector))
            .collect::<Option<Vec<Value>>>()
    };
    let (context, events) = (events_at("context", &["type"]), events_at("events", &["to", "type"]));
    let refused = fields.take("refused").and_then(|(_, tree)| text(tree, "\"refused\"", collector));
    let outcome = match (events, refused) {
        (Some(events), None) => Some(ExampleOutcome::Events(events)),
        (None, Some(field)) => Some(ExampleOutcome::Refused(field.value)),
        _ => {
            let hint = "write the events of the answer, or the field that is refused: /text".to_owned();
            collector.add(place, "an example has one of the keys \"events\" and \"refused\"").hint(hint);
            None
        }
    };
    let from = from?;
    let example = MessageExample {
        from: from.value.clone(),
        content: content?,
        context: context.unwrap_or_default(),
        outcome: outcome?,
        line: place.line,
    };
    Some(DraftExample { from, example })
}

/// An event as `events.json` has it, or one of the context, which says to whom it was only in the log.
fn event(tree: &YamlTree, needs: &[&str], collector: &mut ProblemCollector) -> Option<Value> {
    let event = yaml::json(tree, "an event", collector)?;
    let has = |name: &str| event.get(name).is_some_and(Value::is_string);
    if needs.iter().all(|name| has(name)) && event.get("content").is_some() {
        return Some(event);
    }
    let hint = "write it as {to: all, type: text, content: {text: Hello}}".to_owned();
    let needs: String = needs.iter().map(|name| format!("\"{name}\", ")).collect();
    collector.add(tree.place, format!("an event has the keys {needs}\"content\"")).hint(hint);
    None
}

impl DraftExample {
    /// The example, if its message is one that the type takes, or refuses where the example says so.
    fn checked(
        self,
        from: &[String],
        content: &ContentSchema,
        collector: &mut ProblemCollector,
    ) -> Option<MessageExample> {
        if !from.contains(&self.from.value) {
            let hint = yaml::meant_or_all(&self.from.value, from.iter().map(String::as_str));
            let message = format!("the role \"{}\" may not send this type", self.from.value);
            collector.add(self.from.place, message).hint(hint);
            return None;
        }
        let message = match (content.check(&self.example.content), &self.example.outcome) {
            (Ok(()), ExampleOutcome::Events(_)) => return Some(self.example),
            (Ok(()), ExampleOutcome::Refused(_)) => "the content of this example is not refused".to_owned(),
            (Err(problem), ExampleOutcome::Refused(field)) if problem.field == *field => {
                return Some(self.example);
            }
            (Err(problem), _) => format!("the content of this example does not fit: {problem}"),
        };
        collector.add(self.from.place, message).hint("correct the example, or the schema above".to_owned());
        None
    }
}
