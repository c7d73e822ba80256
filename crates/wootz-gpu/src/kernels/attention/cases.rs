//! Comparisons of the attention kernels with their twin.

mod on;

use half::f16;
use wootz_backend::cache::{CacheShape, pages_for};
use wootz_backend::ops::Heads;
use wootz_backend::step::{PAGE_TOKENS, SequenceSlice, Step};
use wootz_spec::Span;

use super::{
    Attend, AttentionDecode, AttentionLatent, AttentionPrefill, Division, LatentCache, PagedCache, Route,
    StepSlices, StepTables, TILE_ROWS, Unit, Weighing,
};
use crate::case::{Case, Tolerance, values};
use crate::device::{Kernel, Slice};
use crate::twins::attention::{Cells, Look, attend};
use on::On;

/// Everything is f32, so what differs is rounding: of scores (1e-6 for sums of up to 256 products), which is an
/// error of the weights, of the fast exp (1e-6 of each weight) and of sums of weights.
const DECODE: Tolerance = Tolerance { absolute: 1e-5, relative: 1e-5 };

/// Queries and weights are rounded to f16: 2^-11 of each. Of a query of up to 3 over `D` elements that is an error of the
/// scaled score of at most 3 · 2^-12, as they are not all wrong in the same direction; a score's error is its weight's,
/// which with the weight's own rounding makes less than 2^-10 of values up to 1, and errors of both signs cancel. A result
/// that is f16 adds 2^-12.
const PREFILL: Tolerance = Tolerance { absolute: 1e-3, relative: 0.0 };

/// Without tiles.
const ROW_BY_ROW: Division = Division { route: Route::OneAnswer, tile_rows: TILE_ROWS };

/// A step over a pool, and what is asked of it.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    /// How the pool is laid out.
    pub cells: Cells,
    /// Query heads and the size of a query.
    pub heads: Heads,
    /// For each sequence: tokens that it has, rows of the step that are the last of them.
    pub sequences: Vec<(usize, usize)>,
    /// Pages that the second sequence shares with the first.
    pub shared_pages: usize,
    pub span: Span,
    pub softcap: Option<f32>,
    pub sinks: bool,
}

/// A scene with memory for it in a case.
pub(super) struct Stage {
    pub tables: StepTables,
    pub step: StepSlices,
    pub pool: Slice,
    pub query: Slice,
    pub weighing: Weighing,
    pub expected: Vec<f32>,
}

impl Scene {
    /// Full attention of one sequence's last row.
    pub fn row(cells: Cells, heads: Heads, context: usize) -> Scene {
        let sequences = vec![(context, 1)];
        Scene { cells, heads, sequences, shared_pages: 0, span: Span::Full, softcap: None, sinks: false }
    }

    /// Queries are large enough that some tokens matter far more than others.
    fn queries(&self, rows: usize) -> Vec<f32> {
        values(rows * self.heads.width(), 5).iter().map(|value| 3.0 * value).collect()
    }

    /// Page tables from pages that are scattered over the pool, one after another, and the pool's size.
    fn pages(&self) -> (Vec<Vec<u32>>, usize) {
        let counts = || self.sequences.iter().map(|&(tokens, _)| pages_for(tokens));
        let total = counts().sum::<usize>() + 3;
        // Multiples of a number that has no factor in common with the total come back to where they began last.
        let stride = [7, 5, 3, 1].into_iter().find(|&stride| total % stride != 0).unwrap_or(1);
        let mut free = (0..total).map(|index| ((index * stride + 2) % total) as u32);
        let mut tables: Vec<Vec<u32>> = counts().map(|count| free.by_ref().take(count).collect()).collect();
        if let [first, second, ..] = tables.as_mut_slice() {
            second[..self.shared_pages].copy_from_slice(&first[..self.shared_pages]);
        }
        (tables, total)
    }

