//! `download-book`: fetches the encrypted archive of a book into its folder.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::books::pace::SharedPace;
use crate::books::place::{BookPlace, storage};
use crate::books::sample_service::{check_book_address, sample_url};
use crate::calls::{DownloadEnd, FileDownload};
use crate::step::{BuiltIn, Call, CallAttempt, CallFault, Fault, Parameter, Step};
use crate::tokens::{LocatedFile, StageToken};

/// The name of what it fetches.
pub const ENCRYPTED: &str = "encrypted";

fn step() -> Step {
    let number = Parameter::number;
    BookPlace::step("download-book", 2, "Downloads the encrypted archive of a book.")
        .parameter(
            Parameter::text("url", "", &[])
                .required()
                .about("The address of a book; `{barcode}` stands for its barcode. `sample:` is the sample server.")
                .checked(check_book_address),
        )
        .parameter(
            number("per_minute", 0.0, 0.0, 1_000_000.0, "")
                .about("Downloads in a minute that all processes together begin; 0 for no limit."),
        )
        .parameter(number("gib_max", 16.0, 0.001, 1024.0, "GiB").about("The largest archive."))
        .calls(|tokens, call, attempt| {
            let each = tokens.into_iter().map(|token| download(token, call, attempt));
            // A service that is busy is busy for all of them.
            each.map(|one| one.map(Ok)).collect()
        })
}

inventory::submit! { BuiltIn(step) }

fn download(token: StageToken, call: &Call, attempt: &CallAttempt) -> Result<StageToken, CallFault> {
    let place = BookPlace::of(&token, call)?;
    place.make()?;
    SharedPace::of(call.text("folder"), call.number("per_minute"))
        .wait(call.token)
        .map_err(|error| storage(&error))?;
    let url = sample_url(call.text("url"))
        .map_err(|error| Fault::transient(format!("sample server: {error}"), "Try it again."))?;
    let url = url.replace("{barcode}", &in_address(&token.barcode));
    let file = place.path(ENCRYPTED);
    let bytes_max = (call.number("gib_max") * f64::from(1 << 30)) as u64;
    match (FileDownload { url: &url, file: &file, bytes_max }).fetch(attempt, call.token)? {
        DownloadEnd::Whole { digest, bytes } => {
            let located = LocatedFile { path: place.relative(ENCRYPTED), digest, bytes };
            Ok(StageToken { look_again_s: None, ..token }.at(ENCRYPTED, located))
        }
        DownloadEnd::NotReady(wait) => {
            Ok(StageToken { look_again_s: Some(wait.max(Duration::from_secs(1)).as_secs()), ..token })
        }
    }
}

/// A barcode as one part of an address (RFC 3986, 2.1 and 2.3).
fn in_address(barcode: &str) -> String {
    /// The characters that RFC 3986 calls unreserved stand for themselves.
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(barcode, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_barcode_asks_for_nothing_but_its_book() {
        assert_eq!(in_address("ark.88435_x1-a~b"), "ark.88435_x1-a~b");
        assert_eq!(in_address("x?all=1#y&z %2F"), "x%3Fall%3D1%23y%26z%20%252F");
        assert_eq!(in_address("caf\u{e9}"), "caf%C3%A9");
    }
}
