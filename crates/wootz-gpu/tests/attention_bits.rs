//! What a row gets does not depend, bit for bit, on what else is in its step or on how its prompt was cut.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use half::f16;
use wootz_backend::cache::{CacheShape, pages_for};
use wootz_backend::ops::Heads;
use wootz_backend::step::{SequenceSlice, Step};
use wootz_gpu::case::values;
use wootz_gpu::device::{Command, Device, Dispatch, Profile, Slice};
use wootz_gpu::emulator::{Emulator, EmulatorSettings, Schedule};
use wootz_gpu::kernels::attention::{
    Attend, AttentionDecode, AttentionPrefill, Division, PagedCache, Results, Route, StepSlices, StepTables,
    Unit, Weighing,
};
use wootz_spec::Span;

const SHAPE: CacheShape = CacheShape { layers: 1, kv_heads: 2, head_dim: 64 };
const HEADS: Heads = Heads { count: 4, dim: 64 };
/// Tokens of each sequence.
const TOKENS: [usize; 5] = [40, 300, 600, 17, 290];

/// Rows of a sequence: its number, and their positions.
type Rows = (usize, Range<usize>);
/// The bits that came out for a sequence's position.
type Bits = BTreeMap<(usize, usize), Vec<u32>>;

/// A device with a pool that holds all sequences.
struct World {
    device: Emulator,
    pool: Slice,
    span: Span,
    unit: Unit,
}

impl World {
    fn new(span: Span, unit: Unit, seed: u64) -> World {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels");
        let settings =
            EmulatorSettings { schedule: Schedule::Random(seed), cache, ..EmulatorSettings::default() };
        let mut device = Emulator::new(settings).unwrap_or_else(|error| panic!("{error}"));
        let pages: usize = TOKENS.into_iter().map(pages_for).sum();
        let elements = values(SHAPE.pool_elements(pages).unwrap(), 1);
        let elements: Vec<f16> = elements.into_iter().map(f16::from_f32).collect();
        let pool = upload(&mut device, &elements);
        World { device, pool, span, unit }
    }

    /// The first page of a sequence; its pages follow one another.
    fn first_page(sequence: usize) -> usize {
        TOKENS[..sequence].iter().copied().map(pages_for).sum()
    }

    fn step(parts: &[Rows]) -> Step {
        let mut step = Step::default();
        for (sequence, positions) in parts {
            let (row, page) = (step.positions.len(), step.page_table.len());
            let first = World::first_page(*sequence) as u32;
            step.positions.extend(positions.clone().map(|position| position as u32));
            step.page_table.extend((0..pages_for(positions.end) as u32).map(|page| first + page));
            let pages = page..step.page_table.len();
            step.sequences.push(SequenceSlice { rows: row..row + positions.len(), pages });
        }
        step.tokens = vec![0; step.positions.len()];
        step
    }

    /// One step of these rows.
    fn run(&mut self, parts: &[Rows], route: Route) -> Bits {
        let step = World::step(parts);
        let places = || parts.iter().flat_map(|(sequence, rows)| rows.clone().map(|row| (*sequence, row)));
        let queries: Vec<f32> = places()
            .flat_map(|(sequence, row)| values(HEADS.width(), (1000 * sequence + row) as u64))
            .collect();
        let mut tables = StepTables::default();
        tables.fill(
            &step,
            Division { route, tile_rows: AttentionPrefill::tile_rows(self.unit, HEADS, SHAPE.kv_heads) },
        );
        let device = &mut self.device;
        let slices = StepSlices {
            positions: upload(device, &tables.positions),
            slots: upload(device, &tables.slots),
            pages: upload(device, &tables.pages),
            decode_rows: upload(device, &tables.decode_rows),
            prefill_tiles: upload(device, &tables.prefill_tiles),
        };
        let query = upload(device, &queries);
        let out = upload(device, &vec![0.0_f32; queries.len()]);
        let commands: Vec<Command> = self
            .dispatches(&tables, slices, query, out)
            .into_iter()
            .flat_map(|dispatch| [Command::Dispatch(dispatch), Command::Barrier])
            .collect();
        let submission = self.device.submit(&commands, Profile::Whole).unwrap();
        self.device.wait(submission).unwrap();
        let mut bytes = vec![0; out.length];
        self.device.read(out, &mut bytes).unwrap();
        let bits: Vec<u32> =
            bytes.chunks_exact(4).map(|four| u32::from_le_bytes(four.try_into().unwrap())).collect();
        places().zip(bits.chunks_exact(HEADS.width()).map(<[u32]>::to_vec)).collect()
    }

