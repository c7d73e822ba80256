//! Measuring a model's speed beside what the machine can do.

pub mod ideal;
pub mod memory;
pub mod plan;
pub mod profile;
pub mod report;
pub mod serve;
pub mod statistics;
pub mod workload;
