//! `--customer`: a customer's overlay by name.

use std::path::{Path, PathBuf};

use crate::site::{CUSTOMERS, Site, built_in_sections, customer_file, customer_names};
use crate::yaml::meant_or_all;

/// A customer without an overlay.
#[derive(Debug, thiserror::Error)]
#[error("there is no customer {name:?}: no file {}", path.display())]
pub struct CustomerError {
    name: String,
    path: PathBuf,
    pub hint: String,
}

/// The overlay of a customer: a file in the folder that the site's file names, or in `customers`.
///
/// # Errors
/// The customer has no overlay.
pub fn overlay(customer: &str, site: Option<&Path>) -> Result<String, CustomerError> {
    let folder = folder(site);
    let path = customer_file(&folder, customer);
    if path.is_file() {
        return Ok(path.to_string_lossy().into_owned());
    }
    let known = customer_names(&folder);
    let hint = meant_or_all(customer, known.iter().map(String::as_str)).unwrap_or_else(|| {
        "an overlay is a file in the folder `customers`; --site names a file that may say another".to_owned()
    });
    Err(CustomerError { name: customer.to_owned(), path, hint })
}

/// The folder of overlays. A site's file with problems is told by whoever reads it for more than this.
fn folder(site: Option<&Path>) -> PathBuf {
    let site = site.and_then(|path| Site::load(path, &built_in_sections()).ok());
    site.map_or_else(|| PathBuf::from(CUSTOMERS), |site| site.customers)
}
