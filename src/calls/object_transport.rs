//! The transport of object stores: the requests of the crate `object_store` go through the HTTP client of all calls.
//!
//! They are sent one after the other on the thread of the call, within the time that the call has, and break off when
//! it is cancelled: the futures that are made of them are ready at once. What a service answered last is kept, since
//! the errors of the crate do not have it.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hyper::body::{Body, Bytes, Frame};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpResponseBody, HttpService,
};
use ureq::SendBody;
use ureq::http::header::{CONTENT_LENGTH, IF_NONE_MATCH};
use ureq::http::{HeaderValue, Method, Request, Response, request};

use crate::step::CancelToken;

use super::client::agent;

/// The requests of one call to an object store.
#[derive(Debug)]
pub struct ObjectExchange(Mutex<ExchangeState>);

#[derive(Debug)]
struct ExchangeState {
    end: Instant,
    token: CancelToken,
    last: LastAnswer,
}

/// What became of the last request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LastAnswer {
    #[default]
    Unasked,
    Answered(ObjectAnswer),
    /// The connection failed, as this says.
    Broken(String),
}

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectAnswer {
    pub status: u16,
    /// The code of an error; empty if there is none.
    pub code: String,
    pub retry_after: Option<Duration>,
}

impl ObjectExchange {
    /// An exchange that ends then.
    pub fn new(end: Instant, token: &CancelToken) -> ObjectExchange {
        ObjectExchange(Mutex::new(ExchangeState { end, token: token.clone(), last: LastAnswer::Unasked }))
    }

    /// Gives what has to be cleaned up some time, whether the call is over or not.
    pub fn prolong(&self, time: Duration) {
        let mut state = self.state();
        state.end = Instant::now() + time;
        state.token = CancelToken::default();
    }

    pub fn is_cancelled(&self) -> bool {
        self.state().token.is_cancelled()
    }

    pub fn is_over(&self) -> bool {
        self.state().end <= Instant::now()
    }

    pub fn last(&self) -> LastAnswer {
        self.state().last.clone()
    }

    /// The time that is left.
    fn left(&self) -> Result<Duration, HttpError> {
        let state = self.state();
        let left = state.end.saturating_duration_since(Instant::now());
        // Errors of this kind are not tried again.
        let ended = |why: &str| HttpError::new(HttpErrorKind::Unknown, io::Error::other(why.to_owned()));
        if state.token.is_cancelled() {
            Err(ended("the call was cancelled"))
        } else if left.is_zero() {
            Err(ended("the call has no time left"))
        } else {
            Ok(left)
        }
    }

    fn note(&self, last: LastAnswer) {
        self.state().last = last;
    }

    fn state(&self) -> MutexGuard<'_, ExchangeState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connector of an exchange.
#[derive(Clone, Debug)]
pub struct ObjectTransport(pub Arc<ObjectExchange>);

impl HttpConnector for ObjectTransport {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

impl HttpService for ObjectTransport {
    // As the attribute `async_trait` of the trait would write it.
    fn call<'service, 'future>(
        &'service self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'future>>
    where
        'service: 'future,
        Self: 'future,
    {
        Box::pin(std::future::ready(self.exchange(request)))
    }
}

/// The largest body of an error that is read, in bytes.
const ERROR_BYTES_MAX: u64 = 64 << 10;

impl ObjectTransport {
    fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let left = self.0.left()?;
        let (mut head, body) = request.into_parts();
        if completes(&head) {
            // The crate gives no way to say it. A header field that is not signed may be added.
            head.headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        head.headers.entry(CONTENT_LENGTH).or_insert(body.content_length().into());
        let has_body = head.method == Method::PUT || head.method == Method::POST;
        let reader = RequestReader { body, piece: Bytes::new(), exchange: Arc::clone(&self.0) };
        let body = if has_body { SendBody::from_owned_reader(reader) } else { SendBody::none() };
        let request = agent().configure_request(Request::from_parts(head, body));
        match agent().run(request.timeout_global(Some(left)).build()) {
            Ok(answer) => Ok(self.answered(answer)),
            Err(error) => {
                self.0.note(LastAnswer::Broken(error.to_string()));
                let kind = match &error {
                    ureq::Error::Timeout(_) => HttpErrorKind::Timeout,
                    ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => HttpErrorKind::Connect,
                    ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                        HttpErrorKind::Connect
                    }
                    ureq::Error::Io(_) => HttpErrorKind::Interrupted,
                    _ => HttpErrorKind::Unknown,
                };
                Err(HttpError::new(kind, error))
            }
        }
    }

