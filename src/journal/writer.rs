//! The writer thread. All waiting orders are committed together, with one sync of the disk. Orders that are to outlive
//! the process, and need not outlive the machine, are committed without one: the next commit, or the end of the time
//! between two, syncs them too.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::cut::CommitObserver;
use super::error::{DatabaseError, JournalError};
use super::immediate_transaction::ImmediateTransaction;
use super::log::PreparedEntry;
use super::transaction::{LogTransaction, RowCache};

pub struct JournalWriter {
    /// Taken only when the writer is dropped.
    orders: Option<SyncSender<WriteOrder>>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
    when_broken: Arc<BrokenHook>,
    observer: Arc<OnceLock<CommitObserver>>,
}

type BrokenHook = OnceLock<Box<dyn Fn(&JournalError) + Send + Sync>>;

/// A function that writes within a transaction.
pub type WriteFunction = Box<dyn FnOnce(&mut LogTransaction) -> Result<(), DatabaseError> + Send>;

/// A callback on the writer thread after a commit has ended. It must not wait for that thread.
pub type CommitCallback = Box<dyn FnOnce(Result<(), JournalError>) + Send>;

struct WriteOrder {
    work: WriteWork,
    urgency: WriteUrgency,
}

enum WriteWork {
    /// An entry to be added to a request's log.
    Entry(i64, PreparedEntry),
    /// A function; `None` once it has been called.
    Function(Option<WriteFunction>),
}

/// The time by which an order is committed, and its treatment on a full disk.
pub enum WriteUrgency {
    /// Together with others, within about 50 ms. On a full disk the order is lost.
    Soon,
    /// Together with others, within about 50 ms; on a full disk, as soon as there is room.
    Eventually,
    /// At the next commit, which does not wait for the disk: the order outlives this process at once, and the machine
    /// within about 50 ms. On a full disk it is lost.
    Now,
    /// At the next commit; on a full disk, as soon as there is room.
    Surely,
    /// At the next commit; the callback gets the result.
    Told(CommitCallback),
}

/// The most orders that wait for the writer thread; a caller with one more is blocked until there is room.
const ORDERS_MAX: usize = 4096;

/// The most orders in one commit.
const BATCH_MAX: usize = 1024;

/// The least time between two commits while no order is to be committed at once.
const COMMITS_APART: Duration = Duration::from_millis(50);

/// The time between two tries on a full disk.
const FULL_WAIT: Duration = Duration::from_secs(1);

