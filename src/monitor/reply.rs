//! Answers to browsers and programs: their form, and the headers that all of them have.

use std::borrow::Cow;

use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use serde::Serialize;

use crate::journal::JournalError;

use super::answers::RefusalReason;
use super::refusal_code::RefusalCode;

/// An answer: bytes, or events as they come.
pub enum MonitorAnswer {
    Whole(Response<Bytes>),
    /// Overviews after the one with this id, if a reader comes back.
    Events(Option<String>),
    /// The rows of the views and their changes, likewise.
    Changes(Option<String>),
}

pub const JSON: &str = "application/json";
pub const TEXT: &str = "text/plain; charset=utf-8";

/// Nothing is loaded from elsewhere, and no script stands in the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The parameters of the query, decoded, in their order.
pub fn parameters(uri: &Uri) -> impl Iterator<Item = (String, String)> {
    let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter_map(|(name, value)| Some((decoded(name)?, decoded(value)?)))
}

/// A parameter of the query, decoded.
pub fn parameter(uri: &Uri, name: &str) -> Option<String> {
    parameters(uri).find(|(key, _)| key == name).map(|(_, value)| value)
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(&text.replace('+', " ")).decode_utf8().ok().map(Cow::into_owned)
}

pub fn asset(kind: &'static str, text: &str) -> MonitorAnswer {
    whole(StatusCode::OK, kind, text.to_owned())
}

pub fn refusal(status: StatusCode, code: RefusalCode) -> MonitorAnswer {
    answer(status, &RefusalReason { error: &code.text(), code: Some(code.code()) })
}

/// A refusal in words that no page can translate.
pub fn worded_refusal(status: StatusCode, why: &str) -> MonitorAnswer {
    answer(status, &RefusalReason { error: why, code: None })
}

pub fn answer(status: StatusCode, value: &impl Serialize) -> MonitorAnswer {
    whole(status, JSON, text(value))
}

pub fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

pub fn failed(error: &JournalError) -> MonitorAnswer {
    worded_refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
}

pub fn whole(status: StatusCode, kind: &'static str, body: String) -> MonitorAnswer {
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
    MonitorAnswer::Whole(answer)
}
