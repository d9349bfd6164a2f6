//! The steps over JSON items, one file each.
//!
//! Every file in this folder is included: a new step is one new file.

automod::dir!(pub "src/json/steps");
