//! `flow sample`: synthetic chest CT studies whose true volumes and densities are known.

use std::path::PathBuf;

use crate::imaging::phantom::{
    PhantomChest, PhantomOptions, PhantomSyntax, StudyTruth, TruthError, TruthFile, WriteError,
};
use crate::printable::counted;

use super::output;

/// Write synthetic chest CT studies whose lung volumes and densities are known exactly
///
/// Each study is a folder of CT images below DIR; what is true of them stands in DIR/truth.json, by
/// Study Instance UID. The same options write the same bytes on every machine; a study that is there already is left.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flow sample studies                          one study, 120 slices of 256 x 256
  flow sample studies --studies 20 --seed 100  twenty different ones
  flow sample healthy --spots 0 --noise 0      no emphysema, no noise
  flow sample large --matrix 512 --slices 275  as large as a usual chest CT")]
pub struct SampleArguments {
    /// Folder to write to; made if it does not exist
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// How many studies; each takes the seed after that of the one before
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000))]
    studies: u64,

    /// Varies the anatomy, the noise and every identifier
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Columns and rows of an image; the chest always fits, more are finer
    #[arg(long, value_name = "N", default_value_t = 256)]
    #[arg(value_parser = clap::value_parser!(u16).range(32..=2048))]
    matrix: u16,

    /// Images in a study; the chest always fits, more are thinner
    #[arg(long, value_name = "N", default_value_t = 120)]
    #[arg(value_parser = clap::value_parser!(u16).range(16..=4096))]
    slices: u16,

    /// Standard deviation of the noise in HU, 0 to 200
    #[arg(long, value_name = "HU", default_value_t = 20.0, value_parser = noise)]
    noise: f64,

    /// Spots of emphysema in each lung, as far as they find room; 0 for healthy lungs
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u16).range(0..=2000))]
    spots: u16,

    /// Mean radius of the spots in mm, 1 to 20
    #[arg(long, value_name = "MM", default_value_t = 5.0, value_parser = radius)]
    spot_radius: f64,

    /// How the images are encoded
    #[arg(long, value_enum, default_value_t = SampleEncoding::Explicit)]
    syntax: SampleEncoding,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum SampleEncoding {
    /// Explicit VR little endian
    Explicit,
    /// Implicit VR little endian
    Implicit,
    /// RLE lossless
    Rle,
}

#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    #[error("{} is there already, and is not the study that these options write", .0.display())]
    Exists(PathBuf),
    #[error("could not write a study")]
    Write(#[from] WriteError),
    #[error("could not write what is true of the studies")]
    Truth(#[from] TruthError),
}

impl SampleArguments {
    /// # Errors
    /// If a study's folder is there already with something else in it, or something cannot be written.
    pub fn run(self) -> Result<(), SampleError> {
        let seeds = self.seed..self.seed.saturating_add(self.studies);
        let truths = seeds.map(|seed| self.write(seed)).collect::<Result<Vec<StudyTruth>, SampleError>>()?;
        // What is true of studies that an earlier call has written here stays.
        let earlier = TruthFile::read(&self.folder).unwrap_or_default();
        let path = TruthFile::of(truths).with(earlier).write(&self.folder)?;
        let _ = output::print_line(path.display());
        Ok(())
    }

    /// Writes one study. Its folder goes to stdout, its true volumes and densities to stderr.
    fn write(&self, seed: u64) -> Result<StudyTruth, SampleError> {
        let folder = self.folder.join(format!("chest-{seed}"));
        let chest = PhantomChest::new(&self.options(seed));
        if !folder.exists() {
            chest.write(&folder, self.syntax.into())?;
        } else if chest.is_written(&folder, self.syntax.into())? {
            output::tell_line(format_args!("{} is there already, as it is written", folder.display()));
        } else {
            return Err(SampleError::Exists(folder));
        }
        let truth = chest.truth();
        let _ = output::print_line(folder.display());
        output::tell_line(format_args!(
            "  {}; right lung {:.1} mL, left {:.1} mL, mean {:.1} HU, {:.2} % below -950 HU",
            counted(self.slices, "slice"),
            truth.right_ml,
            truth.left_ml,
            truth.mean_hu,
            truth.laa_950_percent
        ));
        Ok(truth)
    }

    fn options(&self, seed: u64) -> PhantomOptions {
        PhantomOptions {
            size: [self.matrix.into(), self.matrix.into(), self.slices.into()],
            seed,
            noise_hu: self.noise,
            spots: self.spots.into(),
            spot_radius_mm: self.spot_radius,
        }
    }
}

impl From<SampleEncoding> for PhantomSyntax {
    fn from(encoding: SampleEncoding) -> PhantomSyntax {
        match encoding {
            SampleEncoding::Explicit => PhantomSyntax::Explicit,
            SampleEncoding::Implicit => PhantomSyntax::Implicit,
            SampleEncoding::Rle => PhantomSyntax::Rle,
        }
    }
}

fn noise(text: &str) -> Result<f64, String> {
    number(text, 0.0, 200.0)
}

fn radius(text: &str) -> Result<f64, String> {
    number(text, 1.0, 20.0)
}

fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let parsed = text.parse().ok().filter(|number| (least..=most).contains(number));
    parsed.ok_or_else(|| format!("a number from {least} to {most} is needed"))
}
