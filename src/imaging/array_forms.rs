//! Volumes and lungs as arrays of numbers, for programs. The axes are z, y and x.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::json;

use crate::step::{ArrayElement, ArrayForm, ArrayValue, ArrayView, Payload, Value};

use super::{Lungs, Volume};

inventory::submit! {
    ArrayForm { kind: Volume::TYPE, view: volume_view, make: volume_of, read: Value::read::<Volume> }
}

inventory::submit! {
    ArrayForm { kind: Lungs::TYPE, view: lungs_view, make: lungs_of, read: Value::read::<Lungs> }
}

/// The place of a volume's voxels in the patient, as [`Volume`] has it.
#[derive(Deserialize)]
struct VolumeGrid {
    spacing: [f64; 3],
    origin: [f64; 3],
    axes: [[f64; 3]; 3],
}

fn volume_view(value: &Value) -> Option<ArrayView<'_>> {
    let volume = value.get::<Volume>()?;
    let [columns, rows, slices] = volume.size;
    let voxels: &[i16] = &volume.voxels;
    let bytes = if cfg!(target_endian = "little") {
        Cow::Borrowed(bytemuck::cast_slice(voxels))
    } else {
        Cow::Owned(voxels.iter().flat_map(|hu| hu.to_le_bytes()).collect())
    };
    let about = json!({"spacing": volume.spacing, "origin": volume.origin, "axes": volume.axes});
    Some(ArrayView { element: ArrayElement::Int16, shape: vec![slices, rows, columns], bytes, about })
}

fn volume_of(array: ArrayValue) -> Result<Value, String> {
    let size = grid_size(&array, ArrayElement::Int16, "a volume is an array of int16 with the axes z, y, x")?;
    let grid: VolumeGrid = serde_json::from_value(array.about)
        .map_err(|error| format!("a volume has spacing, origin and axes: {error}"))?;
    let VolumeGrid { spacing, origin, axes } = grid;
    if !spacing.iter().all(|mm| *mm > 0.0) {
        return Err("the spacing of a volume is three numbers above 0, in mm".to_owned());
    }
    let is_along = |axis: usize| {
        let length = axes[axis].iter().map(|part| part * part).sum::<f64>();
        (length - 1.0).abs() < 0.01 && axes[axis][axis].abs() > 0.5
    };
    if !(0..3).all(is_along) {
        return Err("the axes of a volume are unit vectors near the patient's x, y and z".to_owned());
    }
    let voxels: Vec<i16> =
        array.bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    Ok(Value::new(Volume { voxels: voxels.into(), size, spacing, origin, axes }))
}

fn lungs_view(value: &Value) -> Option<ArrayView<'_>> {
    let lungs = value.get::<Lungs>()?;
    let [columns, rows, slices] = lungs.right.size();
    let bytes = Cow::Owned(lungs.labels().collect());
    let about = json!({"labels": {"right": Lungs::RIGHT, "left": Lungs::LEFT}});
    Some(ArrayView { element: ArrayElement::Uint8, shape: vec![slices, rows, columns], bytes, about })
}

fn lungs_of(array: ArrayValue) -> Result<Value, String> {
    let takes =
        "lungs are an array of uint8 with the axes z, y, x: 0 for none, 1 for the right lung, 2 for the left";
    let size = grid_size(&array, ArrayElement::Uint8, takes)?;
    if let Some(other) = array.bytes.iter().find(|label| **label > Lungs::LEFT) {
        return Err(format!("{takes}; this one has the label {other}"));
    }
    Ok(Value::new(Lungs::labelled(size, &array.bytes)))
}

/// The size of a grid: columns, rows, slices.
fn grid_size(array: &ArrayValue, element: ArrayElement, takes: &str) -> Result<[usize; 3], String> {
    match array.shape[..] {
        [slices, rows, columns] if array.element == element && !array.bytes.is_empty() => {
            Ok([columns, rows, slices])
        }
        _ => Err(format!("{takes}; this one is of {:?} with the shape {:?}", array.element, array.shape)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(view: ArrayView) -> ArrayValue {
        let ArrayView { element, shape, bytes, about } = view;
        ArrayValue { element, shape, bytes: bytes.into_owned().into(), about }
    }

    #[test]
    fn a_volume_and_lungs_come_back_from_their_arrays() {
        let volume = Volume {
            voxels: (0..24).collect(),
            size: [2, 3, 4],
            spacing: [0.5, 0.5, 2.0],
            origin: [1.0, 2.0, 3.0],
            axes: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        };
        let value = Value::new(volume.clone());
        let seen = array(volume_view(&value).unwrap());
        assert_eq!((seen.shape.as_slice(), seen.bytes[2]), (&[4, 3, 2][..], 1));
        assert!(volume_of(seen.clone()).unwrap().get::<Volume>() == Some(&volume));
        let flat = ArrayValue { shape: vec![24], ..seen };
        assert!(volume_of(flat).unwrap_err().contains("the axes z, y, x"));

        let lungs = Lungs::labelled([2, 1, 2], &[0, 1, 2, 2]);
        let value = Value::new(lungs.clone());
        let seen = array(lungs_view(&value).unwrap());
        assert_eq!(seen.bytes.as_slice(), [0, 1, 2, 2]);
        assert!(lungs_of(seen).unwrap().get::<Lungs>() == Some(&lungs));
    }
}
