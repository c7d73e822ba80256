//! Whatever step an engine asks for, it is refused or it runs.

use std::cell::RefCell;

use proptest::collection::vec;
use proptest::prelude::*;
use wootz_backend::Model;
use wootz_backend::cpu::reference::{CachePrecision, Reference};
use wootz_backend::cpu::{CpuModel, Isa};
use wootz_backend::step::{PageCopy, SequenceSlice, Step, StepError, StepLimits};

use crate::device::device;
use crate::fixture::{distance, fixtures, reference, step};

const LIMITS: StepLimits = StepLimits { vocab: 96, positions: 64, rows: 32, samples: 8, pages: 9 };

fn copy(from: u32, to: u32) -> PageCopy {
    PageCopy { from, to }
}

fn refusal(change: impl FnOnce(&mut Step)) -> StepError {
    // Two sequences: rows 0..3 at positions 15..18, and row 3 at position 0.
    let mut step = Step {
        tokens: vec![1, 2, 3, 4],
        positions: vec![15, 16, 17, 0],
        sequences: vec![SequenceSlice { rows: 0..3, pages: 0..2 }, SequenceSlice { rows: 3..4, pages: 2..3 }],
        page_table: vec![4, 2, 7],
        sample_rows: vec![2, 3],
        copies: Vec::new(),
    };
    assert_eq!(step.validate(&LIMITS), Ok(()));
    change(&mut step);
    step.validate(&LIMITS).unwrap_err()
}

#[test]
fn every_mistake_has_its_error() {
    use StepError::*;
    assert_eq!(refusal(|step| *step = Step::default()), Empty);
    assert_eq!(
        refusal(|step| step.tokens[1] = 96),
        OutOfRange { what: "token", index: 1, found: 96, limit: 96 }
    );
    assert_eq!(
        refusal(|step| step.page_table[2] = 9),
        OutOfRange { what: "page", index: 2, found: 9, limit: 9 }
    );
    assert!(matches!(refusal(|step| step.positions[2] = 64), OutOfRange { what: "position", .. }));
    assert!(matches!(refusal(|step| step.sample_rows[1] = 4), OutOfRange { what: "sampled row", .. }));
    assert_eq!(refusal(|step| step.sample_rows[0] = 3), SampleOrder { found: 3, before: 3 });
    assert_eq!(refusal(|step| step.positions.truncate(3)), Lengths { tokens: 4, positions: 3 });
    assert_eq!(refusal(|step| step.positions[1] = 15), Positions { row: 1, found: 15, before: 15 });
    assert!(matches!(refusal(|step| step.sequences[1].rows = 2..4), Rows { sequence: 1, expected: 3, .. }));
    assert!(matches!(refusal(|step| step.sequences.truncate(1)), Rows { sequence: 1, expected: 3, .. }));
    assert!(matches!(refusal(|step| step.sequences[0].rows = 0..0), Rows { sequence: 0, .. }));
    assert!(matches!(
        refusal(|step| step.sequences[0].pages = 0..1),
        Pages { sequence: 0, position: 17, .. }
    ));
    assert!(matches!(refusal(|step| step.sequences[1].pages = 3..4), Pages { sequence: 1, .. }));
    assert_eq!(refusal(|step| step.page_table[2] = 2), SharedPage { page: 2 });
    assert_eq!(refusal(|step| step.page_table[1] = 4), SharedPage { page: 4 });
    let copies = |copies: &[PageCopy]| refusal(|step| step.copies = copies.to_vec());
    assert_eq!(
        copies(&[copy(1, 2), copy(9, 3)]),
        OutOfRange { what: "copied page", index: 1, found: 9, limit: 9 }
    );
    assert_eq!(
        copies(&[copy(1, u32::MAX)]),
        OutOfRange { what: "copied-to page", index: 0, found: u32::MAX as usize, limit: 9 }
    );
    assert_eq!(copies(&[copy(1, 2), copy(4, 2)]), CopiedTwice { page: 2 });
    assert_eq!(copies(&[copy(3, 3)]), CopiedTwice { page: 3 });
    assert_eq!(copies(&[copy(3, 4); 33]), TooMany { what: "copied pages", found: 33, limit: 32 });
    let long = step(&[5; 33], 0, vec![]).validate(&LIMITS);
    assert_eq!(long, Err(TooMany { what: "rows", found: 33, limit: 32 }));
    let greedy = step(&[5; 9], 0, (0..9).collect()).validate(&LIMITS);
    assert_eq!(greedy, Err(TooMany { what: "sampled rows", found: 9, limit: 8 }));
}

