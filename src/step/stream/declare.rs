//! The functions that a step can have for streams.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use crate::step::declaration::{InputTake, OutputCount, Step};
use crate::step::{Call, Digest, Fault, Payload, StepOutputs, Value};

use super::attempt::{CallAttempt, CallFault};
use super::batch::StreamItem;
use super::calls::CallFunction;
use super::join::{JoinFunctions, JoinKernel, JoinRule};
use super::kernel::{KernelFactory, StreamFunction};
use super::kernels::{BatchKernel, EachKernel, FoldKernel, ItemKernel};
use super::maker::{ItemMaker, IteratorMaker};
use super::route::RouteKernel;

impl Step {
    /// Declares an output that is a stream: none, one or many items for one run. Such a step has no other output,
    /// and its function is set by [`Step::runs_many`], [`Step::runs_some`] or [`Step::distinct`]; a step with several
    /// streams is a route, whose function is set by [`Step::routes`].
    #[must_use]
    pub fn gives_many<T: StreamItem>(mut self, name: &'static str) -> Step {
        self = self.gives::<T>(name);
        self.declaration.outputs.iter_mut().for_each(|output| output.count = OutputCount::Many);
        self
    }

    /// Sets a function that gives one item for each item of the first input. It also gives one value for one value,
    /// where the input is wired to one.
    ///
    /// ```
    /// use flow::step::{Fault, Payload, Step};
    ///
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Line(String);
    /// impl Payload for Line {
    ///     const TYPE: &'static str = "line";
    /// }
    ///
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Amount(u64);
    /// impl Payload for Amount {
    ///     const TYPE: &'static str = "amount";
    /// }
    ///
    /// let step = Step::new("read-amount", 1, "Reads an amount.")
    ///     .takes::<Line>("line")
    ///     .gives::<Amount>("amount")
    ///     .runs_each(|line: Line, _| match line.0.parse() {
    ///         Ok(amount) => Ok(Amount(amount)),
    ///         Err(_) => Err(Fault::new(format!("{:?} is no amount", line.0), "Correct the line.")),
    ///     });
    /// assert_eq!(step.declaration.outputs[0].kind, "amount");
    /// ```
    ///
    /// # Panics
    /// If the step does not take an `A` first, or does not give a `B` and nothing else.
    #[must_use]
    pub fn runs_each<A: StreamItem, B: StreamItem>(
        self,
        run: impl Fn(A, &Call) -> Result<B, Fault> + Send + Sync + 'static,
    ) -> Step {
        let (input, output) = self.declared::<A, B>(InputTake::One);
        let run = Arc::new(run);
        let single = Arc::clone(&run);
        let step = self.runs(move |call| {
            let item = call.input::<A>(input).clone();
            Ok(StepOutputs::one(output, single(item, call)?))
        });
        step.streams(StreamFunction::Items(Arc::new(move |_| Box::new(EachKernel::new(&run)))))
    }

    /// Sets a function that gives one item or none for each item of the first input: a filter. The output is
    /// declared with [`Step::gives_many`].
    ///
    /// # Panics
    /// If the step does not take an `A` first, or does not give a `B` and nothing else.
    #[must_use]
    pub fn runs_some<A: StreamItem, B: StreamItem>(
        self,
        run: impl Fn(A, &Call) -> Result<Option<B>, Fault> + Send + Sync + 'static,
    ) -> Step {
        self.declared::<A, B>(InputTake::One);
        let run = Arc::new(run);
        self.streams(StreamFunction::Items(Arc::new(move |_| Box::new(ItemKernel::new(&run)))))
    }