    fn step(&self, page_tables: &[Vec<u32>]) -> Step {
        let mut step = Step::default();
        for (&(tokens, rows), table) in self.sequences.iter().zip(page_tables) {
            let (row, page) = (step.positions.len(), step.page_table.len());
            step.positions.extend((tokens - rows..tokens).map(|position| position as u32));
            step.page_table.extend(table);
            step.sequences.push(SequenceSlice { rows: row..row + rows, pages: page..page + table.len() });
        }
        step.tokens = vec![0; step.positions.len()];
        step
    }

    /// A pool that is poison but for the tokens that sequences have in layer `layer`.
    fn pool(&self, pages: usize, page_tables: &[Vec<u32>], layer: usize) -> Vec<f16> {
        let (key_dim, value_dim) = self.cells.dims();
        let mut pool = vec![f16::NAN; pages * self.cells.page_elements()];
        for (&(tokens, _), table) in self.sequences.iter().zip(page_tables) {
            for (token, head) in
                (0..tokens).flat_map(|token| (0..self.kv_heads()).map(move |head| (token, head)))
            {
                let slot = slot(table, token);
                // By slot, so that a shared page has one content.
                let seed = 100 + (slot * self.kv_heads() + head) as u64;
                let elements = values(key_dim + value_dim, seed);
                for (dim, &element) in elements[key_dim..].iter().enumerate() {
                    pool[self.cells.value(slot, layer, head, dim)] = f16::from_f32(element);
                }
                for (dim, &element) in elements[..key_dim].iter().enumerate() {
                    pool[self.cells.key(slot, layer, head, dim)] = f16::from_f32(element);
                }
            }
        }
        pool
    }

    fn kv_heads(&self) -> usize {
        match self.cells {
            Cells::KeysAndValues(shape) => shape.kv_heads,
            Cells::Latent { .. } => 1,
        }
    }

    /// Puts the scene into a case, in the cache's layer `layer`.
    pub fn stage(&self, case: &mut Case, layer: usize, division: Division) -> Stage {
        let (page_tables, pages) = self.pages();
        let step = self.step(&page_tables);
        let pool = self.pool(pages, &page_tables, layer);
        let queries = self.queries(step.rows());
        let sinks = values(self.heads.count, 6);
        let scale = (self.heads.dim as f32).sqrt().recip();
        let expected = self.expected(&Inputs {
            page_tables,
            pool: &pool,
            queries: &queries,
            sinks: &sinks,
            layer,
            scale,
        });
        let mut tables = StepTables::default();
        tables.fill(&step, division);
        Stage {
            step: StepSlices {
                positions: case.input("positions", &tables.positions),
                slots: case.input("slots", &tables.slots),
                pages: case.input("pages", &tables.pages),
                decode_rows: case.input("decode_rows", &tables.decode_rows),
                prefill_tiles: case.input("prefill_tiles", &tables.prefill_tiles),
            },
            pool: case.input("pool", &pool),
            query: case.input("query", &queries),
            weighing: Weighing {
                scale,
                span: self.span,
                softcap: self.softcap,
                sinks: self.sinks.then(|| case.input("sinks", &sinks)),
            },
            tables,
            expected,
        }
    }

    fn expected(&self, inputs: &Inputs<'_>) -> Vec<f32> {
        let group = self.heads.count / self.kv_heads();
        let mut expected = Vec::new();
        let mut queries = inputs.queries.chunks_exact(self.heads.dim);
        for (&(tokens, rows), table) in self.sequences.iter().zip(&inputs.page_tables) {
            for position in tokens - rows..tokens {
                let first = match self.span {
                    Span::Full => 0,
                    Span::Window(window) => (position + 1).saturating_sub(window),
                };
                let slots: Vec<usize> = (first..=position).map(|token| slot(table, token)).collect();
                for head in 0..self.heads.count {
                    let look = Look {
                        at: (inputs.layer, head / group),
                        scale: inputs.scale,
                        softcap: self.softcap,
                        sink: self.sinks.then_some(inputs.sinks[head]),
                    };
                    let query = queries.next().expect("a query for each row and head");
                    expected.extend(attend(inputs.pool, self.cells, look, query, &slots));
                }
            }
        }
        expected
    }

