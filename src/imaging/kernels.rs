//! Convolution kernels: which of them sharpen edges, and with them the noise.
//!
//! The names are the manufacturers'. An unknown name says nothing; noise is measured in any case.

/// Kernels of one manufacturer that sharpen.
struct SharpKernels {
    /// A part of the Manufacturer in lower case.
    manufacturer: &'static str,
    is_sharp: fn(&str) -> bool,
}

const SHARP: [SharpKernels; 5] = [
    SharpKernels { manufacturer: "siemens", is_sharp: is_sharp_by_number },
    SharpKernels { manufacturer: "ge ", is_sharp: is_sharp_by_word },
    SharpKernels { manufacturer: "philips", is_sharp: is_sharp_by_letter },
    SharpKernels { manufacturer: "toshiba", is_sharp: is_sharp_by_series },
    SharpKernels { manufacturer: "canon", is_sharp: is_sharp_by_series },
];

/// Whether a kernel sharpens edges and noise; `false` for one that is not known.
pub fn is_sharp(manufacturer: &str, kernel: &str) -> bool {
    let (manufacturer, kernel) = (format!("{} ", manufacturer.to_lowercase()), kernel.trim().to_uppercase());
    SHARP.iter().any(|sharp| manufacturer.contains(sharp.manufacturer) && (sharp.is_sharp)(&kernel))
}

/// Siemens: the first number grows with sharpness, B30f or Br40d for soft tissue, B70f or Bl57 for lung.
fn is_sharp_by_number(kernel: &str) -> bool {
    const SHARP_LEAST: u32 = 50;
    let digits: String = kernel.chars().skip_while(|letter| !letter.is_ascii_digit()).take(2).collect();
    digits.parse::<u32>().is_ok_and(|number| number >= SHARP_LEAST)
}

fn is_sharp_by_word(kernel: &str) -> bool {
    ["LUNG", "BONE", "EDGE", "ULTRA"].iter().any(|word| kernel.contains(word))
}

/// Philips: A is smooth, B is standard; D, E, L and the second letters from B on are sharp.
fn is_sharp_by_letter(kernel: &str) -> bool {
    ["D", "E", "L", "YB", "YC", "YD", "YE"].contains(&kernel)
}

/// Canon, before Toshiba: FC30 to FC39 for bone, FC50 to FC59 for lung, FC80 to FC89 for high resolution.
fn is_sharp_by_series(kernel: &str) -> bool {
    let number = kernel.strip_prefix("FC").and_then(|rest| rest.get(..2)?.parse::<u32>().ok());
    number.is_some_and(|number| matches!(number / 10, 3 | 5 | 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_for_lung_and_bone_are_sharp_and_those_for_soft_tissue_are_not() {
        let siemens = "SIEMENS Healthineers";
        for (manufacturer, kernel) in [
            ("SIEMENS", "B70f"),
            (siemens, "Bl57d\\3"),
            ("GE MEDICAL SYSTEMS", "LUNG"),
            ("GE MEDICAL SYSTEMS", "BONEPLUS"),
            ("Philips", "D"),
            ("Philips Medical Systems", "YB"),
            ("TOSHIBA", "FC51"),
            ("CANON_MEC", "FC81"),
        ] {
            assert!(is_sharp(manufacturer, kernel), "{manufacturer} {kernel}");
        }
        for (manufacturer, kernel) in [
            ("SIEMENS", "B31f"),
            (siemens, "Br40d\\3"),
            ("GE MEDICAL SYSTEMS", "STANDARD"),
            ("GE MEDICAL SYSTEMS", "SOFT"),
            ("Philips", "B"),
            ("Philips", "YA"),
            ("TOSHIBA", "FC08"),
            ("TOSHIBA", ""),
            ("flow", "LUNG"),
        ] {
            assert!(!is_sharp(manufacturer, kernel), "{manufacturer} {kernel}");
        }
    }
}
