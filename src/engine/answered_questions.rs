//! Answers to calls that were recorded before, one by one: batches may now be made of other items.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use crate::journal::{RequestHistory, RunRecord, ValuePlace};
use crate::step::{CallAnswers, Digest, QuestionKey};
use crate::store::Store;

/// A run with its content.
pub type KeptRun = (RunRecord, Vec<u8>);

/// The answers to calls in the history of a request.
#[derive(Default)]
pub struct AnsweredQuestions {
    /// Those of batches of which others failed before a retry: the batches as such are asked about again.
    partial: Vec<KeptRun>,
    /// Whether an operator has asked for a retry: its batches may be made of other items.
    is_retried: bool,
    /// All answers by their questions, made when the first one is recalled.
    each: OnceLock<HashMap<QuestionKey, Vec<u8>>>,
}

impl AnsweredQuestions {
    pub fn of(history: &RequestHistory) -> AnsweredQuestions {
        let runs = history.runs_of_response().into_values();
        let partial = runs.filter(|(run, _)| run.has_answers() && !run.is_whole());
        let partial = partial.map(|(run, content)| (run.clone(), content.to_vec())).collect();
        AnsweredQuestions { partial, is_retried: history.is_retried(), each: OnceLock::new() }
    }

    /// The recorded answers to questions of a request, of which these runs are remembered; nothing if there are none at all,
    /// or if the request was not retried and no batch failed in part: batches are the same then, and found as such, without a
    /// look at all answers.
    pub fn recall(
        &self,
        questions: &[QuestionKey],
        runs: &BTreeMap<Digest, KeptRun>,
        request: Digest,
        store: &Store,
    ) -> Vec<Option<Vec<u8>>> {
        if self.partial.is_empty() && !self.is_retried {
            return Vec::new();
        }
        let each = self.each.get_or_init(|| {
            let answers = runs.values().chain(&self.partial);
            let answers = answers.filter_map(|(run, content)| recorded_answers(run, content, request, store));
            answers.filter_map(|bytes| CallAnswers::each_of_record(&bytes).ok()).flatten().collect()
        });
        questions.iter().map(|question| each.get(question).cloned()).collect()
    }
}

/// The answers to a batch in the record of a call.
pub fn recorded_answers(
    record: &RunRecord,
    content: &[u8],
    request: Digest,
    store: &Store,
) -> Option<Vec<u8>> {
    match &record.outputs.iter().find(|output| output.name == CallAnswers::OUTPUT)?.kept {
        ValuePlace::Here { bytes } => content.get(..*bytes).map(<[u8]>::to_vec),
        ValuePlace::Stored { form } => store.get(request, *form),
        ValuePlace::No | ValuePlace::Files { .. } => None,
    }
}
