//! The thread of the ledger: it takes what is committed, and moves the mirror.

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use timely::WorkerConfig;
use timely::communication::Allocator;
use timely::communication::allocator::thread::Thread;
use timely::dataflow::ProbeHandle;
use timely::worker::Worker;

use crate::journal::{Journal, JournalCommit, JournalCut, JournalError, JournalReader};

use super::declared::DeclaredView;
use super::fold::RequestFold;
use super::mirror::{LedgerMirror, MirrorFrame};
use super::names::NameTable;
use super::notice::LedgerNotice;
use super::row::ViewRow;
use super::views::{ViewInputs, views};
use super::wiring::WiringLookup;

/// The settings of a ledger.
pub struct LedgerSettings {
    /// The state folder, with the journal.
    pub state: PathBuf,
    /// The wiring of the dataflows, without which it is unknown which step a request waits for.
    pub wirings: WiringLookup,
    /// The views that the site declares.
    pub declared: Vec<DeclaredView>,
    /// The least time between two states of the mirror; the first change is shown at once.
    pub apart: Duration,
}

/// A ledger: the views of one journal. Dropping it ends its thread.
pub struct Ledger {
    mirror: Arc<LedgerMirror>,
    orders: LedgerOrders,
    thread: Option<JoinHandle<()>>,
}

enum LedgerOrder {
    Commit(JournalCommit),
    Notice(LedgerNotice),
    Stop,
}

/// The way to the thread. It never blocks the journal: where a commit finds no room, the journal is read again.
#[derive(Clone)]
struct LedgerOrders {
    orders: SyncSender<LedgerOrder>,
    is_behind: Arc<AtomicBool>,
}

const ORDERS_MAX: usize = 4096;

impl LedgerSettings {
    /// The time between two states that is short enough for a person.
    pub const APART: Duration = Duration::from_millis(50);
}

impl Ledger {
    /// Starts the ledger of a journal. The journal is read on the thread of the ledger.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(journal: &Journal, settings: LedgerSettings) -> io::Result<Ledger> {
        let (orders, incoming) = sync_channel(ORDERS_MAX);
        let orders = LedgerOrders { orders, is_behind: Arc::new(AtomicBool::new(true)) };
        let to_thread = orders.clone();
        journal.observe(Box::new(move |commit| to_thread.commit(commit)));
        let mirror = Arc::<LedgerMirror>::default();
        let (of_thread, is_behind) = (Arc::clone(&mirror), Arc::clone(&orders.is_behind));
        let serve = move || LedgerThread::new(settings, of_thread, is_behind).serve(&incoming);
        let thread = std::thread::Builder::new().name("flow:ledger".to_owned()).spawn(serve)?;
        Ok(Ledger { mirror, orders, thread: Some(thread) })
    }

    /// The rows of the views.
    pub fn mirror(&self) -> &Arc<LedgerMirror> {
        &self.mirror
    }

    /// A function that takes notices. It does not block.
    pub fn notices(&self) -> impl Fn(LedgerNotice) + Send + Sync + 'static + use<> {
        let orders = self.orders.clone();
        // What a lost notice would have said is unknown until its request is answered. The journal does not have it.
        move |notice| _ = orders.orders.try_send(LedgerOrder::Notice(notice))
    }
}

