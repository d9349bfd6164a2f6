//! The steps of `ct-lung`, one file each: a pure function, its declaration, its tests.
//!
//! A file in this folder is found by itself: a new step is one new file.

automod::dir!(pub "src/imaging/steps");
