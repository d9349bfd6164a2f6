//! Who may ask: the holder of the token, from a page of this server, under an address and not a name that
//! somebody else may have given to this machine.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, COOKIE, HOST, HeaderName, ORIGIN};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tempfile::NamedTempFile;

use crate::step::Digest;
use crate::tls::CertificateNames;

/// The secret that opens the page: a line of at least 32 printable characters without blanks.
#[derive(Clone, Debug)]
pub struct MonitorToken(String);

#[derive(Debug, thiserror::Error)]
pub enum MonitorTokenError {
    #[error("could not read the token of the status page in {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("could not make the token of the status page in {}: {source}", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error("{} is not the token of the status page", path.display())]
    Content { path: PathBuf },
}

impl MonitorTokenError {
    pub fn hint(&self) -> &'static str {
        match self {
            MonitorTokenError::Read { .. } | MonitorTokenError::Make { .. } => {
                "see whether flow may read and write there"
            }
            MonitorTokenError::Content { .. } => {
                "nothing was changed. A token is one line of at least 32 printable characters without blanks; flow \
                 makes one if the file is not there: remove it, or name another one as `token` of `page`"
            }
        }
    }
}

/// The random bytes of a token that is made here.
const MADE_BYTES: usize = 32;

/// The fewest characters of a token.
const LETTERS_MIN: usize = 32;

const FILE_BYTES_MAX: u64 = 4096;

/// The name of the cookie of a server at a host and port. Browsers send the cookies of all ports of a host to each
/// of them, so that those of several flows need names of their own.
pub fn cookie_name(headers: &HeaderMap) -> String {
    let host = text(headers, &HOST).unwrap_or_default();
    let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| is_port(port));
    format!("flow-monitor-{}", port.unwrap_or("80"))
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl MonitorToken {
    /// The name of its file in the state folder.
    pub const FILE: &str = "monitor.token";

    /// The token in a file, which is made if it is not there. A file of others is never changed.
    ///
    /// # Errors
    /// If the file cannot be read or made, or has something else in it.
    pub fn at(path: &Path) -> Result<MonitorToken, MonitorTokenError> {
        match MonitorToken::read(path) {
            Err(MonitorTokenError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            read => return read,
        }
        let not_made = |source| MonitorTokenError::Make { path: path.to_owned(), source };
        let mut bytes = [0; MADE_BYTES];
        File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).map_err(not_made)?;
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        // Whole or not there. Only its owner may read it.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = NamedTempFile::new_in(folder).map_err(not_made)?;
        writeln!(file, "{text}").and_then(|()| file.as_file().sync_all()).map_err(not_made)?;
        match file.persist_noclobber(path) {
            Ok(_) => Ok(MonitorToken(text)),
            // Somebody else was faster.
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => MonitorToken::read(path),
            Err(error) => Err(not_made(error.error)),
        }
    }

    fn read(path: &Path) -> Result<MonitorToken, MonitorTokenError> {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
        read.map_err(|source| MonitorTokenError::Read { path: path.to_owned(), source })?;
        let text = String::from_utf8(bytes).unwrap_or_default();
        let text = text.strip_suffix('\n').map_or(&*text, |line| line.strip_suffix('\r').unwrap_or(line));
        if text.len() < LETTERS_MIN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(MonitorTokenError::Content { path: path.to_owned() });
        }
        Ok(MonitorToken(text.to_owned()))
    }

    /// The token as text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The token as a part of the address that is shown at the start.
    pub fn in_address(&self) -> String {
        utf8_percent_encode(&self.0, NON_ALPHANUMERIC).to_string()
    }

    /// The value of the cookie: the token may have characters that no cookie may have.
    pub fn in_cookie(&self) -> String {
        Digest::of(self.0.as_bytes()).to_string()
    }

    /// Whether a text is the token, in a time that does not depend on where they differ.
    pub fn is(&self, text: &str) -> bool {
        Digest::of(text.as_bytes()) == Digest::of(self.0.as_bytes())
    }

    /// Whether the headers have the token: as a cookie, or as `Authorization: Bearer`.
    pub fn is_in(&self, headers: &HeaderMap) -> bool {
        let bearer = text(headers, &AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        let cookies = text(headers, &COOKIE).unwrap_or_default().split(';');
        let mut cookies = cookies.filter_map(|cookie| cookie.trim().split_once('='));
        let own = cookie_name(headers);
        let cookie = cookies.find(|(name, _)| *name == own).map(|(_, value)| value);
        let is_cookie = |given: &str| Digest::of(given.as_bytes()) == Digest::of(self.in_cookie().as_bytes());
        bearer.is_some_and(|given| self.is(given)) || cookie.is_some_and(is_cookie)
    }
}

