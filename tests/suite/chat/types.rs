//! Message types of the tests' own, with a model that does as it is told.

use std::collections::BTreeSet;
use std::time::Duration;

use flow::journal::{JournalEntry, JournalReader, RequestHistory};
use flow::step::{ItemPlace, Outcome};

use super::scene::ChatScene;
use super::talk::{ASK, ASK_IN_TURN, NOTE, TURN};
use crate::support::model_server::{ModelDeed, ModelServer};

/// A type of which each message becomes an event to all.
pub fn plain(name: &str, order: &str) -> String {
    to(name, order, "all")
}

/// A type of which each message becomes an event to some.
pub fn to(name: &str, order: &str, receivers: &str) -> String {
    let head = head(name, "in line", order);
    format!("{head}{READ}{}", event(name, "message.item", receivers, "{/content/text}"))
}

/// A type that asks a model; `with` are the parameters that say which.
pub fn asking(name: &str, order: &str, with: &str) -> String {
    let head = head(name, "background", order);
    let call = format!(
        "  answer:\n    step: call-model\n    needs: {{item: message.item}}\n    with: {{{with}, prompt: \
         \"{{/content/text}}\"}}\n    limits: {{max: 400}}\n    retry: {{count: 5, first_delay: 20 ms}}\n"
    );
    format!("{head}{READ}{call}{}", event(name, "answer.item", "all", "{/answer/text}"))
}

const READ: &str = "steps:\n  message: {step: read-message, needs: {request: request}}\n";

fn head(name: &str, answer: &str, order: &str) -> String {
    format!(
        "dataflow: {name}\nabout: A type of a test.\nmessage:\n  from: [patient, provider]\n  answer: {answer}\n  \
         order: {order}\n  content:\n    type: object\n    required: [text]\n    properties:\n      text: {{type: \
         string}}\n"
    )
}

fn event(kind: &str, item: &str, receivers: &str, words: &str) -> String {
    format!(
        "  events:\n    step: write-events\n    needs: {{item: {item}}}\n    with:\n      events: [{{to: {receivers}, \
         type: {kind}, content: {{text: \"{words}\"}}}}]\nresponse: [events]\n"
    )
}

/// A model that takes so long, and knows which messages it was asked about.
pub fn model(time: Duration) -> ModelServer {
    ModelServer::start(move |_| ModelDeed::Answer(time))
}

/// A running chat with the types of the harness.
pub fn scene(model: &ModelServer, more: &str) -> ChatScene {
    let mut scene = ChatScene::stopped(&format!("types: types\n{more}"));
    scene.write_type(NOTE, &plain(NOTE, "none"));
    scene.write_type(TURN, &plain(TURN, "conversation"));
    let with = format!("url: \"{}\", model: small", model.url());
    scene.write_type(ASK, &asking(ASK, "none", &with));
    scene.write_type(ASK_IN_TURN, &asking(ASK_IN_TURN, "conversation", &with));
    scene.start();
    scene
}

/// Looks into the journal of a server that is not running for the answers of the model.
#[derive(Default)]
pub struct RecordedAnswers {
    /// Requests whose answer was found before.
    found: BTreeSet<i64>,
}

impl RecordedAnswers {
    /// The client's ids of messages whose model's answer is recorded since it was last looked at.
    pub fn new_ones(&mut self, scene: &ChatScene) -> Vec<String> {
        let journal = JournalReader::open(&scene.place.path("flow-state")).expect("a sound journal");
        let rows = journal.requests().expect("a sound journal");
        let asking = rows.iter().filter(|row| row.dataflow == ASK || row.dataflow == ASK_IN_TURN);
        let unknown: Vec<i64> =
            asking.map(|row| row.number).filter(|number| !self.found.contains(number)).collect();
        let mut ids = Vec::new();
        for number in unknown {
            let history = journal.history(number).expect("a sound journal");
            if let Some(id) = recorded(&history) {
                self.found.insert(number);
                ids.push(id);
            }
        }
        ids
    }
}

/// The id of the message, if the answer of its step `answer` is recorded.
fn recorded(history: &RequestHistory) -> Option<String> {
    let is_answer = |entry: &JournalEntry| match entry {
        JournalEntry::Run(run) => run.step == "answer" && run.outcome == Outcome::Done,
        _ => false,
    };
    history.entries.iter().any(|dated| is_answer(&dated.entry)).then_some(())?;
    history.entries.iter().find_map(|dated| match &dated.entry {
        JournalEntry::Accepted { request, .. } => {
            let ItemPlace::Inline(bytes) = &request.items[0].place else { return None };
            let message: serde_json::Value = serde_json::from_slice(bytes).ok()?;
            Some(message["id"].as_str()?.to_owned())
        }
        _ => None,
    })
}
