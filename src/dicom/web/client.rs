//! The HTTP client. Each request has a connection of its own: requests are few and large. Nothing here
//! outlives the call, so callers need no async code. Every wait is bounded.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::ToSocketAddrs;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HOST, RETRY_AFTER,
    USER_AGENT,
};
use hyper::http::response::Parts;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;

use crate::tls;

use crate::dicom::wire::peer_error::PeerErrorCause;

use super::WebNode;
use super::answer::IDENTITY;
use super::pace::TimedBody;
use super::quick_ack::QuickAckStream;

/// A request to a DICOMweb service.
pub struct HttpQuestion {
    pub method: Method,
    /// The path below the node's path, with the query.
    pub path: String,
    pub accept: &'static str,
    pub content_type: Option<String>,
    pub body: BodyPieces,
}

/// A response whose body is still arriving.
pub struct HttpReply {
    pub head: Parts,
    body: TimedBody,
    runtime: Runtime,
}

/// The longest text of a refusal that is kept.
const REASON_BYTES_MAX: usize = 4 << 10;

/// Sends a request, and waits for the head of the response.
pub fn ask(node: &WebNode, question: HttpQuestion) -> Result<HttpReply, PeerErrorCause> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(PeerErrorCause::Unconnected)?;
    let moved = question.body.moved.clone();
    let request = request(node, question)?;
    let answer = runtime.block_on(async {
        let stream = timeout(node.wait_max, connect(node)).await.map_err(|_| timed_out())??;
        send(stream, request, &moved, node.wait_max).await
    })?;
    let (head, body) = answer.into_parts();
    let coding = head.headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    if let Some(coding) = coding.filter(|coding| !coding.eq_ignore_ascii_case(IDENTITY)) {
        let text = format!("its answer is compressed ({coding}), which was not asked for");
        return Err(PeerErrorCause::NotUnderstood(text));
    }
    Ok(HttpReply { head, body: TimedBody::new(body, node.wait_max), runtime })
}

impl HttpReply {
    /// The next bytes of the body; `None` at its end.
    pub fn next(&mut self) -> Option<Result<Bytes, PeerErrorCause>> {
        let next = self.runtime.block_on(self.body.next());
        next.map(|bytes| bytes.map_err(PeerErrorCause::from))
    }

    /// The whole body.
    pub fn read(&mut self, bytes_max: usize) -> Result<Vec<u8>, PeerErrorCause> {
        let mut body = Vec::new();
        while let Some(bytes) = self.next() {
            body.extend_from_slice(&bytes?);
            if body.len() > bytes_max {
                return Err(PeerErrorCause::NotUnderstood(format!("it has more than {bytes_max} bytes")));
            }
        }
        Ok(body)
    }

    /// The error for a response that is a refusal.
    pub fn refusal(mut self) -> PeerErrorCause {
        let status = self.head.status.as_u16();
        if let StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS = self.head.status {
            let text = self.head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let seconds = text.and_then(|text| text.trim().parse().ok());
            return PeerErrorCause::Later { status, after: seconds.map(Duration::from_secs) };
        }
        let reason = self.read(REASON_BYTES_MAX).unwrap_or_default();
        let printable = String::from_utf8_lossy(&reason).split_whitespace().collect::<Vec<_>>().join(" ");
        PeerErrorCause::Refused {
            status,
            reason: printable.chars().filter(|letter| !letter.is_control()).take(200).collect(),
        }
    }
}

fn request(node: &WebNode, question: HttpQuestion) -> Result<Request<BodyPieces>, PeerErrorCause> {
    let HttpQuestion { method, path, accept, content_type, body } = question;
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", node.path))
        .header(HOST, &node.authority)
        .header(USER_AGENT, "flow")
        .header(CONNECTION, "close")
        .header(ACCEPT, accept)
        .header(ACCEPT_ENCODING, IDENTITY);
    if let Some(content_type) = content_type {
        request = request.header(CONTENT_TYPE, content_type);
    }
    if let Some(authorization) = &node.authorization {
        request = request.header(AUTHORIZATION, &authorization.0);
    }
    request.body(body).map_err(|error| PeerErrorCause::NotTaken(format!("this cannot be asked for: {error}")))
}

fn timed_out() -> PeerErrorCause {
    PeerErrorCause::Unconnected(io::ErrorKind::TimedOut.into())
}

trait HttpStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> HttpStream for S {}

async fn connect(node: &WebNode) -> Result<Box<dyn HttpStream>, PeerErrorCause> {
    let addresses = (node.host(), node.port()).to_socket_addrs().map_err(PeerErrorCause::Unresolved)?;
    let addresses: Vec<_> = addresses.collect();
    let stream = TcpStream::connect(&addresses[..]).await.map_err(PeerErrorCause::Unconnected)?;
    let stream = QuickAckStream::new(stream);
    if !node.is_encrypted {
        return Ok(Box::new(stream));
    }
    let Some(client) = &node.tls else {
        return Err(PeerErrorCause::Tls(
            "the address begins with https, and no certificate authority is trusted".to_owned(),
        ));
    };
    let name = tls::server_name(node.host()).map_err(|error| PeerErrorCause::Tls(error.to_string()))?;
    let stream = TlsConnector::from(client.config()).connect(name, stream).await;
    Ok(Box::new(stream.map_err(|error| {
        PeerErrorCause::Tls(format!("the certificate of the service could not be verified: {error}"))
    })?))
}

/// Sends the request and waits for the head of the response, as long as data move.
async fn send(
    stream: Box<dyn HttpStream>,
    request: Request<BodyPieces>,
    moved: &BodyProgress,
    wait_max: Duration,
) -> Result<hyper::Response<hyper::body::Incoming>, PeerErrorCause> {
    let broken = |error: hyper::Error| PeerErrorCause::Broken(format!("the connection broke: {error}"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // The task ends with the connection, at the latest with the runtime.
    tokio::spawn(connection);
    moved.now();
    let mut answer = std::pin::pin!(sender.send_request(request));
    loop {
        let end = moved.last() + wait_max;
        tokio::select! {
            answer = answer.as_mut() => return answer.map_err(broken),
            () = sleep_until(end) => if moved.last() + wait_max <= Instant::now() {
                return Err(PeerErrorCause::Silent);
            },
        }
    }
}

/// A body in pieces. When a piece is asked for, the one before has been sent.
pub struct BodyPieces {
    pieces: VecDeque<Bytes>,
    moved: BodyProgress,
}

/// The time at which data of a body have last moved.
#[derive(Clone)]
struct BodyProgress(Arc<Mutex<Instant>>);

/// The largest piece; larger ones are split, so that progress is noticed.
const PIECE_BYTES: usize = 256 << 10;

impl BodyPieces {
    pub fn new(pieces: impl IntoIterator<Item = Bytes>) -> BodyPieces {
        let cut = |piece: Bytes| {
            let starts = (0..piece.len()).step_by(PIECE_BYTES);
            starts.map(move |start| piece.slice(start..piece.len().min(start + PIECE_BYTES)))
        };
        let pieces = pieces.into_iter().flat_map(cut).collect();
        BodyPieces { pieces, moved: BodyProgress(Arc::new(Mutex::new(Instant::now()))) }
    }
}

impl Body for BodyPieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.moved.now();
        Poll::Ready(self.pieces.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.pieces.iter().map(|piece| piece.len() as u64).sum())
    }
}

impl BodyProgress {
    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