    /// Sets a function that gives any number of items, lazily: they are made as they are taken. The output is
    /// declared with [`Step::gives_many`]. What the items need has to be in the iterator; [`Call::shared`] gives
    /// an input without copying it. An item that cannot be made is a fault of that item; the iterator goes on.
    /// A fault of kind `storage` is one of the whole stream, and ends it.
    ///
    /// ```
    /// use flow::step::{Fault, Payload, Request, Step};
    ///
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Name(String);
    /// impl Payload for Name {
    ///     const TYPE: &'static str = "name";
    /// }
    ///
    /// let step = Step::new("name-items", 1, "Gives the name of each item.")
    ///     .takes::<Request>("request")
    ///     .gives_many::<Name>("names")
    ///     .runs_many(|call| {
    ///         let request = call.shared::<Request>("request");
    ///         let name = move |index: usize| Ok::<_, Fault>(Name(request.items[index].name.clone()));
    ///         Ok((0..call.input::<Request>("request").items.len()).map(name))
    ///     });
    /// assert_eq!(step.declaration.outputs[0].kind, "name");
    /// ```
    ///
    /// # Panics
    /// If the step does not give a `B` and nothing else.
    #[must_use]
    pub fn runs_many<B: StreamItem, I>(
        self,
        run: impl Fn(&Call) -> Result<I, Fault> + Send + Sync + 'static,
    ) -> Step
    where
        I: Iterator<Item = Result<B, Fault>> + Send + 'static,
    {
        self.only_output::<B>();
        self.streams(StreamFunction::Makes(Arc::new(move |call| {
            let items = run(call)?;
            Ok(Box::new(IteratorMaker::new(items)) as Box<dyn ItemMaker>)
        })))
    }

    /// Sets a function that takes the items of the first input in batches, and gives one result for each, in order.
    /// Each item is treated by itself: the same items in other batches must give the same. With `limits: {max: 4}`
    /// so many threads work on batches at once; the items keep their order. A fault of the whole
    /// batch is one of each of its items.
    ///
    /// # Panics
    /// If the step does not take an `A` first, or does not give a `B` and nothing else.
    #[must_use]
    pub fn runs_batch<A: StreamItem, B: StreamItem>(
        mut self,
        run: impl Fn(Vec<A>, &Call) -> Result<Vec<Result<B, Fault>>, Fault> + Send + Sync + 'static,
    ) -> Step {
        let (input, output) = self.declared::<A, B>(InputTake::One);
        let run = Arc::new(run);
        let single = Arc::clone(&run);
        self.declaration.batches = true;
        let step = self.runs(move |call| {
            let results = single(vec![call.input::<A>(input).clone()], call)?;
            let result = results.into_iter().next();
            let lacking = || Fault::new("the step gave no result", "Report this to the authors of the step.");
            Ok(StepOutputs::one(output, result.ok_or_else(lacking)??))
        });
        let of_values = Arc::clone(&run);
        let function: CallFunction = Arc::new(move |items, call, _| {
            let items = items.iter().map(|item| item.get::<A>().expect(CHECKED).clone()).collect();
            let results = of_values(items, call)?;
            Ok(results.into_iter().map(|result| result.map(Value::new)).collect())
        });
        let kernel: KernelFactory = Arc::new(move |size| Box::new(BatchKernel::new(&run, size)));
        step.streams(StreamFunction::Batches(kernel, function))
    }

    /// Sets a function that calls something outside of flow, for example a service, about a batch of items of the
    /// first input, and gives an answer for each, in order. It makes one attempt. What it calls sees each item by
    /// itself: the same items in other batches get the same answers.
    ///
    /// A fault of kind `transient` or `timed_out`, of the whole attempt or of one item, is asked again as the step's
    /// `retry` says. The answers are recorded before anything uses them, and a recorded answer is not asked for again.
    /// Several batches are asked at once, so the function must not depend on their order.
    ///
    /// # Panics
    /// If the step does not take an `A` first, or does not give a `B` and nothing else.
    #[must_use]
    pub fn calls<A: StreamItem, B: StreamItem>(
        mut self,
        ask: impl Fn(Vec<A>, &Call, &CallAttempt) -> Result<Vec<Result<B, Fault>>, CallFault>
        + Send
        + Sync
        + 'static,
    ) -> Step {
        let (input, output) = self.declared::<A, B>(InputTake::One);
        self.declaration.batches = true;
        self.declaration.calls = true;
        let ask: CallFunction = Arc::new(move |items, call, attempt| {
            let items = items.iter().map(|item| item.get::<A>().expect(CHECKED).clone()).collect();
            let answers = ask(items, call, attempt)?;
            Ok(answers.into_iter().map(|answer| answer.map(Value::new)).collect())
        });
        let single = Arc::clone(&ask);
        let step = self.runs(move |call| {
            let item = Value::shared(call.shared::<A>(input));
            let identity = [call.identity.request.as_bytes().as_slice(), call.identity.step.as_bytes()];
            let digest = item.digest();
            let key = Digest::of_parts(identity.into_iter().chain([digest.as_bytes().as_slice()]));
            let attempt = CallAttempt { key, timeout: CallAttempt::TIMEOUT };
            let failed = |failed: CallFault| Fault { retry_after: failed.retry_after, ..failed.fault };
            let answers = single(&[item], call, &attempt).map_err(failed)?;
            let lacking = || Fault::new("the step gave no answer", "Report this to the authors of the step.");
            let mut outputs = StepOutputs::default();
            outputs.push(output, answers.into_iter().next().ok_or_else(lacking)??);
            Ok(outputs)
        });
        step.streams(StreamFunction::Calls(ask))
    }