    fn dispatches(
        &mut self,
        tables: &StepTables,
        step: StepSlices,
        query: Slice,
        out: Slice,
    ) -> Vec<Dispatch> {
        let weighing = Weighing { scale: 0.5, span: self.span, softcap: None, sinks: None };
        let cache = PagedCache { pool: self.pool, shape: SHAPE };
        let attend = Attend { cache, layer: 0, heads: HEADS, weighing };
        let out = Results::Floats(out);
        let mut dispatches = Vec::new();
        if let Some(rows) = tables.decode(self.span) {
            let bytes = AttentionDecode::scratch_bytes(rows.count, rows.longest, HEADS, &weighing);
            let scratch = upload(&mut self.device, &vec![0xff_u8; bytes]);
            let unit = self.unit;
            dispatches.extend(AttentionDecode { rows, attend, unit, step, scratch, query, out }.dispatches());
        }
        if let Some(tiles) = tables.prefill(self.span) {
            let unit = self.unit;
            dispatches.push(AttentionPrefill { tiles, attend, unit, step, query, out }.dispatch());
        }
        dispatches
    }

    /// A step for each of these rows.
    fn run_each(&mut self, parts: &[Rows], route: Route) -> Bits {
        let mut all = Bits::new();
        for part in parts {
            all.extend(self.run(std::slice::from_ref(part), route));
        }
        all
    }
}

fn upload<T: bytemuck::NoUninit>(device: &mut Emulator, values: &[T]) -> Slice {
    let bytes: &[u8] = bytemuck::cast_slice(values);
    let buffer = device.allocate(bytes.len().max(16), "a test").unwrap();
    let slice = Slice { buffer, offset: 0, length: bytes.len() };
    device.write(slice, bytes).unwrap();
    slice
}

fn differences(a: &Bits, b: &Bits) -> Vec<(usize, usize)> {
    assert_eq!(a.len(), b.len());
    a.iter().filter(|(place, bits)| b[place] != **bits).map(|(place, _)| *place).collect()
}

const NONE: [(usize, usize); 0] = [];

#[test]
fn a_mixed_step_is_its_sequences_one_by_one() {
    let parts = [(0, 0..40), (1, 297..300), (2, 599..600), (3, 4..17), (4, 289..290)];
    for (span, unit) in
        [(Span::Full, Unit::Cores), (Span::Window(100), Unit::Cores), (Span::Window(290), Unit::Registers)]
    {
        let mut world = World::new(span, unit, 3);
        let mixed = world.run(&parts, Route::Fast);
        assert_eq!(differences(&mixed, &world.run_each(&parts, Route::Fast)), NONE);
    }
}

#[test]
fn chunks_of_a_prompt_are_the_prompt() {
    let whole = [(0, 0..40), (1, 200..300)];
    let chunks = [(0, 0..1), (0, 1..8), (0, 8..40), (1, 200..233), (1, 233..299), (1, 299..300)];
    for (route, span, unit) in [
        (Route::Tiled, Span::Full, Unit::Cores),
        (Route::Tiled, Span::Window(70), Unit::Cores),
        (Route::OneAnswer, Span::Full, Unit::Cores),
        (Route::OneAnswer, Span::Full, Unit::Registers),
        (Route::Tiled, Span::Full, Unit::Registers),
        (Route::Tiled, Span::Window(70), Unit::Registers),
    ] {
        let mut world = World::new(span, unit, 4);
        let expected = world.run(&whole, route);
        assert_eq!(
            differences(&expected, &world.run_each(&chunks, route)),
            NONE,
            "{route:?} {span:?} {unit:?}"
        );
    }
}
