//! An entry of a directory as a token, or the reason why it is none.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::name::TokenName;
use super::rename::open_plain;
use super::token::StageToken;

/// The largest token, in bytes.
pub const TOKEN_BYTES_MAX: u64 = 1 << 20;

/// The reason why an entry is no token, as a fault says it.
pub type EntryFault = String;

/// Reads an entry that nobody else has. Nothing is followed or waited for, and no more is read than a token has.
///
/// # Errors
/// The reason why it is no token. An error of the disk is the outer one.
pub fn read_entry(path: &Path, name: &TokenName) -> io::Result<Result<StageToken, EntryFault>> {
    let file = match open_plain(path) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Ok(Err("link: a token has to be a file".to_owned()));
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(Err(format!("no permission: {error}")));
        }
        // Opening a socket fails in this way.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
            return Ok(Err("no file: a token has to be a plain file".to_owned()));
        }
        file => file?,
    };
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Ok(Err("directory: a token has to be a file".to_owned()));
    }
    if !metadata.is_file() {
        return Ok(Err("no file: a token has to be a plain file".to_owned()));
    }
    if metadata.len() > TOKEN_BYTES_MAX {
        return Ok(Err(format!("too large: {} bytes, {TOKEN_BYTES_MAX} at most", metadata.len())));
    }
    read_token(file, name)
}

fn read_token(file: File, name: &TokenName) -> io::Result<Result<StageToken, EntryFault>> {
    let mut bytes = Vec::new();
    file.take(TOKEN_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.trim_ascii().is_empty() {
        return Ok(Err("empty: there is nothing in the file".to_owned()));
    }
    let token: StageToken = match serde_json::from_slice(&bytes) {
        Ok(token) => token,
        Err(error) if error.is_eof() => return Ok(Err(format!("half written: {error}"))),
        Err(error) if error.is_data() => return Ok(Err(format!("no token: {error}"))),
        Err(error) => return Ok(Err(format!("not JSON: {error}"))),
    };
    if token.barcode != name.barcode() {
        return Ok(Err(format!("wrong name: the token of {:?} is in the file {name}", token.barcode)));
    }
    Ok(Ok(token))
}
