//! `call-model`: asks a language model about an item.
//!
//! The server speaks the form of OpenAI's chat completions, as common inference servers do. Text is told as it comes; the
//! result is that of the whole answer. If the model fails, a cheaper one can be asked in the same attempt.

use std::time::Duration;

use crate::chat::model_answer::{AnswerForm, ModelAnswer};
use crate::chat::model_request::{ModelQuestion, ModelServer, check_server};
use crate::json::{JsonItem, check_name, template};
use crate::step::{BuiltIn, Call, CallAttempt, CallFault, Fault, FaultKind, Parameter, Step};

const PATIENCE_S: f64 = 20.0;
const PATIENCE_MAX_S: f64 = 3600.0;

fn step() -> Step {
    let text = |name| Parameter::text(name, "", &[]);
    let patience = |name, usual| Parameter::number(name, usual, 0.1, PATIENCE_MAX_S, "s");
    Step::new("call-model", 2, "Asks a language model, and adds its answer to the item.")
        .takes::<JsonItem>("item")
        .gives::<JsonItem>("item")
        .parameter(
            Parameter::text("url", "site:", &[])
                .about("The address of the server; `site:` is that of the site's file, `sample:` a sample in this process.")
                .checked(check_server),
        )
        .parameter(text("model").required().about("The name of the model."))
        .parameter(text("instruction").about("What the model shall do: a text with fields as {/content/text}."))
        .parameter(text("prompt").required().about("What it is about: a text with fields as {/content/text}."))
        .parameter(Parameter::text("into", "answer", &[]).about("The field that takes {text, model, fallback}.").checked(check_name))
        .parameter(
            Parameter::text("form", AnswerForm::TEXT, &[AnswerForm::TEXT, AnswerForm::JSON])
                .about("With `json`, the answer has to be JSON, and the field has it as `value`."),
        )
        .parameter(Parameter::number("tokens_max", 1_000.0, 1.0, 1_000_000.0, "tokens"))
        .parameter(patience("patience_s", PATIENCE_S).about("The time that an attempt takes at most."))
        .parameter(
            text("fallback_url")
                .about("The address that is asked where the first fails; usually the same.")
                .checked(check_server),
        )
        .parameter(text("fallback_model").about("The model that is asked where the first fails."))
        .parameter(patience("fallback_patience_s", PATIENCE_S).about("The time that it takes at most."))
        .parameter(text("key_file").about("The file with the key for the server."))
        .calls(|items, call, attempt| items.into_iter().map(|item| ask(item, call, attempt).map(Ok)).collect())
}

inventory::submit! { BuiltIn(step) }

fn ask(item: JsonItem, call: &Call, attempt: &CallAttempt) -> Result<JsonItem, CallFault> {
    let form = AnswerForm::of(call.text("form"));
    let instruction = template::filled_as_text(call.text("instruction"), &item)?;
    let prompt = template::filled_as_text(call.text("prompt"), &item)?;
    let question = |model| ModelQuestion {
        model,
        instruction: &instruction,
        prompt: &prompt,
        form,
        tokens_max: call.number("tokens_max") as u64,
    };
    let (model, other) = (call.text("model"), call.text("fallback_model"));
    let server = ModelServer::at(call.text("url"), call.text("key_file"))?;
    let first = asked(&server, &question(model), call, attempt, "patience_s");
    let (answer, is_fallback) = match first {
        Err(failed) if !other.is_empty() && may_pass(&failed) => {
            let server = match call.text("fallback_url") {
                "" => server,
                url => ModelServer::at(url, call.text("key_file"))?,
            };
            let second = asked(&server, &question(other), call, attempt, "fallback_patience_s");
            (second.map_err(|second| both(&failed, second))?, true)
        }
        first => (first?, false),
    };
    let model = if is_fallback { other } else { model };
    Ok(item.with(call.text("into"), answer.to_json(model, is_fallback))?)
}

fn asked(
    server: &ModelServer,
    question: &ModelQuestion,
    call: &Call,
    attempt: &CallAttempt,
    patience: &str,
) -> Result<ModelAnswer, CallFault> {
    let patience = Duration::from_secs_f64(call.number(patience));
    let attempt = CallAttempt { timeout: patience, ..*attempt };
    let tell = |text: &str| {
        if question.form == AnswerForm::Text {
            call.environment.tell_partial(&call.identity.step, text);
        }
    };
    server.ask(question, &attempt, call.token, &tell)
}

/// Whether another model may answer where this one did not: a question that is refused is refused by both.
fn may_pass(failed: &CallFault) -> bool {
    matches!(failed.fault.kind, FaultKind::Transient | FaultKind::TimedOut)
}

