//! The steps of chats, one file each.
//!
//! Every file in this folder is included: a new step is one new file. Steps that set, choose and rate fields are those
//! over JSON items.

automod::dir!(pub "src/chat/steps");
