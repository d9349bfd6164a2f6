//! The files of a response, for whoever may see the page.

use std::path::Path;

use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use crate::journal::RequestHistory;
use crate::step::Artifact;
use crate::store::Store;

use super::refusal_code::RefusalCode;

/// The largest file that is served; larger ones are in the folder of responses.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The media types that a browser shows and that run no script. All others are saved.
const SHOWN: [&str; 5] = ["application/json", "application/pdf", "image/jpeg", "image/png", "text/plain"];

/// A file of the last response is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileRefusal {
    /// The response has no such file, or it is not on the disk any more.
    Missing,
    TooLarge,
}

impl FileRefusal {
    /// The status and the reason.
    pub fn told(self) -> (StatusCode, RefusalCode) {
        match self {
            FileRefusal::Missing => (StatusCode::NOT_FOUND, RefusalCode::NoFile),
            FileRefusal::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, RefusalCode::FileTooLarge),
        }
    }
}

/// The file of this name of the last response. The name is only compared: no path is made of it.
pub fn response_file(
    state: &Path,
    history: &RequestHistory,
    name: &str,
) -> Result<Response<Bytes>, FileRefusal> {
    let response = history.response().ok_or(FileRefusal::Missing)?;
    let file = response.files.iter().find(|file| file.name == name).ok_or(FileRefusal::Missing)?;
    if file.size > FILE_BYTES_MAX {
        return Err(FileRefusal::TooLarge);
    }
    let small = history.small_files().into_iter().find(|(small, _)| small.digest == file.digest);
    let bytes = match small {
        Some((_, bytes)) => bytes.to_vec(),
        None => {
            let store = Store::at(state.join("store")).map_err(|_| FileRefusal::Missing)?;
            std::fs::read(store.path(response.request, file)).map_err(|_| FileRefusal::Missing)?
        }
    };
    Ok(answer(file, bytes))
}

fn answer(file: &Artifact, bytes: Vec<u8>) -> Response<Bytes> {
    let is_shown = SHOWN.contains(&file.media_type.as_str());
    let kind = if is_shown { &file.media_type } else { "application/octet-stream" };
    let mut answer = Response::new(Bytes::from(bytes));
    let headers = answer.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CONTENT_DISPOSITION, if is_shown { "inline" } else { "attachment" }),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        let value =
            HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static("application/octet-stream"));
        headers.insert(name, value);
    }
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
    answer
}
