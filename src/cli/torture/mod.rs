//! `flow torture`: a dataflow is killed and started again at random instants, and its requests are accounted for.
//!
//! First it runs undisturbed, twice: what differs then is no fault of the kills, but a step that is no function of
//! its inputs. Then it runs in rounds. Each round has folders of its own; in them flow is started and killed
//! (SIGKILL), until it has answered all or was killed often enough, and is then left in peace.

mod account;
mod instants;
mod life;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::imaging::phantom::{PhantomChest, PhantomOptions, PhantomSyntax};
use crate::printable::counted;

use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::output::{print_line, tell_line};
use account::{Answers, TortureAccount};
use instants::InstantGenerator;
use life::{FlowLife, LifeEnd, LifeFolders};

/// Kill and restart a dataflow at random instants, and account for its requests
///
/// The dataflow runs in folders of its own, with its program steps, and its responses go to no other destination.
/// At the end, every accepted request must have been answered once, with the bytes of an undisturbed run.
/// Services that the dataflow calls are called, also again after a kill.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flow torture                                 ct-lung, with small sample studies
  flow torture my-dataflow.yaml --input studies --kills 200
  flow torture my-dataflow.yaml --files words.txt --seed 7")]
pub struct TortureArguments {
    /// Path of a dataflow file, or the name of one that flow carries [default: ct-lung]
    #[arg(value_name = "DATAFLOW")]
    dataflow: Option<String>,

    /// Files or folders with DICOM studies [default: six small sample studies; for tally, sample jobs]
    #[arg(long, value_name = "PATH", num_args = 1..)]
    input: Vec<PathBuf>,

    /// Files of any kind: each PATH is a request
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with = "input")]
    files: Vec<PathBuf>,

    /// How many kills there are to be
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    kills: u32,

    /// Varies the instants
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Work in this new folder, and keep it [default: a temporary folder, kept if something is wrong]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,

    /// Print a line of JSON for each round, and one for all
    #[arg(long)]
    json: bool,
}

/// Kills in one round. A request during which flow dies ten times in a row gets an error response, as it may be
/// what kills flow.
const KILLS_IN_A_ROUND: u32 = 9;

/// Sample studies.
const STUDIES: u64 = 6;

/// How long a life that is left in peace may take: so many times the undisturbed one, and at least so long.
const PEACE_FACTOR: u32 = 20;
const PEACE_MIN: Duration = Duration::from_secs(120);

/// Rounds that may end without a kill, as flow ended before.
const EARLY_ENDS_MAX: u32 = 50;

/// A dataflow under attack.
struct Torture<'a> {
    arguments: &'a TortureArguments,
    folder: &'a Path,
    /// Sample studies, if nothing else is given.
    sample: Option<PathBuf>,
    reference: Answers,
    /// The time of the undisturbed run.
    took: Duration,
}

impl TortureArguments {
    pub fn run(self) -> Result<CommandExit, CommandError> {
        if let Some(name @ ("books" | "chat")) = self.dataflow.as_deref() {
            let failure =
                CommandError::new(CommandErrorKind::Usage, format!("`flow torture` is not for {name}"));
            return Err(failure.hint("it is for dataflows whose requests come from files"));
        }
        let temporary = tempfile::Builder::new().prefix("flow-torture-").tempdir()?;
        let folder = self.work_folder(temporary.path())?;
        let exit = self.torture(&folder)?;
        if exit == CommandExit::WithErrors && self.folder.is_none() {
            tell_line(format_args!("what was found is kept in {}", temporary.keep().display()));
        }
        Ok(exit)
    }

    fn work_folder(&self, temporary: &Path) -> Result<PathBuf, CommandError> {
        let Some(folder) = &self.folder else { return Ok(temporary.to_owned()) };
        if folder.exists() {
            let text = format!("{} is there already", folder.display());
            return Err(CommandError::new(CommandErrorKind::InputOutput, text).hint("name a new folder"));
        }
        fs::create_dir_all(folder)?;
        Ok(folder.clone())
    }

    fn torture(&self, folder: &Path) -> Result<CommandExit, CommandError> {
        let sample = self.write_sample(folder)?;
        let (reference, took) = self.undisturbed(&folder.join("undisturbed"), sample.as_deref())?;
        let (second, _) = self.undisturbed(&folder.join("undisturbed-again"), sample.as_deref())?;
        let differing = reference.compared(&second);
        if !differing.is_good() {
            tell_line("two undisturbed runs differ: a step is no function of its inputs and parameters");
            differing.tell();
            return Ok(CommandExit::WithErrors);
        }
        let failed = match reference.failed() {
            0 => String::new(),
            failed => format!(", of these {failed} with an error response"),
        };
        self.say(format_args!(
            "undisturbed: {}{failed}, {:.2} s",
            counted(reference.len(), "answer"),
            took.as_secs_f64()
        ));
        let torture = Torture { arguments: self, folder, sample, reference, took };
        let account = torture.rounds()?;
        if self.json {
            print_line(account.json("all"))?;
        } else {
            print_line(&account)?;
        }
        account.tell();
        Ok(if account.is_good() { CommandExit::Done } else { CommandExit::WithErrors })
    }