    fn answered(&self, answer: Response<ureq::Body>) -> HttpResponse {
        let (head, mut body) = answer.into_parts();
        let retry_after = head.headers.get("Retry-After").and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let status = head.status.as_u16();
        let (code, body) = if head.status.is_client_error() || head.status.is_server_error() {
            let bytes = body.with_config().limit(ERROR_BYTES_MAX).read_to_vec().unwrap_or_default();
            (error_code(&String::from_utf8_lossy(&bytes)), HttpResponseBody::from(bytes))
        } else {
            let reader = Mutex::new(Box::new(body.into_reader()) as Box<dyn Read + Send>);
            (String::new(), HttpResponseBody::new(AnswerBody { reader, exchange: Arc::clone(&self.0) }))
        };
        self.0.note(LastAnswer::Answered(ObjectAnswer { status, code, retry_after }));
        HttpResponse::from_parts(head, body)
    }
}

/// Whether a request completes an upload in parts.
fn completes(head: &request::Parts) -> bool {
    head.method == Method::POST && head.uri.query().is_some_and(|query| query.starts_with("uploadId="))
}

/// The code in the body of an error.
fn error_code(text: &str) -> String {
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    code.map(|(code, _)| code.chars().filter(char::is_ascii_alphanumeric).take(64).collect())
        .unwrap_or_default()
}

/// The body of a request.
struct RequestReader {
    body: HttpRequestBody,
    piece: Bytes,
    exchange: Arc<ObjectExchange>,
}

impl Read for RequestReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.exchange.is_cancelled() {
            return Err(io::Error::other("the call was cancelled"));
        }
        // All of it is in memory: it is ready at once.
        while self.piece.is_empty() {
            let frame = Pin::new(&mut self.body).poll_frame(&mut Context::from_waker(Waker::noop()));
            let Poll::Ready(Some(frame)) = frame else { return Ok(0) };
            self.piece = frame.map_err(io::Error::other)?.into_data().unwrap_or_default();
        }
        let length = buffer.len().min(self.piece.len());
        buffer[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}

/// The body of an answer, read as it is asked for.
struct AnswerBody {
    reader: Mutex<Box<dyn Read + Send>>,
    exchange: Arc<ObjectExchange>,
}

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 128 << 10;

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Err(ended) = self.exchange.left() {
            return Poll::Ready(Some(Err(ended)));
        }
        let mut piece = vec![0; PIECE_BYTES];
        let read = self.reader.get_mut().unwrap_or_else(PoisonError::into_inner).read(&mut piece);
        Poll::Ready(match read {
            Ok(0) => None,
            Ok(length) => {
                piece.truncate(length);
                Some(Ok(Frame::data(piece.into())))
            }
            Err(error) => {
                self.exchange.note(LastAnswer::Broken(error.to_string()));
                Some(Err(HttpError::new(HttpErrorKind::Interrupted, error)))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_error_is_found_and_harmless() {
        assert_eq!(error_code("<Error><Code>SlowDown</Code><Message>x</Message></Error>"), "SlowDown");
        assert_eq!(error_code("<Code>a\u{1b}[31m b</Code>"), "a31mb");
        assert_eq!(error_code("<html>"), "");
    }
}
