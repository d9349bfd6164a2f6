//! The chat from outside: the real server, the clients that people use, models that fail, and the server killed.
//!
//! * [`clients`]: npm's socket.io-client and python-socketio as they are;
//! * [`delivery`]: acknowledged, answered once, to every device, in order;
//! * [`refusals`]: tokens, members, roles, contents, origins;
//! * [`hostile`]: large frames, floods, silence, nonsense, too many connections;
//! * [`models`]: messages that need a model;
//! * [`life`]: types that come and go, messages that are not kept, who sees what;
//! * [`operators`]: a message explained and replayed;
//! * [`kills`]: the server killed under many conversations;
//! * [`person`]: the page as people use it, in a browser.

mod clients;
mod delivery;
mod device;
mod hostile;
mod kills;
mod life;
mod models;
mod operators;
mod person;
mod refusals;
mod scene;
mod talk;
mod types;
