//! The materials of voxels and their densities.

use super::point::SpacePoint;
use super::shape::{Ellipsoid, RoundCylinder, SolidReach, SolidShape};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Material {
    Air,
    TableShell,
    TableFoam,
    Fat,
    Muscle,
    /// Liver, spleen and other organs below the diaphragm.
    Organ,
    /// Heart, great vessels and the walls of the airways.
    Tissue,
    Disc,
    Marrow,
    Bone,
    /// Air inside the trachea and the main bronchi.
    Airway,
    Lung,
    /// A vessel inside a lung.
    Vessel,
    /// Emphysema inside a lung.
    Spot,
    /// The wall of a main bronchus inside a lung.
    BronchusWall,
}

impl Material {
    pub const fn hu(self) -> i16 {
        match self {
            Material::Air | Material::Airway => -1000,
            Material::TableShell => -250,
            Material::TableFoam => -920,
            Material::Fat => -100,
            Material::Muscle => 50,
            Material::Organ => 58,
            Material::Tissue | Material::Vessel | Material::BronchusWall => 40,
            Material::Disc => 85,
            Material::Marrow => 250,
            Material::Bone => 650,
            Material::Lung => -860,
            Material::Spot => -980,
        }
    }

    /// Whether the material counts as lung: vessels inside the lungs do, the main bronchi do not.
    pub const fn is_lung(self) -> bool {
        matches!(self, Material::Lung | Material::Vessel | Material::Spot)
    }
}

/// A solid of one material. Where layers overlap, the later one is drawn.
pub struct MaterialLayer {
    pub shape: Box<dyn SolidShape>,
    pub reach: SolidReach,
    pub material: Material,
}

impl MaterialLayer {
    pub fn new(material: Material, shape: impl SolidShape + 'static) -> MaterialLayer {
        MaterialLayer { reach: shape.reach(), shape: Box::new(shape), material }
    }
}

/// A round tube along points.
pub fn tube(material: Material, points: &[SpacePoint], radius: f64) -> Vec<MaterialLayer> {
    let sticks = points.windows(2).map(|ends| RoundCylinder { from: ends[0], to: ends[1], radius });
    let balls = points.iter().map(|&point| Ellipsoid::ball(point, radius));
    let mut layers: Vec<MaterialLayer> = sticks.map(|stick| MaterialLayer::new(material, stick)).collect();
    layers.extend(balls.map(|ball| MaterialLayer::new(material, ball)));
    layers
}
