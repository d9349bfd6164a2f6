//! A site as a queueing model: how long studies wait at a number of boxes, and what is full first.
//!
//! ```text
//! sent ──► link ──► quiet time ──► queue ──► lane ──► memory ──► cores ──► answered
//! ```
//!
//! * Studies arrive by a day's curve ([`HospitalDay`]); the same seed gives the same studies.
//! * The link into the first box is shared evenly by the studies that are being sent.
//! * A study whose last image has come waits for the quiet time, and then in one queue for an idle lane. It takes one of
//!   the box with the fewest requests in work, as processes of a cluster do.
//! * In its lane it waits for memory, in order; then it works. The cores of a box are shared evenly by its studies, and
//!   a study has an upper limit of cores that it can use.
//!
//! Left out are the disk, delivery, failures, priorities, and the difference between steps: a study is one piece of work.
//!
//! The model contains queues with known results, against which it is tested: M/M/1, M/M/c, M/D/1 and processor sharing.

mod arrivals;
mod report;
mod shared_server;
mod site_run;

pub use arrivals::{HospitalDay, SimulatedStudy, StudyProfile, draw_studies, studies_at};
pub use report::{SimulatedQuantiles, SimulationReport, SiteResource, first_bottleneck, report};
pub use site_run::{SimulatedSite, SiteRun, StudyCourse, simulate};

#[cfg(test)]
mod tests;
