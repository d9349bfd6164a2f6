//! When a destination is tried, and whom it keeps waiting.

use std::net::TcpListener;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use flow::dicom::DimseNode;
use flow::dicom::deliver::{ObjectDestination, ObjectTarget};
use flow::journal::RequestState;
use flow::outbox::{DeliveryClock, DeliveryPolicy, DeliveryWindow, DestinationService};

use super::provider::{Answer, Provider};
use super::{Post, Told, at_once, forward, forwarded, patient, uid};
use crate::support::peers::{DEADLINE, until};
use crate::support::ports::free_port;

/// Hours pass in a second.
const FAST: u32 = 7200;
const HOUR: Duration = Duration::from_secs(3600);

pub fn nobody() -> DimseNode {
    format!("NOBODY@127.0.0.1:{}", free_port()).parse().unwrap()
}

#[test]
fn a_destination_that_is_not_there_holds_up_neither_the_others_nor_the_engine() {
    let post = Post::new(2);
    let pacs = Provider::start(|_, _| Answer::Status(0));
    let names: Vec<String> = (1..=20).map(|number| number.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let destinations = vec![forward(nobody(), patient()), forward(pacs.destination(), at_once(1))];
    let told = post.run(&names, destinations, DeliveryClock::usual(), |_, _| {
        until("the other one has all", || (pacs.arrived().len() == 40).then_some(()));
    });
    let (there, not_there): (Vec<_>, Vec<_>) =
        forwarded(&told).into_iter().partition(|delivery| delivery.complete);
    assert_eq!((there.len(), not_there.len()), (20, 20), "what would wait long is let go of at the end");
    assert!(not_there[0].trouble.as_ref().unwrap().contains("no connection"), "{not_there:?}");
    assert_eq!(post.states(), vec![RequestState::Undelivered; 20]);
    let shown = post.deliveries("7");
    assert_eq!(shown.iter().map(|delivery| delivery.complete).collect::<Vec<_>>(), [false, true]);

    // The next process asks the one that has them for nothing.
    let destinations = vec![forward(nobody(), at_once(1)), forward(pacs.destination(), at_once(1))];
    post.run(&[], destinations, DeliveryClock::usual(), |_, _| {});
    assert!(pacs.arrived().values().all(|times| *times == 1));
}

#[test]
fn a_destination_that_is_there_for_nobody_is_not_asked_by_each_response_in_turn() {
    let post = Post::new(1);
    let names = ["1", "2", "3", "4", "5"];
    let wait = all_wait(&post, &names);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let destination = format!("BUSY@{}", listener.local_addr().unwrap()).parse().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    std::thread::spawn(move || {
        // It takes the connection, and hangs up when all are waiting.
        for connection in listener.incoming() {
            counter.fetch_add(1, Ordering::Relaxed);
            wait();
            drop(connection);
        }
    });
    let told = post.run(&names, vec![forward(destination, at_once(3))], DeliveryClock::usual(), |_, _| {});
    assert_eq!(forwarded(&told).len(), 5);
    // The last one may come into the line a moment after its folder is there.
    assert!((3..=6).contains(&asked.load(Ordering::Relaxed)), "{asked:?}");
}

/// Waits until there are responses to all these requests.
fn all_wait(post: &Post, names: &[&str]) -> impl Fn() + Send + use<> {
    let folders: Vec<_> = names.iter().map(|name| post.path("output").join(name)).collect();
    move || until("all wait", || folders.iter().all(|folder| folder.exists()).then_some(()))
}

#[test]
fn whom_a_destination_is_not_there_for_lets_the_next_one_try() {
    let post = Post::new(1);
    let names = ["1", "2", "3", "4"];
    let wait = all_wait(&post, &names);
    let takes = move |before| {
        wait();
        before >= 2
    };
    let pacs = Provider::choosy("127.0.0.1:0".parse().unwrap(), takes, |_, _| Answer::Status(0));
    let told =
        post.run(&names, vec![forward(pacs.destination(), at_once(3))], DeliveryClock::usual(), |_, _| {});
    assert!(forwarded(&told).iter().all(|delivery| delivery.complete), "{told:?}");
}

#[test]
fn a_sender_that_is_not_there_holds_up_no_other_sender() {
    let post = Post::new(1);
    let names = ["1", "2", "3"];
    let wait = all_wait(&post, &names);
    let hangs_up = move |_| {
        wait();
        false
    };
    let gone = Provider::choosy("127.0.0.1:0".parse().unwrap(), hangs_up, |_, _| Answer::Status(0));
    let there = Provider::start(|_, _| Answer::Status(0));
    let nodes = [("CT1", &gone), ("CT2", &there), ("CT3", &there)];
    let nodes = nodes.map(|(title, node)| (title.to_owned(), node.destination()));
    let target = ObjectTarget::Sender(nodes.into());
    let destination = Arc::new(ObjectDestination { target, verifier: None, delivered: Arc::default() });
    let sender = DestinationService { destination, policy: at_once(1), alias: None };
    let told = post.run(&names, vec![sender], DeliveryClock::usual(), |_, _| {});
    let complete = forwarded(&told).iter().filter(|delivery| delivery.complete).count();
    assert_eq!(complete, 2, "{told:?}");
}

#[test]
fn a_destination_that_comes_back_after_an_hour_gets_what_waits() {
    let post = Post::new(3);
    let (clock, destination) = (DeliveryClock::fast(FAST), nobody());
    let policy = DeliveryPolicy::default();
    let told = post.run(&["1"], vec![forward(destination.clone(), policy)], clock, |_, says| {
        let delayed = says.recv_timeout(DEADLINE).unwrap();
        assert!(matches!(&delayed, Told::Delayed(to) if *to == destination.to_string()), "{delayed:?}");
        until("an hour has passed", || (clock.now() > HOUR).then_some(()));
        assert_eq!(post.states(), [RequestState::Responded], "it is on its way");
        let pacs = Provider::at(destination.address.parse().unwrap(), |_, _| Answer::Status(0));
        until("it has all", || (pacs.arrived().len() == 3).then_some(()));
        let Told::Forwarded(delivery) = says.recv_timeout(DEADLINE).unwrap() else { panic!("not told") };
        assert!(delivery.complete && delivery.tries > 1, "{delivery:?}");
    });
    assert!(matches!(told[..], [Told::Answered]), "{told:?}");
    assert_eq!(post.states(), [RequestState::Answered]);
}

#[test]
fn what_is_tried_in_vain_for_long_is_given_up() {
    let post = Post::new(1);
    let policy = DeliveryPolicy { give_up_after: 2 * HOUR, ..DeliveryPolicy::default() };
    post.run(&["1"], vec![forward(nobody(), policy)], DeliveryClock::fast(FAST), |_, says| {
        assert!(matches!(says.recv_timeout(DEADLINE), Ok(Told::Delayed(_))));
        let Ok(Told::Forwarded(delivery)) = says.recv_timeout(DEADLINE) else { panic!("not given up") };
        assert!(!delivery.complete);
    });
    assert_eq!(post.states(), [RequestState::Undelivered]);
}

#[test]
fn an_operator_does_not_wait() {
    let post = Post::new(1);
    let destination = nobody();
    post.run(
        &["1"],
        vec![forward(destination.clone(), patient())],
        DeliveryClock::usual(),
        |outbox, says| {
            assert!(matches!(says.recv_timeout(DEADLINE), Ok(Told::Delayed(_))));
            let pacs = Provider::at(destination.address.parse().unwrap(), |_, _| Answer::Status(0));
            outbox.expedite(super::request("1").id);
            assert!(
                matches!(says.recv_timeout(DEADLINE), Ok(Told::Forwarded(delivery)) if delivery.complete)
            );
            assert_eq!(pacs.arrived().len(), 1);
        },
    );
}

#[test]
fn outside_of_its_window_a_destination_is_not_sent_to() {
    let post = Post::new(1);
    let clock = DeliveryClock::fast(FAST);
    // From two hours from now, in the local time of a place that is an hour ahead of UTC.
    let minutes = (clock.wall().as_secs() / 60 + 60 + 120) % 1440;
    let window = DeliveryWindow::daily(minutes as u16, (minutes as u16 + 60) % 1440);
    let policy = DeliveryPolicy { windows: vec![window.clone()], utc_offset_min: 60, ..patient() };
    let began = clock.now();
    let pacs = Provider::start(|_, _| Answer::Status(0));
    post.run(&["1"], vec![forward(pacs.destination(), policy.clone())], clock, |_, says| {
        assert!(matches!(says.recv_timeout(DEADLINE), Ok(Told::Forwarded(delivery)) if delivery.complete));
    });
    let waited = clock.now() - began;
    assert!(waited > HOUR + HOUR / 2, "it was sent to after {} s", waited.as_secs());

    // What need not be waited for is left for the next start, and told.
    let closed =
        DeliveryPolicy { windows: vec![DeliveryWindow { weekdays: [false; 7], ..window }], ..policy };
    let told = post.run(&["2"], vec![forward(pacs.destination(), closed)], clock, |_, _| {});
    let left = forwarded(&told);
    assert!(!left[0].complete && left[0].tries == 0, "{left:?}");
    assert!(left[0].trouble.as_ref().unwrap().contains("time of the day"), "{left:?}");
    assert_eq!(post.states(), [RequestState::Answered, RequestState::Undelivered]);
    assert!(!pacs.arrived().contains_key(&uid("2", 1)));
}

#[test]
fn as_many_responses_are_on_their_way_as_a_destination_allows() {
    let post = Post::new(1);
    // None is answered before there are two.
    let both = Barrier::new(2);
    let pacs = Provider::start(move |_, _| {
        both.wait();
        Answer::Status(0)
    });
    let policy = DeliveryPolicy { associations_max: NonZero::new(2).unwrap(), ..at_once(1) };
    let told =
        post.run(&["1", "2"], vec![forward(pacs.destination(), policy)], DeliveryClock::usual(), |_, _| {});
    assert!(forwarded(&told).iter().all(|delivery| delivery.complete), "{told:?}");
}

#[test]
fn a_response_without_files_for_a_destination_is_delivered_and_the_record_says_why() {
    let post = Post::new(0);
    let destinations = vec![forward(nobody(), at_once(1))];
    let told = post.run(&["1"], destinations, DeliveryClock::usual(), |_, _| {});
    let delivery = forwarded(&told)[0];
    assert!(delivery.complete && delivery.trouble.is_none(), "{delivery:?}");
    let why = delivery.nothing_to_send.as_deref();
    assert_eq!(why, Some("the response has no files for this destination"));
    assert_eq!(post.states(), [RequestState::Answered]);
}
