//! Random dataflows with streams: steps that make, pass on, drop, multiply, add up and gather numbers, and fail
//! and panic now and then.

use flow::step::{
    Call, Fault, JoinRule, Parameter, Payload, Request, ResponseFile, ResponseFiles, Step, StepOutcomes,
    StepOutputs, StepTable, UnmatchedItem,
};

use super::random::Dice;

/// What the steps exchange. Some numbers are large, so that batches end in many places.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub struct Figure(pub u64);

impl Payload for Figure {
    const TYPE: &'static str = "figure";

    fn bytes_in_memory(&self) -> usize {
        if self.0.is_multiple_of(7) { 300_000 } else { 8 }
    }
}

fn mixed(seed: u64) -> u64 {
    Dice(seed).next()
}

/// Fails for one value in `fail`, and panics for one in `panic`.
fn settle(value: u64, call: &Call) -> Result<u64, Fault> {
    let (fail, panic) = (call.number("fail") as u64, call.number("panic") as u64);
    assert!(panic == 0 || !value.is_multiple_of(panic), "value {value} panics");
    if fail != 0 && value % fail == 1 {
        return Err(Fault::new(format!("value {value} fails"), "Take another."));
    }
    Ok(value)
}

fn step(name: &'static str) -> Step {
    Step::new(name, 1, "For tests.")
        .parameter(Parameter::number("count", 0.0, 0.0, 10_000.0, ""))
        .parameter(Parameter::number("fail", 0.0, 0.0, 1_000_000.0, ""))
        .parameter(Parameter::number("panic", 0.0, 0.0, 1_000_000.0, ""))
}

fn file(call: &Call, text: String) -> StepOutputs {
    let name = format!("{}.txt", &call.uid(0)[5..15]);
    StepOutputs::one("files", ResponseFiles(vec![ResponseFile::new(name, "text/plain", text.into_bytes())]))
}

fn one(call: &Call, name: &str) -> u64 {
    call.input::<Figure>(name).0
}

fn figure(value: u64, call: &Call) -> Result<Figure, Fault> {
    Ok(Figure(settle(mixed(value), call)?))
}

/// As many figures as the step's `count` says, made of `seed`; some cannot be made.
fn figures(seed: u64, call: &Call) -> impl Iterator<Item = Result<Figure, Fault>> + Send + use<> {
    let (fail, panic) = (call.number("fail") as u64, call.number("panic") as u64);
    (0..call.number("count") as u64).map(move |index| {
        let value = mixed(seed ^ index);
        assert!(panic == 0 || !value.is_multiple_of(panic * 100), "value {value} panics");
        match fail != 0 && value % fail == 1 {
            true => Err(Fault::transient(format!("value {value} is not made"), "Try again.")),
            false => Ok(Figure(value)),
        }
    })
}

pub fn table() -> StepTable {
    let steps = [
        step("begin").takes::<Request>("request").gives::<Figure>("figure").runs(move |call| {
            let id = call.input::<Request>("request").id;
            Ok(StepOutputs::one("figure", figure(u64::from(id.as_bytes()[0]), call)?))
        }),
        step("make")
            .takes::<Figure>("seed")
            .gives_many::<Figure>("figures")
            .runs_many(move |call| Ok(figures(settle(one(call, "seed"), call)?, call))),
        step("each")
            .takes::<Figure>("item")
            .gives::<Figure>("figure")
            .runs_each(move |item: Figure, call| figure(item.0, call)),
        step("plain")
            .takes::<Figure>("item")
            .takes_optional::<Figure>("also")
            .gives::<Figure>("figure")
            .runs(move |call| {
                let also = call.optional::<Figure>("also").map_or(3, |also| also.0);
                Ok(StepOutputs::one("figure", figure(one(call, "item") ^ also, call)?))
            }),
        step("with").takes::<Figure>("item").takes::<Figure>("also").gives::<Figure>("figure").runs_each(
            move |item: Figure, call| figure(item.0.wrapping_add(call.input::<Figure>("also").0), call),
        ),
        step("some").takes::<Figure>("item").gives_many::<Figure>("figures").runs_some(
            move |item: Figure, call| {
                let value = settle(item.0, call)?;
                Ok((!value.is_multiple_of(3)).then(|| Figure(mixed(value))))
            },
        ),
        step("batch").takes::<Figure>("item").gives::<Figure>("figure").runs_batch(
            move |items: Vec<Figure>, call| Ok(items.into_iter().map(|item| figure(item.0, call)).collect()),
        ),
    ];
    steps
        .into_iter()
        .chain(ends())
        .chain(others())
        .fold(StepTable::default().with_attributes(flow::dicom::ATTRIBUTES), StepTable::with)
}

