//! The answers of the sample model server as bytes on a connection.

use std::io::{self, Write};
use std::net::TcpStream;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::rules;
use super::troubles::{AnswerPlan, ModelTrouble};

/// A question, of which the fields that matter here.
#[derive(Deserialize)]
pub struct CompletionQuestion {
    model: String,
    messages: Vec<QuestionMessage>,
    #[serde(default)]
    stream: bool,
}

#[derive(Deserialize)]
struct QuestionMessage {
    role: String,
    content: String,
}

impl CompletionQuestion {
    fn said_by(&self, role: &str) -> String {
        let said = self.messages.iter().filter(|message| message.role == role);
        said.map(|message| message.content.as_str()).collect::<Vec<&str>>().join("\n")
    }
}

/// Answers a question as planned. Returns whether the whole answer was sent.
pub fn answer(to: &mut TcpStream, question: &CompletionQuestion, plan: AnswerPlan) -> io::Result<bool> {
    std::thread::sleep(plan.delay);
    match plan.trouble {
        ModelTrouble::Down => return refusal(to, 500, "out of order").map(|()| false),
        ModelTrouble::Busy => return busy(to).map(|()| false),
        ModelTrouble::Garbage => return garbage(to, question.stream).map(|()| false),
        ModelTrouble::Hang(time) => std::thread::sleep(time),
        ModelTrouble::CutOff | ModelTrouble::None => {}
    }
    let text = rules::answer(&question.said_by("system"), &question.said_by("user"));
    if !question.stream {
        let message = json!({"role": "assistant", "content": text});
        let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
        return json(to, &completion("chat.completion", &question.model, choice)).map(|()| true);
    }
    stream(to, question, plan, &text)
}

/// Sends words as they would come from a model.
fn stream(
    to: &mut TcpStream,
    question: &CompletionQuestion,
    plan: AnswerPlan,
    text: &str,
) -> io::Result<bool> {
    to.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    let words: Vec<&str> = text.split_inclusive(' ').collect();
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            std::thread::sleep(plan.word_delay);
        }
        if plan.trouble == ModelTrouble::CutOff && index >= words.len().div_ceil(2) {
            return Err(io::Error::other("cut off on purpose"));
        }
        let choice = json!({"index": 0, "delta": {"content": word}, "finish_reason": null});
        event(to, &completion("chat.completion.chunk", &question.model, choice).to_string())?;
    }
    if plan.trouble == ModelTrouble::CutOff {
        return Err(io::Error::other("cut off on purpose"));
    }
    let choice = json!({"index": 0, "delta": {}, "finish_reason": "stop"});
    event(to, &completion("chat.completion.chunk", &question.model, choice).to_string())?;
    event(to, "[DONE]")?;
    // Who has read the last event may have gone.
    let _ = to.write_all(b"0\r\n\r\n");
    Ok(true)
}

fn completion(object: &str, model: &str, choice: Value) -> Value {
    json!({"id": "sample", "object": object, "created": 0, "model": model, "choices": [choice]})
}

/// One event as one chunk.
fn event(to: &mut TcpStream, data: &str) -> io::Result<()> {
    let event = format!("data: {data}\n\n");
    to.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())
}

/// Writes an answer that is JSON.
pub fn json(to: &mut TcpStream, value: &impl Serialize) -> io::Result<()> {
    write(to, "200 OK", "", &serde_json::to_vec(value)?)
}

/// Refuses a question.
pub fn refusal(to: &mut TcpStream, status: u16, reason: &str) -> io::Result<()> {
    let body = json!({"error": {"message": reason}}).to_string();
    write(to, &format!("{status} Refused"), "", body.as_bytes())
}

fn busy(to: &mut TcpStream) -> io::Result<()> {
    write(to, "503 Busy", "Retry-After: 1\r\n", b"{\"error\": {\"message\": \"busy\"}}")
}

fn garbage(to: &mut TcpStream, as_events: bool) -> io::Result<()> {
    if !as_events {
        return write(to, "200 OK", "", b"<html>it works</html>");
    }
    to.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    event(to, "<html>it works</html>")?;
    to.write_all(b"0\r\n\r\n")
}

fn write(to: &mut TcpStream, status: &str, field: &str, body: &[u8]) -> io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{field}\r\n"
    );
    to.write_all(&[head.as_bytes(), body].concat())
}
