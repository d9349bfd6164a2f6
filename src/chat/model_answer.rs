//! The answer of a language model: put together from its pieces, or read as one.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::calls::EventProgress;
use crate::step::{CallFault, Fault};

/// The longest answer that is taken, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The form that an answer has to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerForm {
    Text,
    Json,
}

impl AnswerForm {
    pub const TEXT: &'static str = "text";
    pub const JSON: &'static str = "json";

    /// The form of a parameter, which has been checked.
    pub fn of(name: &str) -> AnswerForm {
        if name == AnswerForm::JSON { AnswerForm::Json } else { AnswerForm::Text }
    }
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelAnswer {
    text: String,
    /// The text as JSON, where it has to be that.
    value: Option<Value>,
}

/// A piece of an answer, or a whole one: those fields of the form that are needed.
#[derive(Deserialize)]
struct CompletionForm {
    choices: Vec<ChoiceForm>,
}

#[derive(Deserialize)]
struct ChoiceForm {
    #[serde(default)]
    delta: Option<TextForm>,
    #[serde(default)]
    message: Option<TextForm>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct TextForm {
    #[serde(default)]
    content: Option<String>,
}

/// An answer while it comes.
#[derive(Debug, Default)]
pub struct GrowingAnswer {
    text: String,
    /// Why the text ends there, as the last piece says.
    end: Option<String>,
    /// Whether the end was sent.
    is_done: bool,
}

/// The data of the last event.
const DONE: &str = "[DONE]";

impl GrowingAnswer {
    /// Adds the data of an event. What comes after the last one says nothing.
    ///
    /// # Errors
    /// A temporary fault if the data are not a piece of an answer.
    pub fn add(&mut self, data: &str) -> Result<(), CallFault> {
        self.is_done |= data.trim() == DONE;
        if self.is_done {
            return Ok(());
        }
        let piece: CompletionForm = serde_json::from_str(data).map_err(|error| no_completion(&error))?;
        // Some servers send a last piece about the tokens used, without a choice.
        let Some(choice) = piece.choices.into_iter().next() else { return Ok(()) };
        self.text.push_str(choice.delta.and_then(|delta| delta.content).as_deref().unwrap_or_default());
        self.end = self.end.take().or(choice.finish_reason.filter(|reason| !reason.is_empty()));
        match self.text.len() > ANSWER_BYTES_MAX {
            true => Err(garbage(&format!("it is longer than {ANSWER_BYTES_MAX} bytes"))),
            false => Ok(()),
        }
    }

    /// The text so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether all of it has come.
    pub fn is_whole(&self) -> bool {
        self.end.is_some() || self.is_done
    }

    /// The part of the answer that is still wanted.
    pub fn progress(&self) -> EventProgress {
        match (self.is_done, self.is_whole()) {
            (true, _) => EventProgress::Stop,
            (false, true) => EventProgress::Enough,
            (false, false) => EventProgress::More,
        }
    }

    /// The answer at its end.
    ///
    /// # Errors
    /// A temporary fault if it was cut off, is empty, or has not the form.
    pub fn finish(self, form: AnswerForm) -> Result<ModelAnswer, CallFault> {
        if !self.is_whole() {
            return Err(garbage("it was cut off"));
        }
        not_cut_off(self.end.as_deref())?;
        ModelAnswer::of(self.text, form)
    }
}

impl ModelAnswer {
    /// Reads an answer that came as one.
    ///
    /// # Errors
    /// A temporary fault if it is none, is empty, or has not the form.
    pub fn read(body: &[u8], form: AnswerForm) -> Result<ModelAnswer, CallFault> {
        let whole: CompletionForm = serde_json::from_slice(body).map_err(|error| no_completion(&error))?;
        let Some(choice) = whole.choices.into_iter().next() else { return Err(garbage("it is empty")) };
        not_cut_off(choice.finish_reason.as_deref())?;
        let message = choice.message.and_then(|message| message.content);
        ModelAnswer::of(message.unwrap_or_default(), form)
    }

    fn of(text: String, form: AnswerForm) -> Result<ModelAnswer, CallFault> {
        let text = text.trim().to_owned();
        if text.is_empty() {
            return Err(garbage("it is empty"));
        }
        let value = match form {
            AnswerForm::Text => None,
            AnswerForm::Json => {
                let value = serde_json::from_str(bare(&text));
                Some(value.map_err(|error| garbage(&format!("it is no JSON: {error}")))?)
            }
        };
        Ok(ModelAnswer { text, value })
    }

