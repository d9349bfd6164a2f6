//! The connections of a chat: one thread holds them all. Nothing on it waits for the disk.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, CONNECTION, HOST, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE, VARY,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::time::{interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::tls::TlsServer;

use super::context::ServerContext;
use super::engine_io::{self, EngineIoError, EngineQuery};
use super::engine_session::EngineSessions;
use super::http_answer::{ChatBody, text};
use super::limits::{ConnectionCounts, ConnectionPlace};
use super::trial;
use super::unrecorded_work::UnrecordedWork;
use super::web_socket;

/// A server that runs. Dropping it ends its connections.
pub struct ChatServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// The longest time for the head of a request, and for a TLS handshake.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

/// Threads that read the log for devices.
const READERS: usize = 4;

/// The time between two looks which sessions are to be pinged.
const BEAT: Duration = Duration::from_secs(1);

/// The time that connections have to take their last frames.
const END: Duration = Duration::from_secs(2);

const SOCKET_IO: &str = "/socket.io/";
const PLAIN: &str = "/ws";

/// The state that the connections of one server share.
struct ConnectionContext {
    context: Arc<ServerContext>,
    sessions: Arc<EngineSessions>,
    counts: Arc<ConnectionCounts>,
    acceptor: Option<TlsAcceptor>,
}

