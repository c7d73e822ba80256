//! The engine as a whole over a model that reads every earlier token through its pages: prefixes in memory and on disk,
//! limits, and the end.

mod fake;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fake::FakeModel;
use wootz_backend::BackendError;
use wootz_backend::cache::CacheShape;
use wootz_backend::model::Model;
use wootz_backend::step::{PAGE_TOKENS, Step, StepLimits};
use wootz_engine::{
    DiskSettings, Engine, EngineError, EngineMetrics, EngineSettings, EventKind, EventStream, PrefixReuse,
    Request, Usage,
};
use wootz_spec::ModelSpec;

const LIMITS: StepLimits =
    StepLimits { vocab: 50, positions: 20 * PAGE_TOKENS, rows: 32, samples: 16, pages: 200 };

/// A prompt of 100 tokens, whose last is computed in any case: six full blocks can be found.
fn prompt() -> Vec<u32> {
    (0..100).map(|place| place * 7 % 50).collect()
}

const BLOCKS: u64 = 6;

fn request(tokens: usize) -> Request {
    Request { max_tokens: NonZeroUsize::new(tokens), ..Request::new(prompt(), Vec::new()) }
}

fn start(settings: EngineSettings) -> Engine {
    Engine::start(Box::new(FakeModel::new(LIMITS)), settings).expect("it starts")
}

fn on_disk(folder: &Path) -> Engine {
    let disk = DiskSettings { folder: folder.to_owned(), bytes: 1 << 30, model: [5; 32] };
    start(EngineSettings { disk: Some(disk), ..EngineSettings::default() })
}

/// The tokens of an answer and what it took.
fn answer(stream: &EventStream) -> Result<(Vec<u32>, Usage), EngineError> {
    let (mut tokens, mut took) = (Vec::new(), Usage::default());
    while let Some(event) = stream.next_event()? {
        match event.kind {
            EventKind::Token(sampled) => tokens.push(sampled.token),
            EventKind::Finished { usage, .. } => took = usage,
            EventKind::Failed(error) => return Err(error),
            _ => {}
        }
    }
    Ok((tokens, took))
}

fn ask(engine: &Engine) -> (Vec<u32>, Usage) {
    answer(&engine.submit(request(20)).expect("there is room")).expect("it answers")
}

/// The figures as soon as they show so many answered requests: they are published a moment after the last event.
fn metrics(engine: &Engine, answered: u64) -> EngineMetrics {
    loop {
        let metrics = engine.metrics();
        if metrics.requests.length + metrics.requests.stopped >= answered {
            return metrics;
        }
        std::thread::yield_now();
    }
}

/// What an engine that has never seen the prompt answers.
fn expected() -> Vec<u32> {
    ask(&start(EngineSettings::default())).0
}

/// The files of the blocks.
fn files(folder: &Path) -> Vec<PathBuf> {
    let model = folder.join(format!("kv-{}", "05".repeat(16)));
    let mut files: Vec<PathBuf> = std::fs::read_dir(model)
        .expect("it is there")
        .map(|entry| entry.expect("it is read").path())
        .collect();
    files.sort();
    files
}

#[test]
fn a_restarted_engine_finds_its_prefixes_on_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = on_disk(folder.path());
    assert_eq!(ask(&engine), (expected(), Usage { prompt: 100, generated: 20, ..Usage::default() }));
    drop(engine);
    assert!(files(folder.path()).len() as u64 >= BLOCKS);
    let engine = on_disk(folder.path());
    let reused = BLOCKS as usize * PAGE_TOKENS;
    assert_eq!(ask(&engine), (expected(), Usage { prompt: 100, reused, generated: 20, ..Usage::default() }));
    let metrics = metrics(&engine, 1);
    let tokens = metrics.tokens;
    assert_eq!((tokens.prompt_reused_from_disk, tokens.prompt_reused_from_memory), (reused as u64, 0));
    assert_eq!((tokens.prompt_computed, tokens.generated), (100 - reused as u64, 20));
    assert_eq!(metrics.disk.map(|disk| disk.hits), Some(BLOCKS));
}

/// A beginning that is always found in memory is in use: it is not what should go from the disk first.
#[test]
fn what_is_found_in_memory_counts_as_used_on_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = on_disk(folder.path());
    ask(&engine);
    drop(engine);
    let engine = on_disk(folder.path());
    ask(&engine);
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    for file in files(folder.path()) {
        std::fs::File::open(file).expect("it is there").set_modified(long_ago).expect("it is marked");
    }
    assert_eq!(ask(&engine).1.reused, BLOCKS as usize * PAGE_TOKENS);
    drop(engine);
    let modified =
        |file: &PathBuf| file.metadata().and_then(|facts| facts.modified()).expect("it has a time");
    let used = files(folder.path()).iter().filter(|file| modified(file) > long_ago).count();
    assert!(used as u64 >= BLOCKS, "{used}");
}

