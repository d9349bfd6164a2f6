//! A lung with its contents: vessels, a main bronchus, spots of emphysema.
//!
//! All contents are placed in the lung's own coordinates (see [`super::lung`]), disjoint and inside the lung,
//! so every volume is exact.

use super::lung::{PhantomLung, ShapeWithin};
use super::material::{Material, MaterialLayer};
use super::noise::RandomDraws;
use super::point::{LineSegment, SpacePoint, along, length, minus, unit};
use super::shape::{Ellipsoid, RoundCylinder, SolidShape};
use super::tree::VesselTree;

/// Thickness of the walls of trachea and bronchi.
pub const AIRWAY_WALL_MM: f64 = 2.0;
/// Radius of the bronchus without its wall.
const LUMEN_MM: f64 = 5.5;
const WALL_MM: f64 = LUMEN_MM + AIRWAY_WALL_MM;
/// Length of the bronchus inside the lung; its wall ends a little earlier, so that its end is open.
const BRONCHUS_MM: f64 = 28.0;
const WALL_LENGTH_MM: f64 = 26.0;
/// Distance before the lung at which the bronchus turns straight towards it.
const APPROACH_MM: f64 = 8.0;
/// Least distance between the contents and the lung's faces.
const PLEURA_MM: f64 = 2.5;
/// The points at which vessels enter: y and z from the bronchus, far enough apart for disjoint vessels.
const ROOTS_MM: [[f64; 2]; 7] =
    [[-16.0, 4.0], [0.0, 17.0], [-13.0, 27.0], [16.0, 7.0], [13.0, -14.0], [-10.0, -19.0], [7.0, -33.0]];
const ATTEMPTS_PER_SPOT: usize = 50;

/// Amount and size of emphysema.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EmphysemaOptions {
    /// Number of spots in each lung.
    pub spots: usize,
    pub radius_mm: f64,
}

pub struct LungFilling {
    pub lung: PhantomLung,
    pub hilum: SpacePoint,
    vessels: VesselTree,
    spots: Vec<Ellipsoid>,
}

/// Volumes in mm³.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LungVolumes {
    /// Volume of the lung without the main bronchus.
    pub lung: f64,
    pub vessels: f64,
    pub spots: f64,
}

impl LungFilling {
    pub fn new(lung: PhantomLung, emphysema: EmphysemaOptions, draws: &mut RandomDraws) -> LungFilling {
        let hilum = [0.0, lung.centre + 0.26 * lung.depth, 0.51 * lung.height];
        let mut filling = LungFilling { lung, hilum, vessels: VesselTree::default(), spots: Vec::new() };
        filling.plant_vessels(draws);
        filling.scatter_spots(emphysema, draws);
        filling
    }

    pub fn volumes(&self) -> LungVolumes {
        let open =
            RoundCylinder { from: [WALL_LENGTH_MM, 0.0, 0.0], to: [BRONCHUS_MM, 0.0, 0.0], radius: LUMEN_MM };
        let walled = RoundCylinder { from: [0.0; 3], to: [WALL_LENGTH_MM, 0.0, 0.0], radius: WALL_MM };
        LungVolumes {
            lung: self.lung.volume() - open.volume() - walled.volume(),
            vessels: self.vessels.volume(),
            spots: self.spots.iter().map(Ellipsoid::volume).sum(),
        }
    }

    /// The layers of the lung: the lung itself, then its contents.
    pub fn layers(&self) -> Vec<MaterialLayer> {
        let mut layers = vec![
            MaterialLayer::new(Material::Lung, self.lung),
            self.place(Material::BronchusWall, self.bronchus(WALL_MM, WALL_LENGTH_MM), 0.0),
            self.place(Material::Airway, self.bronchus(LUMEN_MM, BRONCHUS_MM), 0.0),
        ];
        let vessel = |stick| self.place(Material::Vessel, through_plane(stick), 0.0);
        layers.extend(self.vessels.sticks().map(vessel));
        layers.extend(self.vessels.balls().map(|ball| self.place(Material::Vessel, ball, 0.0)));
        layers.extend(self.spots.iter().map(|&spot| self.place(Material::Spot, spot, 0.0)));
        layers
    }

    /// The vessels' parts outside the lung, drawn before it.
    pub fn vessels_before(&self) -> impl Iterator<Item = MaterialLayer> {
        let roots = self.vessels.sticks().filter(|stick| stick.from[0] == 0.0);
        roots.map(|stick| self.place(Material::Tissue, through_plane(stick), f64::NEG_INFINITY))
    }

    /// The bronchus' part outside the lung, with the lumen's radius plus `more`.
    pub fn bronchus_before(&self, material: Material, more: f64) -> MaterialLayer {
        self.place(material, self.bronchus(LUMEN_MM + more, 0.0), f64::NEG_INFINITY)
    }

