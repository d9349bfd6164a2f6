//! Streams that other people's encoders write of uncompressed images, each in many forms.

use std::path::{Path, PathBuf};
use std::process::Command;

use dicom_dictionary_std::uids;
use flow::imaging::{DecodedPixels, decoded};

use super::referee::{Account, judge, transfer_syntax};
use crate::support::data::Data;
use crate::support::peers::{run, tool};

const GREY: [&str; 5] = [
    "CT_small.dcm",
    "693_UNCR.dcm",
    "MR-SIEMENS-DICOM-WithOverlays.dcm",
    "OBXXXX1A_2frame.dcm",
    "emri_small_big_endian.dcm",
];
const COLOURED: [&str; 4] = ["US1_UNCR.dcm", "SC_rgb_2frame.dcm", "SC_rgb_16bit_2frame.dcm", "color-pl.dcm"];

const JPEG: [&str; 15] = [
    "+e1",
    "+e1 +pt 2",
    "+el +sv 1",
    "+el +sv 2",
    "+el +sv 3",
    "+el +sv 4",
    "+el +sv 5",
    "+el +sv 6",
    "+el +sv 7",
    "+el +sv 7 +fs 1",
    "+eb",
    "+eb +q 20 -ho",
    "+ee +q 75",
    "+ee +bt",
    "+ee +fs 1 -ot",
];
const JPEG_OF_COLOURS: [&str; 6] = ["+eb +s4", "+eb +n2", "+eb +n1", "+eb +np", "+eb +cr", "+ee +n1 +q 50"];
const JPEG_LS: [&str; 6] = ["", "+en +md 2", "+il", "+is", "+in", "+fs 1"];
const RLE: [&str; 2] = ["", "-ot"];
const JPEG_2000: [&str; 4] =
    ["--j2k", "--j2k --lossy --irreversible -r 10", "--j2k -t 64,64", "--jpeg --split 2048"];

/// Encodes each image in each form with a program, and judges what it wrote. What a program does not take
/// is passed over.
fn encoded(program: &str, images: &[&str], forms: &[&str]) -> Option<Account> {
    let data = Data::unpack("odd-files")?;
    let program = tool(program)?;
    let folder = tempfile::tempdir().unwrap();
    let mut account = Account::default();
    for (image, form) in images.iter().flat_map(|image| forms.iter().map(move |form| (image, form))) {
        let source = data.path().join("odd-files/pydicom").join(image);
        let encoded = folder.path().join(format!("{image}{form}").replace(' ', ""));
        let written = run(Command::new(program).args(form.split_whitespace()).arg(source).arg(&encoded));
        let Some(syntax) = transfer_syntax_written(written.status.success(), &encoded) else { continue };
        for verdict in judge(&syntax, &[encoded]) {
            account.enter(&format!("{program} {form}"), image, verdict);
        }
    }
    println!("{account}");
    Some(account)
}

fn transfer_syntax_written(written: bool, path: &Path) -> Option<String> {
    (written && path.exists()).then(|| transfer_syntax(path)).flatten()
}

#[test]
fn grey_jpeg_of_dcmtk() {
    let Some(account) = encoded("/usr/bin/dcmcjpeg", &GREY, &JPEG) else { return };
    assert_eq!(account.wrong, [""; 0]);
    assert!(account.equal() >= 40, "{} were equal", account.equal());
}

#[test]
fn coloured_jpeg_of_dcmtk() {
    let forms = [&JPEG[..], &JPEG_OF_COLOURS].concat();
    let Some(account) = encoded("/usr/bin/dcmcjpeg", &COLOURED, &forms) else { return };
    assert_eq!(account.wrong, [""; 0]);
    assert!(account.equal() >= 30, "{} were equal", account.equal());
}

#[test]
fn jpeg_ls_of_dcmtk() {
    let Some(account) = encoded("/usr/bin/dcmcjpls", &[&GREY[..], &COLOURED].concat(), &JPEG_LS) else {
        return;
    };
    assert_eq!(account.wrong, [""; 0]);
    assert!(account.equal() >= 30, "{} were equal", account.equal());
}