/// Steps that make calls, choose a way, remove duplicates, and join.
fn others() -> [Step; 4] {
    [
        step("join").takes::<Figure>("left").takes::<Figure>("right").gives_many::<Figure>("figures").joins(
            move |item: &Figure, call| Ok(Some(settle(item.0, call)? % 4_001)),
            move |item: &Figure, call| {
                Ok((!item.0.is_multiple_of(7)).then_some(settle(item.0, call)? % 4_001))
            },
            move |left: &Figure, right: Option<&Figure>, _| {
                Ok(Figure(left.0.wrapping_mul(3) ^ right.map_or(1, |right| right.0)))
            },
            |call| JoinRule {
                unmatched: match call.number("count") as u64 % 2 {
                    0 => UnmatchedItem::Drop,
                    _ => UnmatchedItem::Keep,
                },
                // A large figure that waits on the left is more than the small bound.
                right_bytes_max: match call.number("count") as u64 {
                    3 => 24_000,
                    _ => 1 << 30,
                },
            },
        ),
        step("ask").takes::<Figure>("item").gives::<Figure>("figure").calls(
            move |items: Vec<Figure>, call, _| {
                if let Some(poison) = items.iter().find(|item| item.0 % 1_009 == 5) {
                    return Err(Fault::new(format!("value {} is refused", poison.0), "Take another.").into());
                }
                let answer = |item: Figure| match item.0.is_multiple_of(61) {
                    true => Err(Fault::transient(format!("no answer to {}", item.0), "Ask again.")),
                    false => figure(item.0, call),
                };
                Ok(items.into_iter().map(answer).collect())
            },
        ),
        step("distinct")
            .takes::<Figure>("item")
            .gives_many::<Figure>("figures")
            .distinct(move |item: &Figure, call| Ok(settle(item.0, call)? % 500)),
        step("way")
            .takes::<Figure>("item")
            .gives_many::<Figure>("low")
            .gives_many::<Figure>("high")
            .routes(move |item: &Figure, call| Ok(usize::from(settle(item.0, call)? % 3 > 0))),
    ]
}

/// The steps that run once.
fn ends() -> [Step; 5] {
    [
        step("sum").takes_each::<Figure>("all").gives::<Figure>("figure").folds(
            |call: &Call| Figure(call.number("count") as u64),
            |sum: &mut Figure, item: Figure| sum.0 = sum.0.wrapping_mul(31).wrapping_add(item.0),
        ),
        step("gather").takes_each::<Figure>("all").gives::<Figure>("figure").runs(move |call| {
            let all = call.each::<Figure>("all");
            let sum = all.iter().fold(7_u64, |sum, item| sum.wrapping_mul(33) ^ item.0);
            Ok(StepOutputs::one("figure", figure(sum, call)?))
        }),
        step("two")
            .takes_each::<Figure>("left")
            .takes_each::<Figure>("right")
            .gives::<Figure>("figure")
            .runs(move |call| {
                let sum = |name| {
                    call.each::<Figure>(name).iter().fold(1_u64, |sum, one| sum.wrapping_mul(31) ^ one.0)
                };
                Ok(StepOutputs::one("figure", figure(sum("left").wrapping_sub(sum("right")), call)?))
            }),
        step("write").takes::<Figure>("figure").gives::<ResponseFiles>("files").runs(move |call| {
            let text = one(call, "figure").to_string();
            Ok(file(call, text))
        }),
        step("apologise")
            .takes::<Request>("request")
            .takes::<StepOutcomes>("outcomes")
            .gives::<ResponseFiles>("files")
            .runs(|call| {
                let outcomes = call.input::<StepOutcomes>("outcomes");
                let faults: Vec<_> =
                    outcomes.faults().map(|(report, fault)| (&report.step, &fault.reason)).collect();
                Ok(file(call, format!("{faults:?}")))
            }),
    ]
}

