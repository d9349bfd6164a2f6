//! Answers to HTTP requests that are a text.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

/// The body of an answer.
pub type ChatBody = Full<Bytes>;

/// An answer with a text.
pub fn text(status: StatusCode, media_type: &'static str, body: String) -> Response<ChatBody> {
    let mut answer = Response::new(ChatBody::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
