//! What is available and not converted: differences of large sets of books, kept while directories and inventory
//! change. One reduction to the classes of each book, on the ledger's differential views.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::admission::StopSignal;
use crate::ledger::{SetDifference, SetViews};
use crate::step::Fault;
use crate::tokens::{TokenError, TokenName, TokenStanding, list_tokens};

use super::stages::{STORE_ENDING, StageRow, barcode_key};

/// The error of a count.
#[derive(Debug, thiserror::Error)]
pub enum BacklogError {
    #[error(transparent)]
    Tokens(#[from] TokenError),
    #[error("could not list the store")]
    Store(#[source] Fault),
}

/// The sets of which a book can be a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BookSet {
    /// The book is in the inventory.
    Available,
    /// The token is done.
    Converted,
    /// The token waits or is in work somewhere.
    InFlight,
    /// The token is parked.
    Failed,
    /// The store has it.
    Stored,
}

impl BookSet {
    #[cfg(test)]
    const ALL: [BookSet; 5] =
        [BookSet::Available, BookSet::Converted, BookSet::InFlight, BookSet::Failed, BookSet::Stored];

    fn number(self) -> u8 {
        self as u8
    }
}

/// The classes that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BacklogClass {
    /// Available, and neither converted nor in flight nor failed.
    Backlog,
    /// A token is somewhere, and the store does not have the book.
    ChosenNotStored,
    /// The store has it, and there is no token.
    StoredNotChosen,
    Available,
    Converted,
    InFlight,
    Failed,
    Stored,
}

impl BacklogClass {
    pub const ALL: [BacklogClass; 8] = [
        BacklogClass::Backlog,
        BacklogClass::ChosenNotStored,
        BacklogClass::StoredNotChosen,
        BacklogClass::Available,
        BacklogClass::Converted,
        BacklogClass::InFlight,
        BacklogClass::Failed,
        BacklogClass::Stored,
    ];

    /// The name for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            BacklogClass::Backlog => "backlog",
            BacklogClass::ChosenNotStored => "chosen-not-stored",
            BacklogClass::StoredNotChosen => "stored-not-chosen",
            BacklogClass::Available => "available",
            BacklogClass::Converted => "converted",
            BacklogClass::InFlight => "in-flight",
            BacklogClass::Failed => "failed",
            BacklogClass::Stored => "stored",
        }
    }

    /// The differences of sets whose union the class is. They have no book in common.
    fn differences(self) -> Vec<SetDifference> {
        use BookSet::{Available, Converted, Failed, InFlight, Stored};
        let minus = |of: BookSet, without: &[BookSet]| SetDifference {
            of: of.number(),
            without: without.iter().map(|set| set.number()).collect(),
        };
        match self {
            BacklogClass::Backlog => vec![minus(Available, &[Converted, InFlight, Failed])],
            BacklogClass::ChosenNotStored => vec![
                minus(Converted, &[Stored]),
                minus(InFlight, &[Stored, Converted]),
                minus(Failed, &[Stored, Converted, InFlight]),
            ],
            BacklogClass::StoredNotChosen => vec![minus(Stored, &[Converted, InFlight, Failed])],
            BacklogClass::Available => vec![minus(Available, &[])],
            BacklogClass::Converted => vec![minus(Converted, &[])],
            BacklogClass::InFlight => vec![minus(InFlight, &[])],
            BacklogClass::Failed => vec![minus(Failed, &[])],
            BacklogClass::Stored => vec![minus(Stored, &[])],
        }
    }
}

/// The books of each class, kept up to date.
pub struct BookBacklog {
    views: SetViews,
    /// The class of each difference.
    classes: Vec<BacklogClass>,
    names: HashMap<u64, Box<str>>,
    /// The sets of which each book is a member, as bits.
    sets: HashMap<u64, u8>,
    /// The books of each class, by number.
    members: BTreeMap<BacklogClass, HashSet<u64>>,
}

impl Default for BookBacklog {
    fn default() -> BookBacklog {
        let mut classes = Vec::new();
        let mut differences = Vec::new();
        for class in BacklogClass::ALL {
            for difference in class.differences() {
                classes.push(class);
                differences.push(difference);
            }
        }
        let views = SetViews::new(differences);
        BookBacklog { views, classes, names: HashMap::new(), sets: HashMap::new(), members: BTreeMap::new() }
    }
}

impl BookBacklog {
    /// A book comes into a set; one that is in it stays.
    pub fn add(&mut self, set: BookSet, barcode: &str) {
        self.put(set, barcode, BookMembership::In);
    }

    /// A book leaves a set; one that is not in it stays out.
    pub fn remove(&mut self, set: BookSet, barcode: &str) {
        self.put(set, barcode, BookMembership::Out);
    }

    /// A book is in a set from now on, or is not.
    pub fn put(&mut self, set: BookSet, barcode: &str, membership: BookMembership) {
        let key = barcode_key(barcode);
        let sets = self.sets.entry(key).or_default();
        let bit = 1 << set.number();
        let change = match (membership, *sets & bit != 0) {
            (BookMembership::In, false) => 1,
            (BookMembership::Out, true) => -1,
            (BookMembership::In, true) | (BookMembership::Out, false) => return,
        };
        *sets ^= bit;
        self.names.entry(key).or_insert_with(|| barcode.into());
        self.views.change(set.number(), key, change);
    }

