//! Random processes of three, also process 0, are killed, or stopped for a while, under load.

use std::time::{Duration, Instant};

use super::{ClusterScene, signal};
use crate::support::peers::{Background, until};
use crate::support::random::Dice;

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn no_request_is_lost_and_none_is_answered_twice_whatever_is_killed() {
    let kills = number("FLOW_CLUSTER_KILLS", 3);
    let mut dice = Dice(number("FLOW_SEED", 1) as u64);
    let scene = ClusterScene::new(3, 30 + 70 * kills, ["sleep 0.15", "sleep 0.25"], "");
    let mut processes: Vec<Background> = [1, 2, 0].map(|index| scene.start(index, &[])).into();
    processes.rotate_right(1);
    let (mut outages, mut again) = (Vec::new(), 0);
    for kill in 0..kills {
        let before = scene.answered();
        until("requests are answered", || (scene.answered() > before + 4).then_some(()));
        let victim = dice.below(3);
        let (began, seen) = (Instant::now(), scene.answered());
        let what = if dice.one_in(2) { "killed" } else { "stopped" };
        match what {
            "killed" => {
                signal(&processes[victim], "-KILL");
                processes[victim].gone();
                // A supervisor takes a moment.
                std::thread::sleep(Duration::from_millis(300));
                processes[victim] = scene.start(victim, &[]);
                again += 1;
            }
            _ => {
                signal(&processes[victim], "-STOP");
                std::thread::sleep(Duration::from_millis(1_000 + dice.below(4_000) as u64));
                signal(&processes[victim], "-CONT");
            }
        }
        until("requests are answered again", || (scene.answered() > seen + 2).then_some(()));
        let outage = began.elapsed();
        eprintln!("{kill}: process {victim} {what}; three more answers after {:.1} s", outage.as_secs_f64());
        outages.push(outage);
    }
    // How many are left depends on the machine, so each wait is for one more.
    while scene.answered() < scene.requests {
        let before = scene.answered();
        until("one more is answered", || (scene.answered() > before).then_some(()));
    }
    assert_eq!(processes[0].ended(), 0, "{}", scene.said(0));
    (1..3).for_each(|index| assert_eq!(processes[index].ended(), 0, "{}", scene.said(index)));
    scene.account();
    let twice = scene.ended().values().map(|count| count - 1).sum::<usize>();
    outages.sort();
    eprintln!(
        "{kills} losses, {again} of them kills; outages up to {:.1} s, median {:.1} s; {twice} steps were under way \
         and run again",
        outages.last().map_or(0.0, Duration::as_secs_f64),
        outages.get(kills / 2).map_or(0.0, Duration::as_secs_f64)
    );
}
