//! The services of the dataflow `tally` by themselves, with troubles on demand:
//!
//! `cargo run --example tally_services -- 127.0.0.1:8900 delay_ms=5 fail_every=10 busy_every=50 hang_every=200`
//!
//! In a copy of `dataflows/tally.yaml`, write `http://127.0.0.1:8900` in place of `sample:`.

use std::io::{self, BufRead};
use std::time::Duration;

use flow::tally::{SampleServices, ServiceTroubles};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8900".to_owned());
    let mut troubles = ServiceTroubles { hang: Duration::from_secs(10), ..ServiceTroubles::default() };
    for argument in arguments {
        let (name, number) = argument.split_once('=').unwrap_or((&argument, ""));
        let number: u64 = number.parse().map_err(io::Error::other)?;
        match name {
            "delay_ms" => troubles.delay = Duration::from_millis(number),
            "fail_every" => troubles.fail_every = number,
            "busy_every" => troubles.busy_every = number,
            "hang_every" => troubles.hang_every = number,
            "hang_ms" => troubles.hang = Duration::from_millis(number),
            _ => return Err(io::Error::other(format!("{name} is not known"))),
        }
    }
    let services = SampleServices::start_at(&address, troubles)?;
    println!("{} has /search, /first and /second; the end of the input ends them", services.url());
    for line in io::stdin().lock().lines() {
        line?;
    }
    let counts = services.counts();
    let repeated = counts.answered.values().filter(|times| **times > 1).count();
    println!(
        "{} calls, {} with troubles, {repeated} batches answered more than once",
        counts.calls, counts.troubled
    );
    Ok(())
}
