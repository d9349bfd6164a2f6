//! What a voxel is made of, and the density of that.

use super::shape::{Reach, Shape};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Material {
    Air,
    TableShell,
    TableFoam,
    Fat,
    Muscle,
    /// Liver, spleen and what else lies below the diaphragm.
    Organ,
    /// Heart, great vessels and the walls of the airways.
    Tissue,
    Disc,
    Marrow,
    Bone,
    /// Inside the trachea and the main bronchi.
    Airway,
    Lung,
    /// A vessel inside a lung.
    Vessel,
    /// Emphysema inside a lung.
    Spot,
    /// The wall of a main bronchus where it is inside a lung.
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

    /// Whether it counts as lung: vessels inside the lungs do, the main bronchi do not.
    pub const fn is_lung(self) -> bool {
        matches!(self, Material::Lung | Material::Vessel | Material::Spot)
    }
}

/// A solid of one material. Where layers meet, the later one holds.
pub struct Layer {
    pub shape: Box<dyn Shape>,
    pub reach: Reach,
    pub material: Material,
}

impl Layer {
    pub fn new(material: Material, shape: impl Shape + 'static) -> Layer {
        Layer { reach: shape.reach(), shape: Box::new(shape), material }
    }
}
