//! Models on a GPU: the kernels, what chooses and orders them, and the devices that run them.
//!
//! ```text
//! Op ──lower──▶ Dispatch ──hazards──▶ Command ──▶ Device: metal | emulator
//! ```
//!
//! A *kernel* is an entry point of a `.metal` file in `kernels/`; [`kernels`] has one module a concept, with its
//! arguments, the launch that fills them in, and the cases that compare it with a scalar twin. Everything above
//! [`device::Device`] is the same for all devices, so what a test on the emulator runs is what a Mac runs.
#![deny(unsafe_code)]

pub mod arguments;
pub mod case;
pub mod chips;
pub mod choices;
pub mod collective;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod device;
pub mod doctor;
#[allow(unsafe_code)]
pub mod emulator;
pub mod formats;
pub mod hazards;
pub mod kernels;
pub mod lower;
mod meeting;
#[cfg(target_os = "macos")]
pub mod metal;
pub mod model;
pub mod paper;
pub mod product;
pub mod select;
pub mod source;
pub mod tune;
pub mod twins;

pub use device::{Device, DeviceError};
