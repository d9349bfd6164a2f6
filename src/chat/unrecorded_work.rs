//! The work on messages that are not recorded: on threads that may wait, and on so few that those who read the log for
//! devices always have a thread.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use super::device::Device;

/// The bound on that work.
#[derive(Clone)]
pub struct UnrecordedWork(Arc<Semaphore>);

impl Default for UnrecordedWork {
    fn default() -> UnrecordedWork {
        UnrecordedWork(Arc::new(Semaphore::new(UnrecordedWork::AT_A_TIME)))
    }
}

impl UnrecordedWork {
    /// The most devices whose messages are worked on at a time; those of one device are worked on one after the other.
    pub const AT_A_TIME: usize = 8;

    /// Has the messages worked on that wait in the queue of a device. This has to be called within the runtime.
    pub fn run(&self, device: Arc<Device>) {
        match Arc::clone(&self.0).try_acquire_owned() {
            Ok(place) => self.clone().run_at(place, device),
            Err(_) => {
                let work = self.clone();
                tokio::spawn(async move {
                    // The semaphore is never closed.
                    if let Ok(place) = Arc::clone(&work.0).acquire_owned().await {
                        work.run_at(place, device);
                    }
                });
            }
        }
    }

    /// A device that sends faster than its messages are done gives its place to those that wait, and waits behind them.
    fn run_at(self, place: OwnedSemaphorePermit, device: Arc<Device>) {
        spawn_blocking(move || {
            let is_done = device.unrecorded.run_for(TURN_TIME);
            drop(place);
            if !is_done {
                self.run(device);
            }
        });
    }
}

/// The time after which a device that has further messages gives up its place.
const TURN_TIME: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::{Receiver, channel};

    use tokio::runtime::Builder;
    use tokio::time::timeout;

    use super::super::token::{ChatMember, MemberConversations};
    use super::super::turn_queue::TurnJob;
    use super::*;

    fn device() -> Arc<Device> {
        let member = ChatMember {
            user: "ann".into(),
            role: "patient".into(),
            conversations: MemberConversations::All,
            expires_s: 0,
        };
        Arc::new(Device::new(member, &HashMap::new()))
    }

    /// A message takes no longer than this before a test has failed.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn slow_messages_leave_a_thread_to_those_who_read() {
        let threads = UnrecordedWork::AT_A_TIME + 1;
        let runtime =
            Builder::new_current_thread().max_blocking_threads(threads).enable_time().build().unwrap();
        let (work, (begun, has_begun)) = (UnrecordedWork::default(), channel());
        let (mut ends, count) = (Vec::new(), 2 * UnrecordedWork::AT_A_TIME);
        runtime.block_on(async {
            for _ in 0..count {
                let ((end, ended), begun, device) = (channel::<()>(), begun.clone(), device());
                ends.push(end);
                let slow = move || {
                    begun.send(()).unwrap();
                    let _ = ended.recv();
                };
                assert!(device.unrecorded.push(Box::new(slow)));
                work.run(device);
            }
            for _ in 0..UnrecordedWork::AT_A_TIME {
                has_begun.recv_timeout(PATIENCE).unwrap();
            }
            let read = timeout(PATIENCE, spawn_blocking(|| "read")).await;
            assert_eq!(read.expect("there is a thread").unwrap(), "read");
            assert!(has_begun.try_recv().is_err(), "the others wait");
            ends.clear();
            for _ in UnrecordedWork::AT_A_TIME..count {
                until_received(&has_begun).await;
            }
        });
    }

    #[test]
    fn devices_that_send_without_end_leave_places_to_others() {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let (work, stop) = (UnrecordedWork::default(), Arc::new(AtomicBool::new(false)));
        let (begun, has_begun) = channel();
        runtime.block_on(async {
            for _ in 0..UnrecordedWork::AT_A_TIME {
                let device = device();
                assert!(device.unrecorded.push(endless(Arc::clone(&device), Arc::clone(&stop))));
                work.run(device);
            }
            let other = device();
            assert!(other.unrecorded.push(Box::new(move || begun.send(()).unwrap())));
            work.run(other);
            until_received(&has_begun).await;
            stop.store(true, Ordering::Relaxed);
        });
    }

    /// Work after which there is always more.
    fn endless(device: Arc<Device>, stop: Arc<AtomicBool>) -> TurnJob {
        Box::new(move || {
            std::thread::sleep(TURN_TIME);
            if !stop.load(Ordering::Relaxed) {
                device.unrecorded.push(endless(Arc::clone(&device), stop));
            }
        })
    }

    async fn until_received(messages: &Receiver<()>) {
        let received = async {
            while messages.try_recv().is_err() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, received).await.expect("it comes");
    }
}