/// A request that wants nothing of what is there gets the same answer, and others may still use what it computes.
#[test]
fn a_request_may_do_without_what_is_there() {
    let engine = start(EngineSettings::default());
    let anew = || {
        let request = Request { reuse: PrefixReuse::Nothing, ..request(20) };
        answer(&engine.submit(request).expect("there is room")).expect("it answers")
    };
    let whole = Usage { prompt: 100, reused: 0, generated: 20, ..Usage::default() };
    assert_eq!([anew(), anew()], [(expected(), whole), (expected(), whole)]);
    assert_eq!(ask(&engine).1.reused, BLOCKS as usize * PAGE_TOKENS);
    let both = [request(20), Request { reuse: PrefixReuse::Nothing, ..request(20) }];
    let streams = both.map(|request| engine.submit(request).expect("there is room"));
    let reused = streams.map(|stream| answer(&stream).expect("it answers").1.reused);
    assert_eq!(reused, [BLOCKS as usize * PAGE_TOKENS, 0]);
}

#[test]
fn damaged_files_are_computed_again() {
    for (damaged, damage) in [(1, Damage::Flip), (3, Damage::Cut), (usize::MAX, Damage::Flip)] {
        let folder = tempfile::tempdir().expect("a folder");
        drop(ask(&on_disk(folder.path())));
        for file in files(folder.path()).into_iter().take(damaged) {
            let mut bytes = std::fs::read(&file).expect("it is read");
            let middle = bytes.len() / 2;
            match damage {
                Damage::Flip => bytes[middle] ^= 0x10,
                Damage::Cut => bytes.truncate(middle),
            }
            std::fs::write(&file, bytes).expect("it is written");
        }
        let engine = on_disk(folder.path());
        let (tokens, usage) = ask(&engine);
        assert_eq!(tokens, expected());
        assert_eq!(usage.reused % PAGE_TOKENS, 0);
        if damaged == usize::MAX {
            assert_eq!(usage.reused, 0);
        }
        let metrics = metrics(&engine, 1);
        assert_eq!(metrics.tokens.prompt_computed + usage.reused as u64, 100);
    }
}

/// What happens to a file.
#[derive(Clone, Copy)]
enum Damage {
    Flip,
    Cut,
}

#[test]
fn requests_with_a_common_prompt_compute_it_once() {
    let engine = start(EngineSettings { sequences: 16, ..EngineSettings::default() });
    let streams: Vec<_> = (0..16).map(|_| engine.submit(request(20)).expect("there is room")).collect();
    let mut reused = 0;
    for stream in &streams {
        let (tokens, usage) = answer(stream).expect("it answers");
        assert_eq!((tokens, usage.prompt), (expected(), 100));
        reused += usage.reused as u64;
    }
    let metrics = metrics(&engine, 16);
    let tokens = metrics.tokens;
    assert_eq!(tokens.prompt_computed + tokens.prompt_reused_from_memory, 1600);
    assert_eq!((tokens.prompt_reused_from_memory, tokens.prompt_reused_from_disk), (reused, 0));
    assert_eq!(reused, 15 * BLOCKS * PAGE_TOKENS as u64);
    assert_eq!((metrics.prefix.hits, metrics.prefix.misses), (15 * BLOCKS, BLOCKS));
    assert_eq!((tokens.generated, metrics.preemptions), (320, 0));
}

/// A model whose steps wait for somebody to let them through.
struct Gated {
    model: FakeModel,
    gate: flume::Receiver<()>,
}

impl Model for Gated {
    fn spec(&self) -> &ModelSpec {
        self.model.spec()
    }

    fn cache(&self) -> CacheShape {
        self.model.cache()
    }

    fn limits(&self) -> StepLimits {
        self.model.limits()
    }

    fn forward(&mut self, step: &Step) -> Result<&[f32], BackendError> {
        // Without a keeper the gate is open.
        let _ = self.gate.recv();
        self.model.forward(step)
    }

    fn read_page(&mut self, page: u32, bytes: &mut [u8]) -> Result<(), BackendError> {
        self.model.read_page(page, bytes)
    }

    fn write_page(&mut self, page: u32, bytes: &[u8]) -> Result<(), BackendError> {
        self.model.write_page(page, bytes)
    }
}

#[test]
fn a_full_queue_refuses_and_an_engine_that_drains_finishes_what_it_has() {
    let (keeper, gate) = flume::unbounded();
    let model = Gated { model: FakeModel::new(LIMITS), gate };
    let settings = EngineSettings { sequences: 1, queue: 2, ..EngineSettings::default() };
    let engine = Engine::start(Box::new(model), settings).expect("it starts");
    // One runs, or will at once; two wait.
    let streams: Vec<_> = (0..3).map(|_| engine.submit(request(20)).expect("there is room")).collect();
    let refused = engine.submit(request(20)).expect_err("the queue is full");
    assert!(matches!(refused, EngineError::QueueFull { limit: 2, .. }), "{refused}");
    engine.drain();
    assert!(matches!(engine.submit(request(20)), Err(EngineError::Stopping)));
    assert!(!engine.is_idle());
    drop(keeper);
    for stream in &streams {
        assert_eq!(answer(stream).expect("it answers").0, expected());
    }
    let requests = metrics(&engine, 3).requests;
    assert_eq!((requests.received, requests.length, requests.refused), (5, 3, 2));
    assert!(engine.is_idle());
}
