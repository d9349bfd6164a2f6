//! One HTTP request: checked, its body passed on to a thread that may wait for the disk, and answered.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::EXPECT;
use hyper::{Request, StatusCode};
use tokio::sync::{mpsc, oneshot, watch};

use crate::dicom::intake::event::ReceiverEvent;
use crate::dicom::serve::known_addresses::KnownAddresses;
use crate::dicom::serve::settings::ReceiveSettings;
use crate::dicom::serve::slots::SlotActivity;
use crate::dicom::wire::caller::KnownCaller;

use super::answer::HttpAnswer;
use super::body_intake::BodyChunk;
use super::job::WebJob;
use super::order::StoreOrder;
use super::pace::{BodyError, RejectedSenders, TimedBody};
use super::place::{WebPlace, WebPlaces};
use super::settings::WebSettings;

/// State shared by all connections.
pub struct WebService {
    pub callers: Vec<KnownCaller>,
    pub base_path: String,
    pub silence_max: Duration,
    pub jobs: SyncSender<WebJob>,
    /// The slots of requests whose bodies are being received, one for each worker.
    requests: WebPlaces,
    connections: WebPlaces,
    /// The senders that were sent away.
    pub rejected: Rc<RejectedSenders>,
    pub stopping: watch::Receiver<bool>,
    pub events: mpsc::Sender<ReceiverEvent>,
}

/// The most chunks of a body that wait for the disk; each is at most as large as the connection's buffer.
const CHUNKS_MAX: usize = 8;

/// The bytes of a refused body that are read and dropped: a connection that is closed with unread bytes is
/// reset, and the sender would not see the reason.
const UNWANTED_BYTES_MAX: usize = 8 << 20;

impl WebService {
    pub fn new(
        settings: &WebSettings,
        receive: &ReceiveSettings,
        known: &Arc<KnownAddresses>,
        jobs: SyncSender<WebJob>,
        stopping: watch::Receiver<bool>,
        events: mpsc::Sender<ReceiverEvent>,
    ) -> WebService {
        let places = |most| WebPlaces::new(most, receive.hold_time_max, known);
        WebService {
            callers: settings.callers.clone(),
            base_path: settings.base_path.clone(),
            silence_max: receive.idle_time_max,
            jobs,
            requests: places(settings.requests_max),
            connections: places(settings.connections_max),
            rejected: Rc::default(),
            stopping,
            events,
        }
    }

    /// Takes a slot for a connection.
    pub fn connection(&self, peer: SocketAddr) -> Option<WebPlace> {
        self.connections.enter(peer)
    }

    /// Answers a request on a connection with this activity.
    pub async fn answer(
        &self,
        peer: SocketAddr,
        request: Request<Incoming>,
        connection: &SlotActivity,
    ) -> HttpAnswer {
        let (head, body) = request.into_parts();
        let mut body = TimedBody::new(body, self.silence_max).in_place(&self.rejected);
        let order = StoreOrder::read(&head, &self.base_path, &self.callers, peer.ip());
        let answer = match order {
            Ok(order) => self.take_in(peer, order, &mut body).await,
            Err(answer) => {
                self.rejected(peer, &answer).await;
                answer
            }
        };
        // A client that waits for "100 Continue" has not sent the body.
        let is_waiting = head.headers.contains_key(EXPECT) && !body.is_asked_for();
        if !answer.status.is_success() && !is_waiting && !body.is_given_up() {
            // Reading a refused body does not count as activity.
            connection.waiting();
            read_unwanted(&mut body).await;
        }
        answer
    }

    pub async fn tell(&self, event: ReceiverEvent) {
        // An error means that the server has ended.
        let _ = self.events.send(event).await;
    }

    async fn rejected(&self, peer: SocketAddr, answer: &HttpAnswer) {
        let reason = format!("{}: {}", answer.status, answer.body.trim_end());
        self.tell(ReceiverEvent::Rejected { peer, reason }).await;
    }

    async fn take_in(&self, peer: SocketAddr, order: StoreOrder, body: &mut TimedBody) -> HttpAnswer {
        let busy = || {
            HttpAnswer::refusal(StatusCode::SERVICE_UNAVAILABLE, "too many requests at once, try again later")
        };
        let Some(place) = self.requests.enter(peer) else {
            let answer = busy();
            self.rejected.add();
            self.rejected(peer, &answer).await;
            return answer;
        };
        let (give, chunks) = mpsc::channel(CHUNKS_MAX);
        let (answer, answered) = oneshot::channel();
        if self.jobs.try_send(WebJob { peer, order, body: chunks, answer }).is_err() {
            return busy();
        }
        place.activity().negotiated();
        self.pass_on(body, give, &place).await;
        place.activity().storing();
        let gone = |_| HttpAnswer::refusal(StatusCode::INTERNAL_SERVER_ERROR, BodyError::Own.to_string());
        answered.await.unwrap_or_else(gone)
    }

    /// Passes the body on, to its end or until the job has ended.
    async fn pass_on(&self, body: &mut TimedBody, give: mpsc::Sender<BodyChunk>, place: &WebPlace) {
        let mut stopping = self.stopping.clone();
        loop {
            let chunk = tokio::select! {
                next = body.next() => match next {
                    Some(Ok(bytes)) => BodyChunk::Bytes(bytes),
                    Some(Err(broken)) => BodyChunk::Broken(broken),
                    None => BodyChunk::End,
                },
                _ = stopping.wait_for(|stopping| *stopping) => BodyChunk::Broken(BodyError::Stopping),
                () = place.lost() => {
                    body.give_up();
                    BodyChunk::Broken(BodyError::Evicted)
                }
            };
            if let BodyChunk::Bytes(bytes) = &chunk {
                place.activity().received(bytes.len());
            }
            // The time that the disk takes does not count as the peer's silence.
            place.activity().storing();
            let is_last = !matches!(chunk, BodyChunk::Bytes(_));
            if give.send(chunk).await.is_err() || is_last {
                return;
            }
            place.activity().waiting();
        }
    }
}

async fn read_unwanted(body: &mut TimedBody) {
    let mut read = 0;
    while read < UNWANTED_BYTES_MAX {
        match body.next().await {
            Some(Ok(bytes)) => read += bytes.len(),
            Some(Err(_)) | None => return,
        }
    }
}
