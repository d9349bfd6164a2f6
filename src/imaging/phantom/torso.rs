//! The body around the lungs: table, skin, muscle, abdomen, mediastinum. Drawn for the eye only: the lungs
//! are drawn over it, and its volume is not known.

use super::bones;
use super::filling::{AIRWAY_WALL_MM, LungFilling};
use super::lung::{Abdomen, Cavity};
use super::material::{Material, MaterialLayer, tube};
use super::point::SpacePoint;
use super::shape::{Ellipsoid, UprightColumn};

/// The body's ends, below and above the picture.
const Z: [f64; 2] = [-60.0, 320.0];
const BACK: f64 = 124.0;
const BODY_Y: f64 = -14.0;

/// The layers drawn before the lungs, the outermost first.
pub fn layers(right: &LungFilling, left: &LungFilling) -> Vec<MaterialLayer> {
    let mut layers = table();
    layers.extend(wall());
    let (a, b) = (right.lung, left.lung);
    let cavity = |material, margin| {
        let (right, left) = (a.grown(margin), b.grown(margin));
        MaterialLayer::new(material, Cavity { right, left, bottom: Z[0] })
    };
    layers.push(cavity(Material::Muscle, 16.0));
    layers.extend(muscles(a.height));
    layers.push(cavity(Material::Fat, 0.0));
    layers.extend(bones::layers(&a, &b));
    layers.extend([a, b].map(|lung| MaterialLayer::new(Material::Organ, Abdomen { lung, bottom: Z[0] })));
    layers.extend(bones::spine(Z));
    layers.extend(heart(left.lung.height));
    layers.extend(great_vessels(left.lung.height));
    layers.extend(right.vessels_before().chain(left.vessels_before()));
    layers.extend(airways(right, left));
    layers
}

/// A shallow trough across the whole picture: shell, foam, shell, and air above it.
fn table() -> Vec<MaterialLayer> {
    let radius = 620.0;
    let round = |material, depth: f64| {
        let centre = [0.0, BACK + 3.0 - radius];
        let semi_axes = [radius + depth, radius + depth];
        MaterialLayer::new(material, UprightColumn { centre, semi_axes, exponent: 2.0, z: Z })
    };
    vec![
        round(Material::TableShell, 17.0),
        round(Material::TableFoam, 14.5),
        round(Material::TableShell, 2.5),
        round(Material::Air, 0.0),
    ]
}

/// Skin, fat, the outer muscles, and the fat between them and the ribs.
fn wall() -> Vec<MaterialLayer> {
    let half = BACK - BODY_Y;
    let boxy = |material, [beside, behind]: [f64; 2], exponent| {
        let semi_axes = [178.0 - beside, half - behind];
        MaterialLayer::new(material, UprightColumn { centre: [0.0, BODY_Y], semi_axes, exponent, z: Z })
    };
    vec![
        boxy(Material::Tissue, [0.0, 0.0], 2.5),
        boxy(Material::Fat, [2.0, 1.8], 2.5),
        boxy(Material::Muscle, [16.0, 11.0], 2.4),
        boxy(Material::Fat, [28.0, 32.0], 2.3),
    ]
}

/// Muscles beside the spine, on the chest, and of the neck.
fn muscles(height: f64) -> Vec<MaterialLayer> {
    let part = |centre, semi_axes| MaterialLayer::new(Material::Muscle, Ellipsoid { centre, semi_axes });
    let neck = UprightColumn {
        centre: [0.0, 26.0],
        semi_axes: [74.0, 62.0],
        exponent: 2.2,
        z: [0.86 * height, Z[1]],
    };
    let mut layers = vec![MaterialLayer::new(Material::Muscle, neck)];
    for side in [-1.0, 1.0] {
        layers.push(part([side * 60.0, -98.0, 0.66 * height], [56.0, 13.0, 66.0]));
        let back =
            UprightColumn { centre: [side * 27.0, 100.0], semi_axes: [28.0, 17.0], exponent: 2.4, z: Z };
        layers.push(MaterialLayer::new(Material::Muscle, back));
    }
    layers
}

fn heart(height: f64) -> Vec<MaterialLayer> {
    let low = 0.36 * height;
    let part = |centre, semi_axes| MaterialLayer::new(Material::Tissue, Ellipsoid { centre, semi_axes });
    vec![part([16.0, -38.0, low], [74.0, 50.0, 56.0]), part([-4.0, -14.0, low + 12.0], [52.0, 46.0, 44.0])]
}

/// Aorta up, over and down, venae cavae, pulmonary trunk, oesophagus.
fn great_vessels(height: f64) -> Vec<MaterialLayer> {
    let arch = 0.74 * height;
    let low = 0.45 * height;
    let paths: [(&[SpacePoint], f64); 6] = [
        (&[[-4.0, -34.0, low], [-14.0, -30.0, arch - 22.0], [-8.0, -18.0, arch - 6.0]], 15.0),
        (&[[-8.0, -18.0, arch - 6.0], [6.0, 4.0, arch], [19.0, 34.0, arch - 8.0]], 12.5),
        (&[[19.0, 34.0, arch - 8.0], [19.0, 42.0, arch - 40.0], [12.0, 44.0, Z[0]]], 11.5),
        (&[[-24.0, -18.0, low], [-24.0, -22.0, arch], [-18.0, -26.0, height], [-18.0, -26.0, Z[1]]], 8.5),
        (&[[16.0, -40.0, low], [14.0, -22.0, low + 32.0], [26.0, 4.0, low + 34.0]], 13.0),
        (&[[6.0, 34.0, Z[1]], [5.0, 32.0, arch], [4.0, 30.0, Z[0]]], 6.5),
    ];
    let mut layers: Vec<MaterialLayer> =
        paths.iter().flat_map(|(points, radius)| tube(Material::Tissue, points, *radius)).collect();
    for [x, y] in [[14.0, -8.0], [-9.0, -14.0], [24.0, 6.0], [-26.0, -4.0]] {
        layers.extend(tube(Material::Tissue, &[[x * 0.6, y, arch], [x, y, arch + 24.0], [x, y, Z[1]]], 5.0));
    }
    layers
}

/// Trachea and main bronchi up to the hila: walls, then the air in them.
fn airways(right: &LungFilling, left: &LungFilling) -> Vec<MaterialLayer> {
    let carina = [0.0, right.hilum[1] - 4.0, right.hilum[2] + 26.0];
    let above = [0.0, carina[1] - 6.0, Z[1]];
    let around = |material, more: f64| {
        let mut layers = tube(material, &[above, carina], 8.5 + more);
        layers.extend(tube(material, &[carina, right.bronchus_start()], 6.5 + more));
        layers.extend(tube(material, &[carina, left.bronchus_start()], 5.5 + more));
        layers.extend([right, left].map(|lung| lung.bronchus_before(material, more)));
        layers
    };
    let mut layers = around(Material::Tissue, AIRWAY_WALL_MM);
    layers.extend(around(Material::Airway, 0.0));
    layers
}
