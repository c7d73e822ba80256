//! Whole models against what Transformers computes with them, and against themselves in another format.
//!
//! The fixtures are made by `scripts/fixtures/models.py`. Logits are compared by `max |Δ| / max |logit|`.

mod device;
mod fixture;
mod formats;
mod golden;
mod partition;
mod programs;
mod real_models;
mod shards;
mod steps;
