//! A run as people see it: progress, dashboard, TensorBoard events, report.

pub mod dashboard;
pub mod duration;
pub mod events;
pub mod outcome;
pub mod progress;
pub mod report;
pub mod verdict;
