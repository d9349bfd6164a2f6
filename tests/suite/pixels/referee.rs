//! Other people's decoders, asked file by file: DCMTK for JPEG, JPEG-LS and RLE, GDCM for JPEG 2000, pydicom
//! for what is not compressed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use dicom_dictionary_std::uids;
use flow::imaging::{DecodedPixels, decoded, read_instance};

use crate::support::peers::{run, tool};

/// What became of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Equal,
    /// Not as the referee says it.
    Differs(String),
    /// We refuse what the referee decodes.
    RefusedByUs(String),
    RefusedByBoth(String),
    /// We decode what the referee refuses.
    RefusedByReferee,
    /// There is no referee, or he is not installed.
    Unjudged,
}

/// The transfer syntax of a DICOM file with pixels; `None` for any other file.
pub fn transfer_syntax(path: &Path) -> Option<String> {
    let bytes = std::fs::read(path).unwrap();
    let (header, _) = read_instance("any", path, &bytes).ok()?;
    (header.rows > 0).then_some(header.transfer_syntax_uid)
}

/// Compares files of one transfer syntax with what its referee says.
pub fn judge(transfer_syntax: &str, paths: &[PathBuf]) -> Vec<Verdict> {
    let folder = tempfile::tempdir().unwrap();
    let arguments: Option<(&str, &[&str])> = match transfer_syntax {
        uids::JPEG_BASELINE8_BIT | uids::JPEG_EXTENDED12_BIT => Some(("/usr/bin/dcmdjpeg", &["+px"])),
        // Colours stay what they are: it is without loss.
        uids::JPEG_LOSSLESS | uids::JPEG_LOSSLESS_SV1 => Some(("/usr/bin/dcmdjpeg", &["+px", "+cn"])),
        uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => Some(("/usr/bin/dcmdjpls", &["+px"])),
        uids::RLE_LOSSLESS => Some(("/usr/bin/dcmdrle", &[])),
        uids::JPEG2000_LOSSLESS | uids::JPEG2000 => Some(("/usr/bin/gdcmconv", &["--raw"])),
        _ => None,
    };
    match arguments {
        Some((program, options)) => {
            let Some(program) = tool(program) else { return unjudged(paths) };
            paths.iter().map(|path| converted(program, options, path, &folder.path().join("plain"))).collect()
        }
        None => by_pydicom(paths, folder.path()),
    }
}

fn unjudged(paths: &[PathBuf]) -> Vec<Verdict> {
    paths.iter().map(|_| Verdict::Unjudged).collect()
}

fn converted(program: &str, options: &[&str], path: &Path, plain: &Path) -> Verdict {
    // What the last file left must not stand for this one.
    let _ = std::fs::remove_file(plain);
    let output = run(Command::new(program).args(options).arg(path).arg(plain));
    let theirs = if output.status.success() { std::fs::read(plain).ok() } else { None };
    let theirs = theirs.and_then(|bytes| decoded(&bytes).ok());
    compare(decoded(&std::fs::read(path).unwrap()).map_err(|error| error.to_string()), theirs)
}

fn compare(ours: Result<DecodedPixels, String>, theirs: Option<DecodedPixels>) -> Verdict {
    match (ours, theirs) {
        (Ok(ours), Some(theirs)) => {
            // GDCM changes Bits Stored to what the code stream says.
            let bits_stored = ours.bits_stored.min(theirs.bits_stored);
            let different = difference(&stored(&ours, bits_stored), &stored(&theirs, bits_stored));
            let [ours, theirs] = [ours, theirs].map(|pixels| pixels.photometric_interpretation);
            let means = (ours != theirs).then(|| format!("{ours}, not {theirs}"));
            different.or(means).map_or(Verdict::Equal, Verdict::Differs)
        }
        (Ok(_), None) => Verdict::RefusedByReferee,
        (Err(reason), Some(_)) => Verdict::RefusedByUs(reason),
        (Err(reason), None) => Verdict::RefusedByBoth(reason),
    }
}

