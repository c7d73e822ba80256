//! Sequences in a cache, attention over which gives a row the same bits whatever else is in its step, and however its prompt
//! was cut: on the emulator and on GPUs.

use std::collections::BTreeMap;
use std::ops::Range;

use half::f16;
use wootz_backend::cache::{CacheShape, pages_for};
use wootz_backend::ops::Heads;
use wootz_backend::step::{SequenceSlice, Step};
use wootz_gpu::case::values;
use wootz_gpu::device::{Command, Device, Dispatch, Profile, Slice};
use wootz_gpu::kernels::attention::{
    Attend, AttentionDecode, AttentionPrefill, Division, PagedCache, Results, Route, StepSlices, StepTables,
    Unit, Weighing,
};
use wootz_spec::Span;

/// Tokens of each sequence.
const TOKENS: [usize; 5] = [40, 300, 600, 17, 290];

/// Rows of a sequence: its number, and their positions.
type Rows = (usize, Range<usize>);
/// The bits that came out for a sequence's position.
type Bits = BTreeMap<(usize, usize), Vec<u32>>;

/// What attention looks at, and on what.
#[derive(Debug, Clone, Copy)]
pub struct Scene {
    pub span: Span,
    pub unit: Unit,
    /// Query heads, and how many of keys and values.
    pub heads: Heads,
    pub kv_heads: usize,
}

/// Four query heads of 64 over two of keys and values.
pub const HEADS: Heads = Heads { count: 4, dim: 64 };
pub const KV_HEADS: usize = 2;

/// A device with a pool that holds all sequences.
struct World {
    device: Box<dyn Device>,
    pool: Slice,
    scene: Scene,
}

impl Scene {
    fn shape(&self) -> CacheShape {
        CacheShape { layers: 1, kv_heads: self.kv_heads, head_dim: self.heads.dim }
    }
}

impl World {
    fn new(mut device: Box<dyn Device>, scene: Scene) -> World {
        let pages: usize = TOKENS.into_iter().map(pages_for).sum();
        let elements = values(scene.shape().pool_elements(pages).unwrap(), 1);
        let elements: Vec<f16> = elements.into_iter().map(f16::from_f32).collect();
        let pool = upload(&mut *device, &elements);
        World { device, pool, scene }
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
            .flat_map(|(sequence, row)| values(self.scene.heads.width(), (1000 * sequence + row) as u64))
            .collect();
        let mut tables = StepTables::default();
        let tile_rows = AttentionPrefill::tile_rows(self.scene.unit, self.scene.heads, self.scene.kv_heads);
        tables.fill(&step, Division { route, tile_rows });
        let device = &mut *self.device;
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
        places().zip(bits.chunks_exact(self.scene.heads.width()).map(<[u32]>::to_vec)).collect()
    }

    fn dispatches(
        &mut self,
        tables: &StepTables,
        step: StepSlices,
        query: Slice,
        out: Slice,
    ) -> Vec<Dispatch> {
        let Scene { span, unit, heads, .. } = self.scene;
        let weighing = Weighing { scale: 0.5, span, softcap: None, sinks: None };
        let cache = PagedCache { pool: self.pool, shape: self.scene.shape() };
        let attend = Attend { cache, layer: 0, heads, weighing };
        let out = Results::Floats(out);
        let mut dispatches = Vec::new();
        if let Some(rows) = tables.decode(span) {
            let bytes = AttentionDecode::scratch_bytes(rows.count, rows.longest, heads, &weighing);
            let scratch = upload(&mut *self.device, &vec![0xff_u8; bytes]);
            dispatches.extend(AttentionDecode { rows, attend, unit, step, scratch, query, out }.dispatches());
        }
        if let Some(tiles) = tables.prefill(span) {
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

fn upload<T: bytemuck::NoUninit>(device: &mut dyn Device, values: &[T]) -> Slice {
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

/// A step of several sequences gives each row what a step of its own sequence does.
pub fn a_mixed_step_is_its_sequences_one_by_one(device: Box<dyn Device>, scene: Scene) {
    let parts = [(0, 0..40), (1, 297..300), (2, 599..600), (3, 4..17), (4, 289..290)];
    let mut world = World::new(device, scene);
    let mixed = world.run(&parts, Route::Fast);
    assert_eq!(differences(&mixed, &world.run_each(&parts, Route::Fast)), NONE, "{scene:?}");
}

/// However a prompt is cut, a row gets the same.
pub fn chunks_of_a_prompt_are_the_prompt(device: Box<dyn Device>, scene: Scene, route: Route) {
    let whole = [(0, 0..40), (1, 150..300)];
    let chunks =
        [(0, 0..1), (0, 1..8), (0, 8..40), (1, 150..167), (1, 167..233), (1, 233..299), (1, 299..300)];
    let mut world = World::new(device, scene);
    let expected = world.run(&whole, route);
    assert_eq!(differences(&expected, &world.run_each(&chunks, route)), NONE, "{route:?} {scene:?}");
}

/// Scenes whose prompts go through tiles on a matrix unit that takes factors from registers: a kv head for two query heads, for
/// one (with tiles of 128 rows), and for four.
pub fn tiled_scenes() -> impl Iterator<Item = Scene> {
    let shapes = [(HEADS, KV_HEADS), (Heads { count: 2, dim: 128 }, 2), (Heads { count: 4, dim: 80 }, 1)];
    let spans = [Span::Full, Span::Window(70)];
    shapes.into_iter().flat_map(move |(heads, kv_heads)| {
        spans.map(|span| Scene { span, unit: Unit::Registers, heads, kv_heads })
    })
}
