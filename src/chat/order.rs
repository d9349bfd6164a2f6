//! The order of answers: those to messages with `order: conversation` appear as the messages were accepted.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The messages of each conversation that are accepted and not answered, of those whose order counts.
pub struct AnswerOrder<T> {
    open: HashMap<Arc<str>, BTreeMap<i64, Option<T>>>,
}

impl<T> Default for AnswerOrder<T> {
    fn default() -> AnswerOrder<T> {
        AnswerOrder { open: HashMap::new() }
    }
}

impl<T> AnswerOrder<T> {
    /// Notes a message that is accepted, with its number in the order of acceptance.
    pub fn accept(&mut self, conversation: &Arc<str>, number: i64) {
        self.open.entry(Arc::clone(conversation)).or_default().entry(number).or_insert(None);
    }

    /// Notes an answer, and gives the answers whose turn it is, in their order.
    pub fn answer(&mut self, conversation: &Arc<str>, number: i64, answer: T) -> Vec<T> {
        let Some(open) = self.open.get_mut(conversation) else { return vec![answer] };
        match open.get_mut(&number) {
            Some(place) => *place = Some(answer),
            // Its order does not count.
            None => return vec![answer],
        }
        let mut ready = Vec::new();
        while let Some(first) = open.first_entry().filter(|first| first.get().is_some()) {
            ready.extend(first.remove());
        }
        if open.is_empty() {
            self.open.remove(conversation);
        }
        ready
    }

    /// The answers that wait for earlier ones.
    pub fn waiting(&self) -> usize {
        self.open.values().flat_map(BTreeMap::values).flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_wait_for_earlier_ones_of_their_conversation_alone() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut order = AnswerOrder::default();
        [3, 5, 8].iter().for_each(|number| order.accept(&a, *number));
        order.accept(&b, 4);
        assert_eq!(order.answer(&a, 8, "8"), [""; 0]);
        assert_eq!(order.answer(&b, 4, "4"), ["4"]);
        assert_eq!(order.answer(&a, 6, "6"), ["6"], "its order does not count");
        assert_eq!(order.answer(&a, 3, "3"), ["3"]);
        assert_eq!(order.waiting(), 1);
        assert_eq!(order.answer(&a, 5, "5"), ["5", "8"]);
        assert!(order.open.is_empty());
    }
}
