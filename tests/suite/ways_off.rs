//! Ways of a stream that are off: the response counts the items that no other way brings where ways meet, also behind a
//! route within a route, and in each round of a loop.

use flow::dataflow::ResponseVerdict;

use crate::streams::{answer, dataflow};

/// The sum of what arrives, and what the response says about ways that are off: the step, its output, the first step that
/// does not run, and the number of items.
fn lacking(steps: &str) -> (u64, Vec<(String, String)>) {
    let head = "
  amounts: {step: list, needs: {request: request}, with: {count: 1000}}
  parted: {step: way, needs: {amount: amounts}}
  file: {step: write, needs: {amount: sum}}
";
    let rest = "on_item_failure: complete with reservations\n";
    let (response, text) = answer(dataflow(&format!("{head}{steps}"), rest));
    assert_ne!(response.verdict, ResponseVerdict::Failed, "{response:?}");
    let off = response.reservations.iter().filter(|one| one.code == "way_off");
    (text.parse().unwrap(), off.map(|one| (one.step.to_string(), one.text.clone())).collect())
}

fn off(step: &str, output: &str, by: &str, items: usize) -> (String, String) {
    let text = format!(
        "items of \"{output}\" that do not come to \"sum\" by way of \"{by}\", which does not run: {items}; the results \
         are without them"
    );
    (step.to_owned(), text)
}

/// The amount, divided by two until it is odd.
fn odd_part(number: u64) -> u64 {
    number >> number.trailing_zeros()
}

#[test]
fn items_that_a_route_within_a_route_brings_are_not_counted() {
    let (sum, said) = lacking(
        "
  tag: {step: check, needs: {amount: parted.even}, enabled: false}
  half: {step: halve, needs: {amount: parted.even}}
  inner: {step: way, needs: {amount: half}}
  sum: {step: total, needs: {amounts: [parted.odd, tag, inner.odd]}}
",
    );
    let arrived = |number: &u64| number % 2 == 1 || number % 4 == 2;
    let part = |number: u64| if number % 2 == 1 { number } else { number / 2 };
    assert_eq!(sum, (0..1000).filter(arrived).map(part).sum::<u64>());
    assert_eq!(said, [off("inner", "even", "tag", 250)], "the multiples of four");
}

#[test]
fn items_that_a_route_brings_beside_a_way_from_where_they_are_made_are_not_counted() {
    let (sum, said) = lacking(
        "
  tag: {step: check, needs: {amount: amounts}, enabled: false}
  sum: {step: total, needs: {amounts: [tag, parted.odd]}}
",
    );
    assert_eq!((sum, said), (250_000, vec![off("parted", "even", "tag", 500)]));
}

#[test]
fn a_loop_brings_all_items_that_do_not_fail_at_its_bound() {
    let (sum, said) = lacking(
        "
  tag: {step: check, needs: {amount: parted.even}, enabled: false}
  half: {step: halve, needs: {amount: parted.even}, again: {amount: ready.even, max: 9}}
  ready: {step: way, needs: {amount: half}}
  sum: {step: total, needs: {amounts: [tag, ready.odd]}}
",
    );
    let even = (2..1000).filter(|number| number % 2 == 0);
    assert_eq!((sum, said), (even.map(odd_part).sum::<u64>(), Vec::new()));
}

#[test]
fn items_that_leave_a_loop_on_no_way_to_the_place_are_counted_in_each_round() {
    let (sum, said) = lacking(
        "
  tag: {step: check, needs: {amount: parted.even}, enabled: false}
  half: {step: halve, needs: {amount: parted.even}, again: {amount: ready.even, max: 9}}
  kind: {step: way, needs: {amount: half}}
  more: {step: halve, needs: {amount: kind.even}}
  ready: {step: way, needs: {amount: more}}
  sum: {step: total, needs: {amounts: [tag, kind.odd]}}
",
    );
    let numbers = || (2..1000_u64).filter(|number| number % 2 == 0);
    let leaves = |number: &u64| number.trailing_zeros() % 2 == 1;
    assert_eq!(sum, numbers().filter(leaves).map(odd_part).sum::<u64>());
    let lost = numbers().filter(|number| !leaves(number)).count();
    assert_eq!(said, [off("ready", "odd", "tag", lost)]);
}

#[test]
fn items_that_would_go_round_by_a_way_that_is_off_are_counted_once() {
    let (sum, said) = lacking(
        "
  half: {step: halve, needs: {amount: parted.even}, again: {amount: tag, max: 9}}
  ready: {step: way, needs: {amount: half}}
  tag: {step: check, needs: {amount: ready.even}, enabled: false}
  sum: {step: total, needs: {amounts: [parted.odd, ready.odd]}}
",
    );
    let left = (0..1000).filter(|number| number % 4 == 2).map(|number| number / 2).sum::<u64>();
    assert_eq!((sum, said), (250_000 + left, vec![off("ready", "even", "tag", 250)]));
}

#[test]
fn a_way_that_is_off_within_a_loop_counts_the_items_of_each_round() {
    let (sum, said) = lacking(
        "
  half: {step: halve, needs: {amount: parted.even}, again: {amount: ready.even, max: 9}}
  kind: {step: way, needs: {amount: half}}
  more: {step: halve, needs: {amount: kind.even}}
  ready: {step: way, needs: {amount: more}}
  tag: {step: check, needs: {amount: kind.odd}, enabled: false}
  sum: {step: total, needs: {amounts: [ready.odd, tag]}}
",
    );
    let numbers = || (2..1000_u64).filter(|number| number % 2 == 0);
    let comes = |number: &u64| number.trailing_zeros().is_multiple_of(2);
    assert_eq!(sum, numbers().filter(comes).map(odd_part).sum::<u64>());
    assert_eq!(said, [off("kind", "odd", "tag", numbers().filter(|number| !comes(number)).count())]);
}

#[test]
fn items_that_go_round_elsewhere_are_counted_where_their_ways_part() {
    let (sum, said) = lacking(
        "
  tag: {step: check, needs: {amount: parted.even}, enabled: false}
  half: {step: halve, needs: {amount: parted.even}, again: {amount: ready.even, max: 9}}
  ready: {step: way, needs: {amount: half}}
  others: {step: total, needs: {amounts: ready.odd}}
  sum: {step: total, needs: {amounts: [tag, parted.odd]}}
",
    );
    assert_eq!((sum, said), (250_000, vec![off("parted", "even", "tag", 500)]));
}