    /// Small studies for a dataflow that was given none.
    fn write_sample(&self, folder: &Path) -> Result<Option<PathBuf>, CommandError> {
        let has_own = self.dataflow.as_deref() == Some("tally");
        if has_own || !self.input.is_empty() || !self.files.is_empty() {
            return Ok(None);
        }
        let sample = folder.join("sample");
        for seed in 1..=STUDIES {
            let options = PhantomOptions { size: [64, 64, 40], seed, spots: 20, ..PhantomOptions::default() };
            let written =
                PhantomChest::new(&options).write(&sample.join(seed.to_string()), PhantomSyntax::Explicit);
            written.map_err(CommandError::of(CommandErrorKind::InputOutput))?;
        }
        Ok(Some(sample))
    }

    fn undisturbed(&self, folder: &Path, sample: Option<&Path>) -> Result<(Answers, Duration), CommandError> {
        let folders = LifeFolders::make(folder)?;
        let begin = Instant::now();
        match self.life(&folders, sample)?.wait()? {
            LifeEnd::Well => {}
            end => {
                let text = format!("the undisturbed run {end}");
                let kind = end.code().and_then(CommandErrorKind::of_code);
                let failure = CommandError::new(kind.unwrap_or(CommandErrorKind::Usage), text);
                return Err(failure.details(folders.last_lines()));
            }
        }
        let took = begin.elapsed();
        Ok((Answers::read(&folders)?, took))
    }

    fn life(&self, folders: &LifeFolders, sample: Option<&Path>) -> Result<FlowLife, CommandError> {
        let dataflow = self.dataflow.as_deref();
        let (flag, paths) = match (self.files.is_empty(), sample) {
            (false, _) => ("--files", self.files.clone()),
            (true, Some(sample)) => ("--input", vec![sample.to_owned()]),
            (true, None) => ("--input", self.input.clone()),
        };
        FlowLife::start(folders, dataflow, flag, &paths)
    }

    fn say(&self, line: std::fmt::Arguments) {
        if !self.json {
            tell_line(line);
        }
    }
}

impl Torture<'_> {
    fn rounds(&self) -> Result<TortureAccount, CommandError> {
        let mut account = TortureAccount::default();
        let mut instants = InstantGenerator::new(self.arguments.seed);
        let mut early = 0;
        for number in 1.. {
            let left = self.arguments.kills - account.kills;
            if left == 0 {
                break;
            }
            let round = self.round(number, left.min(KILLS_IN_A_ROUND), &mut instants)?;
            early += u32::from(round.kills == 0);
            if self.arguments.json {
                print_line(round.json(&format!("round-{number}")))?;
            } else {
                tell_line(format_args!("round {number}: {round}"));
            }
            account.add(round);
            if early > EARLY_ENDS_MAX {
                let text = "flow ended by itself before it could be killed";
                let failure = CommandError::new(CommandErrorKind::Usage, text);
                return Err(failure.hint("give it more to do: more requests, or larger ones"));
            }
        }
        Ok(account)
    }

    /// Lives in folders of their own: up to so many that are killed, and one in peace.
    fn round(
        &self,
        number: u32,
        kills: u32,
        instants: &mut InstantGenerator,
    ) -> Result<TortureAccount, CommandError> {
        let folders = LifeFolders::make(&self.folder.join(format!("round-{number}")))?;
        let sample = self.sample.as_deref();
        let (mut killed, mut lives) = (0, 0);
        let mut end = LifeEnd::Killed;
        while killed < kills && end == LifeEnd::Killed {
            lives += 1;
            end = self.arguments.life(&folders, sample)?.killed_after(instants.below(self.took))?;
            killed += u32::from(end == LifeEnd::Killed);
        }
        if end == LifeEnd::Killed {
            lives += 1;
            let most = PEACE_MIN.max(self.took * PEACE_FACTOR);
            end = self.arguments.life(&folders, sample)?.left_in_peace(most)?;
        }
        let mut account = self.reference.compared(&Answers::read(&folders)?);
        (account.kills, account.lives) = (killed, lives);
        if end != LifeEnd::Well {
            account.lost(format!("the last life {end}: see {}", folders.log().display()));
        }
        let round = &folders.folder;
        if account.is_good() && self.arguments.folder.is_none() {
            fs::remove_dir_all(round)?;
        } else {
            account.found_in(round);
        }
        Ok(account)
    }
}
