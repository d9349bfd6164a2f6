//! Settings that all sections of a site's file may use.

use std::path::PathBuf;

use crate::tls::TlsIdentity;

/// Settings that every section of a site's file may use.
#[derive(Clone, Debug)]
pub struct SiteContext {
    /// The file's folder.
    pub folder: PathBuf,
    pub identity: Option<TlsIdentity>,
    pub authorities: Option<PathBuf>,
}
