//! Results of a program, item by item: the values, and the faults of the others.

use crate::step::{BatchPlaces, Fault, ItemBatch, ItemOrdinal, KernelRun, StreamItem};

/// Results in the order of their items. Most are values, so that the few faults stand apart.
#[derive(Debug)]
pub struct ItemResults<B> {
    values: Vec<B>,
    /// Faults with their places among all results, which ascend.
    faults: Vec<(usize, Fault)>,
}

impl<B> ItemResults<B> {
    pub fn with_capacity(len: usize) -> ItemResults<B> {
        ItemResults { values: Vec::with_capacity(len), faults: Vec::new() }
    }

    /// Results of which none is a fault.
    pub fn of_values(values: Vec<B>) -> ItemResults<B> {
        ItemResults { values, faults: Vec::new() }
    }

    pub fn push(&mut self, result: Result<B, Fault>) {
        match result {
            Ok(value) => self.values.push(value),
            Err(fault) => self.faults.push((self.len(), fault)),
        }
    }

    /// Puts further results behind these.
    pub fn append(&mut self, next: ItemResults<B>) {
        let len = self.len();
        if len == 0 {
            *self = next;
            return;
        }
        self.values.extend(next.values);
        self.faults.extend(next.faults.into_iter().map(|(at, fault)| (len + at, fault)));
    }

    /// The number of values and faults.
    pub fn len(&self) -> usize {
        self.values.len() + self.faults.len()
    }
}

impl<B: StreamItem> ItemResults<B> {
    /// The values as a batch, and the faults with the places of their items. The places are those of all items.
    pub fn split(self, places: BatchPlaces) -> (ItemBatch, Vec<(ItemOrdinal, Fault)>) {
        if self.faults.is_empty() {
            return (ItemBatch::new(places, self.values), Vec::new());
        }
        let mut lost = self.faults.iter().map(|(at, _)| *at).peekable();
        let kept = places.at((0..self.len()).filter(|index| lost.next_if_eq(index).is_none()));
        let faults = self.faults.into_iter().map(|(at, fault)| (places.get(at), fault)).collect();
        (ItemBatch::new(kept, self.values), faults)
    }

    /// Gives the values on, and counts them and the faults. The places are those of all items.
    pub fn give(self, places: BatchPlaces, run: &mut KernelRun) {
        let (batch, faults) = self.split(places);
        run.tally.done += batch.len() as u64;
        faults.into_iter().for_each(|(place, fault)| run.tally.fail(place, fault));
        (run.give)(0, batch);
    }
}

impl<B> FromIterator<Result<B, Fault>> for ItemResults<B> {
    fn from_iter<I: IntoIterator<Item = Result<B, Fault>>>(all: I) -> ItemResults<B> {
        let all = all.into_iter();
        let mut results = ItemResults::with_capacity(all.size_hint().0);
        all.for_each(|result| results.push(result));
        results
    }
}

impl<B> IntoIterator for ItemResults<B> {
    type Item = Result<B, Fault>;
    type IntoIter = ResultIterator<B>;

    fn into_iter(self) -> ResultIterator<B> {
        ResultIterator { values: self.values.into_iter(), faults: self.faults.into_iter(), next: None, at: 0 }
            .with_next()
    }
}

/// Gives results one by one.
pub struct ResultIterator<B> {
    values: std::vec::IntoIter<B>,
    faults: std::vec::IntoIter<(usize, Fault)>,
    /// The next fault.
    next: Option<(usize, Fault)>,
    /// The number of results that were given.
    at: usize,
}

impl<B> ResultIterator<B> {
    fn with_next(mut self) -> ResultIterator<B> {
        self.next = self.faults.next();
        self
    }
}

impl<B> Iterator for ResultIterator<B> {
    type Item = Result<B, Fault>;

    fn next(&mut self) -> Option<Result<B, Fault>> {
        let is_fault = self.next.as_ref().is_some_and(|(at, _)| *at == self.at);
        let result = if is_fault {
            let (_, fault) = std::mem::replace(&mut self.next, self.faults.next())?;
            Err(fault)
        } else {
            Ok(self.values.next()?)
        };
        self.at += 1;
        Some(result)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.values.len() + self.faults.len() + usize::from(self.next.is_some());
        (len, Some(len))
    }
}

impl<B> ExactSizeIterator for ResultIterator<B> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_keep_their_places() {
        let fault = || Fault::new("none", "None.");
        for text in ["", "a", "!", "a!b", "!!", "ab!c!!d", "!a"] {
            let all = || text.chars().map(|sign| if sign == '!' { Err(fault()) } else { Ok(sign) });
            let results: ItemResults<char> = all().collect();
            assert_eq!(results.len(), text.len());
            assert_eq!(results.into_iter().collect::<Vec<_>>(), all().collect::<Vec<_>>(), "{text}");
        }
    }
}
