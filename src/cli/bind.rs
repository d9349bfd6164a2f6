//! The ports at which a command listens.

use std::net::{SocketAddr, TcpListener};

use super::exit::{CommandError, CommandErrorKind};

/// Opens a port; a failure names the address and the usual causes.
pub fn bind(address: SocketAddr) -> Result<TcpListener, CommandError> {
    TcpListener::bind(address).map_err(|error| {
        let failure = CommandError::new(
            CommandErrorKind::InputOutput,
            format!("could not listen at {address}: {error}"),
        );
        failure.hint("another program may have the port; ports below 1024 need rights")
    })
}
