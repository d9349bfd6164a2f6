//! The version of this program, with the commit that it was built of.

/// As `0.2.0 (1a2b3c4d5e)`. The commit is known to builds for release, in a checkout or of the package that `cargo
/// package` makes; see `dist/commit.rs`.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), env!("FLOW_COMMIT"));
