//! NRRD (`.nrrd`, or `.nhdr` with a file of voxels beside it), raw or gzip.
//!
//! <https://teem.sourceforge.net/nrrd/format.html>

use std::collections::BTreeMap;
use std::io::Read;

use super::affine::AffineMap;
use super::error::LabelError;
use super::map::{LabelMap, LabelRequest, OutsideMeaning};
use super::voxels::{NumberKind, VoxelByteOrder, VoxelFormat, opened, read_sets};
use crate::step::ResponseFile;

/// A header is a few hundred bytes, with the segments of 3D Slicer some ten thousand.
const HEADER_BYTES_MOST: usize = 1 << 20;

pub fn read(file: &ResponseFile, request: &LabelRequest) -> Result<LabelMap, LabelError> {
    let header = NrrdHeader::read(&file.bytes)?;
    let size = header.size()?;
    request.voxel_count(size)?;
    let size = size.map(|one| one as usize);
    let format = header.format()?;
    let to_patient = header.to_patient()?;
    let data = match header.field("data file").or_else(|| header.field("datafile")) {
        None => &file.bytes[header.length..],
        Some(name) => beside(file, name, request)?,
    };
    header.check_skips()?;
    let mut stream: Box<dyn Read> = match header.field("encoding").unwrap_or_default() {
        "raw" => Box::new(data),
        "gzip" | "gz" if data.starts_with(&[0x1F, 0x8B]) => opened(data),
        "gzip" | "gz" => return Err(LabelError::Header("its voxels are not gzip".to_owned())),
        other => return Err(LabelError::Unsupported(format!("the NRRD encoding {:?}", short(other)))),
    };
    let (sets, labels) = read_sets(&mut *stream, size, &format, request.choice)?;
    Ok(LabelMap { to_patient, sets, labels, outside: OutsideMeaning::Unknown, remarks: Vec::new() })
}

/// The voxels of a detached header: a file beside it that the same program wrote.
fn beside<'a>(file: &ResponseFile, name: &str, request: &LabelRequest<'a>) -> Result<&'a [u8], LabelError> {
    let folder = file.name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let wanted = name.strip_prefix("./").unwrap_or(name);
    let wanted = if folder.is_empty() { wanted.to_owned() } else { format!("{folder}/{wanted}") };
    let found = request.files.iter().find(|other| other.name == wanted);
    found.map(|found| &found.bytes[..]).ok_or_else(|| LabelError::NoData(short(name)))
}

struct NrrdHeader {
    fields: BTreeMap<String, String>,
    /// Bytes to the end of the empty line behind it.
    length: usize,
}

