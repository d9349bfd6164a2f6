//! Codes of refusals, by which the page words them in the language of its reader.

use crate::admission::PointlessReason;

/// The reason for which a request to the server is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCode {
    NoRequest,
    NoPart,
    NoStudy,
    NoAction,
    NothingHere,
    NamesHidden,
    NoFile,
    FileTooLarge,
    OtherPage,
    WrongToken,
    NoToken,
    NotRead,
    NotDone,
    /// Another request is being run again: the one with this number.
    ReplayRunning(i64),
    /// An action that would have no effect.
    Pointless(PointlessReason),
}

impl RefusalCode {
    /// All codes, but for those of actions without effect.
    #[cfg(test)]
    pub const ALL: [RefusalCode; 14] = [
        RefusalCode::NoRequest,
        RefusalCode::NoPart,
        RefusalCode::NoStudy,
        RefusalCode::NoAction,
        RefusalCode::NothingHere,
        RefusalCode::NamesHidden,
        RefusalCode::NoFile,
        RefusalCode::FileTooLarge,
        RefusalCode::OtherPage,
        RefusalCode::WrongToken,
        RefusalCode::NoToken,
        RefusalCode::NotRead,
        RefusalCode::NotDone,
        RefusalCode::ReplayRunning(0),
    ];

    pub fn code(self) -> &'static str {
        match self {
            RefusalCode::NoRequest => "no_request",
            RefusalCode::NoPart => "no_part",
            RefusalCode::NoStudy => "no_study",
            RefusalCode::NoAction => "no_action",
            RefusalCode::NothingHere => "nothing_here",
            RefusalCode::NamesHidden => "names_hidden",
            RefusalCode::NoFile => "no_file",
            RefusalCode::FileTooLarge => "file_too_large",
            RefusalCode::OtherPage => "other_page",
            RefusalCode::WrongToken => "wrong_token",
            RefusalCode::NoToken => "no_token",
            RefusalCode::NotRead => "not_read",
            RefusalCode::NotDone => "not_done",
            RefusalCode::ReplayRunning(_) => "replay_running",
            RefusalCode::Pointless(reason) => reason.code(),
        }
    }

    /// The reason in English.
    pub fn text(self) -> String {
        let text = match self {
            RefusalCode::NoRequest => "there is no such request",
            RefusalCode::NoPart => "there is no such dataflow, step or destination",
            RefusalCode::NoStudy => "no such study is being received: it may be complete by now",
            RefusalCode::NoAction => "no such action",
            RefusalCode::NothingHere => "there is nothing here",
            RefusalCode::NamesHidden => "names are hidden here, and files may have some",
            RefusalCode::NoFile => "the response has no such file",
            RefusalCode::FileTooLarge => "the file is too large for this page: see the folder of responses",
            RefusalCode::OtherPage => "this address is not for other pages",
            RefusalCode::WrongToken => "this is not the token",
            RefusalCode::NoToken => "open the address that flow printed at its start",
            RefusalCode::NotRead => "the journal is being read",
            RefusalCode::NotDone => "this is not done here",
            RefusalCode::ReplayRunning(other) => {
                return format!("request {other} is being run again: wait for its end");
            }
            RefusalCode::Pointless(reason) => return format!("the request {reason}"),
        };
        text.to_owned()
    }
}