impl JournalWriter {
    pub fn start(connection: Connection, path: PathBuf) -> Result<JournalWriter, JournalError> {
        let (orders, incoming) = sync_channel(ORDERS_MAX);
        let when_broken = Arc::<BrokenHook>::default();
        let observer = Arc::<OnceLock<CommitObserver>>::default();
        let thread_state = WriterThread {
            connection,
            cache: RowCache::default(),
            path: path.clone(),
            incoming,
            kept: Vec::new(),
            unsynced: None,
            syncs: true,
            broken: None,
            told: false,
            when_broken: Arc::clone(&when_broken),
            observer: Arc::clone(&observer),
        };
        let spawned =
            std::thread::Builder::new().name("flow:journal".to_owned()).spawn(|| thread_state.serve());
        let thread = spawned.map_err(|error| DatabaseError::Failed(error.to_string()).at(&path))?;
        Ok(JournalWriter { orders: Some(orders), thread: Some(thread), path, when_broken, observer })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn when_broken(&self, then: Box<dyn Fn(&JournalError) + Send + Sync>) {
        // Only the first callback is kept.
        let _ = self.when_broken.set(then);
    }

    /// Has an observer told of each commit from now on; only the first observer is kept.
    pub fn observe(&self, observer: CommitObserver) {
        let _ = self.observer.set(observer);
    }

    /// Calls `work` in a transaction, and waits until it is committed.
    pub fn commit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut LogTransaction) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let (give, given) = sync_channel(1);
        let work = Box::new(move |transaction: &mut LogTransaction| {
            // The result is sent now, and received by the caller only after the commit.
            work(transaction).map(|done| _ = give.send(done))
        });
        self.wait(WriteWork::Function(Some(work)))?;
        given.recv().map_err(|_| self.ended())
    }

    /// Calls `work` in the next transaction, and then `then` with the result of the commit; does not wait.
    pub fn begin(&self, work: WriteFunction, then: impl FnOnce(Result<(), JournalError>) + Send + 'static) {
        let (work, urgency) = (WriteWork::Function(Some(work)), WriteUrgency::Told(Box::new(then)));
        if let Err(WriteUrgency::Told(then)) = self.order(WriteOrder { work, urgency }) {
            then(Err(self.ended()));
        }
    }

    /// Adds an entry to a request's log, and waits until it is on the disk.
    pub fn append(&self, request: i64, entry: PreparedEntry) -> Result<(), JournalError> {
        self.wait(WriteWork::Entry(request, entry))
    }

    /// Adds an entry to a request's log, and does not wait.
    pub fn note(&self, request: i64, entry: PreparedEntry, urgency: WriteUrgency) {
        let order = WriteOrder { work: WriteWork::Entry(request, entry), urgency };
        if let Err(WriteUrgency::Told(then)) = self.order(order) {
            then(Err(self.ended()));
        }
    }

    /// A function that breaks the journal from another thread: nothing more is written to it.
    pub fn breaker(&self) -> impl FnOnce(DatabaseError) + Send + use<> {
        let orders = self.orders.clone();
        move |error| {
            let function: WriteFunction = Box::new(|_| Err(error));
            let work = WriteWork::Function(Some(function));
            // A failure means that the writer has ended.
            if let Some(orders) = orders {
                let _ = orders.send(WriteOrder { work, urgency: WriteUrgency::Now });
            }
        }
    }

    fn wait(&self, work: WriteWork) -> Result<(), JournalError> {
        let (tell, told) = sync_channel(1);
        // The caller may have stopped waiting.
        let urgency = WriteUrgency::Told(Box::new(move |result| _ = tell.send(result)));
        let _ = self.order(WriteOrder { work, urgency });
        told.recv().unwrap_or_else(|_| Err(self.ended()))
    }

    /// Sends an order to the writer thread. Gives its urgency back if the thread has ended.
    fn order(&self, order: WriteOrder) -> Result<(), WriteUrgency> {
        match &self.orders {
            Some(orders) => orders.send(order).map_err(|refused| refused.0.urgency),
            None => Err(order.urgency),
        }
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
    cache: RowCache,
    path: PathBuf,
    incoming: Receiver<WriteOrder>,
    /// Orders that wait until the disk has room.
    kept: Vec<WriteOrder>,
    /// The time of the first commit that is not synced to the disk yet.
    unsynced: Option<Instant>,
    /// Whether commits of the connection sync the disk.
    syncs: bool,
    broken: Option<JournalError>,
    /// Whether the callback for a broken journal was called.
    told: bool,
    when_broken: Arc<BrokenHook>,
    observer: Arc<OnceLock<CommitObserver>>,
}

/// Calls a callback. A panic there must not end the writer thread.
fn guarded(call: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(call)).is_err() {
        tracing::error!("a callback after a commit panicked");
    }
}

impl WriterThread {
    fn serve(mut self) {
        let mut next = Instant::now();
        while let Some(batch) = self.batch(next) {
            self.carry_out(batch);
            next = Instant::now() + COMMITS_APART;
        }
        self.sync();
    }

    fn carry_out(&mut self, mut batch: Vec<WriteOrder>) {
        let result = match &self.broken {
            Some(error) => Err(error.clone()),
            None => self.commit(&mut batch).map_err(|error| error.at(&self.path)),
        };
        self.note_broken(result.as_ref().err());
        let is_full = matches!(result, Err(JournalError::Full));
        for WriteOrder { work, urgency } in batch {
            match urgency {
                WriteUrgency::Told(then) => guarded(|| then(result.clone())),
                WriteUrgency::Surely | WriteUrgency::Eventually if is_full => {
                    self.kept.push(WriteOrder { work, urgency })
                }
                WriteUrgency::Soon | WriteUrgency::Eventually | WriteUrgency::Now | WriteUrgency::Surely => {}
            }
        }
    }

    /// Remembers an error after which nothing more is written, and tells of it once.
    fn note_broken(&mut self, error: Option<&JournalError>) {
        if let Some(error @ (JournalError::Failed { .. } | JournalError::Damaged { .. })) = error
            && self.broken.is_none()
        {
            self.broken = Some(error.clone());
        }
        // The callback may be set only after the journal broke.
        if let (Some(error), Some(then), false) = (&self.broken, self.when_broken.get(), self.told) {
            self.told = true;
            guarded(|| then(error));
        }
    }

