//! Ribs, spine, sternum and shoulder blades. Drawn for the eye only.

use std::f64::consts::PI;

use super::lung::PhantomLung;
use super::material::{Material, MaterialLayer, tube};
use super::point::{SpacePoint, along, unit};
use super::shape::{RoundCylinder, UprightColumn};

const VERTEBRA_MM: f64 = 24.0;
const DISC_MM: f64 = 4.5;
const SPINE_Y: f64 = 66.0;

/// All bones but the spine.
pub fn layers(right: &PhantomLung, left: &PhantomLung) -> Vec<MaterialLayer> {
    let mut layers = ribs(right);
    layers.extend(ribs(left));
    layers.extend(sternum(left));
    layers.extend([-1.0, 1.0].into_iter().flat_map(shoulder_blade));
    layers
}

/// Vertebrae with discs between them, the canal, the arches and the processes, over a range of heights in mm.
pub fn spine(z: [f64; 2]) -> Vec<MaterialLayer> {
    let count = ((z[1] - z[0]) / VERTEBRA_MM) as usize;
    (0..count).flat_map(move |index| vertebra(z[0] + VERTEBRA_MM * index as f64)).collect()
}

fn vertebra(z: f64) -> Vec<MaterialLayer> {
    let bone = [z + DISC_MM, z + VERTEBRA_MM];
    let column = |material, y, semi_axes, z| {
        MaterialLayer::new(material, UprightColumn { centre: [0.0, y], semi_axes, exponent: 2.2, z })
    };
    let inner = [bone[0] + 1.5, bone[1] - 1.5];
    let middle = z + 14.0;
    let mut layers = vec![
        column(Material::Disc, SPINE_Y, [15.5, 13.0], [z, z + VERTEBRA_MM]),
        column(Material::Bone, SPINE_Y, [16.5, 14.0], bone),
        column(Material::Marrow, SPINE_Y, [14.8, 12.3], inner),
        column(Material::Bone, SPINE_Y + 22.0, [13.0, 12.0], [z + 7.0, z + 20.0]),
    ];
    let back = SPINE_Y + 32.0;
    layers.extend(tube(Material::Bone, &[[0.0, back, middle], [0.0, back + 16.0, middle - 9.0]], 3.2));
    for side in [-1.0, 1.0] {
        let root = [side * 11.0, SPINE_Y + 21.0, middle + 2.0];
        layers.extend(tube(Material::Bone, &[root, [side * 31.0, SPINE_Y + 31.0, middle + 3.0]], 4.0));
    }
    layers.push(column(Material::Tissue, SPINE_Y + 22.0, [9.5, 8.0], [z, z + VERTEBRA_MM]));
    layers
}

fn ribs(lung: &PhantomLung) -> Vec<MaterialLayer> {
    (0..13).flat_map(|index| rib(lung, 1.12 * lung.height - VERTEBRA_MM * f64::from(index))).collect()
}

/// A rib from the spine at a height, around the lung and downwards; its front end is cartilage.
fn rib(lung: &PhantomLung, height: f64) -> Vec<MaterialLayer> {
    let point = |turn: f64| {
        let z = height - 36.0 * (1.0 - turn.cos()) - 8.0 * turn.sin();
        lung.around(turn, z, 7.5)
    };
    let arc = |from: f64, to: f64| -> Vec<SpacePoint> {
        let steps = 28.0;
        (0..=28).map(|step| point(PI * (from + (to - from) * f64::from(step) / steps))).collect()
    };
    let mut layers = tube(Material::Disc, &arc(0.74, 0.93), 4.6);
    layers.extend(tube(Material::Bone, &arc(0.10, 0.75), 5.0));
    layers.extend(tube(Material::Marrow, &arc(0.12, 0.73), 2.9));
    layers
}

/// The sternum: a flat bone along the front of the cage.
fn sternum(lung: &PhantomLung) -> Vec<MaterialLayer> {
    let [low, high] = [0.30, 0.78].map(|part| {
        let [_, y, z] = lung.around(PI, part * lung.height, 8.5);
        [0.0, y, z]
    });
    let bar = |material, radius| {
        let across = [-10.0, -5.0, 0.0, 5.0, 10.0];
        let at = move |x: f64| [low, high].map(|[_, y, z]| [x, y, z]);
        across.into_iter().flat_map(move |x| tube(material, &at(x), radius))
    };
    bar(Material::Bone, 6.0).chain(bar(Material::Marrow, 4.4)).collect()
}

/// A shoulder blade: a round plate behind the ribs, tilted forwards at the side, with its spine.
fn shoulder_blade(side: f64) -> Vec<MaterialLayer> {
    let centre = [side * 96.0, 80.0, 196.0];
    let outwards = unit([side * 0.62, 0.76, 0.12]);
    let plate = |radius: f64, thickness: f64| RoundCylinder {
        from: along(centre, outwards, -thickness / 2.0),
        to: along(centre, outwards, thickness / 2.0),
        radius,
    };
    let mut layers = vec![
        MaterialLayer::new(Material::Muscle, plate(52.0, 22.0)),
        MaterialLayer::new(Material::Bone, plate(44.0, 6.5)),
        MaterialLayer::new(Material::Marrow, plate(41.0, 2.6)),
    ];
    layers.extend(tube(Material::Bone, &[[side * 84.0, 104.0, 222.0], [side * 128.0, 78.0, 240.0]], 4.5));
    layers
}