impl NrrdHeader {
    fn read(bytes: &[u8]) -> Result<NrrdHeader, LabelError> {
        let mut fields = BTreeMap::new();
        let mut at = 0;
        let mut is_first = true;
        while at < bytes.len().min(HEADER_BYTES_MOST) {
            let rest = &bytes[at..bytes.len().min(HEADER_BYTES_MOST)];
            let end = rest.iter().position(|byte| *byte == b'\n');
            let line = String::from_utf8_lossy(&rest[..end.unwrap_or(rest.len())]);
            let line = line.trim_end_matches('\r');
            at += end.map_or(rest.len(), |end| end + 1);
            if is_first {
                is_first = false;
                let version = line.strip_prefix("NRRD000").and_then(|version| version.parse::<u8>().ok());
                if !version.is_some_and(|version| (1..=5).contains(&version)) {
                    return Err(LabelError::UnknownFormat);
                }
            } else if line.is_empty() {
                return Ok(NrrdHeader { fields, length: at });
            } else if let Some((key, value)) = line.split_once(": ").filter(|_| !line.starts_with('#')) {
                let former = fields.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
                if former.is_some() {
                    return Err(LabelError::Header(format!("it has the field {:?} twice", short(key))));
                }
            }
        }
        let is_detached = fields.contains_key("data file") || fields.contains_key("datafile");
        let is_whole = is_detached && at == bytes.len();
        is_whole.then_some(NrrdHeader { fields, length: at }).ok_or(LabelError::HeaderCutOff)
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    fn required(&self, name: &str) -> Result<&str, LabelError> {
        self.field(name).ok_or_else(|| LabelError::Header(format!("it has no field {name:?}")))
    }

    fn size(&self) -> Result<[u64; 3], LabelError> {
        let dimension = self.required("dimension")?;
        if dimension != "3" {
            let what = format!("a map of dimension {:?}", short(dimension));
            return Err(LabelError::Unsupported(what));
        }
        let sizes = self.required("sizes")?;
        let numbers: Option<Vec<u64>> = sizes.split_whitespace().map(|one| one.parse().ok()).collect();
        let size = numbers.and_then(|numbers| <[u64; 3]>::try_from(numbers).ok());
        size.filter(|size| !size.contains(&0))
            .ok_or_else(|| LabelError::Header(format!("its sizes are {:?}", short(sizes))))
    }

    fn format(&self) -> Result<VoxelFormat, LabelError> {
        let name = self.required("type")?;
        let kind = match name {
            "uchar" | "unsigned char" | "uint8" | "uint8_t" => NumberKind::U8,
            "signed char" | "int8" | "int8_t" => NumberKind::I8,
            "ushort" | "unsigned short" | "unsigned short int" | "uint16" | "uint16_t" => NumberKind::U16,
            "short" | "short int" | "signed short" | "signed short int" | "int16" | "int16_t" => {
                NumberKind::I16
            }
            "uint" | "unsigned int" | "uint32" | "uint32_t" => NumberKind::U32,
            "int" | "signed int" | "int32" | "int32_t" => NumberKind::I32,
            "ulonglong" | "unsigned long long" | "unsigned long long int" | "uint64" | "uint64_t" => {
                NumberKind::U64
            }
            "longlong"
            | "long long"
            | "long long int"
            | "signed long long"
            | "signed long long int"
            | "int64"
            | "int64_t" => NumberKind::I64,
            "float" => NumberKind::F32,
            "double" => NumberKind::F64,
            other => return Err(LabelError::Unsupported(format!("the NRRD type {:?}", short(other)))),
        };
        let format = |order| VoxelFormat { kind, order, slope: 1.0, intercept: 0.0 };
        match self.field("endian") {
            Some("little") => Ok(format(VoxelByteOrder::Little)),
            Some("big") => Ok(format(VoxelByteOrder::Big)),
            None if format(VoxelByteOrder::Little).bytes() == 1 => Ok(format(VoxelByteOrder::Little)),
            other => {
                let written = short(other.unwrap_or_default());
                Err(LabelError::Header(format!("its endian is {written:?}")))
            }
        }
    }

    fn to_patient(&self) -> Result<AffineMap, LabelError> {
        let Some(space) = self.field("space") else {
            return Err(LabelError::NoPlace("it has no field \"space\""));
        };
        let negated: &[usize] = match space.to_ascii_lowercase().as_str() {
            "left-posterior-superior" | "lps" => &[],
            "right-anterior-superior" | "ras" => &[0, 1],
            "left-anterior-superior" | "las" => &[1],
            other => return Err(LabelError::Unsupported(format!("the space {:?}", short(other)))),
        };
        if let Some(units) = self.field("space units") {
            let is_mm = units.split_whitespace().all(|unit| unit.trim_matches('"') == "mm");
            if !is_mm {
                return Err(LabelError::Unsupported(format!("the space units {}", short(units))));
            }
        }
        let vectors = |name: &'static str| self.field(name).and_then(vectors);
        let directions = vectors("space directions").and_then(|steps| <[[f64; 3]; 3]>::try_from(steps).ok());
        let origin = vectors("space origin").filter(|vectors| vectors.len() == 1).map(|vectors| vectors[0]);
        let (Some(steps), Some(origin)) = (directions, origin) else {
            return Err(LabelError::NoPlace("its space directions and space origin are not four vectors"));
        };
        let to_patient = AffineMap::of_steps(origin, steps).negated(negated);
        let place = to_patient.is_grid().then_some(to_patient);
        place.ok_or(LabelError::NoPlace("its space directions are no grid of voxels"))
    }

    fn check_skips(&self) -> Result<(), LabelError> {
        let names = ["line skip", "lineskip", "byte skip", "byteskip"];
        match names.into_iter().find(|name| self.field(name).is_some_and(|skip| skip != "0")) {
            Some(name) => Err(LabelError::Unsupported(format!("the field {name:?}"))),
            None => Ok(()),
        }
    }
}

/// Vectors of three numbers: `(1,0,0) (0,1,0)`.
fn vectors(text: &str) -> Option<Vec<[f64; 3]>> {
    let vector = |text: &str| {
        let numbers: Option<Vec<f64>> =
            text.trim().strip_prefix('(')?.split(',').map(|one| one.trim().parse().ok()).collect();
        numbers?.try_into().ok()
    };
    text.trim().strip_suffix(')')?.split(')').map(vector).collect()
}

/// The beginning of what a file says, for a message.
fn short(text: &str) -> String {
    text.chars().take(60).collect()
}
