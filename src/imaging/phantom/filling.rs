//! A lung with what is inside it: vessels, a main bronchus, spots of emphysema.
//!
//! All of it is placed in the lung's own coordinates (see [`super::lung`]), disjoint and inside the
//! lung, so every volume is exact.

use super::lung::{Lung, Within};
use super::material::{Layer, Material};
use super::noise::Draws;
use super::point::{Point, Segment, length, minus};
use super::shape::{Ellipsoid, Stick};
use super::tree::Tree;

const LUMEN_MM: f64 = 5.5;
const WALL_MM: f64 = 7.5;
/// How far the bronchus goes into the lung; its wall ends a little earlier, so that it is open.
const BRONCHUS_MM: f64 = 28.0;
const WALL_LENGTH_MM: f64 = 26.0;
/// Room kept between what is inside and the lung's faces.
const PLEURA_MM: f64 = 2.5;
/// Where vessels enter: y and z from the bronchus. Far enough apart to be disjoint.
const ROOTS_MM: [[f64; 2]; 7] =
    [[-16.0, 4.0], [0.0, 17.0], [-13.0, 27.0], [16.0, 7.0], [13.0, -14.0], [-10.0, -19.0], [7.0, -33.0]];
const ATTEMPTS_PER_SPOT: usize = 50;

/// How much emphysema, and how coarse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Emphysema {
    /// In each lung.
    pub spots: usize,
    pub radius_mm: f64,
}

pub struct Filling {
    pub lung: Lung,
    pub hilum: Point,
    vessels: Tree,
    spots: Vec<Ellipsoid>,
}

/// Volumes in mm³.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Volumes {
    /// The lung without the main bronchus.
    pub lung: f64,
    pub vessels: f64,
    pub spots: f64,
}

impl Filling {
    pub fn new(lung: Lung, emphysema: Emphysema, draws: &mut Draws) -> Filling {
        let hilum = [0.0, lung.centre + 0.26 * lung.depth, 0.51 * lung.height];
        let mut filling = Filling { lung, hilum, vessels: Tree::default(), spots: Vec::new() };
        filling.plant_vessels(draws);
        filling.scatter_spots(emphysema, draws);
        filling
    }

    pub fn volumes(&self) -> Volumes {
        let open = Stick { from: [WALL_LENGTH_MM, 0.0, 0.0], to: [BRONCHUS_MM, 0.0, 0.0], radius: LUMEN_MM };
        let walled = Stick { from: [0.0; 3], to: [WALL_LENGTH_MM, 0.0, 0.0], radius: WALL_MM };
        Volumes {
            lung: self.lung.volume() - open.volume() - walled.volume(),
            vessels: self.vessels.volume(),
            spots: self.spots.iter().map(Ellipsoid::volume).sum(),
        }
    }

    /// The lung itself, then what is inside it.
    pub fn layers(&self) -> Vec<Layer> {
        let tube = |radius, to| Stick { from: self.hilar(-8.0), to: self.hilar(to), radius };
        let mut layers = vec![
            Layer::new(Material::Lung, self.lung),
            self.inside(Material::BronchusWall, tube(WALL_MM, WALL_LENGTH_MM)),
            self.inside(Material::Airway, tube(LUMEN_MM, BRONCHUS_MM)),
        ];
        layers.extend(self.vessels.sticks().map(|stick| self.inside(Material::Vessel, stick)));
        layers.extend(self.vessels.balls().map(|ball| self.inside(Material::Vessel, ball)));
        layers.extend(self.spots.iter().map(|&spot| self.inside(Material::Spot, spot)));
        layers
    }

    /// The vessels on their way to the lung, to be drawn before it.
    pub fn hilar_vessels(&self) -> Vec<Layer> {
        let before = |stick: &Stick| Stick { from: [-25.0, stick.from[1], stick.from[2]], ..*stick };
        let roots = self.vessels.sticks().filter(|stick| stick.from[0] == 0.0);
        roots.map(|stick| self.inside(Material::Tissue, before(&stick))).collect()
    }

    /// Where the bronchus begins to run straight into the lung, in patient coordinates.
    pub fn bronchus_start(&self) -> Point {
        let start = self.hilar(-8.0);
        [self.lung.x(start), start[1], start[2]]
    }

    fn inside<S: super::shape::Shape + 'static>(&self, material: Material, shape: S) -> Layer {
        Layer::new(material, Within { lung: self.lung, shape })
    }

    fn hilar(&self, depth: f64) -> Point {
        [depth, self.hilum[1], self.hilum[2]]
    }

    /// Roots around the bronchus, as arteries and veins enter a lung.
    fn plant_vessels(&mut self, draws: &mut Draws) {
        for [y, z] in ROOTS_MM {
            let from = [0.0, self.hilum[1] + y, self.hilum[2] + z];
            let to = [16.0, from[1] + 0.5 * y, from[2] + 0.6 * z];
            self.vessels.plant(from, to, 4.6 * draws.between(0.9, 1.1));
        }
        let bronchus = Segment(self.hilar(0.0), self.hilar(BRONCHUS_MM));
        let lung = self.lung;
        self.vessels.grow(draws, |centre, radius| {
            bronchus.distance_to(centre) > radius + WALL_MM + PLEURA_MM
                && lung.holds(centre, radius + PLEURA_MM)
        });
    }

    /// Spots at random places, more of them towards the apex; as many as find room.
    fn scatter_spots(&mut self, emphysema: Emphysema, draws: &mut Draws) {
        for _ in 0..emphysema.spots * ATTEMPTS_PER_SPOT {
            if self.spots.len() == emphysema.spots {
                return;
            }
            let semi_axes = [(); 3].map(|()| emphysema.radius_mm * draws.between(0.7, 1.3));
            let centre = [
                draws.between(0.0, self.lung.width),
                self.lung.centre + self.lung.depth * draws.between(-1.0, 1.2),
                self.lung.height * (1.1 * draws.between(0.0, 1.0).sqrt() - 0.1),
            ];
            if self.has_room(centre, semi_axes.into_iter().fold(0.0, f64::max) + 0.5) {
                self.spots.push(Ellipsoid { centre, semi_axes });
            }
        }
    }

    fn has_room(&self, centre: Point, radius: f64) -> bool {
        let bronchus = Segment(self.hilar(0.0), self.hilar(BRONCHUS_MM));
        self.lung.holds(centre, radius + PLEURA_MM)
            && bronchus.distance_to(centre) > radius + WALL_MM + 10.0
            && self.vessels.is_clear_of(centre, radius)
            && self.spots.iter().all(|spot| {
                let largest = spot.semi_axes.into_iter().fold(0.0, f64::max);
                length(minus(spot.centre, centre)) > radius + largest
            })
    }
}
