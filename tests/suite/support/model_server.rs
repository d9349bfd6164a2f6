//! A model server that does as a test tells it: it answers, word by word if that is asked for, or fails in one of the
//! ways in which such servers do. It speaks the form of chat completions.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::peers::DEADLINE;

/// What it does with a call.
#[derive(Clone)]
pub enum ModelDeed {
    /// Answers after so long, a part of the words at a time.
    Answer(Duration),
    /// Answers the first word, and the others when the gate is opened.
    Half(Arc<Gate>),
    /// Answers when the gate is opened, and nothing before.
    Held(Arc<Gate>),
    /// A status without an answer, and perhaps when to try again, in seconds.
    Status(u16, Option<u32>),
    /// Status 200 with this body.
    Body(&'static str),
    /// The connection ends in the middle of the answer.
    CutOff,
    /// The connection ends without an answer.
    Closed,
}

/// A call that came.
#[derive(Clone, Debug)]
pub struct ModelCall {
    /// The name of the model that is wanted.
    pub model: String,
    /// What the last message says.
    pub text: String,
    pub is_stream: bool,
    /// How many calls with this text came before.
    pub earlier: usize,
}

/// Closed until it is opened.
#[derive(Default)]
pub struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

/// The server. It ends with the process.
pub struct ModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    script: Box<dyn Fn(&ModelCall) -> ModelDeed + Send + Sync>,
    calls: Mutex<Vec<ModelCall>>,
}

impl Gate {
    pub fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let is_open = self.is_open.lock().unwrap();
        drop(self.opened.wait_timeout_while(is_open, DEADLINE, |is_open| !*is_open).unwrap());
    }
}

impl ModelServer {
    pub fn start(script: impl Fn(&ModelCall) -> ModelDeed + Send + Sync + 'static) -> ModelServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared { script: Box::new(script), calls: Mutex::default() });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = Arc::clone(&serving);
                // A caller that goes away is none of the test's business.
                thread::spawn(move || _ = serving.serve(stream));
            }
        });
        ModelServer { address, shared }
    }

    /// The address before the path: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn calls(&self) -> Vec<ModelCall> {
        self.shared.lock().clone()
    }

    /// How many calls had a text with these words in it.
    pub fn calls_with(&self, words: &str) -> usize {
        self.shared.lock().iter().filter(|call| call.text.contains(words)).count()
    }
}

/// What the model says to a text.
pub fn answer_to(text: &str) -> String {
    format!("You said: {text}")
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<ModelCall>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut to = stream.try_clone()?;
        to.set_nodelay(true)?;
        let mut from = BufReader::new(stream);
        while let Some(body) = read(&mut from)? {
            let call = self.note(&body);
            if !self.act(&mut to, &call, (self.script)(&call))? {
                return to.shutdown(std::net::Shutdown::Both);
            }
        }
        Ok(())
    }

    fn note(&self, body: &Value) -> ModelCall {
        let said = body["messages"].as_array().and_then(|all| all.last()).map(|last| &last["content"]);
        let text = said.and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut calls = self.lock();
        let earlier = calls.iter().filter(|call| call.text == text).count();
        let model = body["model"].as_str().unwrap_or_default().to_owned();
        let call = ModelCall { model, text, is_stream: body["stream"] == true, earlier };
        calls.push(call.clone());
        call
    }

    /// Whether the connection goes on.
    fn act(&self, to: &mut TcpStream, call: &ModelCall, deed: ModelDeed) -> io::Result<bool> {
        let answer = answer_to(&call.text);
        let (first, rest) = answer.split_at(answer.find(' ').expect("there are words"));
        match deed {
            ModelDeed::Answer(after) if call.is_stream => {
                begin(to)?;
                let words: Vec<&str> = answer.split_inclusive(' ').collect();
                for word in &words {
                    thread::sleep(after / words.len() as u32);
                    say(to, word)?;
                }
                end(to)?;
            }
            ModelDeed::Answer(after) => {
                thread::sleep(after);
                whole(to, &answer)?;
            }
            ModelDeed::Half(gate) => {
                begin(to)?;
                say(to, first)?;
                gate.pass();
                say(to, rest)?;
                end(to)?;
            }
            ModelDeed::Held(gate) => {
                gate.pass();
                return self.act(to, call, ModelDeed::Answer(Duration::ZERO));
            }
            ModelDeed::Status(status, again) => {
                let again = again.map(|seconds| format!("Retry-After: {seconds}\r\n")).unwrap_or_default();
                write!(to, "HTTP/1.1 {status} Not Now\r\n{again}Content-Length: 2\r\n\r\n{{}}")?;
            }
            ModelDeed::Body(body) => {
                let length = body.len();
                write!(to, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")?;
                write!(to, "Content-Length: {length}\r\n\r\n{body}")?;
            }
            ModelDeed::CutOff => {
                begin(to)?;
                say(to, first)?;
                return Ok(false);
            }
            ModelDeed::Closed => return Ok(false),
        }
        Ok(true)
    }
}

/// The body of a request; `None` at the end.
fn read(from: &mut BufReader<TcpStream>) -> io::Result<Option<Value>> {
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(Some(serde_json::from_slice(&body).unwrap_or_default()))
}

fn whole(to: &mut TcpStream, text: &str) -> io::Result<()> {
    let message = json!({ "role": "assistant", "content": text });
    let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
    let body = json!({ "object": "chat.completion", "choices": [choice] }).to_string();
    let length = body.len();
    write!(to, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// Server-sent events, in chunks (RFC 9112, section 7.1).
fn begin(to: &mut TcpStream) -> io::Result<()> {
    write!(to, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
}

fn say(to: &mut TcpStream, words: &str) -> io::Result<()> {
    let choice = json!({ "index": 0, "delta": { "content": words }, "finish_reason": null });
    chunk(to, &json!({ "object": "chat.completion.chunk", "choices": [choice] }).to_string())
}

fn end(to: &mut TcpStream) -> io::Result<()> {
    let choice = json!({ "index": 0, "delta": {}, "finish_reason": "stop" });
    chunk(to, &json!({ "object": "chat.completion.chunk", "choices": [choice] }).to_string())?;
    chunk(to, "[DONE]")?;
    write!(to, "0\r\n\r\n")
}

fn chunk(to: &mut TcpStream, data: &str) -> io::Result<()> {
    let event = format!("data: {data}\n\n");
    write!(to, "{:x}\r\n{event}\r\n", event.len())?;
    to.flush()
}
