//! Where activations lie: buffers that are never needed at the same time share memory.

use std::collections::BTreeSet;

use wootz_backend::ops::{Buffer, Op, Program};

/// Bytes that a buffer's beginning is a multiple of: a cache line of Apple's GPUs, twice.
const ALIGNMENT: usize = 256;

/// Where each buffer of a program lies in one arena, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arena {
    /// Where each begins, in the order of [`Program::buffers`].
    pub offsets: Vec<usize>,
    /// Bytes of all of them together.
    pub bytes: usize,
}

impl Arena {
    /// Places for buffers of `bytes` bytes each: the largest first, each at the lowest place that is free while it is
    /// needed. `None` where no address can say so much. With `norms_within`, products may do the norm of their input, and so
    /// read what that does.
    pub fn new(program: &Program, bytes: &[usize], norms_within: bool) -> Option<Arena> {
        let conflicts = conflicts(program, norms_within);
        let mut order: Vec<usize> = (0..bytes.len()).collect();
        order.sort_by_key(|&buffer| std::cmp::Reverse(bytes[buffer]));
        let mut offsets: Vec<Option<usize>> = vec![None; bytes.len()];
        let mut end = 0_usize;
        for buffer in order {
            let placed = |other: usize| Some((offsets[other]?, offsets[other]?.checked_add(bytes[other])?));
            let mut taken: Vec<(usize, usize)> =
                conflicts[buffer].iter().filter_map(|&other| placed(other)).collect();
            taken.sort_unstable();
            let mut offset = 0_usize;
            for (start, taken_end) in taken {
                if offset.checked_add(bytes[buffer])? > start {
                    offset = offset.max(taken_end.checked_next_multiple_of(ALIGNMENT)?);
                }
            }
            end = end.max(offset.checked_add(bytes[buffer])?);
            offsets[buffer] = Some(offset);
        }
        Some(Arena { offsets: offsets.into_iter().map(Option::unwrap_or_default).collect(), bytes: end })
    }
}

/// For each buffer, whether everything that is put there is read by one op only.
pub fn read_once(program: &Program) -> Vec<bool> {
    let mut once = vec![true; program.buffers.len()];
    let mut reads = vec![0; program.buffers.len()];
    let mut count = |buffer: Buffer, reads: &mut Vec<usize>| {
        reads[buffer.0] += 1;
        once[buffer.0] &= reads[buffer.0] == 1;
    };
    for op in &program.ops {
        let Touched { read, written } = touched(op);
        read.into_iter().for_each(|buffer| count(buffer, &mut reads));
        written.into_iter().for_each(|buffer| reads[buffer.0] = 0);
    }
    // They are read when the step has ended.
    count(program.logits, &mut reads);
    once
}

/// For each buffer, those that hold something of use while it does.
fn conflicts(program: &Program, norms_within: bool) -> Vec<BTreeSet<usize>> {
    let mut conflicts = vec![BTreeSet::new(); program.buffers.len()];
    let mut live: BTreeSet<usize> = BTreeSet::from([program.logits.0]);
    for (place, op) in program.ops.iter().enumerate().rev() {
        let Touched { mut read, written } = touched(op);
        if let (Op::RmsNorm { .. }, Some(sum @ Op::GatherAdd { .. })) = (op, program.ops[..place].last()) {
            // They may be one launch, which reads what the sum does and writes what the norm does.
            read.extend(touched(sum).read);
        }
        if norms_within && matches!(op, Op::Project { .. } | Op::GateUp { .. }) {
            read.extend(normed_within(&program.ops[..place]));
        }
        let together: Vec<usize> =
            live.iter().copied().chain(read.iter().chain(&written).map(|buffer| buffer.0)).collect();
        for &one in &together {
            conflicts[one].extend(together.iter().copied().filter(|&other| other != one));
        }
        for buffer in written {
            live.remove(&buffer.0);
        }
        live.extend(read.iter().map(|buffer| buffer.0));
    }
    conflicts
}

/// What products read whose input comes from the last of these ops, if that is a norm which they do themselves, while they write
/// their results: what it reads, and what is summed for it.
fn normed_within(before: &[Op]) -> Vec<Buffer> {
    match before {
        [.., sum @ Op::GatherAdd { .. }, norm @ Op::RmsNorm { .. }] => {
            [touched(sum).read, touched(norm).read].concat()
        }
        [.., norm @ (Op::RmsNorm { .. } | Op::AddNorm { .. })] => touched(norm).read,
        _ => Vec::new(),
    }
}

/// The buffers of an op. One that it changes in place is read, for its old content matters.
pub(crate) struct Touched {
    pub(crate) read: Vec<Buffer>,
    pub(crate) written: Vec<Buffer>,
}

