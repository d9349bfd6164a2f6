//! Branching vessels whose volume has a closed formula.
//!
//! A tree is balls joined by straight sticks. At a fork the ball is just large enough for the sticks leaving
//! it to be apart on its surface: two sticks of radii r₁ and r₂ part at the distance R from the fork where
//! asin(r₁/R) + asin(r₂/R) is the angle between them. All other pieces keep clear of each other, so the
//! volume is that of the balls plus that of the sticks outside them: π r² l less, at each ball of radius R,
//! 2π/3 (R³ − (R² − r²)^{3/2}).

use std::collections::VecDeque;
use std::f64::consts::PI;

use super::noise::RandomDraws;
use super::point::{LineSegment, SpacePoint, along, cross, dot, minus, unit};
use super::shape::{Ellipsoid, RoundCylinder};

/// Radius of a ball by that of the stick that leads to it.
const BALL: f64 = 1.25;
/// For each of the two children of a stick: its radius by the stick's, and the range of its angle to the
/// stick.
const CHILDREN: [(f64, [f64; 2]); 2] = [(0.86, [0.10, 0.55]), (0.64, [0.80, 1.30])];
const RADIUS_MIN_MM: f64 = 0.6;
/// Distance kept between pieces that are not joined.
const CLEARANCE_MM: f64 = 0.5;
const ATTEMPTS: usize = 60;

/// A stick and the ball at its far end.
#[derive(Clone, Copy, Debug)]
pub struct VesselBranch {
    axis: LineSegment,
    radius: f64,
    /// The branch at whose end this one starts; `None` for a root, which starts at a plane.
    parent: Option<usize>,
}

impl VesselBranch {
    fn ball_radius(&self) -> f64 {
        BALL * self.radius
    }

    fn direction(&self) -> SpacePoint {
        unit(minus(self.axis.1, self.axis.0))
    }
}

#[derive(Clone, Debug, Default)]
pub struct VesselTree {
    branches: Vec<VesselBranch>,
}

impl VesselTree {
    /// Plants a root: a stick that stands on a plane and ends in a ball.
    pub fn plant(&mut self, from: SpacePoint, to: SpacePoint, radius: f64) {
        self.branches.push(VesselBranch { axis: LineSegment(from, to), radius, parent: None });
    }

    /// Lets all roots fork and fork again, the widest first, where `free` says that there is room for a ball.
    pub fn grow(&mut self, draws: &mut RandomDraws, free: impl Fn(SpacePoint, f64) -> bool) {
        let mut waiting: VecDeque<usize> = (0..self.branches.len()).collect();
        while let Some(parent) = waiting.pop_front() {
            for (share, turns) in CHILDREN {
                let radius = share * self.branches[parent].radius;
                let attempts = if radius > RADIUS_MIN_MM { ATTEMPTS } else { 0 };
                let mut children = (0..attempts).map(|_| self.sprout(parent, radius, turns, draws));
                if let Some(child) = children.find(|child| self.fits(child, &free)) {
                    waiting.push_back(self.branches.len());
                    self.branches.push(child);
                }
            }
        }
    }

    /// The volume of the union in mm³.
    pub fn volume(&self) -> f64 {
        let balls: f64 = self.balls().map(|ball| ball.volume()).sum();
        let sticks = self.sticks().zip(&self.branches).map(|(stick, branch)| {
            let start = branch.parent.map_or(0.0, |parent| self.branches[parent].ball_radius());
            stick.volume() - overlap(start, stick.radius) - overlap(branch.ball_radius(), stick.radius)
        });
        balls + sticks.sum::<f64>()
    }

    pub fn balls(&self) -> impl Iterator<Item = Ellipsoid> {
        self.branches.iter().map(|branch| Ellipsoid::ball(branch.axis.1, branch.ball_radius()))
    }

    pub fn sticks(&self) -> impl Iterator<Item = RoundCylinder> {
        self.branches.iter().map(|branch| RoundCylinder {
            from: branch.axis.0,
            to: branch.axis.1,
            radius: branch.radius,
        })
    }

    /// Whether a ball keeps clear of every piece.
    pub fn is_clear_of(&self, centre: SpacePoint, radius: f64) -> bool {
        self.branches
            .iter()
            .all(|branch| branch.axis.distance_to(centre) > radius + branch.ball_radius() + CLEARANCE_MM)
    }

