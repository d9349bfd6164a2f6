//! What all sections of a site's file may rely on.

use std::path::PathBuf;

use crate::tls::TlsIdentity;

/// Settings that every section of a site's file may rely on.
#[derive(Clone, Debug)]
pub struct SiteContext {
    /// The file's folder.
    pub folder: PathBuf,
    pub identity: Option<TlsIdentity>,
    pub authorities: Option<PathBuf>,
}
