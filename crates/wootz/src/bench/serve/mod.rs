//! Load on a server: which loads the arguments mean, and what is printed.

pub mod loads;
pub mod text;
