//! A model on a device.

pub mod draws;
