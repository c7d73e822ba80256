//! The attention phase: head norms, rotation, the cache, and the tiles of attention themselves.

use std::ops::Range;

use super::attention::tile::{Join, Parts, Whole};
use super::attention::{AttentionShape, Tile};
use super::executor::{Executor, Turn};
use super::kv::WriteCell;
use super::norm::HeadNorm;
use super::phases::AttentionPhase;
use super::plan::TileRows;
use super::pool::Stopped;
use crate::step::PAGE_TOKENS;

/// Contexts are shared out by partitions where one tile is more than a thread's share of the work divided by this.
const PIECES: usize = 3;

/// Runs of partitions for each thread, so that a thread that was held up leaves its share to the others.
const RUNS: usize = 4;

impl Executor {
    /// Everything between a layer's projections and its output projection.
    pub(super) fn attention(&self, turn: &mut Turn<'_>, phase: &AttentionPhase) -> Result<(), Stopped> {
        let plan = turn.plan;
        let kv_heads = phase.shape.kv_heads;
        let partitions = plan.partitions(&phase.shape);
        let split = self.splits(turn, &phase.shape, partitions);
        if plan.single() {
            while let Some(taken) = turn.worker.take(kv_heads, 1) {
                self.prepare(turn, phase, &plan.pieces[0], taken.clone());
                if !split {
                    taken.for_each(|kv_head| self.whole(turn, phase, &plan.tiles[0], kv_head));
                }
            }
            turn.worker.barrier()?;
        } else {
            while let Some(taken) = turn.worker.take(plan.pieces.len(), 1) {
                taken.for_each(|piece| self.prepare(turn, phase, &plan.pieces[piece], 0..kv_heads));
            }
            turn.worker.barrier()?;
        }
        if split {
            return self.split(turn, phase, partitions);
        }
        if !plan.single() {
            while let Some(taken) = turn.worker.take(plan.tiles.len() * kv_heads, 1) {
                taken.for_each(|item| {
                    self.whole(turn, phase, &plan.tiles[item / kv_heads], item % kv_heads);
                });
            }
            turn.worker.barrier()?;
        }
        Ok(())
    }

    /// Whether contexts are shared out by partitions: a few rows with long contexts would else leave threads idle.
    fn splits(&self, turn: &Turn<'_>, shape: &AttentionShape, partitions: usize) -> bool {
        let (threads, plan) = (turn.worker.threads(), turn.plan);
        if threads == 1
            || partitions == 1
            || !self.partials.hold(plan.step.tokens.len() * shape.heads, partitions)
        {
            return false;
        }
        let work = |tile: &TileRows| {
            let positions = &plan.step.positions[tile.rows.clone()];
            positions.iter().map(|&position| shape.partitions(position).len()).sum::<usize>()
        };
        let longest = plan.tiles.iter().map(work).max().unwrap_or(0);
        let all = plan.tiles.iter().map(work).sum::<usize>() * shape.kv_heads;
        longest * threads * PIECES > all
    }

    /// Norms and rotates the heads of some rows, and writes their keys and values to the cache.
    fn prepare(&self, turn: &Turn<'_>, phase: &AttentionPhase, piece: &TileRows, kv_heads: Range<usize>) {
        let (dim, group) = (phase.shape.head_dim, phase.shape.group());
        let keys = kv_heads.start * dim..kv_heads.end * dim;
        let before = &phase.before;
        for row in piece.rows.clone() {
            let query = &mut self.write(turn, phase.query, row)[keys.start * group..keys.end * group];
            if let Some(norm) = before.query_norm {
                self.isa.run(HeadNorm { heads: query, norm: &self.norms[norm] });
            }
            let turns = before.rope.map(|rope| {
                let (elements, place) = self.angles(turn, rope);
                (&self.ropes[rope], elements.read(place.row(row)))
            });
            if let Some((rope, turns)) = turns {
                self.isa.run(rope.rotate(query, dim, turns));
            }
            let Some((key, value)) = before.write else { continue };
            let key = &mut self.write(turn, key, row)[keys.clone()];
            if let Some(norm) = before.key_norm {
                self.isa.run(HeadNorm { heads: key, norm: &self.norms[norm] });
            }
            if let Some((rope, turns)) = turns {
                self.isa.run(rope.rotate(key, dim, turns));
            }
            let value = &self.write(turn, value, row)[keys.clone()];
            let position = turn.plan.step.positions[row] as usize;
            let page = turn.plan.pages(piece.sequence)[position / PAGE_TOKENS] as usize;
            let heads = key.chunks_exact(dim).zip(value.chunks_exact(dim));
            for (kv_head, (key, value)) in kv_heads.clone().zip(heads) {
                let start = self.cache.cell_offset(page, phase.layer, kv_head);
                let cell = self.pool.write(start..start + self.cache.cell_elements());
                self.isa.run(WriteCell { key, value, slot: position % PAGE_TOKENS, cell });
            }
        }
    }

