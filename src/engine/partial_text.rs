//! Text of answers that calls are still reading, for those who show it while it grows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};

use crate::step::Digest;

/// Text of an answer so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialText<'a> {
    /// The id of the request.
    pub request: Digest,
    /// The name of the dataflow.
    pub dataflow: &'a str,
    /// The name of the step in the dataflow.
    pub step: &'a str,
    /// All of the text so far. An attempt after a failed one begins anew.
    pub text: &'a str,
}

/// The observer of partial texts. Threads of calls tell it, so that it must not block.
#[derive(Default)]
pub struct PartialTexts(RwLock<Option<Arc<PartialObserver>>>);

type PartialObserver = dyn Fn(&PartialText) + Send + Sync;

impl PartialTexts {
    /// Has an observer hear all partial texts, in place of an earlier one.
    pub fn send_to(&self, observer: impl Fn(&PartialText) + Send + Sync + 'static) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(observer));
    }

    pub(super) fn tell(&self, partial: &PartialText) {
        let observer = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(observer) = observer else { return };
        if catch_unwind(AssertUnwindSafe(|| observer(partial))).is_err() {
            tracing::error!("an observer of partial texts panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn an_observer_hears_the_texts_and_its_panic_changes_nothing() {
        let texts = PartialTexts::default();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let partial = |text| PartialText { request: Digest::of(b"r"), dataflow: "d", step: "s", text };
        texts.tell(&partial("nobody"));
        let hearing = Arc::clone(&heard);
        texts.send_to(move |partial| {
            hearing.lock().unwrap().push(format!("{} {}", partial.step, partial.text));
            assert_ne!(partial.text, "panic");
        });
        ["one", "one two"].iter().for_each(|text| texts.tell(&partial(text)));
        assert_eq!(*heard.lock().unwrap(), ["s one", "s one two"]);
    }
}
