//! The thread that sends messages. Recording a message never blocks.
//!
//! Every message is written to the spool before it is sent and marked as sent afterwards: a crash loses
//! no message, and may send one twice. When the spool or the queue is full, messages are dropped and
//! counted; the receiver gets a message with their number once it is reachable again.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use super::message::{AuditMessage, AuditSource, EventOutcome, SecurityAlert};
use super::spool::AuditSpool;
use super::syslog::syslog;
use super::transport::{AuditTransport, OpenTransport};
use crate::printable::counted;

/// Limits and intervals for messages that cannot be sent at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrailSettings {
    /// The spool file; no two trails may share one.
    pub spool: PathBuf,
    /// Limit of the size of all unsent messages, in bytes.
    pub spool_bytes_max: u64,
    /// Limit of the number of messages in the queue of the thread.
    pub queue_max: usize,
    /// The time from a failure to the next attempt.
    pub retry_after: Duration,
}

impl TrailSettings {
    pub fn new(spool: impl Into<PathBuf>) -> TrailSettings {
        TrailSettings {
            spool: spool.into(),
            spool_bytes_max: 64 << 20,
            queue_max: 4096,
            retry_after: Duration::from_secs(5),
        }
    }
}

/// The handle to the sending thread. Dropping it sends the remaining messages for at most 5 s; the rest
/// stays in the spool.
pub struct AuditTrail {
    queue: Option<SyncSender<(AuditMessage, SystemTime)>>,
    /// Number of messages dropped because the queue was full.
    dropped: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl AuditTrail {
    /// # Errors
    /// The spool cannot be opened, or the thread cannot be started. An unreachable receiver is no error.
    pub fn start(
        source: AuditSource,
        transport: AuditTransport,
        settings: &TrailSettings,
    ) -> io::Result<AuditTrail> {
        let spool = AuditSpool::open(&settings.spool, settings.spool_bytes_max)?;
        let (queue, messages) = mpsc::sync_channel(settings.queue_max);
        let dropped = Arc::new(AtomicU64::new(0));
        let sender = TrailSender {
            source,
            transport,
            spool,
            dropped: Arc::clone(&dropped),
            lost: 0,
            last_at: SystemTime::UNIX_EPOCH,
            open: None,
            away_until: None,
            told_away: None,
            retry_after: settings.retry_after,
        };
        let thread = thread::Builder::new().name("audit".to_owned());
        let thread = thread.spawn(move || sender.run(&messages))?;
        Ok(AuditTrail { queue: Some(queue), dropped, thread: Some(thread) })
    }

    /// Queues a message about an event at the given time.
    pub fn record(&self, message: AuditMessage, at: SystemTime) {
        let taken = self.queue.as_ref().is_some_and(|queue| queue.try_send((message, at)).is_ok());
        if !taken {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for AuditTrail {
    fn drop(&mut self) {
        // The thread ends when the sender of its queue is dropped.
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that sends audit messages has panicked");
        }
    }
}

/// Number of spooled messages that are sent before the queue is read again.
const AT_ONCE_MAX: usize = 256;

/// Limit of the time for sending the spool at the end: the spool is kept, so the user need not wait.
const END_TIME_MAX: Duration = Duration::from_secs(5);

struct TrailSender {
    source: AuditSource,
    transport: AuditTransport,
    spool: AuditSpool,
    dropped: Arc<AtomicU64>,
    /// Number of lost messages that have not been reported to the receiver yet.
    lost: u64,
    /// The time of the last message.
    last_at: SystemTime,
    open: Option<OpenTransport>,
    /// The time of the next attempt, while the receiver is unreachable.
    away_until: Option<Instant>,
    /// The time at which the log last said that the receiver is unreachable, until it is reachable again.
    told_away: Option<Instant>,
    retry_after: Duration,
}

/// The time after which the log says once more that the receiver is unreachable.
const TOLD_AGAIN: Duration = Duration::from_secs(60 * 60);

impl TrailSender {
    fn run(mut self, messages: &Receiver<(AuditMessage, SystemTime)>) {
        loop {
            self.deliver();
            match self.next(messages) {
                Ok((message, at)) => self.take(&message, at),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.finish();
    }

    /// The next message from the queue; a timeout if spooled messages are due first.
    fn next(
        &self,
        messages: &Receiver<(AuditMessage, SystemTime)>,
    ) -> Result<(AuditMessage, SystemTime), RecvTimeoutError> {
        match self.away_until {
            Some(then) => messages.recv_timeout(then.saturating_duration_since(Instant::now())),
            None if !self.spool.is_empty() => messages.recv_timeout(Duration::ZERO),
            None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn take(&mut self, message: &AuditMessage, at: SystemTime) {
        self.last_at = at;
        let text = syslog(&self.source, message, at);
        if !self.transport.takes(&text) {
            return self.lose("a message is too long for UDP");
        }
        if !self.spool.has_room_for(&text) {
            return self.lose("the spool is full");
        }
        if let Err(error) = self.spool.append(&text) {
            let sent = self.spool.is_empty() && self.send(&text);
            if !sent {
                self.lose(&format!("the spool cannot be written: {error}"));
            }
        }
    }

    /// Sends unsent messages, oldest first, until a send fails or `AT_ONCE_MAX` messages are sent.
    fn deliver(&mut self) {
        let now = Instant::now();
        if self.away_until.is_some_and(|then| now < then) {
            return;
        }
        for _ in 0..AT_ONCE_MAX {
            match self.spool.first() {
                Ok(Some(text)) if self.send(&text) => self.forget_first(),
                Ok(Some(_)) => return,
                Ok(None) if self.tell_of_lost() => {}
                Ok(None) => return,
                Err(error) => {
                    self.lose(&format!("the spool cannot be read: {error}"));
                    self.forget_first();
                }
            }
        }
    }

    fn forget_first(&mut self) {
        if let Err(error) = self.spool.remove_first() {
            tracing::warn!(%error, "could not mark an audit message in the spool as sent");
        }
    }

    /// Sends one message and returns whether that succeeded. After a failure, the receiver counts as
    /// unreachable until `away_until`.
    fn send(&mut self, text: &str) -> bool {
        let sent = self.try_send(text);
        match sent {
            Ok(()) => {
                self.away_until = None;
                // A datagram is sent whether anybody receives it or not; only a refusal of the one before tells.
                if self.transport.is_connected() && self.told_away.take().is_some() {
                    tracing::info!("the receiver of audit messages is reachable again");
                }
                true
            }
            Err(error) => {
                self.open = None;
                let now = Instant::now();
                self.away_until = Some(now + self.retry_after);
                if self.told_away.is_none_or(|told| now - told >= TOLD_AGAIN) {
                    self.told_away = Some(now);
                    tracing::warn!(%error, "the receiver of audit messages is unreachable: messages are kept in the spool");
                }
                false
            }
        }
    }

    fn try_send(&mut self, text: &str) -> io::Result<()> {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.transport.open()?,
        };
        self.open.insert(open).send(text)
    }

    fn lose(&mut self, why: &str) {
        if self.lost == 0 {
            tracing::warn!("audit messages are lost: {why}");
        }
        self.lost += 1;
    }

    /// Writes a message about lost messages to the spool; returns whether it did.
    fn tell_of_lost(&mut self) -> bool {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!("audit messages are lost: the queue was full");
        }
        self.lost += dropped;
        let lost = self.lost;
        if lost == 0 {
            return false;
        }
        let message = AuditMessage::Alert {
            alert: SecurityAlert::RecordingStopped,
            about: None,
            description: format!("{} lost before this one", counted_messages(lost)),
            outcome: EventOutcome::Serious("there was no room to keep them".to_owned()),
        };
        let told = self.spool.append(&syslog(&self.source, &message, self.last_at)).is_ok();
        if told {
            tracing::warn!("{} lost", counted_messages(lost));
            self.lost = 0;
        }
        told
    }

    /// Unsent messages are sent after the next start.
    fn finish(&mut self) {
        self.tell_of_lost();
        let until = Instant::now() + END_TIME_MAX;
        while !self.spool.is_empty() && self.away_until.is_none() && Instant::now() < until {
            self.deliver();
        }
        if !self.spool.is_empty() {
            tracing::warn!("unsent audit messages remain in the spool until the next start");
        }
    }
}
fn counted_messages(count: u64) -> String {
    let verb = if count == 1 { "was" } else { "were" };
    format!("{} {verb}", counted(count, "audit message"))
}
