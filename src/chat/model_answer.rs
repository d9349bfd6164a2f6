//! The answer of a language model: put together from its pieces, or read as one.

use serde::Deserialize;
use serde_json::{Value, json};

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
    /// Whether a piece said that it is the last one.
    is_finished: bool,
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
        let piece: CompletionForm =
            serde_json::from_str(data).map_err(|error| garbage(&error.to_string()))?;
        // Some servers send a last piece about the tokens used, without a choice.
        let Some(choice) = piece.choices.into_iter().next() else { return Ok(()) };
        self.text.push_str(choice.delta.and_then(|delta| delta.content).as_deref().unwrap_or_default());
        self.is_finished |= choice.finish_reason.is_some();
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
        self.is_finished || self.is_done
    }

    /// The answer at its end.
    ///
    /// # Errors
    /// A temporary fault if it was cut off, is empty, or has not the form.
    pub fn finish(self, form: AnswerForm) -> Result<ModelAnswer, CallFault> {
        if !self.is_whole() {
            return Err(garbage("it was cut off"));
        }
        ModelAnswer::of(self.text, form)
    }
}

impl ModelAnswer {
    /// Reads an answer that came as one.
    ///
    /// # Errors
    /// A temporary fault if it is none, is empty, or has not the form.
    pub fn read(body: &[u8], form: AnswerForm) -> Result<ModelAnswer, CallFault> {
        let whole: CompletionForm =
            serde_json::from_slice(body).map_err(|error| garbage(&error.to_string()))?;
        let message = whole.choices.into_iter().next().and_then(|choice| choice.message?.content);
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
    fn an_answer_that_came_as_one_is_read() {
        let body =
            json!({"choices": [{"message": {"role": "assistant", "content": "```json\n{\"a\": 1}\n```"}}]});
        let answer = ModelAnswer::read(&serde_json::to_vec(&body).unwrap(), AnswerForm::Json).unwrap();
        assert_eq!(answer.to_json("m", false)["value"], json!({"a": 1}));
        assert!(ModelAnswer::read(b"{}", AnswerForm::Text).is_err());
        assert!(ModelAnswer::read(br#"{"choices":[]}"#, AnswerForm::Text).is_err());
    }
}