    /// A child of a branch, turned away from it by a random angle within `turns`, to a random side.
    fn sprout(&self, parent: usize, radius: f64, turns: [f64; 2], draws: &mut RandomDraws) -> VesselBranch {
        let (from, ahead) = (self.branches[parent].axis.1, self.branches[parent].direction());
        let aside = unit(cross(ahead, if ahead[2].abs() < 0.8 { [0.0, 0.0, 1.0] } else { [1.0, 0.0, 0.0] }));
        let (turn, side) = (draws.between(turns[0], turns[1]), draws.between(0.0, 2.0 * PI));
        let sideways = along(along([0.0; 3], aside, side.cos()), cross(ahead, aside), side.sin());
        let direction = along(along([0.0; 3], ahead, turn.cos()), sideways, turn.sin());
        let reach = (3.0 + 4.5 * radius) * draws.between(0.8, 1.2);
        let axis = LineSegment(from, along(from, direction, reach));
        VesselBranch { axis, radius, parent: Some(parent) }
    }

    fn fits(&self, child: &VesselBranch, free: &impl Fn(SpacePoint, f64) -> bool) -> bool {
        let radius = child.ball_radius() + CLEARANCE_MM;
        let [middle, end] =
            [0.5, 1.0].map(|part| along(child.axis.0, minus(child.axis.1, child.axis.0), part));
        free(end, radius)
            && free(middle, radius)
            && self.branches.iter().enumerate().all(|(index, other)| self.parts(child, index, other))
    }

    /// Whether a new branch is apart from another one, outside a ball that both share.
    fn parts(&self, child: &VesselBranch, index: usize, other: &VesselBranch) -> bool {
        let Some(parent) = child.parent.filter(|&parent| parent != index) else {
            return true;
        };
        if other.parent == Some(parent) {
            let ball = self.branches[parent].ball_radius();
            let angle = dot(child.direction(), other.direction()).clamp(-1.0, 1.0).acos();
            return angle > (child.radius / ball).asin() + (other.radius / ball).asin();
        }
        let apart = child.ball_radius() + other.ball_radius() + CLEARANCE_MM;
        child.axis.is_far_from(&other.axis, apart) || child.axis.distance(&other.axis) > apart
    }
}

/// The volume of a stick of radius r that lies in the ball of radius R at whose centre it starts.
fn overlap(ball: f64, stick: f64) -> f64 {
    if ball == 0.0 {
        return 0.0;
    }
    2.0 * PI / 3.0 * (ball.powi(3) - (ball * ball - stick * stick).powf(1.5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::phantom::point::length;
    use crate::imaging::phantom::shape::SolidShape;
    use crate::imaging::phantom::shape::tests::union;

    /// The volume as the sum of rows 0.1 mm apart, independent of the formulas for forks and overlaps.
    fn covered(tree: &VesselTree) -> f64 {
        let balls = tree.balls().map(|ball| Box::new(ball) as Box<dyn SolidShape>);
        let sticks = tree.sticks().map(|stick| Box::new(stick) as Box<dyn SolidShape>);
        let pieces: Vec<Box<dyn SolidShape>> = balls.chain(sticks).collect();
        let at = |index: i32| 0.1 * f64::from(index);
        let row = |y, z| union(pieces.iter().filter_map(|piece| piece.row(y, z)).collect());
        let sum: f64 = (-300..300)
            .flat_map(|z| {
                let row = &row;
                (-300..300).map(move |y| row(at(y), at(z)))
            })
            .sum();
        sum * 0.01
    }

    #[test]
    fn the_volume_is_that_of_the_union() {
        let mut tree = VesselTree::default();
        tree.plant([-28.0, 1.23, 4.56], [-8.0, 0.0, 0.0], 4.0);
        tree.grow(&mut RandomDraws::new(5, 0), |centre, radius| length(centre) + radius < 30.0);
        assert!(tree.branches.len() > 10, "{} branches", tree.branches.len());
        let ratio = covered(&tree) / tree.volume();
        assert!((ratio - 1.0).abs() < 2e-4, "covered, of the formula: {ratio}");
    }
}
