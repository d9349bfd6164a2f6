//! What a running flow does beside its requests: it sees to what operators ask for, and forgets what
//! is old.

use std::sync::{Condvar, Mutex};
use std::thread::Scope;
use std::time::{Duration, Instant};

use crate::journal::{Collected, JournalError, Retention, Row, State, Wish};
use crate::outbox::Outbox;

use super::intake::Intake;

/// How often it looks for wishes.
const LOOK: Duration = Duration::from_millis(250);

/// How often it looks for what is old.
const COLLECT: Duration = Duration::from_secs(60);

/// Ends an attendant.
#[derive(Default)]
pub struct Leave {
    left: Mutex<bool>,
    changed: Condvar,
}

impl Leave {
    pub fn leave(&self) {
        *self.left.lock().expect("nothing panics while it holds this") = true;
        self.changed.notify_all();
    }

    fn wait(&self, time: Duration) -> bool {
        let left = self.left.lock().expect("nothing panics while it holds this");
        *self
            .changed
            .wait_timeout_while(left, time, |left| !*left)
            .expect("nothing panics while it holds this")
            .0
    }
}

/// Attends until it may leave.
pub fn attend<'scope>(
    scope: &'scope Scope<'scope, '_>,
    intake: &'scope Intake,
    outbox: &Outbox,
    retention: Retention,
    leave: &Leave,
) {
    let mut next = Instant::now();
    loop {
        if let Err(error) = see_to_wishes(scope, intake, outbox) {
            tracing::error!(%error, "what operators ask for cannot be read");
        }
        if Instant::now() >= next {
            collect(intake, retention);
            next = Instant::now() + COLLECT;
        }
        if leave.wait(LOOK) {
            return;
        }
    }
}

fn see_to_wishes<'scope>(
    scope: &'scope Scope<'scope, '_>,
    intake: &'scope Intake,
    outbox: &Outbox,
) -> Result<(), JournalError> {
    for (row, wish) in intake.journal.wishes()? {
        let name = &row.name;
        match (wish, row.state) {
            (Wish::Cancel, State::Accepted) => {
                intake.progress.say(&format!("cancelled {name}  as an operator asked"));
                intake.entrance.canceller().cancel(row.id);
            }
            (Wish::Retry, State::Accepted) if row.dataflow == intake.dataflow.name() => {
                intake.progress.say(&format!("retried   {name}  as an operator asked"));
                // It may have to wait for its turn, and others' wishes do not wait with it.
                scope.spawn(move || take_up(intake, &row));
            }
            (Wish::Retry, State::Responded) => {
                intake.progress.say(&format!("hurried   {name}  as an operator asked"));
                outbox.hurry(row.id);
            }
            (Wish::Cancel | Wish::Retry | Wish::Keep | Wish::Release, _) => {}
        }
    }
    Ok(())
}

fn take_up(intake: &Intake, row: &Row) {
    if let Err(error) = intake.take_up_one(row) {
        tracing::error!(%error, request = row.name, "it is taken up at the next start");
    }
}

fn collect(intake: &Intake, retention: Retention) {
    match intake.journal.collect(retention, intake.release) {
        Ok(Collected { requests: 0, .. }) => {}
        Ok(Collected { requests, bytes }) => {
            tracing::info!(requests, bytes, "old requests are forgotten");
        }
        Err(error) => tracing::error!(%error, "old requests cannot be removed"),
    }
}
