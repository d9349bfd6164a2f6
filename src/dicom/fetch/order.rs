//! Lists of studies that another process orders of a receiver that is running.
//!
//! ```text
//! INBOX/pulls/17-0.json       ordered: written whole, then renamed to this
//! INBOX/pulls/17-0.taken      being fetched; the next process fetches it anew
//! INBOX/pulls/17-0.refused    why it is not fetched, for the process that ordered it
//! ```

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::dicom::intake::event::ReceiverEvent;
use crate::store::make_folder;

use super::pull::{PullService, StudyPull};

/// A list of studies to fetch, as it was written on a command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PullOrder {
    /// A node of the receiver's site by its name, or its address.
    pub from: String,
    pub by: OrderedRetrieval,
    /// As [`super::pull::PullEntry`] is read from.
    pub wanted: Vec<String>,
}

/// How the studies travel over DIMSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderedRetrieval {
    Get,
    Move,
}

/// Makes a pull of an order, with the nodes and the title of the receiver; or tells why not.
pub type PullPlanner = Arc<dyn Fn(&PullOrder) -> Result<StudyPull, String> + Send + Sync>;

/// An order that was handed over.
pub struct HandedOrder(PathBuf);

/// What has become of an order that was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderOutcome {
    Taken,
    Refused(String),
    /// No receiver has looked at it.
    Waits,
}

impl PullOrder {
    /// Hands the order to the receiver of an inbox, the one that is running or the next.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn hand_over(&self, inbox: &Path) -> io::Result<HandedOrder> {
        let folder = folder(inbox);
        make_folder(&folder)?;
        let process = std::process::id();
        let mut names = (0_u32..).map(|number| folder.join(format!("{process}-{number}")));
        let is_free = |path: &PathBuf| {
            [ORDERED, TAKEN, REFUSED].iter().all(|state| !path.with_extension(state).exists())
        };
        let path = names.find(is_free).expect("the numbers do not end before the disk does");
        let draft = path.with_extension("part");
        let mut file = File::create(&draft)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&draft, path.with_extension(ORDERED))?;
        File::open(&folder)?.sync_all()?;
        Ok(HandedOrder(path))
    }
}

impl HandedOrder {
    /// Waits so long for a receiver to look at the order.
    pub fn outcome(&self, time: Duration) -> OrderOutcome {
        let begun = Instant::now();
        loop {
            let refused = self.0.with_extension(REFUSED);
            if let Ok(reason) = fs::read_to_string(&refused) {
                // Left lying it would be removed by the next process.
                let _ = fs::remove_file(refused);
                return OrderOutcome::Refused(reason);
            }
            if !self.0.with_extension(ORDERED).exists() && !self.0.with_extension(REFUSED).exists() {
                return OrderOutcome::Taken;
            }
            if begun.elapsed() >= time {
                return OrderOutcome::Waits;
            }
            thread::sleep(LOOK / 10);
        }
    }
}

const ORDERED: &str = "json";
const TAKEN: &str = "taken";
const REFUSED: &str = "refused";

/// Interval at which the folder is looked at.
const LOOK: Duration = Duration::from_millis(500);

fn folder(inbox: &Path) -> PathBuf {
    inbox.join("pulls")
}

/// Fetches what is ordered, until the stop.
pub(in crate::dicom) fn serve_orders(service: PullService, planner: &PullPlanner) {
    let PullService { intake, stop, .. } = service;
    let folder = folder(&intake.rules.inbox);
    let mut states = vec![TAKEN, REFUSED, ORDERED];
    while !stop.is_requested() {
        for path in orders(&folder, &states) {
            if path.extension().is_some_and(|state| state == REFUSED) {
                // Nobody waits for the reason any more.
                remove(&path);
            } else if let Err(error) = serve_order(service, planner, &path) {
                let reason = format!("the list {} is not fetched: {error}", path.display());
                (intake.tell)(&ReceiverEvent::NotFetched { number: 0, reason });
            }
        }
        states = vec![ORDERED];
        if stop.wait(LOOK) {
            return;
        }
    }
}

/// The orders in these states, in the order of their names.
fn orders(folder: &Path, states: &[&str]) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let has_state =
        |path: &PathBuf| path.extension().is_some_and(|one| states.iter().any(|state| one == *state));
    let mut orders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(has_state).collect();
    orders.sort();
    orders
}

fn serve_order(service: PullService, planner: &PullPlanner, path: &Path) -> io::Result<()> {
    let PullService { intake, stop, .. } = service;
    let text = fs::read(path)?;
    let order: Result<PullOrder, String> = serde_json::from_slice(&text).map_err(|error| error.to_string());
    match order.and_then(|order| planner(&order).map(|planned| (order, planned))) {
        Ok((order, planned)) => {
            let taken = path.with_extension(TAKEN);
            fs::rename(path, &taken)?;
            let entries = planned.wanted.len();
            (intake.tell)(&ReceiverEvent::PullOrdered { from: order.from, entries });
            service.pull(&planned);
            // What the stop has kept from being fetched is fetched by the next process.
            if !stop.is_requested() {
                remove(&taken);
            }
        }
        Err(reason) => {
            let draft = path.with_extension("part");
            fs::write(&draft, &reason)?;
            fs::rename(&draft, path.with_extension(REFUSED))?;
            remove(path);
            (intake.tell)(&ReceiverEvent::NotFetched { number: 0, reason });
        }
    }
    Ok(())
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(%error, path = %path.display(), "a list that has been dealt with is not removed");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_waits_until_it_is_looked_at() {
        let inbox = tempfile::tempdir().unwrap();
        let order =
            PullOrder { from: "PACS".to_owned(), by: OrderedRetrieval::Get, wanted: vec!["1.2".to_owned()] };
        let [first, second, third] = [(); 3].map(|()| order.hand_over(inbox.path()).unwrap());
        assert_eq!(first.outcome(Duration::ZERO), OrderOutcome::Waits);
        let found = orders(&folder(inbox.path()), &[ORDERED]);
        assert_eq!(found.len(), 3);
        let read: PullOrder = serde_json::from_slice(&fs::read(&found[0]).unwrap()).unwrap();
        assert_eq!(read, order);
        fs::rename(&found[1], found[1].with_extension(TAKEN)).unwrap();
        assert_eq!(second.outcome(Duration::ZERO), OrderOutcome::Taken);
        fs::write(found[2].with_extension(REFUSED), "no such node").unwrap();
        assert_eq!(third.outcome(Duration::ZERO), OrderOutcome::Refused("no such node".to_owned()));
    }
}
