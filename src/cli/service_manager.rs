//! Messages to a service manager: that flow is ready, that it is alive, and that it is ending.
//!
//! The protocol is that of `sd_notify(3)`: lines in one datagram to the socket that `NOTIFY_SOCKET` names. Without it
//! nothing is told. With `WATCHDOG_USEC` flow says in time that it is alive: each time only after the thread that
//! writes the journal has answered, as a flow whose journal hangs should be started anew.

use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::admission::Service;
use crate::journal::Journal;
use crate::printable::counted;

/// Where nobody waits for a sign of life, the state is told so often.
const STATUS_TIME: Duration = Duration::from_secs(30);

/// A service manager that is told of this process until this is dropped.
pub struct ServiceManager {
    end: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl ServiceManager {
    /// Tells that flow is ready, if a service manager started it and wants to know. A service manager that cannot be
    /// told is named in the log.
    pub fn tell_ready(service: &Service) -> Option<ServiceManager> {
        let told = NoticeSocket::open().transpose()?.and_then(|socket| {
            socket.send("READY=1\nSTATUS=ready")?;
            ServiceManager::start(service, socket)
        });
        told.map_err(|error| tracing::warn!(%error, "the service manager cannot be told")).ok()
    }

    fn start(service: &Service, socket: NoticeSocket) -> io::Result<ServiceManager> {
        let socket = Arc::new(socket);
        let at_end = Arc::clone(&socket);
        service.stop.when_requested(move || {
            at_end.send_or_warn("STOPPING=1\nSTATUS=ending: what was received is still answered");
        });
        let end = Arc::<(Mutex<bool>, Condvar)>::default();
        let (ended, journal) = (Arc::clone(&end), Arc::clone(&service.journal));
        let time = watchdog_time().map_or(STATUS_TIME, |time| time / 2);
        let thread = std::thread::Builder::new().name("flow:watchdog".to_owned());
        let thread = thread.spawn(move || live(&socket, &journal, time, &ended))?;
        Ok(ServiceManager { end, thread: Some(thread) })
    }
}

impl Drop for ServiceManager {
    fn drop(&mut self) {
        let (ended, changed) = &*self.end;
        *ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Gives signs of life until the end.
fn live(socket: &NoticeSocket, journal: &Journal, time: Duration, (ended, changed): &(Mutex<bool>, Condvar)) {
    loop {
        let guard = ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(guard, time, |ended| !*ended);
        if *waited.unwrap_or_else(PoisonError::into_inner).0 {
            return;
        }
        // A broken journal ends the process.
        if let Ok(open) = journal.open_requests() {
            let open = counted(open.len(), "unanswered request");
            socket.send_or_warn(&format!("WATCHDOG=1\nSTATUS={open}"));
        }
    }
}

/// The time within which signs of life are expected of this process.
fn watchdog_time() -> Option<Duration> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let is_ours = number("WATCHDOG_PID").is_none_or(|process| process == u64::from(std::process::id()));
    number("WATCHDOG_USEC").filter(|time| is_ours && *time > 0).map(Duration::from_micros)
}

/// The socket of a service manager.
struct NoticeSocket {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl NoticeSocket {
    /// `None` if this process was not started by a service manager that wants to be told.
    fn open() -> io::Result<Option<NoticeSocket>> {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(None) };
        let name = name.to_string_lossy();
        let address = match name.strip_prefix('@') {
            Some(name) => abstract_address(name)?,
            None => SocketAddr::from_pathname(&*name)?,
        };
        Ok(Some(NoticeSocket { socket: UnixDatagram::unbound()?, address }))
    }

    fn send(&self, lines: &str) -> io::Result<()> {
        self.socket.send_to_addr(lines.as_bytes(), &self.address).map(drop)
    }

    fn send_or_warn(&self, lines: &str) {
        if let Err(error) = self.send(lines) {
            tracing::warn!(%error, "the service manager cannot be told");
        }
    }
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &str) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_name: &str) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}
