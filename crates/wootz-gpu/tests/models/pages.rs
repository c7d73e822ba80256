//! Pages of the pool are copied on the device, and read and written by the host while steps are under way.

use wootz_backend::Model;
use wootz_backend::sampling::{Draw, Logprobs, SamplingSettings};
use wootz_backend::step::{PageCopy, Step, pending};
use wootz_gpu::emulator::{Checks, Schedule};
use wootz_gpu::select::Answers;

use super::fixture::{Expected, emulator, fixtures, load, pages_may_be_copied, step};

#[test]
fn copied_pages_give_the_same_bits() {
    for (name, schedule) in [("llama", Schedule::InOrder), ("qwen3", Schedule::Random(5))] {
        let folder = fixtures().join("models").join(name);
        let mut model = load(&folder, Box::new(emulator(Checks::Plain, schedule)), Answers::Reproducible);
        pages_may_be_copied(&mut model, &Expected::read(&folder).prompt[..40]);
    }
}

/// A step in which `token` follows the 37 of the prompt, in the given pages.
fn answer(token: u32, position: usize, pages: [u32; 3]) -> Step {
    Step { page_table: pages.to_vec(), ..step(&[token], position, vec![0]) }
}

#[test]
fn the_host_copies_pages_beside_steps_under_way() {
    let folder = fixtures().join("models/llama");
    let prompt = &Expected::read(&folder).prompt[..37];
    let device = emulator(Checks::Plain, Schedule::InOrder);
    let mut model = load(&folder, Box::new(device), Answers::Reproducible);
    let settings = SamplingSettings::greedy();
    let draw = Draw { settings: &settings, logprobs: Logprobs::None, context: &[], pending: None, index: 0 };
    let next = |model: &mut wootz_gpu::model::GpuModel| {
        let drawn = model.pipeline().unwrap().collect().unwrap();
        drawn.first().map(|sampled| sampled.as_ref().unwrap().token)
    };

    // The answer in its own pages.
    model.forward(&step(prompt, 0, vec![])).unwrap();
    let mut expected = Vec::new();
    for index in 0..3 {
        let token = expected.last().copied().unwrap_or(7);
        let logits = model.forward(&answer(token, 37 + index, [0, 1, 2])).unwrap();
        expected.push(super::fixture::likeliest(logits));
    }

    // The same, while another answer to the prompt is under way: its page is copied by the step that writes it, and the
    // two before it are read by the host and put elsewhere.
    model.forward(&step(prompt, 0, vec![])).unwrap();
    let pipeline = model.pipeline().unwrap();
    let copies = vec![PageCopy { from: 2, to: 4 }];
    pipeline.submit(&Step { copies, ..answer(7, 37, [0, 1, 4]) }, &[draw]).unwrap();
    pipeline.submit(&answer(pending(0), 38, [0, 1, 4]), &[draw]).unwrap();
    let mut page = vec![0; model.cache().page_bytes()];
    for (from, to) in [(0, 8), (1, 9), (2, 10)] {
        model.read_page(from, &mut page).unwrap();
        model.write_page(to, &page).unwrap();
    }
    let (first, second) = (next(&mut model), next(&mut model));
    assert_eq!([first, second], [Some(expected[0]), Some(expected[1])]);
    model.pipeline().unwrap().submit(&answer(7, 37, [8, 9, 10]), &[draw]).unwrap();
    model.pipeline().unwrap().submit(&answer(pending(0), 38, [8, 9, 10]), &[draw]).unwrap();
    assert_eq!(next(&mut model), Some(expected[0]));
    model.pipeline().unwrap().submit(&answer(pending(0), 39, [8, 9, 10]), &[draw]).unwrap();
    assert_eq!([next(&mut model), next(&mut model)], [Some(expected[1]), Some(expected[2])]);
}
