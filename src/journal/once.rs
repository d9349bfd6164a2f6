//! Requests that are accepted once: one that is known by a text of its source is found, and not recorded again.

use std::sync::{Arc, Mutex, PoisonError};

use super::arrival::RequestArrival;
use super::entry::JournalEntry;
use super::error::JournalError;
use super::history::RequestHistory;
use super::log::PreparedEntry;
use super::lookup;
use super::process_journal::Journal;
use super::receipt::{Receipt, RequestStanding};
use super::transaction::LogTransaction;

/// The result of accepting a request once.
pub enum OnceAccepted {
    /// The request is new, and recorded.
    New(Receipt),
    /// A request with the same text was accepted before: this is what is recorded of it.
    Known(Box<RequestHistory>),
}

/// When a request that is accepted begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBegin {
    /// At once: that it has begun is recorded in the same commit. If the process ends before the engine has the request,
    /// one start too many is counted for it.
    AtOnce,
    /// When there is room for it. The engine has that recorded.
    Later,
}

/// The finding of the transaction.
enum OnceFound {
    New { number: i64, standing: RequestStanding, has_begun: bool },
    Known(Box<RequestHistory>),
}

impl Journal {
    /// Records a request, unless one is known by the same `text`, which is among the lookup texts of the arrival, and
    /// calls `then` on the thread that writes once that is on the disk or could not be recorded. Requests accepted so
    /// share commits, and no two with the same text are recorded. `then` must not wait for the journal.
    pub fn accept_once(
        &self,
        arrival: RequestArrival,
        text: String,
        begin: RequestBegin,
        then: impl FnOnce(Result<OnceAccepted, JournalError>) + Send + 'static,
    ) {
        let request = Arc::clone(&arrival.request);
        let Some(writer) = self.writer() else {
            return then(Ok(OnceAccepted::New(Receipt::unrecorded(request))));
        };
        if let Err(error) = self.has_room(writer) {
            return then(Err(error));
        }
        let mut entries = vec![PreparedEntry::accepted(&arrival)];
        if begin == RequestBegin::AtOnce {
            entries.push(PreparedEntry::of(&JournalEntry::Began, Vec::new()));
        }
        let found = Arc::new(Mutex::new(None));
        let give = Arc::clone(&found);
        let work = move |transaction: &mut LogTransaction| {
            let one = match transaction.known(&text)? {
                Some(number) => {
                    let history = RequestHistory::read(transaction.written()?, number)?;
                    OnceFound::Known(Box::new(history))
                }
                None => {
                    let (number, standing) = transaction.accept(&arrival, &entries)?;
                    // Nothing is recorded of one that is in work: it may have begun before.
                    let has_begun = begin == RequestBegin::AtOnce && standing != RequestStanding::InWork;
                    OnceFound::New { number, standing, has_begun }
                }
            };
            *give.lock().unwrap_or_else(PoisonError::into_inner) = Some(one);
            Ok(())
        };
        writer.begin(Box::new(work), move |result| {
            let one = found.lock().unwrap_or_else(PoisonError::into_inner).take();
            then(result.map(|()| match one.expect("a transaction that is committed has run its work") {
                OnceFound::New { number, standing, has_begun } => {
                    let receipt = Receipt::new(number, request, standing);
                    OnceAccepted::New(if has_begun { receipt.begun() } else { receipt })
                }
                OnceFound::Known(history) => OnceAccepted::Known(history),
            }));
        });
    }
}

impl LogTransaction<'_> {
    /// The request that is listed with a text of its source.
    fn known(&self, text: &str) -> Result<Option<i64>, super::error::DatabaseError> {
        lookup::exactly(self.unwritten(), text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::mpsc::channel;

    use super::*;
    use crate::step::{Digest, Item, Request};
    use crate::store::Store;

    #[test]
    fn a_request_with_a_known_text_is_found_also_within_a_commit_and_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let store = Arc::new(Store::at(folder.path().join("store")).unwrap());
            Journal::open(folder.path(), store, 0).unwrap()
        };
        let accept = |journal: &Journal, content: &str, text: &str, begin: RequestBegin| {
            let item = Item::inline("message", content.as_bytes());
            let arrival = RequestArrival {
                request: Request::new(content, BTreeMap::new(), vec![item]).into(),
                dataflow: "test".to_owned(),
                version: Digest::of(b"version"),
                program: Digest::of(b"program"),
                lookup_texts: vec![text.to_owned()],
            };
            let (tell, told) = channel();
            journal.accept_once(arrival, text.to_owned(), begin, move |once| {
                let found = match once.unwrap() {
                    OnceAccepted::New(receipt) => {
                        assert_eq!(receipt.has_begun(), begin == RequestBegin::AtOnce);
                        (true, receipt.request().name.clone())
                    }
                    OnceAccepted::Known(history) => {
                        assert_eq!(history.has_begun(), history.row.name == "first");
                        (false, history.row.name.clone())
                    }
                };
                tell.send(found).unwrap();
            });
            told
        };
        let (later, at_once) = (RequestBegin::Later, RequestBegin::AtOnce);
        let journal = open();
        let all = [("first", "a", at_once), ("second", "a", at_once), ("third", "b", later)];
        let all = all.map(|(content, text, begin)| accept(&journal, content, text, begin));
        let all = all.map(|told| told.recv().unwrap());
        assert_eq!(all, [(true, "first".into()), (false, "first".into()), (true, "third".into())]);
        drop(journal);
        let journal = open();
        assert_eq!(accept(&journal, "fourth", "b", at_once).recv().unwrap(), (false, "third".into()));
    }
}