impl LedgerOrders {
    fn commit(&self, commit: JournalCommit) {
        if self.orders.try_send(LedgerOrder::Commit(commit)).is_err() {
            self.is_behind.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // An error means that the thread has ended.
        let _ = self.orders.orders.send(LedgerOrder::Stop);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// However the thread ends, its rows are not those of the journal any more.
impl Drop for LedgerThread {
    fn drop(&mut self) {
        self.mirror.set_incomplete();
    }
}

type RowChanges = Rc<RefCell<Vec<(ViewRow, isize)>>>;

struct LedgerThread {
    settings: LedgerSettings,
    mirror: Arc<LedgerMirror>,
    is_behind: Arc<AtomicBool>,
    worker: Worker,
    inputs: ViewInputs,
    probe: ProbeHandle<u64>,
    changes: RowChanges,
    names: NameTable,
    time: u64,
    commit: i64,
    /// The journal could not be read the last time, which is in the log.
    has_failed: bool,
}

impl LedgerThread {
    fn new(settings: LedgerSettings, mirror: Arc<LedgerMirror>, is_behind: Arc<AtomicBool>) -> LedgerThread {
        let mut worker = Worker::new(WorkerConfig::default(), Allocator::Thread(Thread::default()), None);
        let (mut inputs, probe, changes) = (ViewInputs::new(), ProbeHandle::new(), RowChanges::default());
        worker.dataflow::<u64, _, _>(|scope| {
            let changes = Rc::clone(&changes);
            views(scope, &mut inputs)
                .inspect_batch(move |_, rows| {
                    changes.borrow_mut().extend(rows.iter().map(|(row, _, change)| (*row, *change)));
                })
                .probe_with(&probe);
        });
        let names = NameTable::default();
        LedgerThread {
            settings,
            mirror,
            is_behind,
            worker,
            inputs,
            probe,
            changes,
            names,
            time: 0,
            commit: 0,
            has_failed: false,
        }
    }

    fn serve(mut self, incoming: &Receiver<LedgerOrder>) {
        let unknown: WiringLookup = Box::new(|_| None);
        let wirings = std::mem::replace(&mut self.settings.wirings, unknown);
        let mut fold = RequestFold::new(wirings, std::mem::take(&mut self.settings.declared));
        loop {
            if self.is_behind.load(Ordering::Relaxed) {
                self.catch_up(&mut fold);
            }
            let Ok(first) = incoming.recv() else { return };
            let last = Instant::now();
            let more = incoming.try_iter().take(ORDERS_MAX);
            for order in std::iter::once(first).chain(more) {
                match order {
                    // What the journal was read with is not counted again.
                    LedgerOrder::Commit(commit) if commit.number <= self.commit => {}
                    LedgerOrder::Commit(commit) => {
                        self.commit = commit.number;
                        if fold.commit(commit, &mut self.names, &mut self.inputs) {
                            self.is_behind.store(true, Ordering::Relaxed);
                        }
                    }
                    LedgerOrder::Notice(notice) => {
                        fold.notice(&notice, &mut self.names, &mut self.inputs);
                    }
                    LedgerOrder::Stop => return,
                }
            }
            // Behind a gap the rows would be wrong.
            if !self.is_behind.load(Ordering::Relaxed) {
                self.show();
            }
            // The first change is shown at once, those that follow together.
            std::thread::sleep(self.settings.apart.saturating_sub(last.elapsed()));
        }
    }

    /// Reads the journal, after the start and where commits were lost.
    fn catch_up(&mut self, fold: &mut RequestFold) {
        self.is_behind.store(false, Ordering::Relaxed);
        match self.read() {
            Ok(cut) => {
                self.has_failed = false;
                self.commit = cut.number;
                fold.load(cut, &mut self.names, &mut self.inputs);
                self.show();
            }
            Err(error) => {
                // Without what was before, changes mean nothing. The next order leads to another try.
                self.is_behind.store(true, Ordering::Relaxed);
                self.mirror.set_incomplete();
                if !std::mem::replace(&mut self.has_failed, true) {
                    tracing::error!(%error, "the ledger cannot read the journal; the status page says so");
                }
            }
        }
    }

    fn read(&self) -> Result<JournalCut, JournalError> {
        JournalReader::open(&self.settings.state)?.cut()
    }

    /// Moves the mirror to the present state.
    fn show(&mut self) {
        self.time += 1;
        let time = self.time;
        self.inputs.advance(time);
        let probe = &self.probe;
        self.worker.step_while(|| probe.less_than(&time));
        let changes = self.changes.take();
        let frame = MirrorFrame { time, commit: self.commit, changes };
        let has_new = self.mirror.read().names.count() < self.names.count();
        let names = has_new.then(|| self.names.clone());
        self.mirror.apply(frame, names);
    }
}
