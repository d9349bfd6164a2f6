//! The work on messages that are not recorded: on threads that may wait, and on so few that those who read the log for
//! devices always have a thread.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use super::device::Device;

/// The bound on that work.
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
            Ok(place) => run(place, device),
            Err(_) => {
                let places = Arc::clone(&self.0);
                tokio::spawn(async move {
                    // The semaphore is never closed.
                    if let Ok(place) = places.acquire_owned().await {
                        run(place, device);
                    }
                });
            }
        }
    }
}

fn run(place: OwnedSemaphorePermit, device: Arc<Device>) {
    spawn_blocking(move || {
        device.unrecorded.run();
        drop(place);
    });
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::mpsc::channel;

    use tokio::runtime::Builder;

    use super::super::token::{ChatMember, MemberConversations};
    use super::*;

    #[test]
    fn slow_messages_leave_a_thread_to_those_who_read() {
        let member = ChatMember {
            user: "ann".into(),
            role: "patient".into(),
            conversations: MemberConversations::All,
            expires_s: 0,
        };
        let threads = UnrecordedWork::AT_A_TIME + 1;
        let runtime = Builder::new_current_thread().max_blocking_threads(threads).build().unwrap();
        let (work, (begun, has_begun)) = (UnrecordedWork::default(), channel());
        let (mut ends, count) = (Vec::new(), 2 * UnrecordedWork::AT_A_TIME);
        runtime.block_on(async {
            for _ in 0..count {
                let device = Arc::new(Device::new(member.clone(), &HashMap::new()));
                let ((end, ended), begun) = (channel::<()>(), begun.clone());
                ends.push(end);
                let slow = move || {
                    begun.send(()).unwrap();
                    let _ = ended.recv();
                };
                assert!(device.unrecorded.push(Box::new(slow)));
                work.run(device);
            }
            for _ in 0..UnrecordedWork::AT_A_TIME {
                has_begun.recv().unwrap();
            }
            assert_eq!(spawn_blocking(|| "read").await.unwrap(), "read");
            assert!(has_begun.try_recv().is_err(), "the others wait");
            ends.clear();
            for _ in UnrecordedWork::AT_A_TIME..count {
                while has_begun.try_recv().is_err() {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
}
