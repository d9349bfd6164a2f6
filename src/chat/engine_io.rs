//! The two transports of Engine.IO: requests that poll, and a WebSocket, which a polling client may change to.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::context::{ServerContext, stopped};
use super::engine_session::{EngineSession, EngineSessions, EngineTransport, NOOP, SessionEnd, open_packet};
use super::http_answer::{ChatBody, text};
use super::web_socket::{ChatSocket, SEND_TIME_MAX, put};

/// The character between packets in one body.
pub(super) const SEPARATOR: char = '\u{1e}';

/// The longest time for the handshake of a change to WebSocket.
const UPGRADE_TIME_MAX: Duration = Duration::from_secs(10);

/// The longest time for the body of a request.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// The parts of a query that matter.
#[derive(Debug, Default, PartialEq)]
pub struct EngineQuery {
    pub version: String,
    pub transport: String,
    pub session: Option<String>,
}

/// The errors of the protocol, with its numbers.
#[derive(Clone, Copy, Debug)]
pub enum EngineIoError {
    Transport = 0,
    Session = 1,
    Request = 3,
    Version = 5,
}

impl EngineQuery {
    pub fn of(query: &str) -> EngineQuery {
        let mut parts = EngineQuery::default();
        for (name, value) in query.split('&').filter_map(|part| part.split_once('=')) {
            match name {
                "EIO" => parts.version = value.to_owned(),
                "transport" => parts.transport = value.to_owned(),
                "sid" => parts.session = Some(value.to_owned()),
                _ => {}
            }
        }
        parts
    }
}

impl EngineIoError {
    pub fn answer(self) -> Response<ChatBody> {
        let message = match self {
            EngineIoError::Transport => "Transport unknown",
            EngineIoError::Session => "Session ID unknown",
            EngineIoError::Request => "Bad request",
            EngineIoError::Version => "Unsupported protocol version",
        };
        let body = serde_json::json!({"code": self as u8, "message": message});
        text(StatusCode::BAD_REQUEST, "application/json", body.to_string())
    }
}

/// Answers a request that polls.
pub async fn poll(
    request: Request<Incoming>,
    query: EngineQuery,
    context: &ServerContext,
    sessions: &EngineSessions,
    address: IpAddr,
) -> Response<ChatBody> {
    let Some(id) = query.session else {
        if request.method() != Method::GET {
            return EngineIoError::Request.answer();
        }
        let Some(session) = sessions.open(EngineTransport::Polling, context.limits.rate, address) else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "too many sessions".to_owned());
        };
        return packets(open_packet(&session, &["websocket"], context.limits.frame_bytes_max));
    };
    let Some(session) = sessions.get(&id) else { return EngineIoError::Session.answer() };
    session.hear();
    match *request.method() {
        Method::GET => fetch(&session, context, sessions).await,
        Method::POST => take(request, &session, context, sessions).await,
        _ => EngineIoError::Request.answer(),
    }
}

/// Waits for packets and gives what there is.
async fn fetch(
    session: &EngineSession,
    context: &ServerContext,
    sessions: &EngineSessions,
) -> Response<ChatBody> {
    let Ok(_turn) = session.polling.try_lock() else {
        sessions.close(session);
        return EngineIoError::Request.answer();
    };
    let mut stopping = context.stopping.clone();
    let first = tokio::select! {
        packet = session.next(EngineTransport::Polling, context) => packet,
        () = stopped(&mut stopping) => None,
    };
    let Some(mut body) = first else { return EngineIoError::Session.answer() };
    // A client that changes to WebSocket gets what waits there.
    while body != NOOP
        && body.len() < context.limits.frame_bytes_max
        && let Some(packet) = session.next_ready()
    {
        body.push(SEPARATOR);
        body.push_str(&packet);
    }
    session.hear();
    packets(body)
}