    /// The answer as a field of an item.
    pub fn to_json(&self, model: &str, is_fallback: bool) -> Value {
        let mut json = json!({"text": self.text, "model": model, "fallback": is_fallback});
        if let Some(value) = &self.value {
            json["value"] = value.clone();
        }
        json
    }
}

/// JSON without the fence of a code block, in which models like to put it.
fn bare(text: &str) -> &str {
    let fenced = text.strip_prefix("```").and_then(|text| text.strip_suffix("```"));
    fenced.map_or(text, |text| text.strip_prefix("json").unwrap_or(text).trim())
}

/// Refuses an answer that the server has ended before the model did. Part of a text may say the contrary of the whole.
fn not_cut_off(end: Option<&str>) -> Result<(), CallFault> {
    let (reason, remedy) = match end {
        Some("length") => (
            "the model's answer was cut off at the limit of its length",
            "Give the step more `tokens_max`, or have its instruction ask for a shorter answer.",
        ),
        Some("content_filter") => (
            "the model's answer was cut off by a filter of its server",
            "See to the filter of the model server, or to the instruction of the step.",
        ),
        _ => return Ok(()),
    };
    // Another model may come to its end.
    Err(Fault::transient(reason, remedy).into())
}

/// The fault of a body that is no completion, without its words: servers repeat what they were asked.
fn no_completion(error: &serde_json::Error) -> CallFault {
    let what = if error.is_data() { "it has not the form of a chat completion" } else { "it is no JSON" };
    garbage(&format!("{what} (line {}, column {})", error.line(), error.column()))
}

/// An answer that another attempt may not give.
fn garbage(what: &str) -> CallFault {
    let remedy = "See to the model server, and send the message again.";
    Fault::transient(format!("the model's answer cannot be used: {what}"), remedy).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(events: &[&str], form: AnswerForm) -> Result<ModelAnswer, String> {
        let mut answer = GrowingAnswer::default();
        for event in events {
            answer.add(event).map_err(|fault| fault.fault.reason)?;
        }
        answer.finish(form).map_err(|fault| fault.fault.reason)
    }

    const HEL: &str = r#"{"choices":[{"delta":{"role":"assistant","content":"Hel"},"finish_reason":null}]}"#;
    const LO: &str = r#"{"choices":[{"delta":{"content":"lo"}}],"usage":null}"#;
    const END: &str = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;

    #[test]
    fn pieces_become_an_answer() {
        let text = grown(&[HEL, LO, END, r#"{"choices":[]}"#, DONE, "more"], AnswerForm::Text).unwrap();
        assert_eq!(text.to_json("m", true), json!({"text": "Hello", "model": "m", "fallback": true}));
        assert!(grown(&[HEL, LO, END], AnswerForm::Text).is_ok(), "some servers send no [DONE]");
        assert!(grown(&[HEL, LO], AnswerForm::Text).unwrap_err().contains("cut off"));
        assert!(grown(&[HEL, "<html>"], AnswerForm::Text).unwrap_err().contains("cannot be used"));
        assert!(grown(&[DONE], AnswerForm::Text).unwrap_err().contains("empty"));
        assert!(grown(&[HEL, DONE], AnswerForm::Json).unwrap_err().contains("no JSON"));
    }

    #[test]
    fn an_answer_that_its_server_cut_off_is_none() {
        for (reason, part) in [("length", "limit of its length"), ("content_filter", "by a filter")] {
            let end = END.replace("stop", reason);
            assert!(grown(&[HEL, &end, DONE], AnswerForm::Text).unwrap_err().contains(part));
            let choice = json!({"message": {"content": "Take"}, "finish_reason": reason});
            let body = serde_json::to_vec(&json!({"choices": [choice]})).unwrap();
            let fault = ModelAnswer::read(&body, AnswerForm::Text).unwrap_err();
            assert!(fault.fault.reason.contains(part), "{}", fault.fault);
        }
        assert!(
            grown(&[HEL, &END.replace("stop", "")], AnswerForm::Text).unwrap_err().contains("was cut off")
        );
    }

    #[test]
    fn a_fault_does_not_repeat_what_the_server_says() {
        let piece = r#"{"choices":[{"delta":"Jane has a rash"}]}"#;
        let grown = grown(&[piece], AnswerForm::Text).unwrap_err();
        let read = ModelAnswer::read(br#"{"choices":"Jane has a rash"}"#, AnswerForm::Text).unwrap_err();
        for reason in [grown, read.fault.reason] {
            assert!(reason.contains("the form of a chat completion") && !reason.contains("Jane"), "{reason}");
        }
    }

    #[test]
    fn nothing_more_is_wanted_after_the_end() {
        let mut answer = GrowingAnswer::default();
        let mut after = |data: &str| {
            answer.add(data).unwrap();
            answer.progress()
        };
        assert_eq!([after(HEL), after(END)], [EventProgress::More, EventProgress::Enough]);
        assert_eq!(after(DONE), EventProgress::Stop);
    }

    #[test]
    fn an_answer_that_came_as_one_is_read() {
        let body =
            json!({"choices": [{"message": {"role": "assistant", "content": "```json\n{\"a\": 1}\n```"}}]});
        let answer = ModelAnswer::read(&serde_json::to_vec(&body).unwrap(), AnswerForm::Json).unwrap();
        assert_eq!(answer.to_json("m", false)["value"], json!({"a": 1}));
        assert!(ModelAnswer::read(b"{}", AnswerForm::Text).is_err());
        assert!(ModelAnswer::read(br#"{"choices":[]}"#, AnswerForm::Text).is_err());
    }
}
