//! What a row gets does not depend, bit for bit, on what else is in its step or on how its prompt was cut.

#[path = "attention_bits/world.rs"]
mod world;

use std::path::Path;

use wootz_gpu::device::Device;
use wootz_gpu::emulator::{Emulator, EmulatorSettings, Schedule};
use wootz_gpu::kernels::attention::{Route, Unit};
use wootz_spec::Span;
use world::{HEADS, KV_HEADS, Scene};

fn emulator(seed: u64) -> Box<dyn Device> {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels");
    let settings =
        EmulatorSettings { schedule: Schedule::Random(seed), cache, ..EmulatorSettings::default() };
    Box::new(Emulator::new(settings).unwrap_or_else(|error| panic!("{error}")))
}

fn scene(span: Span, unit: Unit) -> Scene {
    Scene { span, unit, heads: HEADS, kv_heads: KV_HEADS }
}

#[test]
fn a_mixed_step_is_its_sequences_one_by_one() {
    for (span, unit) in
        [(Span::Full, Unit::Cores), (Span::Window(100), Unit::Cores), (Span::Window(290), Unit::Registers)]
    {
        world::a_mixed_step_is_its_sequences_one_by_one(emulator(3), scene(span, unit));
    }
}

#[test]
fn chunks_of_a_prompt_are_the_prompt() {
    for (route, span, unit) in [
        (Route::Tiled, Span::Full, Unit::Cores),
        (Route::Tiled, Span::Window(70), Unit::Cores),
        (Route::OneAnswer, Span::Full, Unit::Cores),
        (Route::OneAnswer, Span::Full, Unit::Registers),
    ] {
        world::chunks_of_a_prompt_are_the_prompt(emulator(4), scene(span, unit), route);
    }
    for scene in world::tiled_scenes() {
        world::chunks_of_a_prompt_are_the_prompt(emulator(4), scene, Route::Tiled);
    }
}
