//! The objects of other programs that flow has given away as results, by their SOP Instance UIDs.
//!
//! What flow makes itself carries flow's equipment and is known by it. An object that a program of a step has
//! made carries that program's: an archive that sends on all that it gets would make it part of the study.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::{PoisonError, RwLock};

use crate::imaging::InstanceHeader;
use crate::step::{Item, Request};

/// Records durably that these objects are results of a request.
pub type RecordObjects = dyn Fn(&Request, &[String]) -> io::Result<()> + Send + Sync;

/// Objects that were delivered, as far as they are remembered.
#[derive(Default)]
pub struct DeliveredObjects {
    uids: RwLock<HashSet<String>>,
    record: Option<Box<RecordObjects>>,
}

impl DeliveredObjects {
    /// Those of earlier processes, and the function that records more.
    pub fn new(
        known: impl IntoIterator<Item = String>,
        record: impl Fn(&Request, &[String]) -> io::Result<()> + Send + Sync + 'static,
    ) -> DeliveredObjects {
        DeliveredObjects { uids: RwLock::new(known.into_iter().collect()), record: Some(Box::new(record)) }
    }

    /// Notes objects before they are sent: a peer may send them on at once. An instance of the request itself,
    /// which a program has passed on, stays one.
    ///
    /// # Errors
    /// If they cannot be recorded: they are not to be sent then.
    pub fn note<'a>(&self, request: &Request, uids: impl Iterator<Item = &'a str>) -> io::Result<()> {
        let new: Vec<String> = uids.filter(|uid| !self.has(uid)).map(str::to_owned).collect();
        if new.is_empty() {
            return Ok(());
        }
        let own: HashSet<String> = request.items.iter().map(sop_instance_uid).collect();
        let new: Vec<String> = new.into_iter().filter(|uid| !own.contains(uid)).collect();
        if let Some(record) = self.record.as_ref().filter(|_| !new.is_empty()) {
            record(request, &new)?;
        }
        self.uids.write().unwrap_or_else(PoisonError::into_inner).extend(new);
        Ok(())
    }

    /// Whether an object was delivered as a result.
    pub fn has(&self, sop_instance_uid: &str) -> bool {
        self.uids.read().unwrap_or_else(PoisonError::into_inner).contains(sop_instance_uid)
    }
}

/// The SOP Instance UID of an instance of a request, as its file says; by its name where there is none.
fn sop_instance_uid(item: &Item) -> String {
    let header = item.path().and_then(|path| InstanceHeader::read(&item.name, path).ok());
    let by_name = || item.name.strip_suffix(".dcm").unwrap_or(&item.name).to_owned();
    header.map_or_else(by_name, |header| header.sop_instance_uid)
}

impl fmt::Debug for DeliveredObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.uids.read().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_struct("DeliveredObjects").field("count", &count).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::step::Item;

    #[test]
    fn new_objects_are_recorded_once_and_instances_of_the_request_are_not() {
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&recorded);
        let delivered = DeliveredObjects::new(["1.1".to_owned()], move |_, uids: &[String]| {
            record.lock().unwrap().extend(uids.iter().cloned());
            Ok(())
        });
        let items = vec![Item::inline("1.3.dcm", *b"slice")];
        let request = Request::new("study", Default::default(), items);
        for _ in 0..2 {
            delivered.note(&request, ["1.1", "1.2", "1.3"].into_iter()).unwrap();
        }
        assert_eq!(*recorded.lock().unwrap(), ["1.2"]);
        assert!(delivered.has("1.1") && delivered.has("1.2") && !delivered.has("1.3"));
        let failing = DeliveredObjects::new([], |_, _| Err(io::Error::other("the disk is full")));
        assert!(failing.note(&request, ["1.2"].into_iter()).is_err() && !failing.has("1.2"));
    }
}
