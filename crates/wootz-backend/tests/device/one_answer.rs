//! One answer: the same bits for a sequence alone or with others, whole or in chunks, on any number of threads.

use proptest::prelude::*;
use wootz_backend::Model;
use wootz_backend::cpu::{CpuModel, Isa};
use wootz_backend::step::{SequenceSlice, Step};

use crate::fixture::{fixtures, step, tiny_models};
use crate::whole_models::load;

/// Token `index` of made-up text number `text`.
fn token(text: usize, index: usize) -> u32 {
    ((text * 7919 + index * 104_729 + index * index) % 90) as u32
}

fn text(number: usize, len: usize) -> Vec<u32> {
    (0..len).map(|index| token(number, index)).collect()
}

/// Bits of the logits of every token, computed in one step.
fn whole(model: &mut CpuModel, tokens: &[u32]) -> Vec<u32> {
    bits(model.forward(&step(tokens, 0, (0..tokens.len() as u32).collect())).unwrap())
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|logit| logit.to_bits()).collect()
}

/// The same in chunks of the given lengths, the last one repeated.
fn chunked(model: &mut CpuModel, tokens: &[u32], lengths: &[usize]) -> Vec<u32> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut chunks = lengths.iter().copied().chain(std::iter::repeat(lengths[lengths.len() - 1]));
    while start < tokens.len() {
        let end = tokens.len().min(start + chunks.next().unwrap());
        let chunk = step(&tokens[start..end], start, (0..(end - start) as u32).collect());
        found.extend(bits(model.forward(&chunk).unwrap()));
        start = end;
    }
    found
}

#[test]
fn chunks_do_not_change_a_bit() {
    for folder in tiny_models() {
        let mut model = load(&folder, Isa::detect(), 2);
        let tokens = text(1, model.spec().context.min(300));
        let expected = whole(&mut model, &tokens);
        for lengths in [&[1][..], &[7], &[16], &[100, 1, 1, 33], &[17, 200]] {
            assert_eq!(chunked(&mut model, &tokens, lengths), expected, "{lengths:?} {}", folder.display());
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    for folder in tiny_models().chain([fixtures().join("stories260k/model.gguf")]) {
        let results: Vec<_> = [1, 2, 3]
            .into_iter()
            .map(|threads| {
                let mut model = load(&folder, Isa::detect(), threads);
                let tokens = text(2, model.spec().context.min(300));
                (whole(&mut model, &tokens), chunked(&mut model, &tokens, &[290, 1]))
            })
            .collect();
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{}", folder.display());
    }
}

#[test]
fn instruction_sets_do_not_change_a_bit_in_f32() {
    for folder in tiny_models() {
        let results: Vec<_> = Isa::available()
            .into_iter()
            .map(|isa| {
                let mut model = load(&folder, isa, 2);
                let tokens = text(3, model.spec().context.min(70));
                (isa, whole(&mut model, &tokens))
            })
            .collect();
        for (isa, result) in &results {
            assert!(*result == results[0].1, "{isa} {}", folder.display());
        }
    }
}

/// A step with a part of each of some sequences; sequence `i` has pages `i · 32 ..`.
fn mixed(parts: &[(usize, std::ops::Range<usize>)]) -> Step {
    let mut step = Step::default();
    for (number, range) in parts {
        let (row, page) = (step.tokens.len(), step.page_table.len());
        step.tokens.extend(range.clone().map(|index| token(*number, index)));
        step.positions.extend(range.clone().map(|position| position as u32));
        step.page_table.extend((0..range.end.div_ceil(16)).map(|page| (number * 32 + page) as u32));
        step.sequences
            .push(SequenceSlice { rows: row..step.tokens.len(), pages: page..step.page_table.len() });
    }
    step.sample_rows = (0..step.tokens.len() as u32).collect();
    step
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Sequences of any lengths, cut anywhere, in steps together: each gets what it gets alone.
    #[test]
    fn company_does_not_change_a_bit(
        lengths in proptest::collection::vec(1_usize..140, 1..5),
        cuts in proptest::collection::vec(1_usize..60, 1..4),
        model in 0_usize..10,
    ) {
        let folder = tiny_models().nth(model).unwrap();
        let mut model = load(&folder, Isa::detect(), 2);
        let context = model.spec().context;
        let (pages, vocab) = (model.limits().pages, model.spec().vocab);
        let lengths: Vec<usize> = lengths.iter().map(|&len| len.min(context)).take(pages / 32).collect();
        let mut found: Vec<Vec<u32>> = vec![Vec::new(); lengths.len()];
        for round in 0.. {
            let done = |number: usize| found[number].len() / vocab;
            let parts: Vec<_> = (0..lengths.len())
                .filter(|&number| done(number) < lengths[number])
                .map(|number| {
                    let cut = cuts[(round + number) % cuts.len()];
                    (number, done(number)..lengths[number].min(done(number) + cut))
                })
                .collect();
            if parts.is_empty() {
                break;
            }
            let logits = bits(model.forward(&mixed(&parts)).unwrap());
            let mut rows = logits.chunks_exact(vocab);
            for (number, range) in parts {
                range.for_each(|_| found[number].extend(rows.next().unwrap()));
            }
        }
        for (number, &len) in lengths.iter().enumerate() {
            prop_assert!(found[number] == whole(&mut model, &text(number, len)), "sequence {number}");
        }
    }
}