    fn tile<'a>(
        &'a self,
        turn: &Turn<'a>,
        phase: &AttentionPhase,
        rows: &TileRows,
        kv_head: usize,
    ) -> Tile<'a> {
        let place = self.shared.place(phase.query);
        let queries = place.row(rows.rows.start).start..place.row(rows.rows.end - 1).end;
        Tile {
            shape: phase.shape,
            positions: &turn.plan.step.positions[rows.rows.clone()],
            queries: self.shared.elements().read(queries),
            kv_head,
            pages: turn.plan.pages(rows.sequence),
            pool: &self.pool,
            cache: self.cache,
            layer: phase.layer,
        }
    }

    /// All of one tile.
    fn whole(&self, turn: &mut Turn<'_>, phase: &AttentionPhase, rows: &TileRows, kv_head: usize) {
        let tile = self.tile(turn, phase, rows, kv_head);
        let place = self.shared.place(phase.out);
        let start = place.row(rows.rows.start).start + kv_head * phase.shape.group() * phase.shape.head_dim;
        let (out, scratch) = (self.shared.elements(), &mut turn.local.attend);
        self.isa.run(Whole { tile, scratch, out, start });
    }

    /// Runs of partitions in parallel, then their combination.
    fn split(&self, turn: &mut Turn<'_>, phase: &AttentionPhase, partitions: usize) -> Result<(), Stopped> {
        let AttentionShape { heads, kv_heads, head_dim, .. } = phase.shape;
        let plan = turn.plan;
        let tiles = plan.tiles.len() * kv_heads;
        let size = (tiles * partitions).div_ceil(turn.worker.threads() * RUNS).min(partitions);
        let runs = partitions.div_ceil(size);
        while let Some(taken) = turn.worker.take(tiles * runs, 1) {
            let (run, item) = (taken.start % runs, taken.start / runs);
            let (rows, kv_head) = (&plan.tiles[item / kv_heads], item % kv_heads);
            let tile = self.tile(turn, phase, rows, kv_head);
            let own = tile.partitions();
            let partitions = own.start.max(run * size)..own.end.min((run + 1) * size);
            if !partitions.is_empty() {
                let first_query = rows.rows.start * heads + kv_head * phase.shape.group();
                let (scratch, partials) = (&mut turn.local.attend, &self.partials);
                self.isa.run(Parts { tile, partitions, scratch, partials, first_query });
            }
        }
        turn.worker.barrier()?;
        while let Some(taken) = turn.worker.take(plan.step.tokens.len() * heads, 1) {
            let (row, head) = (taken.start / heads, taken.start % heads);
            let start = self.shared.place(phase.out).row(row).start + head * head_dim;
            let out = self.shared.elements().write(start..start + head_dim);
            let partitions = phase.shape.partitions(plan.step.positions[row]);
            let (scratch, partials) = (&mut turn.local.attend, &self.partials);
            self.isa.run(Join { partials, query: taken.start, partitions, scratch, out });
        }
        turn.worker.barrier()
    }
}