#[test]
fn a_prefix_may_be_shared_by_those_who_only_read_it() {
    let step = Step {
        tokens: vec![1, 2],
        positions: vec![16, 16],
        sequences: vec![SequenceSlice { rows: 0..1, pages: 0..2 }, SequenceSlice { rows: 1..2, pages: 2..4 }],
        page_table: vec![5, 1, 5, 2],
        sample_rows: vec![0, 1],
        copies: Vec::new(),
    };
    assert_eq!(step.validate(&LIMITS), Ok(()));
}

fn slices() -> impl Strategy<Value = SequenceSlice> {
    (0_usize..6, 0_usize..6, 0_usize..6, 0_usize..4).prop_map(|(row, rows, page, pages)| SequenceSlice {
        rows: row..row + rows,
        pages: page..page + pages,
    })
}

/// Small numbers, so that some are accepted; and the greatest, so that sums would overflow.
fn numbers(below: u32, len: usize) -> impl Strategy<Value = Vec<u32>> {
    vec(prop_oneof![20 => 0..below, 1 => Just(u32::MAX)], 0..len)
}

fn any_step() -> impl Strategy<Value = Step> {
    let copies =
        numbers(17, 5).prop_map(|pages| pages.chunks_exact(2).map(|pair| copy(pair[0], pair[1])).collect());
    let rows = (numbers(97, 7), numbers(40, 7), vec(slices(), 0..4));
    (rows, numbers(17, 6), numbers(7, 4), copies).prop_map(
        |((tokens, positions, sequences), page_table, sample_rows, copies)| Step {
            tokens,
            positions,
            sequences,
            page_table,
            sample_rows,
            copies,
        },
    )
}

/// A valid step, then one number changed.
fn nearly_valid() -> impl Strategy<Value = Step> {
    let valid = (1_usize..8, 0_usize..30, 1_usize..5).prop_map(|(first, start, second)| {
        let pages = (start + first).div_ceil(16);
        let mut step = step(&vec![7; first], start, vec![first as u32 - 1]);
        step.tokens.extend(vec![8; second]);
        step.positions.extend(0..second as u32);
        step.sequences.push(SequenceSlice { rows: first..first + second, pages: pages..pages + 1 });
        step.page_table.push(pages as u32);
        step
    });
    (valid, 0_usize..9, any::<prop::sample::Index>(), prop_oneof![0_u32..20, Just(u32::MAX)]).prop_map(
        |(mut step, kind, index, value)| {
            let sequence = index.index(step.sequences.len());
            match kind {
                0 => *index.get_mut(&mut step.tokens) = value,
                1 => *index.get_mut(&mut step.positions) = value,
                2 => *index.get_mut(&mut step.page_table) = value,
                3 => *index.get_mut(&mut step.sample_rows) = value,
                4 => step.sequences[sequence].rows.end = value as usize,
                5 => step.sequences[sequence].pages.start = value as usize,
                6 => step.sequences[sequence].pages.end = value as usize,
                7 => step.sequences[sequence].rows.start = value as usize,
                _ => {}
            }
            step
        },
    )
}

thread_local! {
    static MODEL: RefCell<Reference> = RefCell::new(reference(&fixtures().join("models/llama"), CachePrecision::F16));
    static DEVICE: RefCell<CpuModel> = RefCell::new(device(&fixtures().join("models/llama"), Isa::detect(), 2));
}

/// Runs the step: an error is fine, a panic is not, and what is accepted has an answer for every sampled row, the
/// same from the device as from the reference.
fn run(step: &Step) {
    let reference = MODEL.with_borrow_mut(|model| model.forward(step).map(<[f32]>::to_vec));
    let device = DEVICE.with_borrow_mut(|model| model.forward(step).map(<[f32]>::to_vec));
    match (reference, device) {
        (Ok(reference), Ok(device)) => {
            assert_eq!(reference.len(), step.sample_rows.len() * LIMITS.vocab);
            // Both have seen the same steps, so their pools hold the same, written or not.
            assert!(reference.is_empty() || distance(&device, &reference) < 1e-3);
        }
        (reference, device) => assert!(reference.is_err() && device.is_err()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_step_is_refused_or_runs(step in any_step()) {
        run(&step);
    }

    #[test]
    fn nearly_valid_steps_are_refused_or_run(step in nearly_valid()) {
        run(&step);
    }
}
