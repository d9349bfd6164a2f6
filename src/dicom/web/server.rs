//! The HTTP server. One thread holds all connections; a few others write to disk.
//!
//! A connection has a request whose body is being read, at the rate that [`super::pace`] requires, or it is
//! bounded by one time limit for everything else: the TLS handshake, the head of the next request, and the
//! reading of our response.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError, mpsc as blocking};
use std::thread;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use crate::admission::StopSignal;
use crate::dicom::intake::event::ReceiverEvent;
use crate::dicom::intake::instance_intake::InstanceIntake;
use crate::dicom::serve::known_addresses::KnownAddresses;
use crate::dicom::serve::settings::ReceiveSettings;

use super::job::{WebJob, take_in};
use super::place::WebPlace;
use super::quick_ack::QuickAckStream;
use super::service::WebService;
use super::settings::WebSettings;

/// A server with an open port.
pub struct WebServer<'a> {
    settings: &'a WebSettings,
    runtime: Runtime,
}

/// The longest head of a request, and the longest piece of its body.
const BUFFER_BYTES: usize = 128 << 10;

const HEADER_FIELDS_MAX: usize = 64;

/// The longest time for responses that are under way at the stop.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

impl<'a> WebServer<'a> {
    pub fn open(settings: &'a WebSettings) -> io::Result<WebServer<'a>> {
        settings.listener.set_nonblocking(true)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(WebServer { settings, runtime })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.settings.listener.local_addr()
    }

    /// Serves until the stop.
    pub fn serve(
        self,
        intake: &InstanceIntake,
        receive: &ReceiveSettings,
        stop: &StopSignal,
    ) -> io::Result<()> {
        let known = Arc::new(KnownAddresses::new(&self.settings.callers, &receive.nodes));
        let workers = self.settings.requests_max;
        let (give, jobs) = blocking::sync_channel::<WebJob>(workers);
        let jobs = &Mutex::new(jobs);
        let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let parts_max = self.settings.parts_max;
        thread::scope(|scope| {
            scope.spawn(|| known.look_up(&receive.nodes));
            for number in 0..workers {
                let work = move || {
                    while let Ok(job) = next() {
                        take_in(intake, parts_max, job);
                    }
                };
                thread::Builder::new().name(format!("dicom-web-{number}")).spawn_scoped(scope, work)?;
            }
            let (stop_all, stopping) = watch::channel(false);
            let (events, told) = mpsc::channel(64);
            let service = WebService::new(self.settings, receive, &known, give, stopping, events);
            LocalSet::new()
                .block_on(&self.runtime, accept(service, self.settings, intake, stop, stop_all, told))
        })
    }
}

/// Accepts connections until the stop; returns when all have ended.
async fn accept(
    service: WebService,
    settings: &WebSettings,
    intake: &InstanceIntake<'_>,
    stop: &StopSignal,
    stop_all: watch::Sender<bool>,
    mut told: mpsc::Receiver<ReceiverEvent>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(settings.listener.try_clone()?)?;
    let acceptor = settings.tls.as_ref().map(|tls| TlsAcceptor::from(tls.config()));
    let service = Rc::new(service);
    let mut connections = JoinSet::new();
    while !stop.is_requested() {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                _ if stop.is_requested() => break,
                Ok((stream, peer)) => match service.connection(peer) {
                    Some(place) => {
                        connections.spawn_local(hold(Rc::clone(&service), acceptor.clone(), stream, place));
                    }
                    None => {
                        let reason = "there are as many connections as allowed".to_owned();
                        (intake.tell)(&ReceiverEvent::Rejected { peer, reason });
                    }
                },
                Err(error) => {
                    (intake.tell)(&ReceiverEvent::NotAccepted { reason: error.to_string() });
                    // Probably there are too many open files; some may be closed soon.
                    sleep(Duration::from_millis(50)).await;
                }
            },
            Some(event) = told.recv() => (intake.tell)(&event),
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    drop(listener);
    // The receiver lives as long as the service.
    let _ = stop_all.send(true);
    let ended = async {
        while !connections.is_empty() {
            tokio::select! {
                _ = connections.join_next() => {}
                Some(event) = told.recv() => (intake.tell)(&event),
            }
        }
    };
    // Slower connections are closed.
    let _ = timeout(STOP_TIME_MAX, ended).await;
    connections.shutdown().await;
    while let Ok(event) = told.try_recv() {
        (intake.tell)(&event);
    }
    Ok(())
}

/// Serves a connection to its end.
async fn hold(service: Rc<WebService>, acceptor: Option<TlsAcceptor>, stream: TcpStream, place: WebPlace) {
    let peer = place.peer;
    tokio::select! {
        () = hold_in_place(&service, acceptor, stream, &place) => {}
        () = place.lost() => {
            let reason = "closed for another connection: it sent no request".to_owned();
            service.tell(ReceiverEvent::Rejected { peer, reason }).await;
        }
    }
}

async fn hold_in_place(
    service: &Rc<WebService>,
    acceptor: Option<TlsAcceptor>,
    stream: TcpStream,
    place: &WebPlace,
) {
    let peer = place.peer;
    let stream = QuickAckStream::new(stream);
    let Some(acceptor) = acceptor else { return serve_http(service, stream, place).await };
    let reason = match timeout(service.silence_max, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => return serve_http(service, stream, place).await,
        Ok(Err(error)) => {
            format!("TLS handshake failed, one of both certificates could not be verified: {error}")
        }
        Err(_) => "no handshake in time".to_owned(),
    };
    service.tell(ReceiverEvent::Rejected { peer, reason }).await;
}

async fn serve_http(service: &Rc<WebService>, stream: impl AsyncRead + AsyncWrite + Unpin, place: &WebPlace) {
    let peer = place.peer;
    let clock = Rc::new(ConnectionTimer::new(service.silence_max));
    let answer = |request| {
        let (service, clock) = (Rc::clone(service), Rc::clone(&clock));
        let activity = Arc::clone(place.activity());
        async move {
            clock.stop();
            activity.storing();
            let answer = service.answer(peer, request, &activity).await;
            clock.start();
            activity.stored();
            Ok::<_, Infallible>(answer.into_response())
        }
    };
    let mut connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_headers(HEADER_FIELDS_MAX)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    let mut stopping = service.stopping.clone();
    let mut is_stopping = false;
    let reason = loop {
        tokio::select! {
            ended = &mut connection => match ended {
                Err(error) if error.is_parse() => break error.to_string(),
                _ => return,
            },
            () = sleep_until(clock.look_again()) => match clock.is_over() {
                true if clock.has_run_once.get() => return,
                true => break "it asked for nothing in time".to_owned(),
                false => {}
            },
            _ = stopping.wait_for(|stopping| *stopping), if !is_stopping => {
                is_stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    if reason.contains(HTTP_2_MARK) {
        // The HTTP library does not answer it.
        let _ = timeout(ANSWER_TIME_MAX, answer_http_2(connection.into_parts().io.into_inner())).await;
    }
    service.tell(ReceiverEvent::Rejected { peer, reason }).await;
}

async fn answer_http_2(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    // It fits into the buffer of a connection on which nothing has been sent.
    poll_fn(|context| Pin::new(&mut stream).poll_write(context, HTTP_2_ANSWER)).await?;
    poll_fn(|context| Pin::new(&mut stream).poll_shutdown(context)).await?;
    // Closing a connection with unread bytes may take the answer away from the client.
    let mut bytes = [0; 4 << 10];
    loop {
        let mut buffer = ReadBuf::new(&mut bytes);
        poll_fn(|context| Pin::new(&mut stream).poll_read(context, &mut buffer)).await?;
        if buffer.filled().is_empty() {
            return Ok(());
        }
    }
}

/// The longest time for that.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// A part of the HTTP library's message about a client that begins with HTTP/2.
const HTTP_2_MARK: &str = "HTTP2";

const HTTP_2_ANSWER: &[u8] = b"HTTP/1.1 505 HTTP Version Not Supported\r\nConnection: close\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 38\r\n\r\nHTTP/1.1 is served here, not HTTP/2.0\n";

/// The time limit of a connection for everything but a body.
struct ConnectionTimer {
    time: Duration,
    /// `None` while a request is being answered.
    end: Cell<Option<Instant>>,
    has_run_once: Cell<bool>,
}

impl ConnectionTimer {
    fn new(time: Duration) -> ConnectionTimer {
        ConnectionTimer { time, end: Cell::new(Some(Instant::now() + time)), has_run_once: Cell::new(false) }
    }

    fn stop(&self) {
        self.end.set(None);
        self.has_run_once.set(true);
    }

    fn start(&self) {
        self.end.set(Some(Instant::now() + self.time));
    }

    fn look_again(&self) -> Instant {
        self.end.get().unwrap_or_else(|| Instant::now() + self.time)
    }

    fn is_over(&self) -> bool {
        self.end.get().is_some_and(|end| end <= Instant::now())
    }
}
