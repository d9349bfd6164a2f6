//! Alarms: what a site wants to be told of, once when it begins and once when it is over, by a webhook, a mail or a
//! command.
//!
//! The causes are functions of the ledger's rows, of the disk and of the clock. Those that were told are in a file
//! of the state folder, so that a restart tells nothing twice. A receiver that takes no message gets it later. No
//! patient data is in a message.
//!
//! | file | what |
//! |---|---|
//! | `site` | `alarms` in a site's file |
//! | `cause` | what is wrong at a time, by the rules |
//! | `message` | what receivers are told |
//! | `memory` | what was told, and what is still to be told |
//! | `receiver` | webhook, mail and command |
//! | `mail` | mail through an SMTP server |
//! | `thread` | the thread that looks, and one for each receiver |

mod cause;
#[cfg(feature = "mail")]
mod mail;
mod memory;
mod message;
mod receiver;
mod site;
mod thread;

pub use cause::{AlarmCauses, AlarmInput, LedgerInput, causes};
pub use memory::AlarmMemory;
pub use message::{AlarmMessage, AlarmStage};
pub use receiver::{AlarmReceiver, ReceiverError};
pub use site::{AlarmRules, AlarmSettings, ErrorRule, MailSettings};
pub use thread::{AlarmError, AlarmSetup, AlarmThread};