fn both(first: &CallFault, second: CallFault) -> CallFault {
    let reason = format!("{}; and then {}", first.fault.reason, second.fault.reason);
    CallFault {
        fault: Fault { reason, held_back: first.fault.held_back && second.fault.held_back, ..second.fault },
        retry_after: first.retry_after.max(second.retry_after),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use serde_json::{Value, json};

    use super::*;
    use crate::chat::{ModelTroubles, SampleModel};
    use crate::step::{
        CallBatch, CallEnvironment, CancelToken, Digest, ParameterValue, ResultIdentity, StepInputs,
        StepParameters, Value as StepValue, WiredInput,
    };

    /// An environment that keeps the partial texts.
    #[derive(Default)]
    struct HeardTexts(Mutex<Vec<String>>);

    impl CallEnvironment for HeardTexts {
        fn recall(&self, _: &CallBatch) -> Result<Option<Vec<u8>>, Fault> {
            Ok(None)
        }

        fn record(&self, _: &CallBatch, _: &[u8], _: Option<&Fault>) -> Result<(), Fault> {
            Ok(())
        }

        fn tell_partial(&self, step: &str, text: &str) {
            self.0.lock().unwrap().push(format!("{step}: {text}"));
        }

        fn wait(&self, _: Duration, _: &CancelToken) {}
    }

    fn asked(parameters: &[(&'static str, &str)], heard: &Arc<HeardTexts>) -> Result<Value, Fault> {
        let step = step();
        let mut set = StepParameters::defaults(&step.declaration.parameters);
        set.set("prompt", ParameterValue::Text("{/content/text}".to_owned()));
        set.set("model", ParameterValue::Text("first".to_owned()));
        for (name, text) in parameters {
            let value = text
                .parse()
                .map_or_else(|_| ParameterValue::Text((*text).to_owned()), ParameterValue::Number);
            set.set(name, value);
        }
        let item = StepValue::new(JsonItem(json!({"content": {"text": "one two three"}})));
        let identity = ResultIdentity {
            request: Digest::of(b"r"),
            dataflow: Digest::of(b"d"),
            step: "answer".into(),
            edition: 0,
        };
        let environment: Arc<dyn CallEnvironment> = Arc::clone(heard) as Arc<dyn CallEnvironment>;
        let outputs = step.call(&Call {
            inputs: &StepInputs::default().with("item", WiredInput::One(item)),
            parameters: &set,
            identity: &identity,
            token: &CancelToken::default(),
            environment: &environment,
        })?;
        Ok(outputs.get("item").and_then(|value| value.get::<JsonItem>()).unwrap().0["answer"].clone())
    }

    fn server(troubles: ModelTroubles) -> (SampleModel, String) {
        let server = SampleModel::start_at("127.0.0.1:0", troubles).unwrap();
        let url = server.url();
        (server, url)
    }

    #[test]
    fn text_is_told_as_it_comes_and_the_answer_is_whole() {
        let (server, url) = server(ModelTroubles { word_delay_ms: 60, ..ModelTroubles::default() });
        let heard = Arc::new(HeardTexts::default());
        let answer = asked(&[("url", &url)], &heard).unwrap();
        assert_eq!(answer, json!({"text": "I have read 3 words.", "model": "first", "fallback": false}));
        let heard = heard.0.lock().unwrap();
        assert!(heard.len() > 1 && heard[0].starts_with("answer: I "), "{heard:?}");
        assert!(heard.windows(2).all(|two| two[1].starts_with(&two[0])), "it grows: {heard:?}");
        assert_eq!((server.counts().calls, server.counts().answered), (1, 1));
    }

    #[test]
    fn a_cheaper_model_answers_where_the_first_fails() {
        let every = ModelTroubles::default();
        let troubles = [
            ModelTroubles { is_down: true, ..every },
            ModelTroubles { busy_every: 1, ..every },
            ModelTroubles { garbage_every: 1, ..every },
            ModelTroubles { cut_off_every: 1, ..every },
            ModelTroubles { hang_every: 1, hang_ms: 60_000, ..every },
        ];
        let (fallback, fallback_url) = server(every);
        for troubles in troubles {
            let (first, url) = server(troubles);
            let parameters = [
                ("url", url.as_str()),
                ("patience_s", "5"),
                ("fallback_url", &fallback_url),
                ("fallback_model", "second"),
            ];
            let answer =
                asked(&parameters, &Arc::default()).unwrap_or_else(|fault| panic!("{troubles:?}: {fault}"));
            assert_eq!(answer, json!({"text": "I have read 3 words.", "model": "second", "fallback": true}));
            assert_eq!(first.counts().answered, 0, "{troubles:?}");
        }
        // The server counts an answer once it has written it.
        let began = Instant::now();
        while fallback.counts().answered < 5 && began.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(fallback.counts().answered, 5);
    }

    #[test]
    fn without_a_fallback_the_fault_may_pass_and_says_why() {
        let (_server, url) = server(ModelTroubles { cut_off_every: 1, ..ModelTroubles::default() });
        let fault = asked(&[("url", &url)], &Arc::default()).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Transient);
        let (_server, url) = server(ModelTroubles { busy_every: 1, ..ModelTroubles::default() });
        let both = [("url", url.as_str()), ("fallback_model", "second")];
        let fault = asked(&both, &Arc::default()).unwrap_err();
        assert!(fault.reason.contains("status 503") && fault.reason.contains("and then"), "{fault}");
    }

    #[test]
    fn json_is_read_and_not_told_piece_by_piece() {
        let (_server, url) = server(ModelTroubles::default());
        let heard = Arc::new(HeardTexts::default());
        let parameters = [("url", url.as_str()), ("form", "json"), ("instruction", "List the symptoms.")];
        let answer = asked(&parameters, &heard).unwrap();
        assert_eq!(answer["value"], json!({"symptoms": [], "since": null}));
        assert!(heard.0.lock().unwrap().is_empty());
        let fault = asked(&[("url", &url), ("form", "json")], &heard).unwrap_err();
        assert!(fault.reason.contains("no JSON"), "{fault}");
    }
}
