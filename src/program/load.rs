//! Programs of steps as steps: each calls the processes that the program's pool has.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::Value as Json;

use crate::dataflow::{ProgramLoader, ProgramSource};
use crate::step::{
    Call, Digest, Fault, JsonValue, NumberValue, Payload, Step, StepDeclaration, StreamItem, TextValue,
};

use super::hello::ProgramStep;
use super::pool::ProgramPool;
use super::step_call::wrong;

inventory::submit! { ProgramLoader(load) }

fn load(source: &ProgramSource) -> Result<Vec<Step>, Fault> {
    let (hello, pool) = ProgramPool::open(source)?;
    let pool = shared(source, pool);
    let program = source.command.last().map(String::as_str).unwrap_or_default();
    let steps = hello
        .steps()
        .map_err(|reason| wrong(format!("the program {program} declares no steps: {reason}")))?;
    Ok(steps.into_iter().map(|step| with_function(step, &pool)).collect())
}

/// The pool that already has these processes, or this one: dataflows with the same program share its processes.
fn shared(source: &ProgramSource, pool: ProgramPool) -> Arc<ProgramPool> {
    static POOLS: Mutex<BTreeMap<Digest, Weak<ProgramPool>>> = Mutex::new(BTreeMap::new());
    let key = Digest::of_parts([format!("{source:?}").as_bytes(), pool.code().as_bytes()]);
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    pools.retain(|_, pool| pool.strong_count() > 0);
    let known = pools.get(&key).and_then(Weak::upgrade);
    known.unwrap_or_else(|| {
        let pool = Arc::new(pool);
        pools.insert(key, Arc::downgrade(&pool));
        pool
    })
}

fn with_function(ProgramStep { mut step, batch }: ProgramStep, pool: &Arc<ProgramPool>) -> Step {
    let code = pool.code();
    step.declaration.code = Some(code);
    // The number that people see; the digest is what counts.
    let [a, b, c, d, ..] = *code.as_bytes();
    step.declaration.version = u32::from_be_bytes([a, b, c, d]);
    if batch {
        return batched(step, pool);
    }
    let (declaration, pool) = (step.declaration.clone(), Arc::clone(pool));
    step.runs(move |call| pool.call(&declaration, call))
}

/// A type that travels as JSON, item by item.
trait PlainItem: StreamItem {
    fn into_json(self) -> Json;
    fn of_json(json: Json) -> Option<Self>;
}

impl PlainItem for JsonValue {
    fn into_json(self) -> Json {
        self.0
    }

    fn of_json(json: Json) -> Option<JsonValue> {
        Some(JsonValue(json))
    }
}

impl PlainItem for NumberValue {
    fn into_json(self) -> Json {
        self.0.into()
    }

    fn of_json(json: Json) -> Option<NumberValue> {
        json.as_f64().map(NumberValue)
    }
}

impl PlainItem for TextValue {
    fn into_json(self) -> Json {
        self.0.into()
    }

    fn of_json(json: Json) -> Option<TextValue> {
        json.as_str().map(|text| TextValue(text.to_owned()))
    }
}

fn batched(step: Step, pool: &Arc<ProgramPool>) -> Step {
    match step.declaration.inputs[0].kind {
        NumberValue::TYPE => batched_from::<NumberValue>(step, pool),
        TextValue::TYPE => batched_from::<TextValue>(step, pool),
        _ => batched_from::<JsonValue>(step, pool),
    }
}

fn batched_from<A: PlainItem>(step: Step, pool: &Arc<ProgramPool>) -> Step {
    match step.declaration.outputs[0].kind {
        NumberValue::TYPE => batched_of::<A, NumberValue>(step, pool),
        TextValue::TYPE => batched_of::<A, TextValue>(step, pool),
        _ => batched_of::<A, JsonValue>(step, pool),
    }
}

fn batched_of<A: PlainItem, B: PlainItem>(step: Step, pool: &Arc<ProgramPool>) -> Step {
    let (declaration, pool) = (step.declaration.clone(), Arc::clone(pool));
    step.runs_batch(move |items: Vec<A>, call| run_batch::<A, B>(items, call, &declaration, &pool))
}

fn run_batch<A: PlainItem, B: PlainItem>(
    items: Vec<A>,
    call: &Call,
    declaration: &StepDeclaration,
    pool: &ProgramPool,
) -> Result<Vec<Result<B, Fault>>, Fault> {
    let batch: Vec<Json> = items.into_iter().map(A::into_json).collect();
    let results = pool.call_batch(declaration, call, &batch)?;
    let made = |json: Json| {
        B::of_json(json).ok_or_else(|| wrong(format!("the step gave no {} for an item", B::TYPE)))
    };
    Ok(results.into_iter().map(|result| result.and_then(made)).collect())
}