/// Whether a request was made under an address, `localhost` or a name of ours, and by no other page.
///
/// Without encryption a browser believes whoever says that a name leads to this machine, so that no name is ours. With
/// it, those of the certificate are: a browser lets no page of another name in.
pub fn is_direct(headers: &HeaderMap, names: Option<&CertificateNames>) -> bool {
    let Some(host) = text(headers, &HOST) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let is_address = name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok();
    let is_ours = is_address || names.is_some_and(|names| names.have(name));
    let is_own = |origin: &str| origin.split_once("://").is_some_and(|(_, from)| from == host);
    let origin = headers.get(ORIGIN).map(|value| value.to_str().is_ok_and(is_own));
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    is_ours && origin.unwrap_or(true) && !matches!(site, Some("cross-site" | "same-site"))
}

/// Whether a request that changes something comes from the page itself, or from a program with the token.
pub fn may_change(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) || headers.contains_key(AUTHORIZATION)
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn direct(pairs: &[(&'static str, &str)]) -> bool {
        is_direct(&headers(pairs), None)
    }

    #[test]
    fn only_direct_requests_under_an_address_are_taken() {
        assert!(direct(&[("host", "127.0.0.1:80")]));
        assert!(direct(&[("host", "[::1]:80"), ("origin", "http://[::1]:80")]));
        assert!(direct(&[("host", "localhost"), ("sec-fetch-site", "same-origin")]));
        assert!(!direct(&[("host", "evil.example:80")]), "a name that leads here");
        assert!(!direct(&[("host", "127.0.0.1:80"), ("origin", "http://evil.example")]));
        assert!(!direct(&[("host", "127.0.0.1:80"), ("origin", "null")]));
        assert!(!direct(&[("host", "127.0.0.1"), ("sec-fetch-site", "cross-site")]));
        assert!(!direct(&[]));
    }

    #[test]
    fn the_token_is_kept_in_a_file_of_its_owner() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join(MonitorToken::FILE);
        let token = MonitorToken::at(&path).unwrap();
        assert!(MonitorToken::at(&path).unwrap().is(token.text()));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 1);
        let cookie = format!("flow-monitor-81=0; flow-monitor-82={}", token.in_cookie());
        let at = |host| token.is_in(&headers(&[("host", host), ("cookie", &cookie)]));
        assert!(at("127.0.0.1:82"));
        assert!(!at("127.0.0.1:81"), "the cookie of another flow on this host");
        assert!(token.is_in(&headers(&[("authorization", &format!("Bearer {}", token.text()))])));
        assert!(!token.is_in(&headers(&[("authorization", "Bearer 0")])));
        assert!(!token.is_in(&headers(&[])));
    }

    #[test]
    fn a_file_with_a_token_of_the_site_is_taken_and_any_other_stays_as_it_is() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("token");
        let own = "a;b,c\"&%=+-0123456789-0123456789";
        for text in [own.to_owned(), format!("{own}\n"), format!("{own}\r\n")] {
            fs::write(&path, &text).unwrap();
            let token = MonitorToken::at(&path).unwrap();
            assert!(token.is(own), "{text:?}");
            assert!(token.in_address().starts_with("a%3Bb%2Cc"), "{}", token.in_address());
        }
        for text in ["", "short", &format!("{own} {own}"), &format!("{own}\n{own}\n"), &"k\u{e9}y".repeat(20)]
        {
            fs::write(&path, text).unwrap();
            let error = MonitorToken::at(&path).unwrap_err();
            assert!(matches!(error, MonitorTokenError::Content { .. }), "{text:?}: {error}");
            assert!(error.to_string().contains(&path.display().to_string()));
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert!(matches!(MonitorToken::at(state.path()), Err(MonitorTokenError::Read { .. })), "a folder");
    }
}
