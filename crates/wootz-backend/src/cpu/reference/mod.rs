//! The scalar twin of every op, in plain Rust on f32, and a model that runs on them: what every device is
//! tested against. Written to be read, not to be fast; weights are expanded to f32 here and nowhere else.

mod arithmetic;
mod attention;
mod elementwise;
mod linear;
mod norm;
mod rope;

use half::f16;
use wootz_spec::ModelSpec;
use wootz_weights::Checkpoint;

pub use arithmetic::dot;
pub use attention::{Attend, CachePrecision, Pool, attention};
pub use elementwise::{add, embed, gate_up, gather_add};
pub use linear::linear;
pub use norm::{head_norm, rms_norm};
pub use rope::rope;

use crate::binding::Binding;
use crate::cache::CacheShape;
use crate::error::BackendError;
use crate::model::Model;
use crate::ops::{Buffer, Op, Program, Projection, Rows, Weight};
use crate::program::program;
use crate::step::{Step, StepLimits};

/// A whole model on the scalar twins.
#[derive(Debug, Clone)]
pub struct Reference {
    spec: ModelSpec,
    program: Program,
    /// In the order of [`Program::weights`], row-major.
    weights: Vec<Vec<f32>>,
    /// In the order of [`Program::buffers`], sized anew in every step.
    buffers: Vec<Vec<f32>>,
    pool: Pool,
    limits: StepLimits,
}

impl Reference {
    /// Expands a checkpoint's weights, and makes a pool of `pages`.
    pub fn load(
        spec: ModelSpec,
        checkpoint: &Checkpoint,
        pages: usize,
        precision: CachePrecision,
    ) -> Result<Reference, BackendError> {
        let program = program(&spec);
        let binding = Binding::new(&spec, &program, checkpoint)?;
        let elements = program.cache.pool_elements(pages).ok_or(BackendError::OutOfMemory {
            purpose: "the key/value pool",
            bytes: u64::MAX,
            remedy: "ask for fewer pages",
        })?;
        Ok(Reference {
            weights: binding.tensors().iter().map(|tensor| tensor.to_f32()).collect(),
            buffers: vec![Vec::new(); program.buffers.len()],
            pool: Pool::new(program.cache, precision, elements),
            limits: StepLimits {
                vocab: spec.vocab,
                positions: spec.context,
                rows: usize::MAX,
                samples: usize::MAX,
                pages,
            },
            program,
            spec,
        })
    }

    fn run(&mut self, op: &Op, step: &Step) {
        match op {
            &Op::Embed { table, scale, out } => {
                let width = self.width(out);
                self.write(out, |this, out| embed(this.weight(table), width, &step.tokens, scale, out));
            }
            &Op::RmsNorm { input, weight, norm, out } => {
                self.write(out, |this, out| rms_norm(this.buffer(input), this.weight(weight), norm, out));
            }
            &Op::AddNorm { residual, input, weight, norm, out } => {
                self.write(residual, |this, residual| add(residual, this.buffer(input)));
                self.write(out, |this, out| rms_norm(this.buffer(residual), this.weight(weight), norm, out));
            }
            Op::Project { input, projections } => projections.iter().for_each(|p| self.project(*input, p)),
            &Op::GateUp { input, ref gate, ref up, activation, out } => {
                self.project(input, gate);
                self.project(input, up);
                self.write(out, |this, out| {
                    gate_up(this.buffer(gate.out), this.buffer(up.out), activation, out)
                });
            }
            &Op::HeadNorm { buffer, heads: _, weight, norm } => {
                self.write(buffer, |this, buffer| head_norm(buffer, this.weight(weight), norm));
            }
            Op::Rope { query, query_heads, key, key_heads, rope: embedding, factors } => {
                for (buffer, heads) in [(query, query_heads), (key, key_heads)] {
                    self.write(*buffer, |this, buffer| {
                        let factors = factors.map_or(&[][..], |factors| this.weight(factors));
                        rope(buffer, heads.dim, &step.positions, embedding, factors);
                    });
                }
            }
            &Op::KvWrite { layer, key, value } => {
                self.pool.write(step, layer, &self.buffers[key.0], &self.buffers[value.0]);
            }
            &Op::Attention { layer, query, query_heads, kv_heads: _, scale, span, out } => {
                let attend = Attend { layer, heads: query_heads, scale, span };
                self.write(out, |this, out| attention(&this.pool, step, attend, this.buffer(query), out));
            }
            // The only rank of a group of one.
            Op::AllReduce { .. } => {}
            &Op::GatherAdd { residual, input, out } => {
                let width = self.width(out);
                self.write(out, |this, out| {
                    gather_add(this.buffer(residual), this.buffer(input), width, &step.sample_rows, out);
                });
            }
        }
    }

    fn project(&mut self, input: Buffer, projection: &Projection) {
        self.write(projection.out, |this, out| {
            let bias = projection.bias.map(|bias| this.weight(bias));
            linear(this.buffer(input), this.width(input), this.weight(projection.matrix), bias, out);
        });
    }

    /// Runs `work` on a buffer that it may change, while it reads any others.
    fn write(&mut self, buffer: Buffer, work: impl FnOnce(&Reference, &mut [f32])) {
        let mut taken = std::mem::take(&mut self.buffers[buffer.0]);
        work(self, &mut taken);
        self.buffers[buffer.0] = taken;
    }

    fn buffer(&self, buffer: Buffer) -> &[f32] {
        &self.buffers[buffer.0]
    }

    fn width(&self, buffer: Buffer) -> usize {
        self.program.buffers[buffer.0].width
    }

    fn weight(&self, weight: Weight) -> &[f32] {
        &self.weights[weight.0]
    }
}

impl Model for Reference {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn cache(&self) -> CacheShape {
        self.program.cache
    }

    fn limits(&self) -> StepLimits {
        self.limits
    }

    fn forward(&mut self, step: &Step) -> Result<&[f32], BackendError> {
        step.validate(&self.limits)?;
        for (buffer, shape) in self.buffers.iter_mut().zip(&self.program.buffers) {
            let rows = match shape.rows {
                Rows::Tokens => step.rows(),
                Rows::Samples => step.sample_rows.len(),
            };
            buffer.clear();
            buffer.resize(rows * shape.width, 0.0);
        }
        step.copies.iter().for_each(|copy| self.pool.copy_page(*copy));
        let ops = std::mem::take(&mut self.program.ops);
        for op in &ops {
            self.run(op, step);
        }
        self.program.ops = ops;
        Ok(self.buffer(self.program.logits))
    }

    /// Elements are f16 in a page: exact with [`CachePrecision::F16`], rounded otherwise.
    fn read_page(&mut self, page: u32, bytes: &mut [u8]) -> Result<(), BackendError> {
        let range = self.program.cache.page_range(page, self.limits.pages, bytes.len())?;
        for (to, element) in bytes.chunks_exact_mut(2).zip(self.pool.elements(range)) {
            to.copy_from_slice(&f16::from_f32(*element).to_ne_bytes());
        }
        Ok(())
    }

    fn write_page(&mut self, page: u32, bytes: &[u8]) -> Result<(), BackendError> {
        let range = self.program.cache.page_range(page, self.limits.pages, bytes.len())?;
        for (element, from) in self.pool.elements(range).iter_mut().zip(bytes.chunks_exact(2)) {
            *element = f16::from_ne_bytes([from[0], from[1]]).to_f32();
        }
        Ok(())
    }
}