    /// The scene's name in a case.
    pub fn name(&self, kernel: &str) -> String {
        let Scene { heads, sequences, span, softcap, sinks, .. } = self;
        let sequences: Vec<String> =
            sequences.iter().map(|(tokens, rows)| format!("{rows}/{tokens}")).collect();
        let window = match span {
            Span::Full => String::new(),
            Span::Window(tokens) => format!(" window {tokens}"),
        };
        format!(
            "{kernel} {}/{}x{} rows/tokens {}{window}{}{}",
            heads.count,
            self.kv_heads(),
            heads.dim,
            sequences.join(" "),
            softcap.map(|cap| format!(" cap {cap}")).unwrap_or_default(),
            if *sinks { " sinks" } else { "" },
        )
    }
}

/// What the twin reads.
struct Inputs<'a> {
    page_tables: Vec<Vec<u32>>,
    pool: &'a [f16],
    queries: &'a [f32],
    sinks: &'a [f32],
    layer: usize,
    scale: f32,
}

fn slot(table: &[u32], token: usize) -> usize {
    table[token / PAGE_TOKENS] as usize * PAGE_TOKENS + token % PAGE_TOKENS
}

/// Query heads over kv heads of one size, in the second of two layers.
fn scene(query_heads: usize, kv_heads: usize, head_dim: usize, context: usize) -> Scene {
    let cells = Cells::KeysAndValues(CacheShape { layers: 2, kv_heads, head_dim });
    Scene::row(cells, Heads { count: query_heads, dim: head_dim }, context)
}

/// All cases of the concept.
pub(super) fn cases() -> Vec<Case> {
    let on_registers = |kernel: Option<Kernel>, place| kernel.map(|_| On::registers(place));
    let decode = decode_scenes().into_iter().enumerate().flat_map(|(place, scene)| {
        let second = on_registers(AttentionDecode::on_registers(scene.heads.dim), place);
        let all = [Some(On::CORES), second].into_iter().flatten();
        all.map(|on| decode_case(&scene, on, usize::MAX)).collect::<Vec<Case>>()
    });
    // Rows that take turns, because scratch has room for one of them or two.
    let sequences = vec![(300, 1), (40, 1), (260, 1)];
    let turns = Scene { sequences, ..scene(2, 2, 64, 1) };
    let turns = [1, 2].map(|rows| decode_case(&turns, On::CORES, rows));
    let prefill = prefill_scenes().into_iter().enumerate().flat_map(|(place, scene)| {
        let second = on_registers(AttentionPrefill::on_registers(scene.heads.dim), place);
        let all = [Some(On::CORES), second].into_iter().flatten();
        all.map(|on| prefill_case(&scene, on)).collect::<Vec<Case>>()
    });
    decode
        .chain(turns)
        .chain(prefill)
        .chain(latent_scenes().into_iter().map(|scene| latent_case(&scene)))
        .collect()
}

