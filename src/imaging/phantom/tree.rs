//! Branching vessels whose volume has a closed formula.
//!
//! A tree is balls joined by straight sticks. At a fork the ball is just large enough that the
//! sticks leaving it have parted when they come out of it: two sticks of radii r₁ and r₂ part at
//! the distance R from the fork where asin(r₁/R) + asin(r₂/R) is the angle between them. All other
//! pieces keep clear of each other, so the volume is that of the balls plus that of the sticks
//! outside them: π r² l less, at each ball of radius R, 2π/3 (R³ − (R² − r²)^{3/2}).

use std::collections::VecDeque;
use std::f64::consts::PI;

use super::noise::Draws;
use super::point::{Point, Segment, along, cross, dot, minus, unit};
use super::shape::{Ellipsoid, Stick};

/// A ball is this much wider than the stick that leads to it.
const BALL: f64 = 1.25;
/// The radii of the two children of a stick, and the angles at which they turn away from it.
const CHILDREN: [(f64, [f64; 2]); 2] = [(0.86, [0.10, 0.55]), (0.64, [0.80, 1.30])];
const RADIUS_MIN_MM: f64 = 0.6;
/// Room kept between pieces that do not belong together.
const CLEARANCE_MM: f64 = 0.5;
const ATTEMPTS: usize = 60;

/// A stick and the ball at its far end.
#[derive(Clone, Copy, Debug)]
pub struct Branch {
    axis: Segment,
    radius: f64,
    /// The branch at whose end it starts; `None` for a root, which starts at a plane.
    parent: Option<usize>,
}

impl Branch {
    fn ball_radius(&self) -> f64 {
        BALL * self.radius
    }

    fn direction(&self) -> Point {
        unit(minus(self.axis.1, self.axis.0))
    }
}

#[derive(Clone, Debug, Default)]
pub struct Tree {
    branches: Vec<Branch>,
}

impl Tree {
    /// Plants a root: a stick that stands on a plane and ends in a ball.
    pub fn plant(&mut self, from: Point, to: Point, radius: f64) {
        self.branches.push(Branch { axis: Segment(from, to), radius, parent: None });
    }

    /// Lets all roots fork and fork again, the widest first, wherever `free` says that a ball fits.
    pub fn grow(&mut self, draws: &mut Draws, free: impl Fn(Point, f64) -> bool) {
        let mut waiting: VecDeque<usize> = (0..self.branches.len()).collect();
        while let Some(parent) = waiting.pop_front() {
            for (share, turns) in CHILDREN {
                let child = (0..ATTEMPTS)
                    .map(|_| self.sprout(parent, share, turns, draws))
                    .find(|child| child.radius > RADIUS_MIN_MM && self.fits(child, &free));
                if let Some(child) = child {
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

    pub fn sticks(&self) -> impl Iterator<Item = Stick> {
        self.branches.iter().map(|branch| Stick {
            from: branch.axis.0,
            to: branch.axis.1,
            radius: branch.radius,
        })
    }

    /// Whether a ball keeps clear of every piece.
    pub fn is_clear_of(&self, centre: Point, radius: f64) -> bool {
        self.branches
            .iter()
            .all(|branch| branch.axis.distance_to(centre) > radius + branch.ball_radius() + CLEARANCE_MM)
    }

    /// A child of a branch, turned away from it by an angle within `turns` to a side drawn by lot.
    fn sprout(&self, parent: usize, share: f64, turns: [f64; 2], draws: &mut Draws) -> Branch {
        let (from, ahead) = (self.branches[parent].axis.1, self.branches[parent].direction());
        let radius = share * self.branches[parent].radius;
        let aside = unit(cross(ahead, if ahead[2].abs() < 0.8 { [0.0, 0.0, 1.0] } else { [1.0, 0.0, 0.0] }));
        let (turn, side) = (draws.between(turns[0], turns[1]), draws.between(0.0, 2.0 * PI));
        let sideways = along(along([0.0; 3], aside, side.cos()), cross(ahead, aside), side.sin());
        let direction = along(along([0.0; 3], ahead, turn.cos()), sideways, turn.sin());
        let reach = (3.0 + 4.5 * radius) * draws.between(0.8, 1.2);
        let axis = Segment(from, along(from, direction, reach));
        Branch { axis, radius, parent: Some(parent) }
    }

    fn fits(&self, child: &Branch, free: &impl Fn(Point, f64) -> bool) -> bool {
        let radius = child.ball_radius() + CLEARANCE_MM;
        let [middle, end] =
            [0.5, 1.0].map(|part| along(child.axis.0, minus(child.axis.1, child.axis.0), part));
        free(end, radius)
            && free(middle, radius)
            && self.branches.iter().enumerate().all(|(index, other)| self.parts(child, index, other))
    }

    /// Whether a new branch is apart from another one, outside a ball that they share.
    fn parts(&self, child: &Branch, index: usize, other: &Branch) -> bool {
        let Some(parent) = child.parent.filter(|&parent| parent != index) else {
            return true;
        };
        if other.parent == Some(parent) {
            let ball = self.branches[parent].ball_radius();
            let angle = dot(child.direction(), other.direction()).clamp(-1.0, 1.0).acos();
            return angle > (child.radius / ball).asin() + (other.radius / ball).asin();
        }
        child.axis.distance(&other.axis) > child.ball_radius() + other.ball_radius() + CLEARANCE_MM
    }
}

/// How much of a stick of radius r that starts at a ball's centre lies in the ball of radius R.
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
    use crate::imaging::phantom::shape::{Shape, Span};

    /// Adds up what rows 0.1 mm apart have in any piece: knows nothing of forks and overlaps.
    fn covered(tree: &Tree) -> f64 {
        let balls = tree.balls().map(|ball| Box::new(ball) as Box<dyn Shape>);
        let sticks = tree.sticks().map(|stick| Box::new(stick) as Box<dyn Shape>);
        let pieces: Vec<Box<dyn Shape>> = balls.chain(sticks).collect();
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

    /// The length that spans cover together.
    fn union(mut spans: Vec<Span>) -> f64 {
        spans.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut end = f64::NEG_INFINITY;
        let mut beyond = |(from, to): Span| {
            let added = (to - end.max(from)).max(0.0);
            end = end.max(to);
            added
        };
        spans.into_iter().map(&mut beyond).sum()
    }

    #[test]
    fn the_volume_is_that_of_the_union() {
        let mut tree = Tree::default();
        tree.plant([-28.0, 1.23, 4.56], [-8.0, 0.0, 0.0], 4.0);
        tree.grow(&mut Draws::new(5, 0), |centre, radius| length(centre) + radius < 30.0);
        assert!(tree.branches.len() > 10, "{} branches", tree.branches.len());
        let ratio = covered(&tree) / tree.volume();
        assert!((ratio - 1.0).abs() < 2e-4, "covered, of the formula: {ratio}");
    }
}