    /// The point where the bronchus turns straight into the lung, in patient coordinates.
    pub fn bronchus_start(&self) -> SpacePoint {
        let start = self.hilar(-APPROACH_MM);
        [self.lung.x(start), start[1], start[2]]
    }

    fn place<S: SolidShape + 'static>(&self, material: Material, shape: S, depth_min: f64) -> MaterialLayer {
        MaterialLayer::new(material, ShapeWithin { lung: self.lung, shape, depth_min })
    }

    fn hilar(&self, depth: f64) -> SpacePoint {
        [depth, self.hilum[1], self.hilum[2]]
    }

    fn bronchus(&self, radius: f64, to: f64) -> RoundCylinder {
        RoundCylinder { from: self.hilar(-APPROACH_MM), to: self.hilar(to), radius }
    }

    /// Plants vessels around the bronchus, as arteries and veins enter a lung.
    fn plant_vessels(&mut self, draws: &mut RandomDraws) {
        for [y, z] in ROOTS_MM {
            let from = [0.0, self.hilum[1] + y, self.hilum[2] + z];
            let to = [16.0, from[1] + 0.5 * y, from[2] + 0.6 * z];
            self.vessels.plant(from, to, 4.6 * draws.between(0.9, 1.1));
        }
        let bronchus = LineSegment(self.hilar(0.0), self.hilar(BRONCHUS_MM));
        let lung = self.lung;
        self.vessels.grow(draws, |centre, radius| {
            bronchus.distance_to(centre) > radius + WALL_MM + PLEURA_MM
                && lung.holds(centre, radius + PLEURA_MM)
        });
    }

    /// Places spots at random, more of them towards the apex; spots without room are left out.
    fn scatter_spots(&mut self, emphysema: EmphysemaOptions, draws: &mut RandomDraws) {
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

    fn has_room(&self, centre: SpacePoint, radius: f64) -> bool {
        let bronchus = LineSegment(self.hilar(0.0), self.hilar(BRONCHUS_MM));
        self.lung.holds(centre, radius + PLEURA_MM)
            && bronchus.distance_to(centre) > radius + WALL_MM + 10.0
            && self.vessels.is_clear_of(centre, radius)
            && self.spots.iter().all(|spot| {
                let largest = spot.semi_axes.into_iter().fold(0.0, f64::max);
                length(minus(spot.centre, centre)) > radius + largest
            })
    }
}

/// A stick that begins before the lung's inner face, which cuts it at any angle: the volume between that cut
/// and the stick's end is that of the axis' length there.
fn through_plane(stick: RoundCylinder) -> RoundCylinder {
    if stick.from[0] > 0.0 {
        return stick;
    }
    RoundCylinder { from: along(stick.from, unit(minus(stick.to, stick.from)), -20.0), ..stick }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::phantom::PhantomOptions;
    use crate::imaging::phantom::chest::fill_lungs;
    use crate::imaging::phantom::shape::RowSpan;
    use crate::imaging::phantom::shape::tests::union;

    const STEP_MM: f64 = 0.5;

    /// The volume of the lung that its contents cover, row by row: less than the sum of their volumes if two
    /// of them overlap or one of them leaves the lung.
    fn covered(filling: &LungFilling) -> f64 {
        let layers = filling.layers();
        let reach = filling.lung.reach();
        let mut length = 0.0;
        for z in steps(reach.z) {
            let near: Vec<&MaterialLayer> =
                layers[1..].iter().filter(|layer| layer.reach.z[0] <= z && z <= layer.reach.z[1]).collect();
            for y in steps(reach.y) {
                let Some(lung) = filling.lung.row(y, z) else { continue };
                let spans = near.iter().filter_map(|layer| clip(layer.shape.row(y, z)?, lung));
                length += union(spans.collect());
            }
        }
        length * STEP_MM * STEP_MM
    }

    fn steps([from, to]: [f64; 2]) -> impl Iterator<Item = f64> {
        (0..((to - from) / STEP_MM) as usize).map(move |index| from + STEP_MM * index as f64)
    }

    fn clip((from, to): RowSpan, (least, most): RowSpan) -> Option<RowSpan> {
        let (from, to) = (from.max(least), to.min(most));
        (from < to).then_some((from, to))
    }

    #[test]
    fn contents_are_disjoint_and_inside() {
        for seed in 1..4 {
            for filling in fill_lungs(&PhantomOptions { seed, ..PhantomOptions::default() }) {
                let LungVolumes { lung, vessels, spots } = filling.volumes();
                let ratio = covered(&filling) / (filling.lung.volume() - lung + vessels + spots);
                assert!((ratio - 1.0).abs() < 1e-3, "covered, of the formulas: {ratio} for seed {seed}");
            }
        }
    }
}