/// A dataflow with streams, of 4 to 15 nodes.
pub fn dataflow(dice: &mut Dice) -> String {
    let limits = "limits:\n  memory: {fixed: 1 KiB, per_decoded_byte: 1.0}\n";
    let mut text =
        format!("dataflow: random\n{limits}steps:\n  n0: {{step: begin, needs: {{request: request}}}}\n");
    let mut once = vec!["n0".to_owned()];
    let mut streams: Vec<String> = Vec::new();
    for index in 1..4 + dice.below(12) {
        let name = format!("n{index}");
        let (step, needs, is_stream) = node(dice, &once, &streams);
        let node = settings(dice, step, &needs);
        text += &format!("  {name}:\n    step: {step}\n    needs: {{{needs}}}\n{node}");
        if ["ask", "each"].contains(&step) && is_stream && dice.one_in(3) {
            let max = 1 + dice.below(4);
            text += &format!("    again: {{item: r{index}.low, max: {max}}}\n");
            text += &format!("  r{index}: {{step: way, needs: {{item: {name}}}}}\n");
            streams.extend([format!("r{index}.low"), format!("r{index}.high")]);
        }
        match (step, is_stream) {
            ("way", _) => streams.extend([format!("{name}.low"), format!("{name}.high")]),
            (_, true) => streams.push(name),
            (_, false) => once.push(name),
        }
    }
    let writers = 1 + dice.below(3);
    for index in 0..writers {
        let source = once[dice.below(once.len())].clone();
        text += &format!("  w{index}:\n    step: write\n    needs: {{figure: {source}}}\n");
    }
    let response: Vec<String> = (0..writers).map(|index| format!("w{index}")).collect();
    text += &format!("response: [{}]\n", response.join(", "));
    text += match dice.below(4) {
        0 => "on_item_failure: fail\n",
        1 => "on_item_failure: partial above 97.5 %\n",
        2 => "on_item_failure: complete with reservations\n",
        _ => "",
    };
    if dice.one_in(4) {
        text += "on_failure: stop\n";
    }
    if dice.one_in(2) {
        text += "failure:\n  sorry: {step: apologise, needs: {request: request, outcomes: outcomes}}\n";
    }
    text
}

fn settings(dice: &mut Dice, step: &str, needs: &str) -> String {
    let rarely = |dice: &mut Dice| if dice.one_in(4) { 20 + dice.below(2_000) } else { 0 };
    // A long stream is made of a single value: of each item of another, few.
    let count = match (step, needs, dice.below(3)) {
        ("make", "seed: n0", 0) => dice.below(6_000),
        _ => dice.below(4),
    };
    let mut text = format!("    with: {{count: {count}, fail: {}, panic: {}}}\n", rarely(dice), rarely(dice));
    if ["batch", "ask"].contains(&step) && dice.one_in(2) {
        text += &format!("    batch: {{size: {}, bytes: 1 MiB}}\n", 1 + dice.below(40));
    }
    if step == "batch" && dice.one_in(3) {
        text += "    limits: {max: 2}\n";
    }
    if step == "ask" {
        text += "    retry: {count: 2, first_delay: 0 s}\n    limits: {max: 3}\n";
        text += if dice.one_in(2) { "    rate: 1000000/s\n" } else { "" };
    }
    if dice.one_in(15) {
        text += "    enabled: false\n";
    }
    if dice.one_in(12) {
        text += "    when: {modality: CT}\n";
    }
    text
}

/// A step, its needs, and whether it gives a stream.
fn node(dice: &mut Dice, once: &[String], streams: &[String]) -> (&'static str, String, bool) {
    let single = |dice: &mut Dice| once[dice.below(once.len())].clone();
    if streams.is_empty() || dice.one_in(8) {
        return match dice.below(4) {
            0 => ("each", format!("item: {}", single(dice)), false),
            1 => ("some", format!("item: {}", single(dice)), true),
            _ => ("make", format!("seed: {}", single(dice)), true),
        };
    }
    let single_stream = |dice: &mut Dice| streams[dice.below(streams.len())].clone();
    let stream = |dice: &mut Dice| match dice.one_in(4) {
        true => format!("[{}, {}]", single_stream(dice), single_stream(dice)),
        false => single_stream(dice),
    };
    match dice.below(16) {
        0 => ("make", format!("seed: {}", stream(dice)), true),
        1 | 2 => ("each", format!("item: {}", stream(dice)), true),
        3 => ("plain", format!("item: {}", stream(dice)), true),
        4 => ("some", format!("item: {}", stream(dice)), true),
        5 => ("batch", format!("item: {}", stream(dice)), true),
        // The beginning is known before any stream.
        6 => ("with", format!("item: {}, also: n0", stream(dice)), true),
        10 | 11 => ("ask", format!("item: {}", stream(dice)), true),
        14 | 15 => ("join", format!("left: {}, right: {}", stream(dice), stream(dice)), true),
        13 => ("distinct", format!("item: {}", stream(dice)), true),
        12 => ("way", format!("item: {}", stream(dice)), true),
        7 => ("gather", format!("all: {}", stream(dice)), false),
        8 => ("two", format!("left: {}, right: {}", stream(dice), stream(dice)), false),
        _ => ("sum", format!("all: {}", stream(dice)), false),
    }
}
