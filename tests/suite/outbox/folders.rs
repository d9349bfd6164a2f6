//! The folder of responses as one destination among others: not a must, and tried again like them.

use std::fs;
use std::sync::{Arc, Mutex};

use flow::admission::{DeliveryTrouble, Destination, OutgoingResponse, PartAnswer};
use flow::journal::RequestState;
use flow::outbox::{DeliveryClock, DestinationService};

use super::{Post, Told, at_once, patient};
use crate::support::peers::DEADLINE;

/// A kind of destination that flow has not: it keeps the names of the files that it was sent, and breaks off
/// before the first one of `trouble`.
#[derive(Default)]
struct NameList {
    names: Mutex<Vec<String>>,
    trouble: Mutex<Vec<String>>,
}

impl Destination for NameList {
    fn name(&self) -> String {
        "names".to_owned()
    }

    fn send(
        &self,
        _: &OutgoingResponse,
        parts: &[&str],
        answered: &mut dyn FnMut(PartAnswer),
    ) -> Result<(), DeliveryTrouble> {
        for part in parts {
            let mut trouble = self.trouble.lock().unwrap();
            if let Some(index) = trouble.iter().position(|one| one == part) {
                trouble.remove(index);
                return Err(DeliveryTrouble::passing(std::io::Error::other("it broke off")));
            }
            self.names.lock().unwrap().push((*part).to_owned());
            answered(PartAnswer::stored(part));
        }
        Ok(())
    }
}

#[test]
fn without_a_folder_a_response_goes_to_the_others_and_each_part_once() {
    let post = Post::new(3);
    let names = Arc::new(NameList::default());
    names.trouble.lock().unwrap().push("2.dcm".to_owned());
    let forward = |tries| {
        let destination = Arc::clone(&names);
        vec![DestinationService { destination, policy: at_once(tries), alias: None }]
    };
    post.run_to(&["1"], forward(1), DeliveryClock::usual(), |_, _| {});
    assert_eq!(*names.names.lock().unwrap(), ["1.dcm"]);
    assert_eq!(post.states(), [RequestState::Undelivered]);
    // The next process sends what was not answered.
    let told = post.run_to(&[], forward(1), DeliveryClock::usual(), |_, _| {});
    assert!(
        matches!(&told[..], [Told::Forwarded(delivery), Told::Answered] if delivery.complete),
        "{told:?}"
    );
    assert_eq!(*names.names.lock().unwrap(), ["1.dcm", "2.dcm", "3.dcm"]);
    assert_eq!(post.states(), [RequestState::Answered]);
    assert!(!post.path("output").exists());
}

#[test]
fn a_folder_that_cannot_be_written_is_tried_again_and_holds_up_no_other() {
    let post = Post::new(1);
    let names = Arc::new(NameList::default());
    let folder = post.folder(patient());
    fs::remove_dir(post.path("output")).unwrap();
    fs::write(post.path("output"), "in the way").unwrap();
    let other =
        DestinationService { destination: Arc::<NameList>::clone(&names), policy: at_once(1), alias: None };
    post.run_to(&["1"], vec![folder, other], DeliveryClock::usual(), |outbox, says| {
        let told = [says.recv_timeout(DEADLINE).unwrap(), says.recv_timeout(DEADLINE).unwrap()];
        let unwritten =
            |one: &Told| matches!(one, Told::NotWritten(error) if error.contains("could not write"));
        assert!(told.iter().any(unwritten), "{told:?}");
        assert!(told.iter().any(|one| matches!(one, Told::Forwarded(one) if one.complete)), "{told:?}");
        fs::remove_file(post.path("output")).unwrap();
        outbox.expedite(super::request("1").id);
        assert!(matches!(says.recv_timeout(DEADLINE), Ok(Told::Answered)));
    });
    assert!(post.path("output/1/1.dcm").is_file());
    assert_eq!(post.deliveries("1")[0].destination, "names");
    assert_eq!(post.states(), [RequestState::Answered]);
}
