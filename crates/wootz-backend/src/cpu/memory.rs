//! The memory that steps are computed in: made at load, never after.

use std::io;

use super::attention;
use super::matmul::format::PANEL_ROWS;
use super::matmul::{self, Input, InputKind};
use super::rope::RopeTable;
use super::simd::{Isa, Shared};
use crate::ops::{Buffer, Program, Rows};
use crate::step::StepLimits;

/// Where a buffer's rows are in an arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The first element.
    pub start: usize,
    /// Elements of a row.
    pub width: usize,
}

impl Place {
    /// The elements of a row.
    pub fn row(self, row: usize) -> std::ops::Range<usize> {
        let start = self.start + row * self.width;
        start..start + self.width
    }
}

/// Rows of every buffer of a program, and of the angles of its rotations.
#[derive(Debug)]
pub struct Activations {
    elements: Shared<f32>,
    buffers: Vec<Option<Place>>,
    angles: Vec<Place>,
}

/// Elements that rows begin at a multiple of: a cache line.
const ALIGNMENT: usize = 16;

impl Activations {
    /// Room for the buffers that `wanted` picks, with `token_rows` and `sample_rows` rows.
    pub fn new(
        program: &Program,
        wanted: impl Fn(Buffer) -> bool,
        ropes: &[RopeTable],
        (token_rows, sample_rows): (usize, usize),
    ) -> io::Result<Self> {
        let mut next = 0usize;
        let mut place = |rows: usize, width: usize| {
            let start = next;
            next = next.saturating_add(rows.saturating_mul(width).next_multiple_of(ALIGNMENT));
            Place { start, width }
        };
        let angles = ropes.iter().map(|rope| place(token_rows, rope.width())).collect();
        let buffers = program.buffers.iter().enumerate().map(|(index, shape)| {
            let rows = match shape.rows {
                Rows::Tokens => token_rows,
                Rows::Samples => sample_rows,
            };
            wanted(Buffer(index)).then(|| place(rows, shape.width))
        });
        let buffers = buffers.collect();
        let elements = Shared::zeroed(next)?;
        // A strip of columns touches every row: in small pages that is a page table entry each.
        elements.prefer_huge_pages();
        Ok(Self { elements, buffers, angles })
    }

    /// Where a buffer is. Only buffers that were wanted are asked for.
    pub fn place(&self, buffer: Buffer) -> Place {
        match self.buffers[buffer.0] {
            Some(place) => place,
            None => unreachable!("buffer {} is not kept here", buffer.0),
        }
    }

    /// Where the angles of a rotation are.
    pub fn angles(&self, rope: usize) -> Place {
        self.angles[rope]
    }

    /// All elements.
    pub fn elements(&self) -> &Shared<f32> {
        &self.elements
    }

    /// Bytes set aside.
    pub fn bytes(&self) -> usize {
        self.elements.bytes()
    }
}

/// Converted rows, one buffer for each kind that a model's matrices read.
#[derive(Debug, Default)]
pub struct Inputs {
    kinds: Vec<Input>,
}

impl Inputs {
    /// Room for `rows` rows of each of `widths`.
    pub fn new(isa: Isa, widths: &[(InputKind, usize)], rows: usize) -> io::Result<Self> {
        let kinds = widths.iter().map(|&(kind, columns)| Input::new(isa, kind, rows, columns));
        Ok(Self { kinds: kinds.collect::<io::Result<_>>()? })
    }

    /// The buffer of a kind that some matrix reads.
    pub fn get(&self, kind: InputKind) -> &Input {
        match self.kinds.iter().find(|input| input.kind() == kind) {
            Some(input) => input,
            None => unreachable!("every matrix's kind of input was set aside at load"),
        }
    }

    /// Bytes set aside.
    pub fn bytes(&self) -> usize {
        self.kinds.iter().map(Input::bytes).sum()
    }
}

/// Panels that many rows are multiplied with at once: two strips of so many columns stay in a second-level cache.
pub const STRIP_PANELS: usize = 8;

/// Columns of a strip.
pub const STRIP_COLUMNS: usize = STRIP_PANELS * PANEL_ROWS;

/// What one thread has for itself.
#[derive(Debug)]
pub struct Local {
    /// For matrices.
    pub multiply: matmul::Scratch,
    /// Two strips of results, `[2][rows][STRIP_COLUMNS]`, on their way to where they belong.
    pub strips: Shared<f32>,
    /// For attention.
    pub attend: attention::Scratch,
    /// The buffers of row ops, one row each: steps of one row compute those in every thread.
    pub own: Activations,
    /// The converted inputs of such steps.
    pub own_inputs: Inputs,
}

impl Local {
    /// A thread's memory for steps within `limits`.
    pub fn new(
        isa: Isa,
        program: &Program,
        row_buffers: &[bool],
        ropes: &[RopeTable],
        widths: &[(InputKind, usize)],
        limits: &StepLimits,
        (head_dim, group): (usize, usize),
    ) -> io::Result<Self> {
        Ok(Self {
            multiply: matmul::Scratch::new(limits.rows.max(limits.samples))?,
            strips: Shared::zeroed(limits.rows.max(limits.samples).saturating_mul(2 * STRIP_COLUMNS))?,
            attend: attention::Scratch::new(head_dim, group),
            own: Activations::new(program, |buffer| row_buffers[buffer.0], ropes, (1, 1))?,
            own_inputs: Inputs::new(isa, widths, 1)?,
        })
    }

    /// Bytes set aside.
    pub fn bytes(&self) -> usize {
        self.multiply.bytes()
            + self.strips.bytes()
            + self.attend.bytes()
            + self.own.bytes()
            + self.own_inputs.bytes()
    }
}
