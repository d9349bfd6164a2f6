//! `decrypt-book`: opens the OpenPGP message of a book. If it is not sound, nothing of it is left.

use std::path::Path;

use crate::books::place::BookPlace;
use crate::books::secret::{SecretReference, gpg_fault};
use crate::program::GpgFiles;
use crate::step::{BuiltIn, Call, Fault, Parameter, Step};
use crate::tokens::StageToken;

use super::download_book::ENCRYPTED;

/// The name of what it makes.
pub const ARCHIVE: &str = "archive";

fn step() -> Step {
    BookPlace::step("decrypt-book", 2, "Decrypts the archive of a book with gpg.")
        .parameter(Parameter::text("passphrase", "", &[]).checked(SecretReference::check).about(
            "Where the passphrase is: `file:PATH`, `env:NAME`, `gpg:PATH` (a file that gpg decrypts with the keys of `gpg_home`), or `sample:`.",
        ))
        .parameter(
            Parameter::text("gpg_home", "", &[])
                .about("The folder with the secret keys, for messages to a public key."),
        )
        .parameter(Parameter::number("gib_max", 16.0, 0.001, 1024.0, "GiB").about("The largest content of a message."))
        .calls(|tokens, call, _| Ok(tokens.into_iter().map(|token| decrypt(token, call)).collect()))
}

inventory::submit! { BuiltIn(step) }

fn decrypt(token: StageToken, call: &Call) -> Result<StageToken, Fault> {
    let place = BookPlace::of(&token, call)?;
    let message = place.existing(&token, ENCRYPTED)?;
    let home = Some(call.text("gpg_home")).filter(|home| !home.is_empty()).map(Path::new);
    let passphrase = SecretReference::read(call.text("passphrase"))?.open(home, call.token)?;
    let files = GpgFiles { home, passphrase: passphrase.bytes() };
    let bytes_max = (call.number("gib_max") * f64::from(1 << 30)) as u64;
    files.open(&message, &place.path(ARCHIVE), bytes_max, call.token).map_err(gpg_fault)?;
    let located = place.locate(ARCHIVE)?;
    Ok(token.at(ARCHIVE, located))
}
