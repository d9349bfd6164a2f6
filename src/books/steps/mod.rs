//! The steps of books. One file each; the name of the step is that of the file.

automod::dir!(pub "src/books/steps");
