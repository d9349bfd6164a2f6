//! Who may ask: the holder of the token, from a page of this server, under an address and not a name that
//! somebody else may have given to this machine.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, COOKIE, HOST, HeaderName, ORIGIN};

use crate::step::Digest;

/// The secret that opens the page: 64 hexadecimal digits.
#[derive(Clone)]
pub struct MonitorToken(String);

const TOKEN_BYTES: usize = 32;

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

    /// The token of a state folder, in a file that only its owner reads; it is made at the first call.
    ///
    /// # Errors
    /// If the file cannot be read or made.
    pub fn of_state(state: &Path) -> io::Result<MonitorToken> {
        MonitorToken::at(&state.join(MonitorToken::FILE))
    }

    /// The token in a file, which is made if it has none.
    ///
    /// # Errors
    /// If the file cannot be read or made.
    pub fn at(path: &Path) -> io::Result<MonitorToken> {
        if let Ok(text) = fs::read_to_string(path) {
            let text = text.trim();
            if text.len() == 2 * TOKEN_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Ok(MonitorToken(text.to_owned()));
            }
        }
        let mut bytes = [0; TOKEN_BYTES];
        fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        // A file that was there keeps its mode.
        file.set_permissions(Permissions::from_mode(0o600))?;
        writeln!(file, "{text}")?;
        Ok(MonitorToken(text))
    }

    /// The token as text, for the address that is shown at the start.
    pub fn text(&self) -> &str {
        &self.0
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
        bearer.into_iter().chain(cookie).any(|given| self.is(given))
    }
}

/// Whether a request was made under an address or `localhost`, and by no other page.
pub fn is_direct(headers: &HeaderMap) -> bool {
    let Some(host) = text(headers, &HOST) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let is_address = name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok();
    let is_own = |origin: &str| origin.split_once("://").is_some_and(|(_, from)| from == host);
    let origin = headers.get(ORIGIN).map(|value| value.to_str().is_ok_and(is_own));
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    is_address && origin.unwrap_or(true) && !matches!(site, Some("cross-site" | "same-site"))
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
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_direct_requests_under_an_address_are_taken() {
        assert!(is_direct(&headers(&[("host", "127.0.0.1:80")])));
        assert!(is_direct(&headers(&[("host", "[::1]:80"), ("origin", "http://[::1]:80")])));
        assert!(is_direct(&headers(&[("host", "localhost"), ("sec-fetch-site", "same-origin")])));
        assert!(!is_direct(&headers(&[("host", "evil.example:80")])), "a name that leads here");
        assert!(!is_direct(&headers(&[("host", "127.0.0.1:80"), ("origin", "http://evil.example")])));
        assert!(!is_direct(&headers(&[("host", "127.0.0.1:80"), ("origin", "null")])));
        assert!(!is_direct(&headers(&[("host", "127.0.0.1"), ("sec-fetch-site", "cross-site")])));
        assert!(!is_direct(&headers(&[])));
    }

    #[test]
    fn the_token_is_kept_in_a_file_of_its_owner() {
        let state = tempfile::tempdir().unwrap();
        let token = MonitorToken::of_state(state.path()).unwrap();
        assert!(MonitorToken::of_state(state.path()).unwrap().is(token.text()));
        let mode = fs::metadata(state.path().join(MonitorToken::FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let cookie = format!("flow-monitor-81=0; flow-monitor-82={}", token.text());
        let at = |host| token.is_in(&headers(&[("host", host), ("cookie", &cookie)]));
        assert!(at("127.0.0.1:82"));
        assert!(!at("127.0.0.1:81"), "the cookie of another flow on this host");
        assert!(token.is_in(&headers(&[("authorization", &format!("Bearer {}", token.text()))])));
        assert!(!token.is_in(&headers(&[("authorization", "Bearer 0")])));
        assert!(!token.is_in(&headers(&[])));
    }
}