    /// Makes these books available from now on, and no others.
    pub fn put_available(&mut self, inventory: &[String]) {
        let available: HashSet<u64> = inventory.iter().map(|barcode| barcode_key(barcode)).collect();
        let bit = 1 << BookSet::Available.number();
        let gone = self.sets.iter().filter(|(key, sets)| **sets & bit != 0 && !available.contains(key));
        let gone: Vec<Box<str>> = gone.filter_map(|(key, _)| self.names.get(key).cloned()).collect();
        gone.iter().for_each(|barcode| self.remove(BookSet::Available, barcode));
        inventory.iter().for_each(|barcode| self.add(BookSet::Available, barcode));
    }

    /// Brings the classes up to date. Gives what has changed.
    pub fn settle(&mut self) -> Vec<(BacklogClass, u64, isize)> {
        // A book that goes from one difference of a class to another has not left the class.
        let mut net = BTreeMap::<(BacklogClass, u64), isize>::new();
        for (index, key, change) in self.views.settle() {
            *net.entry((self.classes[usize::from(index)], key)).or_default() += change;
        }
        let changes = net.into_iter().filter(|(_, change)| *change != 0);
        let told = changes.map(|((class, key), change)| (class, key, change));
        let told: Vec<(BacklogClass, u64, isize)> = told.collect();
        for (class, key, change) in &told {
            let members = self.members.entry(*class).or_default();
            if *change > 0 {
                members.insert(*key)
            } else {
                members.remove(key)
            };
        }
        told
    }

    /// The number of books in a class.
    pub fn count(&self, class: BacklogClass) -> usize {
        let indices = (0..self.classes.len()).filter(|index| self.classes[*index] == class);
        indices.map(|index| self.views.count(index).unsigned_abs()).sum()
    }

    /// The books of a class, in no order.
    pub fn list(&self, class: BacklogClass) -> impl Iterator<Item = &str> {
        let members = self.members.get(&class).into_iter().flatten();
        members.filter_map(|key| self.names.get(key).map(|name| &**name))
    }

    /// The books of a row as its directories and its store have them, and of an inventory.
    ///
    /// # Errors
    /// If a directory or the store cannot be read.
    pub fn of(row: &StageRow, inventory: &[String]) -> Result<BookBacklog, BacklogError> {
        let mut backlog = BookBacklog::at_rest(row, inventory, &StopSignal::default())?;
        let last = row.last();
        for folder in row.folders().iter().filter(|folder| **folder != last) {
            list_tokens(folder, |barcode, standing| {
                let is_parked = standing == TokenStanding::Parked;
                backlog.add(if is_parked { BookSet::Failed } else { BookSet::InFlight }, barcode);
            })?;
        }
        backlog.settle();
        Ok(backlog)
    }

    /// The same without those that are under way or parked, unless the end is asked for.
    pub(super) fn at_rest(
        row: &StageRow,
        inventory: &[String],
        stop: &StopSignal,
    ) -> Result<BookBacklog, BacklogError> {
        let mut backlog = BookBacklog::default();
        inventory.iter().for_each(|barcode| backlog.add(BookSet::Available, barcode));
        list_tokens(&row.last(), |barcode, _| backlog.add(BookSet::Converted, barcode))?;
        let mut add = |name: &str| {
            if stop.is_requested() {
                return Err(Fault::cancelled());
            }
            let barcode = name.strip_suffix(STORE_ENDING).filter(|barcode| TokenName::of(barcode).is_ok());
            barcode.into_iter().for_each(|barcode| backlog.add(BookSet::Stored, barcode));
            Ok(())
        };
        row.stores().iter().try_for_each(|store| store.list(&mut add)).map_err(BacklogError::Store)?;
        backlog.settle();
        Ok(backlog)
    }
}

/// Whether a book is in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookMembership {
    In,
    Out,
}

impl From<bool> for BookMembership {
    fn from(is_in: bool) -> BookMembership {
        if is_in { BookMembership::In } else { BookMembership::Out }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Each number is that of plain sets of names, after each of many random changes.
    #[test]
    fn the_classes_are_those_of_a_plain_recount() {
        let mut backlog = BookBacklog::default();
        let mut sets: [BTreeSet<String>; 5] = Default::default();
        let mut seed = 88_172_645_463_325_252_u64;
        for round in 0..120 {
            for _ in 0..25 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                let set = BookSet::ALL[(seed % 5) as usize];
                let barcode = format!("book-{}", (seed >> 8) % 90);
                if sets[usize::from(set.number())].insert(barcode.clone()) {
                    backlog.add(set, &barcode);
                } else {
                    sets[usize::from(set.number())].remove(&barcode);
                    backlog.remove(set, &barcode);
                }
            }
            backlog.settle();
            let [available, converted, in_flight, failed, stored] = &sets;
            let chosen: BTreeSet<String> =
                [converted, in_flight, failed].into_iter().flatten().cloned().collect();
            let expected = [
                (BacklogClass::Backlog, available - &chosen),
                (BacklogClass::ChosenNotStored, &chosen - stored),
                (BacklogClass::StoredNotChosen, stored - &chosen),
                (BacklogClass::Available, available.clone()),
                (BacklogClass::Failed, failed.clone()),
            ];
            for (class, expected) in expected {
                let listed: BTreeSet<String> = backlog.list(class).map(str::to_owned).collect();
                assert_eq!(listed, expected, "{} in round {round}", class.name());
                assert_eq!(backlog.count(class), expected.len());
            }
        }
    }
}
