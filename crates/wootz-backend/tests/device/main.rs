//! The CPU device: against Transformers, against the scalar twins, and against itself in every split of the work.

#[allow(dead_code)]
#[path = "../truth/fixture.rs"]
mod fixture;
mod one_answer;
mod ops;
mod whole_models;
