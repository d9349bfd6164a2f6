//! The connections of the server: one thread holds them all, and others read the journal.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::cluster::ClusterStanding;
use crate::tls::TlsServer;

use super::api::MonitorApi;
use super::changes::send_changes;
use super::reply::MonitorAnswer;

/// A server that runs. Dropping it ends its connections.
pub struct MonitorServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

const CONNECTIONS_MAX: usize = 64;

/// The longest time for the head of a request.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

/// The time between two overviews for a page.
const EVENTS_APART: Duration = Duration::from_millis(500);

/// The number of looks without a change after which a page gets the overview again: the disk may have filled up.
const QUIET_LOOKS: u32 = 20;

impl MonitorServer {
    /// Serves at a port that is open.
    ///
    /// # Errors
    /// If the port cannot be used, or the thread not be started.
    pub fn start(
        listener: TcpListener,
        api: MonitorApi,
        tls: Option<&TlsServer>,
    ) -> io::Result<MonitorServer> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopping) = watch::channel(false);
        let acceptor = tls.map(|tls| TlsAcceptor::from(tls.config()));
        let serve = move || runtime.block_on(accept(listener, Arc::new(api), acceptor, stopping));
        let thread = std::thread::Builder::new().name("flow:monitor".to_owned()).spawn(serve)?;
        Ok(MonitorServer { address, stop, thread: Some(thread) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MonitorServer {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn accept(
    listener: TcpListener,
    api: Arc<MonitorApi>,
    acceptor: Option<TlsAcceptor>,
    mut stopping: watch::Receiver<bool>,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the status page cannot be served"),
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let stop = stopping.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Further connections are closed.
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                let (api, stop, acceptor) = (Arc::clone(&api), stop.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => hold(stream, peer, api, stop).await,
                        Some(acceptor) => {
                            // A handshake that fails or takes too long is none of our affairs.
                            if let Ok(Ok(stream)) = timeout(HEAD_TIME_MAX, acceptor.accept(stream)).await {
                                hold(stream, peer, api, stop).await;
                            }
                        }
                    }
                    drop(place);
                });
            }
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn hold(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    api: Arc<MonitorApi>,
    stop: watch::Receiver<bool>,
) {
    let answer = |request: Request<Incoming>| {
        let (api, stop) = (Arc::clone(&api), stop.clone());
        async move {
            let (head, _) = request.into_parts();
            let asked = Arc::clone(&api);
            let answer = spawn_blocking(move || {
                asked.answer(&head.method, &head.uri, &head.headers, &peer.ip().to_string())
            });
            Ok::<_, Infallible>(match answer.await {
                Ok(MonitorAnswer::Whole(answer)) => answer.map(|body| MonitorBody::Whole(Some(body))),
                Ok(MonitorAnswer::Events(last)) => events(api, stop, last),
                Ok(MonitorAnswer::Changes(last)) => {
                    let (send, receive) = mpsc::channel(2);
                    spawn_blocking(move || send_changes(&api, &stop, last.as_deref(), &send));
                    event_stream(receive)
                }
                Err(_) => {
                    let mut answer = Response::new(MonitorBody::Whole(None));
                    *answer.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
                    answer
                }
            })
        }
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    // A connection that breaks off is none of our affairs.
    let _ = connection.await;
}

/// The overview after each change, as server-sent events. A reader that comes back gets the next one after its last.
fn events(
    api: Arc<MonitorApi>,
    stop: watch::Receiver<bool>,
    mut last: Option<String>,
) -> Response<MonitorBody> {
    let (send, receive) = mpsc::channel(2);
    tokio::spawn(async move {
        let (mut quiet, mut cluster) = (0, ClusterStanding::default());
        while !*stop.borrow() {
            let id = api.event_id();
            let asked = Arc::clone(&api);
            let Ok(now) = spawn_blocking(move || asked.cluster()).await else { return };
            let has_changed = std::mem::replace(&mut cluster, now) != cluster;
            let event = if last.as_ref() != Some(&id) || has_changed || quiet >= QUIET_LOOKS {
                quiet = 0;
                let asked = Arc::clone(&api);
                let Ok(overview) = spawn_blocking(move || asked.overview()).await else { return };
                Some(format!("id: {id}\ndata: {overview}\n\n"))
            } else {
                quiet += 1;
                None
            };
            last = Some(id);
            // A browser that does not read holds up this task only.
            if let Some(event) = event
                && send.send(Bytes::from(event)).await.is_err()
            {
                return;
            }
            sleep(EVENTS_APART).await;
        }
    });
    event_stream(receive)
}

fn event_stream(events: mpsc::Receiver<Bytes>) -> Response<MonitorBody> {
    let mut answer = Response::new(MonitorBody::Events(events));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// The body of an answer.
enum MonitorBody {
    Whole(Option<Bytes>),
    Events(mpsc::Receiver<Bytes>),
}

impl Body for MonitorBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            MonitorBody::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            MonitorBody::Events(events) => {
                events.poll_recv(context).map(|event| event.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, MonitorBody::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            MonitorBody::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            MonitorBody::Events(_) => SizeHint::default(),
        }
    }
}