pub(crate) fn touched(op: &Op) -> Touched {
    let (read, written) = match op {
        &Op::Embed { out, .. } => (vec![], vec![out]),
        &Op::RmsNorm { input, out, .. } => (vec![input], vec![out]),
        &Op::AddNorm { residual, input, out, .. } => (vec![residual, input], vec![out]),
        Op::Project { input, projections } => {
            (vec![*input], projections.iter().map(|projection| projection.out).collect())
        }
        Op::GateUp { input, gate, up, out, .. } => (vec![*input], vec![gate.out, up.out, *out]),
        &Op::HeadNorm { buffer, .. } | &Op::AllReduce { buffer } => (vec![buffer], vec![]),
        &Op::Rope { query, key, .. } => (vec![query, key], vec![]),
        &Op::KvWrite { key, value, .. } => (vec![key, value], vec![]),
        &Op::Attention { query, out, .. } => (vec![query], vec![out]),
        &Op::GatherAdd { residual, input, out } => (vec![residual, input], vec![out]),
    };
    Touched { read, written }
}

#[cfg(test)]
mod tests {
    use wootz_backend::ops::{BufferShape, CacheShape, Projection, Rows, Weight};
    use wootz_spec::Norm;

    use super::*;

    /// `a → d → b → c → a → logits`, where `a` is also read at the end.
    fn program() -> Program {
        let project = |input, out| Op::Project {
            input: Buffer(input),
            projections: vec![Projection { matrix: Weight(0), bias: None, out: Buffer(out) }],
        };
        let norm = Norm { eps: 1e-5, weight_offset: 0.0 };
        let (residual, input, out) = (Buffer(0), Buffer(2), Buffer(1));
        Program {
            ops: vec![
                Op::Embed { table: Weight(0), scale: 1.0, out: Buffer(0) },
                project(0, 4),
                project(4, 1),
                project(1, 2),
                Op::AddNorm { residual, input, weight: Weight(0), norm, out },
                project(1, 3),
            ],
            buffers: vec![BufferShape { rows: Rows::Tokens, width: 1 }; 5],
            weights: Vec::new(),
            cache: CacheShape { layers: 0, kv_heads: 0, head_dim: 0 },
            logits: Buffer(3),
        }
    }

    #[test]
    fn buffers_that_are_needed_together_lie_apart() {
        let arena = Arena::new(&program(), &[300, 200, 100, 400, 300], true).unwrap();
        // The logits are needed together with all but d, since their product may norm what the sum of a and c is.
        assert_eq!(arena.offsets[3], 0);
        let range = |buffer: usize, bytes: usize| arena.offsets[buffer]..arena.offsets[buffer] + bytes;
        let apart =
            |a: std::ops::Range<usize>, b: std::ops::Range<usize>| a.end <= b.start || b.end <= a.start;
        let (a, b, c) = (range(0, 300), range(1, 200), range(2, 100));
        let (logits, d) = (range(3, 400), range(4, 300));
        assert!(apart(a.clone(), b.clone()) && apart(b.clone(), c.clone()) && apart(a.clone(), c.clone()));
        assert!(apart(a.clone(), d.clone()) && apart(b.clone(), d.clone()));
        assert!([a, b, c].into_iter().all(|other| apart(other, logits.clone())) && !apart(d, logits));
        assert!(arena.offsets.iter().all(|offset| offset.is_multiple_of(ALIGNMENT)));
        assert!(arena.bytes < 300 + 200 + 100 + 400 + 300 + 3 * ALIGNMENT, "{}", arena.bytes);
    }

    /// Where all rows are sampled, the head sums, norms and multiplies in one launch.
    #[test]
    fn logits_lie_apart_from_all_that_the_head_may_read() {
        let mut program = program();
        let (residual, input, sum) = (Buffer(0), Buffer(2), Buffer(4));
        let norm = Norm { eps: 1e-5, weight_offset: 0.0 };
        let project = program.ops.pop().unwrap();
        program.ops.pop();
        program.ops.push(Op::GatherAdd { residual, input, out: sum });
        program.ops.push(Op::RmsNorm { input: sum, weight: Weight(0), norm, out: Buffer(1) });
        program.ops.push(project);
        let sizes = [256, 256, 256, 512, 256];
        let arena = Arena::new(&program, &sizes, true).unwrap();
        for buffer in [0, 1, 2, 4] {
            let (begin, logits) = (arena.offsets[buffer], arena.offsets[3]);
            assert!(begin + sizes[buffer] <= logits || logits + sizes[3] <= begin, "buffer {buffer}");
        }
        // Where norms are launches, the logits take the place of what they read.
        assert!(Arena::new(&program, &sizes, false).unwrap().bytes < arena.bytes);
    }

    #[test]
    fn what_is_read_again_is_known() {
        assert_eq!(read_once(&program()), [false, true, true, true, true]);
        let mut program = program();
        program.ops.push(program.ops[5].clone());
        assert_eq!(read_once(&program), [false, false, true, true, true]);
    }

    #[test]
    fn an_absurd_size_is_no_arena() {
        assert_eq!(Arena::new(&program(), &[usize::MAX, 1, 1, 1, 1], true), None);
    }
}