#[test]
fn rle_of_dcmtk() {
    let Some(account) = encoded("/usr/bin/dcmcrle", &[&GREY[..], &COLOURED].concat(), &RLE) else { return };
    assert_eq!(account.wrong, [""; 0]);
    assert!(account.equal() >= 10, "{} were equal", account.equal());
}

#[test]
fn jpeg_2000_of_gdcm() {
    let images = [&GREY[..], &COLOURED].concat();
    let Some(account) = encoded("/usr/bin/gdcmconv", &images, &JPEG_2000) else { return };
    assert_eq!(account.wrong, [""; 0]);
    assert!(account.equal() >= 15, "{} were equal", account.equal());
}

/// HTJ2K without loss, by OpenJPH: the original is the referee.
#[test]
fn high_throughput_jpeg_2000_of_openjph() {
    let Some(data) = Data::unpack("odd-files") else { return };
    let Some(program) = tool("/usr/bin/ojph_compress") else { return };
    for image in ["MR2_UNCR.dcm", "OBXXXX1A.dcm", "US1_UNCR.dcm"] {
        let bytes = std::fs::read(data.path().join("odd-files/pydicom").join(image)).unwrap();
        let original = decoded(&bytes).unwrap();
        let stream = compressed_by_openjph(program, &original);
        let again = decoded(&encapsulated(&original, uids::HTJ2K_LOSSLESS, &stream)).unwrap();
        assert!(again.bytes == original.bytes, "{image} differs");
    }
}

fn compressed_by_openjph(program: &str, image: &DecodedPixels) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let [kind, name] = if image.samples_per_pixel == 1 { ["P5", "in.pgm"] } else { ["P6", "in.ppm"] };
    let paths: [PathBuf; 2] = [name, "out.j2c"].map(|name| folder.path().join(name));
    let head = format!("{kind}\n{} {}\n{}\n", image.columns, image.rows, (1 << image.bits_stored) - 1);
    let mut bytes = image.bytes.clone();
    if image.bits_allocated == 16 {
        bytes.as_chunks_mut::<2>().0.iter_mut().for_each(|pair| pair.reverse());
    }
    std::fs::write(&paths[0], [head.as_bytes(), &bytes].concat()).unwrap();
    let mut command = Command::new(program);
    let output = run(command.args(["-reversible", "true", "-i"]).arg(&paths[0]).arg("-o").arg(&paths[1]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    std::fs::read(&paths[1]).unwrap()
}

/// A file of one fragment.
fn encapsulated(image: &DecodedPixels, transfer_syntax: &str, stream: &[u8]) -> Vec<u8> {
    let element = |group: u16, number: u16, vr: &str, value: &[u8]| {
        let tag = [group.to_le_bytes(), number.to_le_bytes()].concat();
        [&tag, vr.as_bytes(), &(value.len() as u16).to_le_bytes(), value].concat()
    };
    let short = |number: u16, value: usize| element(0x28, number, "US", &(value as u16).to_le_bytes());
    let item =
        |bytes: &[u8]| [&[0xFE, 0xFF, 0x00, 0xE0], &(bytes.len() as u32).to_le_bytes(), bytes].concat();
    [
        [&[0; 128], &b"DICM"[..]].concat(),
        element(2, 0x10, "UI", transfer_syntax.as_bytes()),
        short(2, image.samples_per_pixel),
        element(0x28, 4, "CS", image.photometric_interpretation.as_bytes()),
        short(0x10, image.rows),
        short(0x11, image.columns),
        short(0x100, image.bits_allocated as usize),
        short(0x101, image.bits_stored as usize),
        short(0x103, image.signed.into()),
        vec![0xE0, 0x7F, 0x10, 0x00, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF],
        item(&[]),
        item(stream),
        vec![0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0],
    ]
    .concat()
}

/// The bytes do not depend on how many threads there are.
#[test]
fn one_thread_or_several_give_the_same() {
    let Some(data) = Data::unpack("odd-files") else { return };
    for name in ["emri_small_jpeg_ls_lossless.dcm", "emri_small_RLE.dcm", "emri_small_jpeg_2k_lossless.dcm"] {
        let bytes = std::fs::read(data.path().join("odd-files/pydicom").join(name)).unwrap();
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| decoded(&bytes)).unwrap()
        };
        let one = with(1);
        assert_eq!(one.frames, 10);
        assert!(one == with(4), "{name} differs");
    }
}
