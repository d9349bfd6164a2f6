//! The end of receiving, asked for from any thread.

use std::net::{SocketAddr, TcpStream};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// Ends [`crate::dicom::serve`], from any thread.
#[derive(Debug, Default)]
pub struct StopHandle {
    stopping: Mutex<StopState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct StopState {
    requested: bool,
    /// Where listeners wait for a connection.
    listeners: Vec<SocketAddr>,
}

impl StopHandle {
    pub fn request(&self) {
        let waiting = {
            let mut stopping = self.lock();
            stopping.requested = true;
            self.changed.notify_all();
            std::mem::take(&mut stopping.listeners)
        };
        for address in waiting {
            // Any connection wakes a listener; if there is none to be had, it is awake.
            let _ = TcpStream::connect_timeout(&address, Duration::from_secs(1));
        }
    }

    /// Waits so long, or until the stop. Gives whether it is requested.
    pub fn wait(&self, time: Duration) -> bool {
        let stopping = self.lock();
        let waited = self.changed.wait_timeout_while(stopping, time, |stopping| !stopping.requested);
        waited.expect("nothing panics while it holds this").0.requested
    }

    pub(in crate::dicom) fn until_requested(&self) {
        let stopping = self.lock();
        let waited = self.changed.wait_while(stopping, |stopping| !stopping.requested);
        drop(waited.expect("nothing panics while it holds this"));
    }

    pub(in crate::dicom) fn watch(&self, listener: SocketAddr) {
        self.lock().listeners.push(listener);
    }

    pub(in crate::dicom) fn is_requested(&self) -> bool {
        self.lock().requested
    }

    fn lock(&self) -> MutexGuard<'_, StopState> {
        self.stopping.lock().expect("nothing panics while it holds this")
    }
}
