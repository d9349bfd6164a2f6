//! Programs of steps as steps: each calls the processes that the program's pool has.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::dataflow::{ProgramLoader, ProgramSource};
use crate::step::{
    BatchPlaces, BatchSize, Call, Digest, Fault, ItemBatch, ItemMaker, ItemOrdinal, JsonValue, KernelFactory,
    NumberValue, Payload, Step, StepOutputs, StreamFunction, TextValue, WiredInput,
};

use super::batch_call::{batch_link, run_batch};
use super::chain_call::chain_factory;
use super::fault::wrong;
use super::group_call::group_link;
use super::hello::{ProgramForm, ProgramStep};
use super::link_kernel::LoneLink;
use super::plain_item::{PlainItem, TypedMaker, for_types};
use super::pool::ProgramPool;
use super::stream_call::{ProgramFold, ProgramMaker};

inventory::submit! { ProgramLoader(load) }

fn load(source: &ProgramSource) -> Result<Vec<Step>, Fault> {
    let (hello, pool) = ProgramPool::open(source)?;
    let pool = shared(source, pool);
    let program = source.command.last().map(String::as_str).unwrap_or_default();
    let steps = hello
        .steps()
        .map_err(|reason| wrong(format!("the program {program} declares no steps: {reason}")))?;
    let can_chain =
        |declared: &ProgramStep| matches!(declared.form, ProgramForm::Grouped | ProgramForm::Batch);
    let steps: Vec<(bool, Step)> =
        steps.into_iter().map(|declared| (can_chain(&declared), with_function(declared, &pool))).collect();
    let chained = steps.iter().filter(|(can_chain, _)| *can_chain);
    let declared = chained.map(|(_, step)| step.declaration.clone()).collect();
    let chain = pool.chains_steps().then(|| chain_factory(declared, &pool));
    let step = |(can_chain, step): (bool, Step)| match chain.clone().filter(|_| can_chain) {
        Some(chain) => step.chains(chain),
        None => step,
    };
    Ok(steps.into_iter().map(step).collect())
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

fn with_function(ProgramStep { mut step, form }: ProgramStep, pool: &Arc<ProgramPool>) -> Step {
    let code = pool.code();
    step.declaration.code = Some(code);
    // The number that people see; the digest is what counts.
    let [a, b, c, d, ..] = *code.as_bytes();
    step.declaration.version = u32::from_be_bytes([a, b, c, d]);
    let (declaration, pool) = (step.declaration.clone(), Arc::clone(pool));
    match form {
        ProgramForm::Once => step.runs(move |call| pool.call(&declaration, call)),
        ProgramForm::Grouped => {
            let (alone, its_pool) = (declaration.clone(), Arc::clone(&pool));
            let kernel: KernelFactory = Arc::new(move |_| Box::new(LoneLink(group_link(&alone, &its_pool))));
            let step = step.runs(move |call| pool.call(&declaration, call));
            step.streams(StreamFunction::Items(kernel))
        }
        ProgramForm::Batch => batched(step, &pool),
        ProgramForm::Makes => makes(step, &pool),
        ProgramForm::Folds => folds(step, &pool),
    }
}

/// A step that makes a stream.
fn makes(step: Step, pool: &Arc<ProgramPool>) -> Step {
    match step.declaration.outputs[0].kind {
        NumberValue::TYPE => makes_of::<NumberValue>(step, pool),
        TextValue::TYPE => makes_of::<TextValue>(step, pool),
        _ => makes_of::<JsonValue>(step, pool),
    }
}

fn makes_of<B: PlainItem>(step: Step, pool: &Arc<ProgramPool>) -> Step {
    let (declaration, pool) = (step.declaration.clone(), Arc::clone(pool));
    step.streams(StreamFunction::Makes(Arc::new(move |call| {
        Ok(Box::new(ProgramMaker::<B>::begin(&pool, &declaration, call)?) as Box<dyn ItemMaker>)
    })))
}

/// A step that takes all items of a stream, or the values of all items of the request.
fn folds(step: Step, pool: &Arc<ProgramPool>) -> Step {
    let (declaration, pool) = (step.declaration.clone(), Arc::clone(pool));
    let (of_values, of_stream) = (declaration.clone(), Arc::clone(&pool));
    let step = step.runs(move |call| {
        let mut fold = ProgramFold::new(&pool, &of_values);
        if let WiredInput::Each(values) = call.inputs.get(of_values.inputs[0].name) {
            for values in values.chunks(BatchSize::TRAVELLING.items) {
                let places = BatchPlaces::Run(ItemOrdinal::default(), 0);
                fold.send(ItemBatch::of_values(places, values.to_vec()), call)?;
            }
        }
        let mut outputs = StepOutputs::default();
        outputs.push(of_values.outputs[0].name, fold.finish(call)?);
        Ok(outputs)
    });
    step.streams(StreamFunction::Fold(Arc::new(move |_| {
        Box::new(ProgramFold::new(&of_stream, &declaration))
    })))
}

fn batched(step: Step, pool: &Arc<ProgramPool>) -> Step {
    let declaration = step.declaration.clone();
    for_types(&declaration, BatchedStep { step, pool })
}

struct BatchedStep<'a> {
    step: Step,
    pool: &'a Arc<ProgramPool>,
}

impl TypedMaker for BatchedStep<'_> {
    type Made = Step;

    fn make<A: PlainItem, B: PlainItem>(self) -> Step {
        let BatchedStep { step, pool } = self;
        let (declaration, its_pool) = (step.declaration.clone(), Arc::clone(pool));
        let run = move |items: Vec<A>, call: &Call| run_batch::<A, B>(&items, call, &declaration, &its_pool);
        let step = step.runs_batch(move |items, call| Ok(run(items, call)?.into_iter().collect()));
        let (declaration, pool) = (step.declaration.clone(), Arc::clone(pool));
        let kernel: KernelFactory =
            Arc::new(move |size| Box::new(LoneLink(batch_link(&declaration, size, &pool))));
        match step.stream() {
            StreamFunction::Batches(_, function) => {
                let function = Arc::clone(function);
                step.streams(StreamFunction::Batches(kernel, function))
            }
            _ => step,
        }
    }
}