fn decode_scenes() -> Vec<Scene> {
    let mut scenes = Vec::new();
    // Every instantiation, at contexts around the ends of a page and of a partition.
    for (head_dim, contexts) in
        [(64, [1, 15, 257, 600]), (80, [16, 17, 255, 33]), (96, [2, 48, 5, 260]), (128, [17, 257, 1, 30])]
    {
        for (group, context) in [1, 2, 4, 7].into_iter().zip(contexts) {
            scenes.push(scene(group, 1, head_dim, context));
        }
    }
    for head_dim in [192, 256] {
        for (group, context) in [1, 2, 3, 8].into_iter().zip([18, 5, 33, 16]) {
            scenes.push(scene(group, 1, head_dim, context));
        }
    }
    scenes.extend([1, 15, 16, 17, 255, 256, 257, 600].map(|context| scene(4, 1, 64, context)));
    scenes.extend([16, 255, 600].map(|context| scene(8, 1, 128, context)));
    scenes.extend([scene(4, 2, 8, 40), scene(3, 1, 16, 17), scene(10, 2, 32, 21)]);
    // More partitions than are joined at once.
    scenes.push(scene(2, 1, 8, 17_000));
    // Groups of more than 8 heads take two turns.
    scenes.push(scene(24, 2, 64, 20));
    // Windows: within a page, over partitions, exactly the context, larger than it.
    for (context, window) in [(40, 5), (600, 300), (600, 1), (100, 100), (100, 4096), (513, 257)] {
        scenes.push(Scene { span: Span::Window(window), ..scene(2, 1, 64, context) });
    }
    scenes.push(Scene { softcap: Some(2.0), ..scene(2, 1, 64, 50) });
    scenes.push(Scene { sinks: true, ..scene(4, 2, 64, 50) });
    scenes.push(Scene { sinks: true, softcap: Some(30.0), span: Span::Window(280), ..scene(8, 2, 64, 300) });
    // Several rows: of one partition and of three, with a prefix in common.
    let sequences = vec![(40, 1), (530, 1), (1, 1), (256, 1)];
    scenes.push(Scene { sequences, shared_pages: 2, sinks: true, ..scene(4, 2, 64, 1) });
    // A prompt that is decoded row by row.
    scenes.push(Scene { sequences: vec![(20, 5), (18, 2)], ..scene(2, 2, 64, 1) });
    scenes
}

/// `at_once` rows fit into scratch.
fn decode_case(scene: &Scene, on: On, at_once: usize) -> Case {
    let turns = if at_once == usize::MAX { String::new() } else { format!(", {at_once} at once") };
    let tolerance = if on.unit == Unit::Cores { DECODE } else { PREFILL };
    let kernel = on.name("attention_decode", "attention_registers");
    let unit = on.unit;
    let mut case = Case::new(scene.name(&kernel) + &turns);
    let Stage { tables, step, pool, query, weighing, expected } = scene.stage(&mut case, 1, ROW_BY_ROW);
    let Cells::KeysAndValues(shape) = scene.cells else { unreachable!("latent cells have their own kernel") };
    let rows = tables.decode(scene.span).expect("rows");
    let heads = scene.heads;
    let bytes = AttentionDecode::scratch_bytes(at_once.min(rows.count), rows.longest, heads, &weighing);
    let scratch = case.scratch("scratch", bytes);
    let out = on.results(&mut case, expected, tolerance);
    let attend = Attend { cache: PagedCache { pool, shape }, layer: 1, heads, weighing };
    case.dispatch(AttentionDecode { rows, attend, unit, step, scratch, query, out }.dispatches());
    case
}

fn prefill_scenes() -> Vec<Scene> {
    let mut scenes = Vec::new();
    for (head_dim, sequences) in [
        (8, vec![(40, 40)]),
        (16, vec![(17, 2), (20, 20)]),
        (32, vec![(33, 33)]),
        (64, vec![(2, 2), (70, 33), (20, 1), (65, 65)]),
        (80, vec![(50, 3)]),
        (96, vec![(16, 16)]),
        (128, vec![(80, 5)]),
        (192, vec![(18, 18)]),
        (256, vec![(49, 2)]),
    ] {
        scenes.push(Scene { sequences, ..scene(2, 1, head_dim, 1) });
    }
    // Heads of one kv head that don't fill a threadgroup, and more rows of one head than a tile.
    for (heads, kv_heads, head_dim, sequence) in
        [(7, 1, 128, (50, 36)), (10, 2, 80, (33, 17)), (3, 1, 96, (70, 68)), (1, 1, 64, (150, 140))]
    {
        scenes.push(Scene { sequences: vec![sequence], ..scene(heads, kv_heads, head_dim, 1) });
    }
    scenes.push(Scene { sequences: vec![(600, 3)], ..scene(1, 1, 64, 1) });
    scenes.push(Scene { sequences: vec![(1, 1), (15, 15), (16, 16), (17, 17)], ..scene(2, 1, 64, 1) });
    scenes.push(Scene { sequences: vec![(255, 2), (257, 4), (64, 64)], ..scene(1, 1, 64, 1) });
    scenes.push(Scene { sequences: vec![(40, 8), (100, 70), (9, 9)], shared_pages: 2, ..scene(6, 3, 64, 1) });
    for (tokens, rows, window) in [(40, 40, 5), (300, 4, 70), (100, 33, 1), (60, 20, 60), (60, 20, 4096)] {
        let sequences = vec![(tokens, rows)];
        scenes.push(Scene { sequences, span: Span::Window(window), ..scene(1, 1, 64, 1) });
    }
    scenes.push(Scene { sequences: vec![(40, 20)], softcap: Some(2.0), ..scene(1, 1, 64, 1) });
    scenes.push(Scene { sequences: vec![(40, 20)], sinks: true, ..scene(4, 2, 64, 1) });
    scenes
}