impl ChatServer {
    /// Serves at a port that is open. `stop` ends the connections that `context` tells of it.
    ///
    /// # Errors
    /// If the port cannot be used, or the thread not be started.
    pub fn start(
        listener: TcpListener,
        context: ServerContext,
        stop: watch::Sender<bool>,
        tls: Option<&TlsServer>,
    ) -> io::Result<ChatServer> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let limits = context.limits;
        let shared = Arc::new(ConnectionContext {
            context: Arc::new(context),
            sessions: Arc::new(EngineSessions::new(limits.connections_max, limits.per_address_max)?),
            counts: Arc::new(ConnectionCounts::new(
                "connections",
                limits.connections_max,
                limits.per_address_max,
            )),
            acceptor: tls.map(|tls| TlsAcceptor::from(tls.config())),
        });
        let threads = READERS + UnrecordedWork::AT_A_TIME;
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(threads).build()?;
        let serve = move || {
            runtime.block_on(accept(listener, shared));
            runtime.shutdown_timeout(END);
        };
        let thread = std::thread::Builder::new().name("flow:chat".to_owned()).spawn(serve)?;
        Ok(ChatServer { address, stop, thread: Some(thread) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for ChatServer {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn accept(listener: TcpListener, shared: Arc<ConnectionContext>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the chat cannot be served"),
    };
    let mut stopping = shared.context.stopping.clone();
    let mut beat = interval(BEAT);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = beat.tick() => {
                shared.sessions.beat(shared.context.limits.hello);
                continue;
            }
            _ = stopping.wait_for(|stopping| *stopping) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Further connections are closed.
                let Some(place) = shared.counts.open(peer.ip()) else { continue };
                // An answer is small, and must not wait for the next one.
                let _ = stream.set_nodelay(true);
                tokio::spawn(hold_any(stream, Arc::new(place), Arc::clone(&shared)));
            }
            // For example because there are too many open files.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
    // Connections say goodbye meanwhile.
    sleep(Duration::from_millis(100)).await;
}

async fn hold_any(
    stream: tokio::net::TcpStream,
    place: Arc<ConnectionPlace>,
    shared: Arc<ConnectionContext>,
) {
    match shared.acceptor.clone() {
        None => hold(stream, place, shared).await,
        Some(acceptor) => {
            // A handshake that fails or takes too long is none of our affairs.
            if let Ok(Ok(stream)) = timeout(HEAD_TIME_MAX, acceptor.accept(stream)).await {
                hold(stream, place, shared).await;
            }
        }
    }
}

async fn hold(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    place: Arc<ConnectionPlace>,
    shared: Arc<ConnectionContext>,
) {
    let answer = |request: Request<Incoming>| {
        let (shared, place) = (Arc::clone(&shared), Arc::clone(&place));
        async move { Ok::<_, Infallible>(answer(request, &shared, place).await) }
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_headers(64)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .with_upgrades();
    // A connection that breaks off is none of our affairs.
    let _ = connection.await;
}

async fn answer(
    request: Request<Incoming>,
    shared: &Arc<ConnectionContext>,
    place: Arc<ConnectionPlace>,
) -> Response<ChatBody> {
    let context = &shared.context;
    let origin = request.headers().get(ORIGIN).cloned();
    if !is_welcome(request.headers(), &context.origins) {
        return text(StatusCode::FORBIDDEN, "text/plain", "this origin may not connect\n".to_owned());
    }
    if [SOCKET_IO, PLAIN].contains(&request.uri().path()) {
        // Who is let in may send at once.
        context.intake.opened().await;
        if context.intake.is_closed() && request.uri().query().is_none_or(|query| !query.contains("sid=")) {
            return text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "the server is ending\n".to_owned());
        }
    }
    let mut answer = match (request.method(), request.uri().path()) {
        (&Method::OPTIONS, SOCKET_IO) => text(StatusCode::NO_CONTENT, "text/plain", String::new()),
        (_, SOCKET_IO) => socket_io(request, shared, place).await,
        (&Method::GET, PLAIN) => plain(request, shared, place),
        (&Method::GET, "/health") => text(StatusCode::OK, "text/plain", "ok\n".to_owned()),
        (&Method::GET, "/") => trial::page(context, request.headers()),
        (&Method::GET, "/trial") => trial::token(context, request.headers(), request.uri().query()),
        _ => text(StatusCode::NOT_FOUND, "text/plain", "there is nothing at this address\n".to_owned()),
    };
    if let Some(origin) = origin {
        allow(answer.headers_mut(), origin);
    }
    answer
}

async fn socket_io(
    request: Request<Incoming>,
    shared: &Arc<ConnectionContext>,
    place: Arc<ConnectionPlace>,
) -> Response<ChatBody> {
    let query = EngineQuery::of(request.uri().query().unwrap_or_default());
    if query.version != "4" {
        return EngineIoError::Version.answer();
    }
    match query.transport.as_str() {
        "polling" => {
            engine_io::poll(request, query, &shared.context, &shared.sessions, place.address()).await
        }
        "websocket" => {
            let (context, sessions) = (Arc::clone(&shared.context), Arc::clone(&shared.sessions));
            let address = place.address();
            upgraded(request, context.limits.frame_bytes_max, place, move |socket| {
                engine_io::serve_web_socket(socket, query, context, sessions, address)
            })
        }
        _ => EngineIoError::Transport.answer(),
    }
}

fn plain(
    request: Request<Incoming>,
    shared: &Arc<ConnectionContext>,
    place: Arc<ConnectionPlace>,
) -> Response<ChatBody> {
    let context = Arc::clone(&shared.context);
    upgraded(request, context.limits.frame_bytes_max, place, move |socket| web_socket::serve(socket, context))
}

/// Changes a connection to WebSocket, and serves it so (RFC 6455, 4.2).
fn upgraded<F: Future<Output = ()> + Send + 'static>(
    mut request: Request<Incoming>,
    frame_bytes_max: usize,
    place: Arc<ConnectionPlace>,
    serve: impl FnOnce(web_socket::ChatSocket) -> F + Send + 'static,
) -> Response<ChatBody> {
    let is = |name: HeaderName, value: &str| {
        let header = request.headers().get(name).and_then(|header| header.to_str().ok());
        header.is_some_and(|header| header.eq_ignore_ascii_case(value))
    };
    let key = request.headers().get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    let accept = key.and_then(|key| HeaderValue::from_str(&key).ok());
    let (true, true, Some(accept)) = (is(UPGRADE, "websocket"), is(SEC_WEBSOCKET_VERSION, "13"), accept)
    else {
        return text(StatusCode::UPGRADE_REQUIRED, "text/plain", "connect with WebSocket 13\n".to_owned());
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        // The head of the request is not needed any more.
        drop(request);
        if let Ok(upgraded) = upgrade.await {
            serve(web_socket::socket_of(upgraded, frame_bytes_max).await).await;
        }
        drop(place);
    });
    let mut answer = Response::new(ChatBody::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    answer
}

/// Whether a request comes from no page, from one of this server, or from an origin that is let in.
fn is_welcome(headers: &HeaderMap, origins: &[String]) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let is_own = origin.split_once("://").is_some_and(|(_, named)| Some(named) == host);
    is_own || origins.iter().any(|welcome| welcome == "*" || welcome == origin)
}

/// Lets a page of a welcome origin read the answer.
fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
    headers.insert(VARY, HeaderValue::from_static("Origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_another_origin_is_let_in_only_if_it_is_named() {
        let headers = |origin: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("chat.example:8090"));
            headers.insert(ORIGIN, HeaderValue::from_str(origin).unwrap());
            headers
        };
        let named = ["https://clinic.example".to_owned()];
        assert!(is_welcome(&HeaderMap::new(), &[]));
        assert!(is_welcome(&headers("http://chat.example:8090"), &[]));
        assert!(is_welcome(&headers("https://clinic.example"), &named));
        for other in ["https://clinic.example.evil", "http://clinic.example", "null", "http://chat.example"] {
            assert!(!is_welcome(&headers(other), &named), "{other}");
        }
        assert!(is_welcome(&headers("https://other.example"), &["*".to_owned()]));
    }
}
