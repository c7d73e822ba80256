//! Pages of the pool are copied on the device, and read and written by the host while steps are under way.

use wootz_gpu::emulator::{Checks, Schedule};
use wootz_gpu::select::Answers;

use super::fixture::{Expected, emulator, fixtures, load, pages_may_be_copied};
use super::in_order;
use super::whole::the_host_copies_pages_beside_steps;

#[test]
fn copied_pages_give_the_same_bits() {
    for (name, schedule) in [("llama", Schedule::InOrder), ("qwen3", Schedule::Random(5))] {
        let folder = fixtures().join("models").join(name);
        let mut model = load(&folder, Box::new(emulator(Checks::Plain, schedule)), Answers::Reproducible);
        pages_may_be_copied(&mut model, &Expected::read(&folder).prompt[..40]);
    }
}

#[test]
fn the_host_copies_pages_beside_steps_under_way() {
    the_host_copies_pages_beside_steps(&fixtures().join("models/llama"), &in_order);
}
