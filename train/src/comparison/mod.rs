//! A comparison of networks under one protocol: the same images, split, budget and seeds.
//!
//! The folder holds `plan.json`, from which all can be done again, a run per variant and seed
//! (`runs/NAME-seed-0`) with its model, proof, scores and speed, and at the end `comparison.json`
//! and `report.html`.

mod page;
mod paper;
mod plan;
mod results;
mod variant;

pub use plan::{PLAN, Plan, PlanError, RUNS, Slot};
pub use results::{Comparison, Difference, Latency, Measured, REPORT, RESULTS, ResultsError, Row, ScoredImage};
pub use variant::{Variant, VariantError};
