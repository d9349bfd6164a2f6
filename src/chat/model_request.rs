//! A question to a language model, and the servers that are asked.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::calls::{EventProgress, ServicePost, StreamedAnswer, check_address};
use crate::step::{CallAttempt, CallFault, CancelToken, Fault};

use super::model_answer::{AnswerForm, GrowingAnswer, ModelAnswer};
use super::sample_model::SampleModel;

/// The address that means the server of the site's file.
const SITE: &str = "site:";
/// The address that means the sample server in this process.
const SAMPLE: &str = "sample:";

/// The shortest time between two partial texts of an answer.
const TELL_INTERVAL: Duration = Duration::from_millis(50);

/// The server that `site:` means. Without it, that is the sample server in this process.
static SITE_SERVER: Mutex<Option<SiteModel>> = Mutex::new(None);

/// The model server of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteModel {
    /// The address: `http://127.0.0.1:8000`, or one that ends in `/v1` or `/chat/completions`.
    pub url: String,
    /// The file with the key for it.
    pub key_file: Option<PathBuf>,
}

/// Says what is wrong with an address of a dataflow file; an empty one is left out.
pub fn check_server(url: &str) -> Result<(), String> {
    if ["", SITE, SAMPLE].contains(&url) { Ok(()) } else { check_address(url) }
}

/// Has `site:` mean this server, for all steps of the process from now on.
pub fn set_site_model(model: Option<SiteModel>) {
    *SITE_SERVER.lock().unwrap_or_else(PoisonError::into_inner) = model;
}

/// A question.
pub struct ModelQuestion<'a> {
    pub model: &'a str,
    pub instruction: &'a str,
    pub prompt: &'a str,
    pub form: AnswerForm,
    pub tokens_max: u64,
}

/// A server with the key for it.
pub struct ModelServer {
    url: String,
    key: Option<String>,
}

impl ModelServer {
    /// The server at an address of a dataflow file. An empty `key_file` is none.
    ///
    /// # Errors
    /// If the key cannot be read, or the sample server cannot be started.
    pub fn at(url: &str, key_file: &str) -> Result<ModelServer, Fault> {
        let given = (!key_file.is_empty()).then(|| PathBuf::from(key_file));
        let site = || SITE_SERVER.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (url, key_file) = match url {
            SITE => match site() {
                Some(SiteModel { url, key_file }) => (url, given.or(key_file)),
                None => (SAMPLE.to_owned(), given),
            },
            other => (other.to_owned(), given),
        };
        let url = if url == SAMPLE {
            SampleModel::of_process().map_err(|error| {
                Fault::transient(
                    format!("the sample model server could not be started: {error}"),
                    "Try it again.",
                )
            })?
        } else {
            url
        };
        let read = |path: PathBuf| {
            fs::read_to_string(&path).map(|key| key.trim().to_owned()).map_err(|error| {
                let reason = format!("could not read the key {}: {error}", path.display());
                Fault::new(reason, "Correct `key_file`, or the permissions of the file.")
            })
        };
        Ok(ModelServer { url: completions(&url), key: key_file.map(read).transpose()? })
    }

    /// Asks, and tells the text as it comes.
    ///
    /// # Errors
    /// A temporary fault if the server does not answer, is busy, or its answer cannot be used; a fault in the data if it
    /// refuses the question.
    pub fn ask(
        &self,
        question: &ModelQuestion,
        attempt: &CallAttempt,
        token: &CancelToken,
        tell: &dyn Fn(&str),
    ) -> Result<ModelAnswer, CallFault> {
        let body = question.body();
        let bearer = self.key.as_ref().map(|key| format!("Bearer {key}"));
        let headers: Vec<(&str, &str)> =
            bearer.iter().map(|bearer| ("Authorization", bearer.as_str())).collect();
        let post = ServicePost { url: &self.url, headers: &headers, body: &body };
        let (mut answer, mut failed, mut told) = (GrowingAnswer::default(), None, None::<Instant>);
        let mut take = |data: &str| match answer.add(data) {
            Ok(()) => {
                if !answer.text().is_empty() && told.is_none_or(|told| told.elapsed() >= TELL_INTERVAL) {
                    tell(answer.text());
                    told = Some(Instant::now());
                }
                answer.progress()
            }
            Err(fault) => {
                failed = Some(fault);
                EventProgress::Stop
            }
        };
        let streamed = post.stream(attempt, token, &mut take);
        match (streamed, failed) {
            (_, Some(fault)) => Err(fault),
            // A connection that fails behind the answer does not matter.
            (Err(fault), None) if !answer.is_whole() => Err(fault),
            (Ok(StreamedAnswer::Whole(body)), None) => ModelAnswer::read(&body, question.form),
            (Ok(StreamedAnswer::Events) | Err(_), None) => answer.finish(question.form),
        }
    }
}

impl ModelQuestion<'_> {
    fn body(&self) -> Vec<u8> {
        let mut messages = Vec::new();
        if !self.instruction.is_empty() {
            messages.push(json!({"role": "system", "content": self.instruction}));
        }
        messages.push(json!({"role": "user", "content": self.prompt}));
        let mut body = json!({
            "model": self.model,
            "messages": messages,
            "stream": true,
            "temperature": 0,
            "max_tokens": self.tokens_max,
        });
        if self.form == AnswerForm::Json {
            body["response_format"] = json!({"type": "json_object"});
        }
        serde_json::to_vec(&body).expect("JSON can be written as JSON")
    }
}

/// The address of the completions of a server.
fn completions(url: &str) -> String {
    const END: &str = "/chat/completions";
    let url = url.trim_end_matches('/');
    match url {
        _ if url.ends_with(END) => url.to_owned(),
        _ if url.ends_with("/v1") => format!("{url}{END}"),
        _ => format!("{url}/v1{END}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_to_the_completions() {
        let whole = "http://127.0.0.1:8000/v1/chat/completions";
        for url in ["http://127.0.0.1:8000", "http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1", whole] {
            assert_eq!(completions(url), whole);
        }
    }

    #[test]
    fn a_key_that_cannot_be_read_is_a_fault() {
        let fault = ModelServer::at("http://127.0.0.1:1", "/nowhere/key").err().unwrap();
        assert!(fault.reason.contains("/nowhere/key"), "{fault}");
    }
}
