//! The network in training and all that moves it.

pub mod adamw;
pub mod average;
pub mod learner;
pub mod loss;
pub mod loss_terms;
pub mod optimizer;
pub mod schedule;
