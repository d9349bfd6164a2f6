//! Only one flow at a time has a state folder; who has it is said.

use std::time::Instant;

use super::{Life, Site, Studies};

#[test]
fn a_second_flow_is_refused_with_the_number_of_the_first() {
    let site = Site::new();
    let studies = Studies::write(&site.path("studies"), 1);
    let mut first = Life::start(&mut site.run_listening());
    first.listening().expect("nothing ends it");
    let second = Life::start(&mut site.run_files(&studies.folder)).wait();
    assert_eq!(second.status.code(), Some(74), "{}", second.said);
    let number = format!("(process {})", first.process());
    assert!(second.said.contains(&number) && second.said.contains("hint: "), "{}", second.said);

    first.killed_at(Instant::now());
    Life::start(&mut site.run_files(&studies.folder)).wait().assert_well();
}
