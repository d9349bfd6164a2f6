//! A small job for flow, done once under a plan and then again in peace, and counted.

use std::thread;

use super::shim::{Plan, Shim};
use super::{Account, Ended, Life, ListeningAddress, Pacs, Reference, Site, Studies, studies};

/// Two studies, one of them with a slice missing, and how flow gets them.
pub struct Scene {
    pub name: &'static str,
    way: Way,
    shim: &'static Shim,
    studies: Studies,
    reference: Reference,
    _site: Site,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Files,
    Received,
}

/// The folders of one attack.
pub struct Stage {
    pub site: Site,
    pub pacs: Pacs,
    listener: ListeningAddress,
}

impl Scene {
    /// flow is given the files. `None` where there is no library to stand before libc.
    pub fn of_files() -> Option<Scene> {
        Scene::new("files", Way::Files, Reference::of_files)
    }

    /// flow receives the studies over DICOM.
    pub fn of_received() -> Option<Scene> {
        Scene::new("received", Way::Received, Reference::of_received)
    }

    fn new(name: &'static str, way: Way, reference: impl Fn(&Studies) -> Reference) -> Option<Scene> {
        let (shim, site) = (Shim::get()?, Site::new());
        let studies = Studies::write(&site.path("studies"), 2);
        let reference = reference(&studies);
        Some(Scene { name, way, shim, studies, reference, _site: site })
    }

    /// One life under a plan, then one in peace; what is there afterwards. Tells how they ended.
    pub fn play(&self, stage: &Stage, plan: &Plan) -> ([Ended; 2], Account) {
        let mut account = Account::default();
        let lives = thread::scope(|scope| {
            if self.way == Way::Received {
                let listener = &stage.listener;
                let send = |study| _ = studies::send_until_acknowledged(listener, study);
                self.studies.each.iter().for_each(|study| _ = scope.spawn(move || send(study)));
            }
            let ended = self.first_life(stage, plan);
            self.compare(stage, &mut account);
            [ended, self.life_in_peace(stage)]
        });
        account.lived(&lives);
        self.close(stage, &mut account);
        (lives, account)
    }

    /// One life in which only the first of the files' studies is there.
    pub fn answer_the_first(&self, stage: &Stage) {
        let mut command = stage.site.run_files(&self.studies.folder.join("1"));
        Life::start(command.arg("--to").arg(stage.pacs.destination().to_string())).wait().assert_well();
    }

    /// One more life with the files, to its end.
    pub fn again(&self, stage: &Stage) -> Ended {
        Life::start(&mut self.command(stage)).wait()
    }

    /// Counts what is wrong so far.
    pub fn compare(&self, stage: &Stage, account: &mut Account) {
        account.compare(&self.reference, &stage.site, &stage.pacs);
    }

    /// Counts what is there in the end.
    pub fn close(&self, stage: &Stage, account: &mut Account) {
        account.close(&self.reference, &stage.site, &stage.pacs);
    }

    /// Until it ends, or says that something fails (which is then amended), or all is answered.
    pub fn first_life(&self, stage: &Stage, plan: &Plan) -> Ended {
        let mut life = Life::start(self.shim.load(&mut self.command(stage), plan));
        if self.way == Way::Received
            && let Some(address) = life.listening()
        {
            stage.listener.set(address);
        }
        life.lives_until(|said| plan.is_told(said) || self.is_done(stage));
        plan.amend();
        let ended = if self.way == Way::Received { life.stopped() } else { life.wait() };
        stage.listener.clear();
        ended
    }

    fn life_in_peace(&self, stage: &Stage) -> Ended {
        let mut life = Life::start(&mut self.command(stage));
        let ended = if self.way == Way::Received {
            stage.listener.set(life.listening().expect("nothing ends it"));
            life.lives_until(|_| self.is_done(stage));
            life.stopped()
        } else {
            life.wait()
        };
        ended.assert_well();
        ended
    }

    fn is_done(&self, stage: &Stage) -> bool {
        self.way == Way::Received && self.reference.is_answered(&stage.site)
    }

    fn command(&self, stage: &Stage) -> std::process::Command {
        let mut command = match self.way {
            Way::Files => stage.site.run_files(&self.studies.folder),
            Way::Received => stage.site.run_listening(),
        };
        command.arg("--to").arg(stage.pacs.destination().to_string());
        command
    }
}

impl Stage {
    pub fn new() -> Stage {
        Stage { site: Site::new(), pacs: Pacs::open(), listener: ListeningAddress::default() }
    }
}
