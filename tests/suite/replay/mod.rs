//! Past requests: packed into a file, taken out again, and compared.

mod again;
mod archive;
mod contents;
mod deidentify;
mod places;