    /// Orders of the next commit; `None` when no more orders come.
    fn batch(&mut self, not_before: Instant) -> Option<Vec<WriteOrder>> {
        let mut batch = std::mem::take(&mut self.kept);
        match batch.is_empty() {
            true => batch.push(self.first()?),
            false => batch.extend(self.room()),
        }
        batch.extend(self.incoming.try_iter().take(BATCH_MAX));
        let may_wait =
            |order: &WriteOrder| matches!(order.urgency, WriteUrgency::Soon | WriteUrgency::Eventually);
        while batch.len() < BATCH_MAX && batch.iter().all(may_wait) {
            let wait = not_before.saturating_duration_since(Instant::now());
            match self.incoming.recv_timeout(wait) {
                Ok(order) => {
                    batch.push(order);
                    batch.extend(self.incoming.try_iter().take(BATCH_MAX));
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        Some(batch)
    }

    /// The next order. What is not synced to the disk is when none comes for a while.
    fn first(&mut self) -> Option<WriteOrder> {
        if let Some(since) = self.unsynced {
            match self.incoming.recv_timeout(COMMITS_APART.saturating_sub(since.elapsed())) {
                Ok(order) => return Some(order),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => self.sync(),
            }
        }
        self.incoming.recv().ok()
    }

    /// Syncs the commits that are not synced to the disk yet. SQLite does so only with a further one.
    fn sync(&mut self) {
        if self.unsynced.take().is_none() || self.broken.is_some() {
            return;
        }
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        if let Err(error) = File::open(&log).and_then(|log| log.sync_data()) {
            self.note_broken(Some(&DatabaseError::Failed(error.to_string()).at(&self.path)));
        }
    }

    /// Waits before the next try on a full disk, or until another order comes.
    fn room(&self) -> Option<WriteOrder> {
        match self.incoming.recv_timeout(FULL_WAIT) {
            Ok(order) => Some(order),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                tracing::warn!(journal = %self.path.display(), "flow ends once the disk has room for its last records");
                std::thread::sleep(FULL_WAIT);
                None
            }
        }
    }

    fn commit(&mut self, batch: &mut [WriteOrder]) -> Result<(), DatabaseError> {
        let may_wait = batch.iter().all(|order| matches!(order.urgency, WriteUrgency::Now));
        let syncs = !may_wait || self.unsynced.is_some_and(|since| since.elapsed() >= COMMITS_APART);
        if syncs != self.syncs {
            self.connection.pragma_update(None, "synchronous", if syncs { "FULL" } else { "NORMAL" })?;
            self.syncs = syncs;
        }
        let done = self.write(batch);
        match syncs {
            true if done.is_ok() => self.unsynced = None,
            true => {}
            false => _ = self.unsynced.get_or_insert_with(Instant::now),
        }
        match &done {
            Ok(()) => self.cache.trim(),
            Err(_) => self.cache.clear(),
        }
        done
    }

    fn write(&mut self, batch: &mut [WriteOrder]) -> Result<(), DatabaseError> {
        // The transaction takes the write lock at once: an operator's command may write beside us.
        let sql = ImmediateTransaction::begin(&self.connection)?;
        let mut transaction = LogTransaction::new(&sql, &mut self.cache);
        for WriteOrder { work, .. } in batch {
            // After a panic the other callers still get an error.
            let done = catch_unwind(AssertUnwindSafe(|| work.carry_out(&mut transaction)));
            done.unwrap_or_else(|_| Err(DatabaseError::Failed("writing a record panicked".to_owned())))?;
        }
        transaction.flush()?;
        let commit = transaction.into_commit();
        sql.commit()?;
        if let (Some(observer), Some(commit)) = (self.observer.get(), commit) {
            guarded(|| observer(commit));
        }
        Ok(())
    }
}

impl WriteWork {
    fn carry_out(&mut self, transaction: &mut LogTransaction) -> Result<(), DatabaseError> {
        match self {
            WriteWork::Entry(request, entry) => transaction.append(*request, entry),
            WriteWork::Function(function) => function.take().map_or(Ok(()), |work| work(transaction)),
        }
    }
}
