//! The page to try a chat, and tokens for it. There are tokens only where the key was made for trying, and only for
//! whom this machine's own address was opened: no name that somebody else may have given to it.

use std::net::IpAddr;
use std::time::Duration;

use hyper::header::{CONTENT_SECURITY_POLICY, HOST, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};
use percent_encoding::percent_decode_str;

use super::context::ServerContext;
use super::http_answer::{ChatBody, text};
use super::names::{NAME_BYTES_MAX, is_role, name_problem};

/// The time for which a token for trying is valid.
const VALID: Duration = Duration::from_secs(12 * 60 * 60);

pub fn page(context: &ServerContext, headers: &HeaderMap) -> Response<ChatBody> {
    if context.trial.is_none() {
        let reason =
            "this server has a key of its site; the page is for a server started by `flow run chat`\n";
        return text(StatusCode::NOT_FOUND, "text/plain", reason.to_owned());
    }
    let mut answer = text(StatusCode::OK, "text/html; charset=utf-8", super::page::page_html().to_owned());
    answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy(host(headers)));
    answer
}

/// The page's own script and style stand in it; it connects to its server alone. Not every browser takes a WebSocket
/// to the same server for `'self'`, so the server is named, where its name can stand in a policy.
fn policy(host: &str) -> HeaderValue {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let sockets = match !host.is_empty() && host.bytes().all(is_plain) {
        true => format!(" ws://{host} wss://{host}"),
        false => String::new(),
    };
    let policy = format!(
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
         connect-src 'self'{sockets}; img-src 'self' data:; form-action 'none'; \
         frame-ancestors 'none'; base-uri 'none'"
    );
    HeaderValue::try_from(policy).expect("a plain name has no control characters")
}

/// A token: `?user=U&role=R&conversation=C`.
pub fn token(context: &ServerContext, headers: &HeaderMap, query: Option<&str>) -> Response<ChatBody> {
    let Some(key) = context.trial.as_ref().filter(|_| is_address(headers)) else {
        return text(StatusCode::NOT_FOUND, "text/plain", "there are no tokens for trying here\n".to_owned());
    };
    let parts = query.unwrap_or_default().split('&').filter_map(|part| part.split_once('='));
    let (mut user, mut role, mut conversations) = (String::new(), String::new(), Vec::new());
    for (name, value) in parts {
        let value = decoded(value);
        match name {
            "user" => user = value,
            "role" => role = value,
            "conversation" => conversations.push(value),
            _ => {}
        }
    }
    let is_named = |name: &String| name == "*" || name_problem(name, NAME_BYTES_MAX).is_none();
    if name_problem(&user, NAME_BYTES_MAX).is_some() || !is_role(&role) || !conversations.iter().all(is_named)
    {
        let reason = "ask with ?user=USER&role=ROLE&conversation=CONVERSATION\n";
        return text(StatusCode::BAD_REQUEST, "text/plain", reason.to_owned());
    }
    match key.sign(&user, &role, &conversations, VALID) {
        Ok(token) => {
            text(StatusCode::OK, "application/json", serde_json::json!({"token": token}).to_string())
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", error.to_string()),
    }
}

/// Whether the request is for an address of a machine, or for `localhost`.
fn is_address(headers: &HeaderMap) -> bool {
    let host = host(headers);
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => host,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok()
}

/// The server's name and port, as the client wrote them.
fn host(headers: &HeaderMap) -> &str {
    headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}

/// A value of a query: `%20` and `+` are blanks.
fn decoded(value: &str) -> String {
    percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_a_query_is_decoded() {
        for (value, text) in [("a%20b+c", "a b c"), ("%C3%A9", "é"), ("100%", "100%"), ("%zz", "%zz")] {
            assert_eq!(decoded(value), text);
        }
    }

    #[test]
    fn the_page_connects_to_its_own_server_alone() {
        let policy = |host| policy(host).to_str().unwrap().to_owned();
        assert!(policy("[::1]:8090").contains("connect-src 'self' ws://[::1]:8090 wss://[::1]:8090;"));
        for host in ["", "a; script-src *", "a b", "*"] {
            assert!(policy(host).contains("connect-src 'self';"), "{host}");
        }
    }

    #[test]
    fn tokens_are_for_an_address_and_not_for_a_name() {
        let headers = |host: &'static str| HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
        assert!(is_address(&headers("127.0.0.1:8090")) && is_address(&headers("[::1]:8090")));
        assert!(is_address(&headers("localhost:1")));
        assert!(!is_address(&headers("rebound.example:8090")) && !is_address(&HeaderMap::new()));
    }
}
