//! The thread that writes. What waits is committed together: one sync of the disk for all.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};

use super::{BrokenHook, DatabaseError, JournalError};

pub struct JournalWriter {
    /// Taken only when the writer is dropped.
    orders: Option<SyncSender<WriteOrder>>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
    when_broken: Arc<BrokenHook>,
}

type WriteFunction = Box<dyn FnOnce(&Connection) -> Result<(), DatabaseError> + Send>;

struct WriteOrder {
    work: WriteFunction,
    /// The caller that waits for the commit.
    waiting: Option<SyncSender<Result<(), JournalError>>>,
}

/// The most orders that wait for the writer thread; a caller with one more is blocked until there is room.
const ORDERS_MAX: usize = 4096;

/// The most orders in one commit.
const BATCH_MAX: usize = 1024;

/// The least time between two commits while no caller waits.
const COMMITS_APART: Duration = Duration::from_millis(50);

impl JournalWriter {
    pub fn start(connection: Connection, path: PathBuf) -> Result<JournalWriter, JournalError> {
        let (orders, incoming) = sync_channel(ORDERS_MAX);
        let when_broken = Arc::<BrokenHook>::default();
        let thread_state =
            WriterThread { connection, path: path.clone(), incoming, when_broken: Arc::clone(&when_broken) };
        let spawned =
            std::thread::Builder::new().name("flow:journal".to_owned()).spawn(|| thread_state.serve());
        let thread = spawned.map_err(|error| DatabaseError::Failed(error.to_string()).at(&path))?;
        Ok(JournalWriter { orders: Some(orders), thread: Some(thread), path, when_broken })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn when_broken(&self, then: Box<dyn Fn(&JournalError) + Send + Sync>) {
        // The first one stays.
        let _ = self.when_broken.set(then);
    }

    /// Has `work` done, and waits until it is on the disk.
    pub fn commit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let slot = Arc::new(OnceLock::new());
        let result = Arc::clone(&slot);
        let (waiting, committed) = sync_channel(1);
        let work = Box::new(move |connection: &Connection| {
            let done = work(connection)?;
            // It is ours alone until the commit is told.
            let _ = result.set(std::sync::Mutex::new(Some(done)));
            Ok(())
        });
        self.order(WriteOrder { work, waiting: Some(waiting) })?;
        committed.recv().unwrap_or_else(|_| Err(self.ended()))?;
        let done = slot.get().and_then(|slot| slot.lock().ok()?.take());
        done.ok_or_else(|| self.ended())
    }

    /// Has `work` done soon.
    pub fn note(&self, work: impl FnOnce(&Connection) -> Result<(), DatabaseError> + Send + 'static) {
        // A journal that can no longer be written has told so.
        let _ = self.order(WriteOrder { work: Box::new(work), waiting: None });
    }

    /// Has `work` done at once, and does not wait for it.
    pub fn expedite(&self, work: impl FnOnce(&Connection) -> Result<(), DatabaseError> + Send + 'static) {
        // Nobody is at the other end, but it is committed as if somebody were.
        let (waiting, _) = sync_channel(1);
        let _ = self.order(WriteOrder { work: Box::new(work), waiting: Some(waiting) });
    }

    fn order(&self, order: WriteOrder) -> Result<(), JournalError> {
        let sent = self.orders.as_ref().map(|orders| orders.send(order));
        sent.and_then(Result::ok).ok_or_else(|| self.ended())
    }

    fn ended(&self) -> JournalError {
        DatabaseError::Failed("its writer has ended".to_owned()).at(&self.path)
    }
}

impl Drop for JournalWriter {
    fn drop(&mut self) {
        self.orders = None;
        // What waits is committed before the thread ends.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct WriterThread {
    connection: Connection,
    path: PathBuf,
    incoming: Receiver<WriteOrder>,
    when_broken: Arc<BrokenHook>,
}

impl WriterThread {
    fn serve(mut self) {
        let mut broken: Option<JournalError> = None;
        let mut next = Instant::now();
        while let Some(batch) = self.batch(next) {
            let (work, waiting): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|order| (order.work, order.waiting)).unzip();
            let result = match &broken {
                Some(error) => Err(error.clone()),
                None => self.commit(work).map_err(|trouble| trouble.at(&self.path)),
            };
            if let Err(error @ (JournalError::Failed { .. } | JournalError::Damaged { .. })) = &result
                && broken.is_none()
            {
                broken = Some(error.clone());
                self.when_broken.get().iter().for_each(|then| then(error));
            }
            // Who has stopped waiting does not want to know.
            waiting.into_iter().flatten().for_each(|waiting| _ = waiting.send(result.clone()));
            next = Instant::now() + COMMITS_APART;
        }
    }

    /// Orders of the next commit; `None` when no more orders come.
    fn batch(&self, not_before: Instant) -> Option<Vec<WriteOrder>> {
        let mut batch = vec![self.incoming.recv().ok()?];
        batch.extend(self.incoming.try_iter().take(BATCH_MAX - 1));
        while batch.len() < BATCH_MAX && batch.iter().all(|order| order.waiting.is_none()) {
            let wait = not_before.saturating_duration_since(Instant::now());
            match self.incoming.recv_timeout(wait) {
                Ok(order) => {
                    batch.push(order);
                    batch.extend(self.incoming.try_iter().take(BATCH_MAX - batch.len()));
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        Some(batch)
    }

    fn commit(&mut self, work: Vec<WriteFunction>) -> Result<(), DatabaseError> {
        // At once for writing: an operator's command may write beside us.
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for one in work {
            // A panic must not leave those who wait without an answer.
            let done = catch_unwind(AssertUnwindSafe(|| one(&transaction)));
            done.unwrap_or_else(|_| Err(DatabaseError::Failed("writing a record panicked".to_owned())))?;
        }
        Ok(transaction.commit()?)
    }
}
