//! A small study: two lungs that are boxes, in a body that is a box.

use std::collections::BTreeMap;

use flow::imaging::{
    ClusterDistribution, InstanceHeader, LungDensities, LungPart, LungRegion, Lungs, PartDensity, PixelUnits,
    RegionDensity, SortedSeries, Volume, VoxelCounts,
};
use flow::step::{
    Call, CancelToken, Digest, Fault, Outcome, OutcomeReason, Request, ResponseFiles, ResultIdentity,
    StepInputs, StepOutcomes, StepParameters, StepReport, StepTable, UnrecordedCalls, Value, WiredInput,
};

pub const SIZE: [usize; 3] = [40, 30, 20];

/// The values that the steps of `ct-lung` take, by name.
pub struct Values(pub BTreeMap<&'static str, Value>);

pub fn study() -> Values {
    let (volume, lungs) = body();
    Values(BTreeMap::from([
        ("request", Value::new(request())),
        ("series", Value::new(series())),
        ("volume", Value::new(volume)),
        ("lungs", Value::new(lungs)),
        ("densities", Value::new(densities())),
    ]))
}

impl Values {
    /// Runs a step with its defaults and gives one of its outputs.
    pub fn run(&self, step: &str, output: &str) -> Value {
        let table = StepTable::built_in();
        let declared = &table.get(step).expect("the step is built in").declaration.inputs;
        let value =
            |name| self.0.get(name).map_or(WiredInput::Absent, |value| WiredInput::One(value.clone()));
        let inputs = declared
            .iter()
            .fold(StepInputs::default(), |inputs, input| inputs.with(input.name, value(input.name)));
        run(step, inputs, output)
    }

    /// Adds what a step gives as the input of others.
    pub fn and(mut self, name: &'static str, step: &str, output: &str) -> Values {
        let value = self.run(step, output);
        self.0.insert(name, value);
        self
    }

    pub fn request_and(&self, name: &'static str, value: Value) -> StepInputs {
        // Pictures may be of a series, and are not here.
        let inputs = only(name, value).with("series", WiredInput::Absent);
        inputs.with("request", WiredInput::One(self.0["request"].clone()))
    }
}

pub fn only(name: &'static str, value: Value) -> StepInputs {
    StepInputs::default().with(name, WiredInput::One(value))
}

/// The inputs of the steps that answer a failure.
pub fn failed(step: &str, reason: &str) -> StepInputs {
    let fault = Fault::new(reason, "Send the study again with all its slices.");
    let report = |step: &str, outcome| StepReport { step: step.into(), item: None, outcome };
    let because = OutcomeReason::NeedFailed { step: step.into() };
    let outcomes = StepOutcomes(vec![
        report(step, Outcome::Failed(fault)),
        report("lungs", Outcome::Skipped { because }),
    ]);
    study().request_and("outcomes", Value::new(outcomes))
}

pub fn run(step: &str, inputs: StepInputs, output: &str) -> Value {
    let table = StepTable::built_in();
    let found = table.get(step).expect("the step is built in");
    let parameters = StepParameters::defaults(&found.declaration.parameters);
    let identity = ResultIdentity {
        request: Digest::of(b"request"),
        dataflow: Digest::of(b"dataflow"),
        step: step.into(),
        edition: 0,
    };
    let call = Call {
        inputs: &inputs,
        parameters: &parameters,
        identity: &identity,
        token: &CancelToken::default(),
        environment: &UnrecordedCalls::shared(),
    };
    let outputs = found.call(&call);
    outputs.expect("the step does its work").get(output).expect("the step gives the output").clone()
}

/// Writes the files of several steps into a new folder.
pub fn deliver(results: &[Value]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for file in results.iter().flat_map(|files| &files.get::<ResponseFiles>().expect("files").0) {
        let path = folder.path().join(&file.name);
        std::fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder");
        std::fs::write(path, &file.bytes).expect("the file is written");
    }
    folder
}

fn request() -> Request {
    let attributes = [
        ("study_instance_uid", "1.2.3"),
        ("study_id", "7"),
        ("study_date", "20260102"),
        ("study_time", "101112"),
        ("study_description", "CT chest"),
        ("accession_number", "A1"),
        ("patient_name", "Παπαδόπουλος^Άννα"),
        ("patient_id", "P1"),
        ("patient_birth_date", "19700101"),
        ("patient_sex", "F"),
        ("patient_age", "056Y"),
    ];
    let owned = attributes.map(|(name, value)| (name.to_owned(), value.into()));
    Request::new("P1 CT chest", owned.into(), Vec::new())
}

pub fn series() -> SortedSeries {
    SortedSeries {
        slices: (0..SIZE[2]).map(header).collect(),
        slice_spacing: 5.0,
        shifts: Vec::new(),
        remarks: vec!["1 duplicate slice dropped".to_owned()],
        reservations: Vec::new(),
    }
}

fn header(slice: usize) -> InstanceHeader {
    InstanceHeader {
        item: None,
        name: format!("{slice}.dcm"),
        path: format!("{slice}.dcm").into(),
        sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".to_owned(),
        sop_instance_uid: format!("1.2.3.4.{}", slice + 1),
        series_instance_uid: "1.2.3.4".to_owned(),
        series_number: Some(2),
        series_description: "Thorax 5.0".to_owned(),
        frame_of_reference_uid: "1.2.3.5".to_owned(),
        transfer_syntax_uid: "1.2.840.10008.1.2.1".to_owned(),
        modality: "CT".to_owned(),
        image_type: vec!["ORIGINAL".to_owned(), "PRIMARY".to_owned(), "AXIAL".to_owned()],
        instance_number: Some(slice as i32 + 1),
        rows: SIZE[1] as u16,
        columns: SIZE[0] as u16,
        frames: 1,
        samples_per_pixel: 1,
        bits_allocated: 16,
        bits_stored: 16,
        signed: true,
        position: Some([0.0, 0.0, 5.0 * slice as f64]),
        orientation: Some([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
        spacing: Some([2.0, 2.0]),
        slice_thickness: Some(5.0),
        slope: 1.0,
        intercept: 0.0,
        kernel: "B30f".to_owned(),
        manufacturer: "SIEMENS".to_owned(),
        contrast_agent: String::new(),
        peak_kilovoltage: Some(120.0),
        units: PixelUnits::Hounsfield,
        patient_id: "P1".to_owned(),
        issuer_of_patient_id: String::new(),
        patient_birth_date: String::new(),
        patient_sex: String::new(),
        patient_name: String::new(),
        acquisition_number: Some(1),
        acquisition_time: String::new(),
        acquisition_datetime: String::new(),
        stack_id: String::new(),
        temporal_position: None,
        derivation_description: String::new(),
        calculation_technique: String::new(),
        reconstruction_diameter: None,
        slice_location: None,
        spacing_between_slices: None,
        is_lossy: false,
        lossy_ratio: None,
        frame: None,
        frame_attributes: Vec::new(),
        is_own_result: false,
    }
}

/// The patient's right lung is on the side of small x.
fn body() -> (Volume, Lungs) {
    let [columns, rows, slices] = SIZE;
    let places = (0..slices).flat_map(|z| (0..rows).flat_map(move |y| (0..columns).map(move |x| [x, y, z])));
    let labels: Vec<u8> = places
        .map(|[x, y, z]| match x {
            _ if !(8..22).contains(&y) || !(3..17).contains(&z) => Lungs::NONE,
            6..16 => Lungs::RIGHT,
            24..34 => Lungs::LEFT,
            _ => Lungs::NONE,
        })
        .collect();
    let hu = |(index, &label): (usize, &u8)| match label {
        Lungs::NONE => 40,
        _ if index % 16 == 0 => -970,
        _ => -870 + (index % 7) as i16,
    };
    let volume = Volume {
        voxels: labels.iter().enumerate().map(hu).collect(),
        size: SIZE,
        spacing: [2.0, 2.0, 5.0],
        origin: [0.0; 3],
        axes: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    };
    (volume, Lungs { remarks: vec!["trachea removed".to_owned()], ..Lungs::labelled(SIZE, &labels) })
}

fn densities() -> LungDensities {
    let part = |part| PartDensity {
        part,
        voxels: 500,
        volume_ml: 16.5,
        mean_hu: -860.5,
        percentile_15_hu: -900.0,
        below: vec![(-950.0, 3.125), (-910.0, 12.5), (-856.0, 60.0)],
        high_attenuation_percent: 2.5,
    };
    let region = |(lung, volume_ml)| RegionDensity {
        lung,
        voxels: 1000,
        volume_ml,
        mean_hu: -870.25,
        standard_deviation_hu: 40.5,
        median_hu: -868.0,
        percentile_15_hu: -905.5,
        percentile_15_adjusted_g_l: Some(1.04),
        below: vec![(-950.0, 6.25), (-910.0, 12.5), (-856.0, 60.0)],
        high_attenuation_percent: 1.25,
        clusters: ClusterDistribution { clusters: 90, slope: Some(1.625), reason: None },
        parts: [LungPart::UpperThird, LungPart::Peel].map(part).into(),
        histogram: vec![10, 60, 230, 500, 200],
        histogram_start_hu: -1000,
        histogram_width_hu: 50,
        counts: VoxelCounts::default(),
    };
    let regions = [(LungRegion::Both, 66.0), (LungRegion::Right, 33.0), (LungRegion::Left, 33.0)];
    LungDensities { regions: regions.map(region).into(), reference_ml: 6000.0, peel_mm: 15.0 }
}