fn prefill_case(scene: &Scene, on: On) -> Case {
    let mut case = Case::new(scene.name(&on.name("attention_prefill", "attention_prefill_registers")));
    let unit = on.unit;
    let tile_rows = AttentionPrefill::tile_rows(unit, scene.heads, scene.kv_heads());
    let division = Division { route: Route::Tiled, tile_rows };
    let Stage { tables, step, pool, query, weighing, expected } = scene.stage(&mut case, 1, division);
    let Cells::KeysAndValues(shape) = scene.cells else { unreachable!("latent cells have their own kernel") };
    let tiles = tables.prefill(scene.span).expect("tiles");
    let out = on.results(&mut case, expected, PREFILL);
    let attend = Attend { cache: PagedCache { pool, shape }, layer: 1, heads: scene.heads, weighing };
    case.dispatch([AttentionPrefill { tiles, attend, unit, step, query, out }.dispatch()]);
    case
}

/// Query heads over latent cells, in the second of two layers.
fn latent_scene(query_heads: usize, latent: usize, rope: usize, sequences: Vec<(usize, usize)>) -> Scene {
    let cells = Cells::Latent { layers: 2, latent, rope };
    Scene { sequences, ..Scene::row(cells, Heads { count: query_heads, dim: latent + rope }, 1) }
}

fn latent_scenes() -> Vec<Scene> {
    vec![
        latent_scene(16, 512, 64, vec![(17, 1)]),
        latent_scene(3, 512, 64, vec![(1, 1)]),
        latent_scene(20, 512, 64, vec![(48, 1)]),
        latent_scene(2, 512, 64, vec![(257, 1)]),
        latent_scene(4, 256, 32, vec![(600, 1), (5, 2)]),
        Scene {
            span: Span::Window(300),
            sinks: true,
            softcap: Some(30.0),
            ..latent_scene(17, 256, 32, vec![(530, 1)])
        },
    ]
}

fn latent_case(scene: &Scene) -> Case {
    let mut case = Case::new(scene.name("attention_latent"));
    let Stage { tables, step, pool, query, weighing, expected } = scene.stage(&mut case, 1, ROW_BY_ROW);
    let Cells::Latent { layers, latent, rope } = scene.cells else { unreachable!("these are latent cells") };
    let cache = LatentCache { pool, layers, latent, rope };
    let (rows, heads) = (tables.decode(scene.span).expect("rows"), scene.heads.count);
    let results = Heads { count: heads, dim: latent };
    let bytes = AttentionLatent::scratch_bytes(rows.count, rows.longest, results, &weighing);
    let scratch = case.scratch("scratch", bytes);
    let out = case.output_f32("out", expected, PREFILL);
    let attend = AttentionLatent { rows, cache, layer: 1, heads, weighing, step, scratch, query, out };
    case.dispatch(attend.dispatches());
    case
}
