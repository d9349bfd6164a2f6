//! DICOM files compared element by element.

use dicom_dictionary_std::uids;
use flow::imaging::phantom::{PhantomChest, PhantomOptions, PhantomSyntax};
use flow::replay::FileDifference;

use crate::support::slices::Slice;

fn check(before: &[u8], after: &[u8], expected: &[&str]) {
    let difference = FileDifference::between("x", "application/dicom", before, after, 20).to_string();
    let lines = difference.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    assert_eq!(lines.collect::<Vec<_>>(), expected);
}

#[test]
fn elements_are_named_by_their_keywords() {
    let slice = Slice::new("1.2.3", 1);
    check(&slice.file(), &slice.file(), &[]);
    let other = Slice { edge: 16, ..Slice::new("1.2.3", 2) };
    check(
        &slice.file(),
        &other.file(),
        &[
            "SOPInstanceUID \"1.2.3.1.1\" → \"1.2.3.1.2\"",
            "InstanceNumber 1 → 2 (+1.000, +100.0 %)",
            "Rows 32 → 16 (-16.00, -50.00 %)",
            "Columns 32 → 16 (-16.00, -50.00 %)",
            "PixelData 2048 → 512 bytes; 257 of the first 512 differ",
        ],
    );
}

#[test]
fn the_encoding_is_one_element() {
    let explicit = Slice::new("1.2.3", 1);
    let implicit = Slice { transfer_syntax: uids::IMPLICIT_VR_LITTLE_ENDIAN, ..explicit.clone() };
    let words = "TransferSyntaxUID \"1.2.840.10008.1.2.1\" → \"1.2.840.10008.1.2\"";
    check(&explicit.file(), &implicit.file(), &[words]);
}

#[test]
fn fragments_of_pixels_are_parts() {
    let file = |seed| {
        let folder = tempfile::tempdir().unwrap();
        let chest =
            PhantomChest::new(&PhantomOptions { size: [32, 32, 1], seed, ..PhantomOptions::default() });
        std::fs::read(&chest.write(folder.path(), PhantomSyntax::Rle).unwrap()[0]).unwrap()
    };
    let difference = FileDifference::between("x", "application/dicom", &file(1), &file(2), 20).to_string();
    let pixels = difference.lines().find(|line| line.starts_with("PixelData")).unwrap();
    assert!(pixels.contains("bytes"), "{difference}");
}