    /// Sets a function that chooses the output at which an item of the first input goes on, by the output's index. The
    /// outputs are declared with [`Step::gives_many`] and have the type of the input.
    ///
    /// ```
    /// use flow::step::{Payload, Step};
    ///
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Letter(u32);
    /// impl Payload for Letter {
    ///     const TYPE: &'static str = "letter";
    /// }
    ///
    /// let step = Step::new("weigh", 1, "Tells light letters from heavy ones.")
    ///     .takes::<Letter>("letter")
    ///     .gives_many::<Letter>("light")
    ///     .gives_many::<Letter>("heavy")
    ///     .routes(|letter: &Letter, _| Ok(usize::from(letter.0 > 20)));
    /// assert!(step.declaration.routes());
    /// ```
    ///
    /// # Panics
    /// If the step does not take an `A` first, or gives anything else.
    #[must_use]
    pub fn routes<A: StreamItem>(
        self,
        choose: impl Fn(&A, &Call) -> Result<usize, Fault> + Send + Sync + 'static,
    ) -> Step {
        let declaration = &self.declaration;
        let takes = declaration.inputs.first().is_some_and(|input| input.kind == A::TYPE);
        let gives = declaration
            .outputs
            .iter()
            .all(|output| output.kind == A::TYPE && output.count == OutputCount::Many);
        let outputs = declaration.outputs.len();
        assert!(
            takes && gives && outputs > 0,
            "the step {:?} does not take and give {}",
            declaration.name,
            A::TYPE
        );
        let choose = Arc::new(choose);
        self.streams(StreamFunction::Items(Arc::new(move |_| {
            let choose = Arc::clone(&choose);
            Box::new(RouteKernel::new(move |item: &A, call: &Call| choose(item, call).map(Some), outputs))
        })))
    }