fn difference(ours: &[u8], theirs: &[u8]) -> Option<String> {
    if ours.len() != theirs.len() {
        return Some(format!("{} bytes, not {}", ours.len(), theirs.len()));
    }
    let first = ours.iter().zip(theirs).position(|(ours, theirs)| ours != theirs)?;
    let count = ours.iter().zip(theirs).filter(|(ours, theirs)| ours != theirs).count();
    Some(format!(
        "{count} of {} bytes, the first {first}: {}, not {}",
        ours.len(),
        ours[first],
        theirs[first]
    ))
}

/// Without what stands above the stored bits: a sign that is repeated there, or what DCMTK's lossy JPEG lets
/// swing over.
fn stored(pixels: &DecodedPixels, bits_stored: u32) -> Vec<u8> {
    let mut bytes = pixels.bytes.clone();
    let size = pixels.bits_allocated as usize / 8;
    if bits_stored < pixels.bits_allocated && size > 0 {
        let mask = ((1_u64 << bits_stored) - 1).to_le_bytes();
        bytes
            .chunks_mut(size)
            .for_each(|sample| sample.iter_mut().zip(mask).for_each(|(byte, mask)| *byte &= mask));
    }
    bytes
}

const PYDICOM: &str = "
import numpy, os, sys, warnings, pydicom
from pydicom.pixels import get_decoder
warnings.simplefilter('ignore')
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
for number, path in enumerate(sys.argv[2:]):
    try:
        data = pydicom.dcmread(path)
        array, meta = get_decoder(data.file_meta.TransferSyntaxUID).as_array(data, raw=True)
        if data.BitsAllocated == 1:
            array = numpy.packbits(array, axis=None, bitorder='little')
        pixels = array.astype(array.dtype.newbyteorder('<')).tobytes()
    except Exception:
        continue
    open(os.path.join(sys.argv[1], str(number)), 'wb').write(pixels)
";

fn by_pydicom(paths: &[PathBuf], folder: &Path) -> Vec<Verdict> {
    if !run(Command::new("python3").args(["-c", "import pydicom.pixels, numpy"])).status.success() {
        println!("skipped: python3 with pydicom 3 and numpy is not installed");
        return unjudged(paths);
    }
    let output = run(Command::new("python3").args(["-c", PYDICOM]).arg(folder).args(paths));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let verdict = |(number, path): (usize, &PathBuf)| {
        let theirs = std::fs::read(folder.join(number.to_string())).ok();
        match (decoded(&std::fs::read(path).unwrap()), theirs) {
            // What colours mean is not said by the array.
            (Ok(ours), Some(bytes)) => compare(Ok(ours.clone()), Some(DecodedPixels { bytes, ..ours })),
            (Ok(_), None) => Verdict::RefusedByReferee,
            (Err(error), Some(_)) => Verdict::RefusedByUs(error.to_string()),
            (Err(error), None) => Verdict::RefusedByBoth(error.to_string()),
        }
    };
    paths.iter().enumerate().map(verdict).collect()
}

/// Verdicts counted by transfer syntax or encoder, and those that are not "equal" in full.
#[derive(Default)]
pub struct Account {
    counts: BTreeMap<String, [usize; 4]>,
    remarks: Vec<String>,
    pub wrong: Vec<String>,
}

impl Account {
    pub fn enter(&mut self, group: &str, name: &str, verdict: Verdict) {
        let column = match &verdict {
            Verdict::Equal => 0,
            Verdict::Differs(_) => 1,
            Verdict::RefusedByUs(_) | Verdict::RefusedByBoth(_) => 2,
            Verdict::RefusedByReferee | Verdict::Unjudged => 3,
        };
        self.counts.entry(group.to_owned()).or_default()[column] += 1;
        if matches!(verdict, Verdict::Differs(_) | Verdict::RefusedByUs(_)) {
            self.wrong.push(format!("{group} {name}: {verdict:?}"));
        }
        if verdict != Verdict::Equal {
            self.remarks.push(format!("{group} {name}: {verdict:?}"));
        }
    }

    pub fn equal(&self) -> usize {
        self.counts.values().map(|[equal, ..]| equal).sum()
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | equal | differs | refused | not judged |\n|---|---|---|---|---|")?;
        for (group, [equal, differs, refused, unjudged]) in &self.counts {
            writeln!(f, "| {group} | {equal} | {differs} | {refused} | {unjudged} |")?;
        }
        self.remarks.iter().try_for_each(|remark| writeln!(f, "{remark}"))
    }
}
