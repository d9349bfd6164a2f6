//! `call-model`: asks a language model about an item.
//!
//! The server speaks the form of OpenAI's chat completions, as common inference servers do. Text is told as it comes; the
//! result is that of the whole answer. If the model fails, a cheaper one can be asked in the same attempt.

use std::time::Duration;

use crate::chat::model_answer::{AnswerForm, ModelAnswer};
use crate::chat::model_request::{ModelQuestion, ModelServer};
use crate::json::{JsonItem, template};
use crate::step::{BuiltIn, Call, CallAttempt, CallFault, Fault, FaultKind, Parameter, Step};

const PATIENCE_S: f64 = 20.0;
const PATIENCE_MAX_S: f64 = 3600.0;

fn step() -> Step {
    let text = |name| Parameter::text(name, "", &[]);
    let patience = |name, usual| Parameter::number(name, usual, 0.1, PATIENCE_MAX_S, "s");
    Step::new("call-model", 1, "Asks a language model, and adds its answer to the item.")
        .takes::<JsonItem>("item")
        .gives::<JsonItem>("item")
        .parameter(Parameter::text("url", "site:", &[]).about(
            "The address of the server; `site:` is that of the site's file, `sample:` a sample in this process.",
        ))
        .parameter(text("model").required().about("The name of the model."))
        .parameter(text("instruction").about("What the model shall do: a text with fields as {/content/text}."))
        .parameter(text("prompt").required().about("What it is about: a text with fields as {/content/text}."))
        .parameter(Parameter::text("into", "answer", &[]).about("The field that takes {text, model, fallback}."))
        .parameter(
            Parameter::text("form", AnswerForm::TEXT, &[AnswerForm::TEXT, AnswerForm::JSON])
                .about("With `json`, the answer has to be JSON, and the field has it as `value`."),
        )
        .parameter(Parameter::number("tokens_max", 1_000.0, 1.0, 1_000_000.0, "tokens"))
        .parameter(patience("patience_s", PATIENCE_S).about("The time that an attempt takes at most."))
        .parameter(text("fallback_url").about("The address that is asked where the first fails; usually the same."))
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
        fault: Fault { reason, ..second.fault },
        retry_after: first.retry_after.max(second.retry_after),
    }
}