/// Takes the packets of a client.
async fn take(
    request: Request<Incoming>,
    session: &EngineSession,
    context: &ServerContext,
    sessions: &EngineSessions,
) -> Response<ChatBody> {
    let body = Limited::new(request.into_body(), context.limits.frame_bytes_max).collect();
    let body = match timeout(BODY_TIME_MAX, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) | Err(_) => {
            sessions.close(session);
            return text(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", "the body is too long".to_owned());
        }
    };
    let Ok(body) = str::from_utf8(&body) else { return EngineIoError::Request.answer() };
    for packet in body.split(SEPARATOR) {
        if session.receive(packet, context).await == SessionEnd::Ends {
            sessions.close(session);
            return EngineIoError::Request.answer();
        }
    }
    text(StatusCode::OK, "text/html", "ok".to_owned())
}

/// Serves a WebSocket until the client goes: a session of its own, or that of a polling client.
pub async fn serve_web_socket(
    mut socket: ChatSocket,
    query: EngineQuery,
    context: Arc<ServerContext>,
    sessions: Arc<EngineSessions>,
    address: IpAddr,
) {
    let session = match query.session {
        None => {
            let opened = sessions.open(EngineTransport::WebSocket, context.limits.rate, address);
            let Some(session) = opened else { return };
            let open = open_packet(&session, &[], context.limits.frame_bytes_max);
            if !put(&mut socket, Message::text(open)).await {
                return sessions.close(&session);
            }
            session
        }
        Some(id) => {
            let Some(session) = sessions.get(&id) else { return };
            if !session.begin_upgrade() {
                return;
            }
            match timeout(UPGRADE_TIME_MAX, upgrade(&mut socket, &session)).await {
                Ok(Some(())) => session.change(EngineTransport::WebSocket),
                Ok(None) | Err(_) => return session.change(EngineTransport::Polling),
            }
            session
        }
    };
    exchange(&mut socket, &session, &context).await;
    sessions.close(&session);
    let _ = timeout(Duration::from_secs(1), socket.close(None)).await;
}

/// The handshake of a change to WebSocket; `None` if it is broken off.
async fn upgrade(socket: &mut ChatSocket, session: &EngineSession) -> Option<()> {
    if text_of(socket).await? != "2probe" {
        return None;
    }
    socket.send(Message::text("3probe")).await.ok()?;
    // A request that polls ends with nothing, so that the client may go on.
    session.change(EngineTransport::Upgrading);
    (text_of(socket).await? == "5").then_some(())
}

async fn text_of(socket: &mut ChatSocket) -> Option<String> {
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => return Some(text.to_string()),
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Binary(_) | Message::Close(_) | Message::Frame(_) => return None,
        }
    }
}

async fn exchange(socket: &mut ChatSocket, session: &EngineSession, context: &ServerContext) {
    let mut stopping = context.stopping.clone();
    loop {
        let goes_on = tokio::select! {
            frame = socket.next() => match frame {
                Some(Ok(Message::Text(text))) => session.receive(&text, context).await == SessionEnd::GoesOn,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => session.count_frame() == SessionEnd::GoesOn,
                // Also a frame that is too long, and a binary one.
                Some(Ok(_) | Err(_)) | None => false,
            },
            packet = session.next(EngineTransport::WebSocket, context) => match packet {
                Some(packet) => send_all(socket, packet, session).await,
                None => false,
            },
            () = stopped(&mut stopping) => false,
        };
        if !goes_on {
            return;
        }
    }
}

/// Sends all packets that there are in one piece. Gives whether the client took them.
async fn send_all(socket: &mut ChatSocket, first: String, session: &EngineSession) -> bool {
    let send = async {
        let mut next = Some(first);
        while let Some(packet) = next {
            socket.feed(Message::text(packet)).await?;
            next = session.next_ready();
        }
        socket.flush().await
    };
    matches!(timeout(SEND_TIME_MAX, send).await, Ok(Ok(())))
}

fn packets(body: String) -> Response<ChatBody> {
    text(StatusCode::OK, "text/plain; charset=UTF-8", body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read() {
        let query = EngineQuery::of("EIO=4&transport=polling&t=abc&sid=1f");
        assert_eq!(
            (&*query.version, &*query.transport, query.session.as_deref()),
            ("4", "polling", Some("1f"))
        );
        assert_eq!(EngineQuery::of(""), EngineQuery::default());
    }
}
