//! A small table of steps for tests of wiring: they are never run.

use flow::step::{Item, Parameter, Payload, Request, ResponseFiles, Step, StepOutcomes, StepTable};

macro_rules! payloads {
    ($($payload:ident $kind:literal)*) => {$(
        #[derive(serde::Serialize, serde::Deserialize)]
        struct $payload;
        impl Payload for $payload {
            const TYPE: &'static str = $kind;
        }
    )*};
}

payloads! { Header "header" Series "series" Volume "volume" Lungs "lungs" Densities "densities" Pictures "pictures" }

/// The steps of `ct-lung`, as far as wiring sees them, and a few that give what those do not.
pub fn table() -> StepTable {
    let steps = [
        Step::new("read-header", 1, "Reads a header.")
            .takes::<Item>("file")
            .gives::<Header>("header")
            .cheap(),
        Step::new("pick-header", 1, "Picks one.").takes_each::<Header>("headers").gives::<Header>("header"),
        Step::new("sort-series", 1, "Sorts.").takes_each::<Header>("headers").gives::<Series>("series"),
        Step::new("assemble-volume", 1, "Assembles.").takes::<Series>("series").gives::<Volume>("volume"),
        Step::new("find-lungs", 1, "Finds lungs.")
            .takes::<Volume>("volume")
            .gives::<Lungs>("lungs")
            .parameter(Parameter::number("threshold", -400.0, -1024.0, 0.0, "HU").about("air is below"))
            .parameter(Parameter::numbers("levels", &[-950.0], -1024.0, 0.0, "HU"))
            .parameter(Parameter::text("method", "plain", &["plain", "region"]))
            .parameter(Parameter::flag("airways", true)),
        Step::new("find-lobes", 1, "Finds lobes.")
            .takes::<Volume>("volume")
            .gives::<Lungs>("left")
            .gives::<Lungs>("right")
            .gives::<Pictures>("preview"),
        Step::new("measure-densities", 1, "Measures.")
            .takes::<Volume>("volume")
            .takes::<Lungs>("lungs")
            .takes_optional::<Header>("header")
            .gives::<Densities>("densities"),
        Step::new("draw-pictures", 1, "Draws.")
            .takes::<Volume>("volume")
            .takes::<Lungs>("lungs")
            .takes::<Densities>("densities")
            .gives::<Pictures>("pictures"),
        Step::new("write-results", 1, "Writes results.")
            .takes::<Request>("request")
            .takes::<Series>("series")
            .takes::<Lungs>("lungs")
            .takes::<Densities>("densities")
            .gives::<ResponseFiles>("files"),
        Step::new("write-png", 1, "Writes.").takes::<Pictures>("pictures").gives::<ResponseFiles>("files"),
        Step::new("write-capture", 1, "Writes.")
            .takes::<Request>("request")
            .takes::<Pictures>("pictures")
            .gives::<ResponseFiles>("files"),
        Step::new("write-report", 1, "Writes.")
            .takes::<Request>("request")
            .takes::<Series>("series")
            .takes::<Densities>("densities")
            .gives::<ResponseFiles>("files"),
        Step::new("write-header", 1, "Writes.").takes::<Header>("header").gives::<ResponseFiles>("files"),
        Step::new("draw-error", 1, "Draws.")
            .takes::<Request>("request")
            .takes::<StepOutcomes>("outcomes")
            .gives::<Pictures>("pictures"),
        Step::new("write-error-report", 1, "Writes.")
            .takes::<Request>("request")
            .takes::<StepOutcomes>("outcomes")
            .gives::<ResponseFiles>("files"),
    ];
    steps.into_iter().fold(StepTable::default().with_attributes(flow::dicom::ATTRIBUTES), StepTable::with)
}
