//! Nothing is lost, everything is answered once: flow is killed, its disk breaks, and it is counted.
//!
//! What is attacked is the real binary. [`Reference`] says what it answers when it is left in peace;
//! after an attack and a last life in peace there must be the same, byte for byte ([`Account`]).
//!
//! * [`kills`]: SIGKILL at random instants, while studies come in over DICOM or from files;
//! * [`points`]: SIGKILL, or a power cut, before and after each change of the disk;
//! * [`faults`]: a disk that is full, or broken, or may only be read;
//! * [`damage`]: a journal that is cut, and bits that have turned in what lies on the disk;
//! * [`clocks`]: a clock that jumps;
//! * [`rows`]: all of these for tokens in directories;
//! * [`holder`]: two on one state folder;
//! * [`backups`]: a state folder that is lost, and restored elsewhere.
//!
//! Most of it is done by a library that stands before libc ([`shim`]), which is tried itself
//! ([`library`]). All are short unless `FLOW_KILLS` says how many kills there are to be. `FLOW_SEED` varies
//! the instants.

mod account;
mod backups;
mod clocks;
mod damage;
mod faults;
mod holder;
mod kills;
mod library;
pub mod life;
mod pacs;
mod points;
mod rows;
mod scene;
mod shim;
mod site;
mod studies;

use account::{Account, Reference};
use life::{Ended, Life};
use pacs::Pacs;
use shim::{Deed, Plan};
use site::{ListeningAddress, Site};
use studies::Studies;

/// How many kills there are to be, where a long run was asked for.
fn kills_wanted() -> Option<usize> {
    number("FLOW_KILLS")
}

/// Where the dice begin; told, so that a run can be repeated.
fn seed() -> u64 {
    let seed = number("FLOW_SEED").unwrap_or(1);
    println!("FLOW_SEED={seed}");
    seed as u64
}

fn number(variable: &str) -> Option<usize> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a whole number")))
}
