//! The server killed at random instants while 200 conversations go on: each acknowledged message is answered once.
//!
//! FLOW_CHAT_KILLS says how often it is killed, FLOW_SEED varies the instants.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::device::Device;
use super::scene::{ChatScene, token};
use super::talk;
use super::talk::{ASK, ASK_IN_TURN, Shared, Talk};
use super::types::{self, RecordedAnswers};
use crate::support::chat_client::ChatForm;
use crate::support::model_server::ModelServer;
use crate::support::random::Dice;

const CONVERSATIONS: usize = 200;
/// A message of each conversation about every second.
const PAUSE_MS: usize = 2_000;
/// The server is killed after so many acknowledgements at most.
const ACKNOWLEDGED_MAX: usize = 800;
const MODEL: Duration = Duration::from_secs(2);

fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |text| text.parse().expect("a whole number"))
}

#[test]
fn killed_at_random_instants_each_acknowledged_message_is_answered_once() {
    let (kills, seed) = (number("FLOW_CHAT_KILLS", 4), number("FLOW_SEED", 1) as u64);
    println!("FLOW_SEED={seed}");
    let model = types::model(MODEL);
    let mut scene = types::scene(&model, "rate: 100000\nconnections_per_address: 1000");
    let shared = Arc::new(Shared::default());
    let address = scene.address();
    let threads: Vec<_> = (0..CONVERSATIONS)
        .map(|number| {
            let (mut talk, shared) = (Talk::new(number, seed, PAUSE_MS), Arc::clone(&shared));
            let thread = thread::Builder::new().name(talk.conversation.clone()).stack_size(1 << 20);
            let run = move || {
                talk.run(address, &shared);
                talk
            };
            thread.spawn(run).unwrap()
        })
        .collect();
    let recorded = kill_again_and_again(&mut scene, &model, kills, seed, &shared);
    shared.is_over.store(true, Ordering::Release);
    let talks: Vec<Talk> = threads.into_iter().map(|thread| thread.join().expect("it goes well")).collect();
    let mut faults: Vec<String> = talks.iter().flat_map(Talk::faults).collect();
    faults.extend(other_devices(&scene, &talks));
    for (id, (calls, kill)) in &recorded {
        let now = model.calls_with(&talk::text_of(id));
        if now != *calls {
            faults
                .push(format!("{id}: its answer was recorded at kill {kill} after {calls} calls, now {now}"));
        }
    }
    tell(kills, &talks, &shared, recorded.len(), &model);
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
    scene.stop().assert_well();
}

/// The messages whose model's answer was recorded when the server was killed: the calls made until then, and the
/// number of the kill.
fn kill_again_and_again(
    scene: &mut ChatScene,
    model: &ModelServer,
    kills: usize,
    seed: u64,
    shared: &Shared,
) -> BTreeMap<String, (usize, usize)> {
    let mut dice = Dice(seed);
    let (mut recorded, mut answers) = (BTreeMap::new(), RecordedAnswers::default());
    for kill in 1..=kills {
        // Some lives end while clients come back, others with many models at work.
        let few = dice.one_in(4);
        let wanted = dice.below(if few { 20 } else { ACKNOWLEDGED_MAX });
        let before = shared.acknowledged.load(Ordering::Relaxed);
        let acknowledged = || shared.acknowledged.load(Ordering::Relaxed) - before;
        scene.life().lives_until(|_| acknowledged() >= wanted);
        assert!(scene.kill().was_killed(), "the server had ended by itself");
        for id in answers.new_ones(scene) {
            let calls = model.calls_with(&talk::text_of(&id));
            recorded.insert(id, (calls, kill));
        }
        println!("kill {kill}: {} acknowledged, {} answers recorded", acknowledged(), recorded.len());
        scene.start();
    }
    recorded
}

/// Other devices hear the same, from the beginning.
fn other_devices(scene: &ChatScene, talks: &[Talk]) -> Vec<String> {
    let mut faults = Vec::new();
    for talk in talks.iter().step_by(10) {
        let token = token("berta", "provider", &[&talk.conversation]);
        let mut device = Device::connected_by(scene.address(), &token, ChatForm::Plain);
        let all = talk.sent.len() as u64;
        device.until("all", |device| (device.seen(&talk.conversation) >= all).then_some(()));
        if device.heard(&talk.conversation) != talk.device.heard(&talk.conversation) {
            faults.push(format!("{}: another device hears something else", talk.conversation));
        }
    }
    faults
}

fn tell(kills: usize, talks: &[Talk], shared: &Shared, recorded: usize, model: &ModelServer) {
    let sent: usize = talks.iter().map(|talk| talk.sent.len()).sum();
    let heard: usize = talks.iter().map(|talk| talk.device.events.len()).sum();
    let all = talks.iter().flat_map(|talk| &talk.sent);
    let asked = all.filter(|one| one["type"] == ASK || one["type"] == ASK_IN_TURN).count();
    let count = |number: &std::sync::atomic::AtomicUsize| number.load(Ordering::Relaxed);
    println!(
        "{kills} kills under {CONVERSATIONS} conversations: {sent} messages accepted, {heard} answers heard; \
         {} connections anew, {} messages sent again; {asked} messages with a model, {} calls of it, \
         {recorded} answers recorded at a kill and not asked for again",
        count(&shared.reconnected),
        count(&shared.repeated),
        model.calls().len(),
    );
}
