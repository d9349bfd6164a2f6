//! The steps of `ct-lung`, one file each: a pure function, its declaration, its tests.
//!
//! Every file in this folder is included: a new step is one new file.

automod::dir!(pub "src/imaging/steps");
