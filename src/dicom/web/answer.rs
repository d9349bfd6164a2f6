//! Answers to HTTP requests.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

/// A response to an HTTP request, independent of the HTTP library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    pub status: StatusCode,
    pub media_type: &'static str,
    pub body: String,
}

pub const DICOM_JSON: &str = "application/dicom+json";

/// The seconds after which a client may try again, in a 503.
const RETRY_AFTER_SECONDS: &str = "30";

/// The only content coding that is read: none.
pub const IDENTITY: &str = "identity";

/// JSON of a service without a byte order mark, which some write before it.
pub fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body)
}

impl HttpAnswer {
    /// A refusal of the whole request, with a reason that the sender can log.
    pub fn refusal(status: StatusCode, reason: impl Into<String>) -> HttpAnswer {
        let mut body = reason.into();
        body.push('\n');
        HttpAnswer { status, media_type: "text/plain; charset=utf-8", body }
    }

    pub fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        match self.status {
            StatusCode::METHOD_NOT_ALLOWED => _ = headers.insert(ALLOW, HeaderValue::from_static("POST")),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(IDENTITY));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
            }
            _ => {}
        }
        response
    }
}
