//! Random dataflows of small steps that compute with numbers, and fail and panic now and then.

use flow::step::{
    Digest, Fault, Item, ItemPlace, Parameter, Payload, Request, ResponseFile, ResponseFiles, Step,
    StepOutcomes, StepOutputs, StepReservations, StepTable,
};

/// What the steps exchange.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Number(pub u64);

impl Payload for Number {
    const TYPE: &'static str = "number";
}

/// A reproducible source of choices (SplitMix64: Steele, Lea, Flood, OOPSLA 2014).
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

fn mix(seed: u64) -> u64 {
    let first = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let second = (first ^ (first >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    second ^ (second >> 31)
}

/// Every step of the table fails for one value in `fail` and panics for one in `panic`.
fn settle(value: u64, fail: f64, panic: f64) -> Result<u64, Fault> {
    assert!(panic == 0.0 || !value.is_multiple_of(panic as u64), "value {value} panics");
    if fail != 0.0 && value % fail as u64 == 1 {
        let fault = if value.is_multiple_of(2) { Fault::new } else { Fault::transient };
        return Err(fault(format!("value {value} fails"), "Take another."));
    }
    // Some take longer than others, so that runs end out of order.
    std::thread::sleep(std::time::Duration::from_micros(value % 500));
    Ok(value)
}

fn step(name: &'static str) -> Step {
    Step::new(name, 1, "For tests.")
        .parameter(Parameter::number("fail", 0.0, 0.0, 1000.0, ""))
        .parameter(Parameter::number("panic", 0.0, 0.0, 1000.0, ""))
}

fn numbers(step: Step, run: impl Fn(&flow::step::Call) -> u64 + Send + Sync + 'static) -> Step {
    step.gives::<Number>("number").runs(move |call| {
        let value = mix(run(call));
        Ok(StepOutputs::one("number", Number(settle(value, call.number("fail"), call.number("panic"))?)))
    })
}

fn file(call: &flow::step::Call, text: String) -> StepOutputs {
    let name = format!("{}.txt", &call.uid(0)[5..15]);
    StepOutputs::one("files", ResponseFiles(vec![ResponseFile::new(name, "text/plain", text.into_bytes())]))
}

pub fn table() -> StepTable {
    let value = |call: &flow::step::Call, name: &str| call.input::<Number>(name).0;
    let steps = [
        numbers(step("of-item").takes::<Item>("item"), |call| {
            u64::from(call.input::<Item>("item").digest.as_bytes()[0])
        }),
        numbers(step("of-all").takes_each::<Item>("items"), |call| call.each::<Item>("items").len() as u64),
        numbers(step("of-request").takes::<Request>("request").cheap(), |call| {
            u64::from(call.input::<Request>("request").id.as_bytes()[1])
        }),
        numbers(step("join").takes::<Number>("a").takes::<Number>("b"), move |call| {
            value(call, "a").wrapping_mul(31).wrapping_add(value(call, "b"))
        }),
        numbers(step("either").takes::<Number>("a").takes_optional::<Number>("b").cheap(), move |call| {
            value(call, "a") ^ call.optional::<Number>("b").map_or(7, |number| number.0)
        }),
        numbers(step("share").takes::<Number>("one").takes_each::<Number>("all"), move |call| {
            let all = call.each::<Number>("all").iter().fold(0, |sum, number| sum ^ number.0);
            value(call, "one").wrapping_mul(31).wrapping_add(all)
        }),
        numbers(step("fold").takes_each::<Number>("all"), |call| {
            call.each::<Number>("all")
                .iter()
                .fold(0, |sum, number| sum.wrapping_mul(31).wrapping_add(number.0))
        }),
        step("write").takes::<Number>("number").gives::<ResponseFiles>("files").runs(move |call| {
            let text = settle(value(call, "number"), call.number("fail"), call.number("panic"))?;
            Ok(file(call, text.to_string()))
        }),
        step("doubt").takes::<Number>("number").gives::<StepReservations>("reservations").runs(move |call| {
            let number = value(call, "number");
            let mut reservations = StepReservations::default();
            if number.is_multiple_of(2) {
                reservations.say("even", format!("{} is even", number % 10));
            }
            settle(number, call.number("fail"), call.number("panic"))?;
            Ok(StepOutputs::one("reservations", reservations))
        }),
        step("report-faults")
            .takes::<Request>("request")
            .takes::<StepOutcomes>("outcomes")
            .gives::<ResponseFiles>("files")
            .runs(|call| {
                let faults: Vec<_> =
                    call.input::<StepOutcomes>("outcomes").faults().map(|(report, _)| &report.step).collect();
                Ok(file(call, format!("{}: {faults:?}", call.input::<Request>("request").name)))
            }),
    ];
    steps.into_iter().fold(StepTable::default().with_attributes(flow::dicom::ATTRIBUTES), StepTable::with)
}

/// A dataflow of 3 to 14 nodes.
pub fn dataflow(dice: &mut Dice) -> String {
    // Name and whether it exists per item.
    let mut given: Vec<(String, bool)> = Vec::new();
    let mut text =
        "dataflow: random\nlimits:\n  memory: {fixed: 1 KiB, per_decoded_byte: 1.0}\nsteps:\n".to_owned();
    for index in 0..3 + dice.below(12) {
        let name = format!("n{index}");
        let (step, needs, per_item) = node(dice, &given);
        text += &format!("  {name}:\n    step: {step}\n    needs: {{{needs}}}\n");
        text += &format!("    with: {{fail: {}, panic: {}}}\n", rarely(dice), rarely(dice));
        if dice.one_in(6) {
            text += "    retry: {count: 2, first_delay: 0 s, on: [transient, broken]}\n";
        }
        if dice.one_in(8) {
            text += "    timeout: 5 min\n";
        }
        if dice.one_in(15) {
            text += "    enabled: false\n";
        }
        if dice.one_in(10) {
            text += "    when: {modality: CT}\n";
        }
        given.push((name, per_item));
    }
    let writers = 1 + dice.below(3);
    for index in 0..writers {
        let (source, _) = &given[dice.below(given.len())];
        text += &format!("  w{index}:\n    step: write\n    needs: {{number: {source}}}\n");
    }
    if dice.one_in(2) {
        let (source, _) = &given[dice.below(given.len())];
        text += &format!("  doubt:\n    step: doubt\n    needs: {{number: {source}}}\n");
        text += &format!("    with: {{fail: {}, panic: {}}}\n", rarely(dice), rarely(dice));
    }
    let response: Vec<String> = (0..writers).map(|index| format!("w{index}")).collect();
    text += &format!("response: [{}]\n", response.join(", "));
    if dice.one_in(3) {
        text += "on_failure: stop\n";
    }
    if !dice.one_in(4) {
        text += "failure:\n  report:\n    step: report-faults\n    needs: {request: request, outcomes: outcomes}\n";
    }
    text
}

fn rarely(dice: &mut Dice) -> usize {
    if dice.one_in(4) { 5 + dice.below(20) } else { 0 }
}

fn node(dice: &mut Dice, given: &[(String, bool)]) -> (&'static str, String, bool) {
    let pick = |dice: &mut Dice| given[dice.below(given.len())].clone();
    let per_item: Vec<_> = given.iter().filter(|(_, per_item)| *per_item).collect();
    match dice.below(if given.is_empty() { 3 } else { 9 }) {
        0 => ("of-item", "item: request.items".to_owned(), true),
        1 => ("of-all", "items: request.items".to_owned(), false),
        2 => ("of-request", "request: request".to_owned(), false),
        3 | 4 if !per_item.is_empty() => {
            let (all, _) = per_item[dice.below(per_item.len())];
            ("fold", format!("all: {all}"), false)
        }
        5 if !per_item.is_empty() => {
            let (all, _) = per_item[dice.below(per_item.len())];
            let one = pick(dice);
            ("share", format!("one: {}, all: {all}", one.0), one.1)
        }
        5 | 6 => {
            let (a, b) = (pick(dice), pick(dice));
            ("either", format!("a: {}, b: {}", a.0, b.0), a.1 || b.1)
        }
        7 => {
            let a = pick(dice);
            ("either", format!("a: {}", a.0), a.1)
        }
        _ => {
            let (a, b) = (pick(dice), pick(dice));
            ("join", format!("a: {}, b: {}", a.0, b.0), a.1 || b.1)
        }
    }
}

/// A request of up to 20 items; some have none.
pub fn request(dice: &mut Dice, number: usize) -> Request {
    let item = |index: u64| Item {
        name: format!("item {index}"),
        place: ItemPlace::File("/nowhere".into()),
        digest: Digest::of(&index.to_le_bytes()),
        size: 1,
        decoded: 100,
    };
    let items = (0..dice.below(21)).map(|_| item(dice.next())).collect();
    let modality = if dice.one_in(2) { "CT" } else { "MR" };
    Request::new(format!("request-{number}"), [("modality".to_owned(), modality.into())].into(), items)
}