    /// Sets a function that gives the key of an item of the first input: of items with the same key, the first in the
    /// stream goes on. All keys are kept in memory. The output is declared with [`Step::gives_many`].
    ///
    /// # Panics
    /// If the step does not take an `A` first, or does not give an `A` and nothing else.
    #[must_use]
    pub fn distinct<A: StreamItem, K: Hash + Eq + Send + 'static>(
        self,
        key: impl Fn(&A, &Call) -> Result<K, Fault> + Send + Sync + 'static,
    ) -> Step {
        self.declared::<A, A>(InputTake::One);
        let key = Arc::new(key);
        self.streams(StreamFunction::Items(Arc::new(move |_| {
            let (key, mut seen) = (Arc::clone(&key), HashSet::new());
            let choose = move |item: &A, call: &Call| Ok(seen.insert(key(item, call)?).then_some(0));
            Box::new(RouteKernel::new(choose, 1))
        })))
    }

    /// Sets functions that join the streams at the first two inputs by key. For each item of the first, the left one,
    /// and each item of the right stream with the same key, `combine` gives an item; the rule says what becomes of one
    /// without a match. A key `None` meets nothing. Items come in the order of the left stream, and for each of them in that
    /// of the right one. The output is declared with [`Step::gives_many`].
    ///
    /// The items of the right stream are kept in memory, as far as the rule allows. Those of the left stream are held
    /// until the right one has ended, as far as the rule allows; streams that are made by steps of their own are made in
    /// that order. What is made of one left item goes on batch by batch: where `combine` fails for a match, what was made
    /// of those before has gone on.
    ///
    /// # Panics
    /// If the step does not take an `A` and a `B` first, or does not give a `C` and nothing else.
    #[must_use]
    pub fn joins<A: StreamItem, B: StreamItem, C: StreamItem, K: Hash + Eq + Send + 'static>(
        mut self,
        left_key: impl Fn(&A, &Call) -> Result<Option<K>, Fault> + Send + Sync + 'static,
        right_key: impl Fn(&B, &Call) -> Result<Option<K>, Fault> + Send + Sync + 'static,
        combine: impl Fn(&A, Option<&B>, &Call) -> Result<C, Fault> + Send + Sync + 'static,
        rule: impl Fn(&Call) -> JoinRule + Send + Sync + 'static,
    ) -> Step {
        self.declared::<A, C>(InputTake::One);
        let right = self.declaration.inputs.get(1);
        let takes = right.is_some_and(|input| (input.kind, input.take) == (B::TYPE, InputTake::One));
        assert!(takes, "the step {:?} does not take {} second", self.declaration.name, B::TYPE);
        self.declaration.joins = true;
        let functions = Arc::new(JoinFunctions { left_key, right_key, combine, rule });
        self.streams(StreamFunction::Joins(Arc::new(move |_| {
            Box::new(JoinKernel::<A, B, K, _, _, _, _>::new(&functions))
        })))
    }

    /// Sets a function that adds up all items of the first input, which was declared with [`Step::takes_each`].
    /// They come in their order and are not kept, so that the memory of the sum is all that is needed.
    ///
    /// # Panics
    /// If the step does not take each `A` first, or does not give an `S` and nothing else.
    #[must_use]
    pub fn folds<A: StreamItem, S: Payload>(
        self,
        begin: impl Fn(&Call) -> S + Send + Sync + 'static,
        add: impl Fn(&mut S, A) + Send + Sync + 'static,
    ) -> Step {
        self.folds_checked(begin, move |sum: &mut S, item: A| {
            add(sum, item);
            Ok(())
        })
    }

    /// Sets a function as [`Step::folds`] does, to which an item may be a fault. It is a fault of the step: a sum
    /// without an item is no sum.
    ///
    /// # Panics
    /// If the step does not take each `A` first, or does not give an `S` and nothing else.
    #[must_use]
    pub fn folds_checked<A: StreamItem, S: Payload>(
        self,
        begin: impl Fn(&Call) -> S + Send + Sync + 'static,
        add: impl Fn(&mut S, A) -> Result<(), Fault> + Send + Sync + 'static,
    ) -> Step {
        let (input, output) = self.declared::<A, S>(InputTake::Each);
        let (begin, add) = (Arc::new(begin), Arc::new(add));
        let (begin_single, add_single) = (Arc::clone(&begin), Arc::clone(&add));
        let step = self.runs(move |call| {
            let mut sum = begin_single(call);
            call.each::<A>(input).into_iter().try_for_each(|item| add_single(&mut sum, item.clone()))?;
            let mut outputs = StepOutputs::default();
            outputs.push(output, Value::new(sum));
            Ok(outputs)
        });
        step.streams(StreamFunction::Fold(Arc::new(move |_| Box::new(FoldKernel::new(&begin, &add)))))
    }

    /// The names of the first input and of the only output.
    fn declared<A: Payload, B: Payload>(&self, take: InputTake) -> (&'static str, &'static str) {
        let declaration = &self.declaration;
        let first = declaration.inputs.first().filter(|input| (input.kind, input.take) == (A::TYPE, take));
        let Some(input) = first else {
            panic!("the step {:?} does not take {} first", declaration.name, A::TYPE);
        };
        (input.name, self.only_output::<B>())
    }

    fn only_output<B: Payload>(&self) -> &'static str {
        match self.declaration.outputs.as_slice() {
            [only] if only.kind == B::TYPE => only.name,
            _ => panic!("the step {:?} does not give {} alone", self.declaration.name, B::TYPE),
        }
    }
}

const CHECKED: &str = "types are checked before anything runs";
