//! Many requests of all kinds through an engine over a small model, for minutes: memory that grows, and pages that nobody
//! gives back, show. `cargo xtask soak` runs it.
//!
//! Requests have prompts of any length, many with a beginning in common, one or several answers, predicted ones, any
//! sampling; some are cancelled while they wait or run, some end by a token, some want more than there is. The pool is so
//! small that requests take pages from each other, and pages go to disk and come back. After a warm-up, in which every
//! arena and table takes the size that it needs, the process's resident memory must not grow any more; when all is
//! done, no request may hold a page.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wootz_backend::cpu::{CpuModel, CpuSettings};
use wootz_engine::{
    Answers, DiskSettings, Engine, EngineError, EngineSettings, EventKind, EventStream, Logprobs, PageCounts,
    Request, SamplingSettings, Scheduling, Tenant, model_fingerprint,
};
use wootz_spec::ModelSpec;
use wootz_weights::Checkpoint;

type Failure = Box<dyn std::error::Error>;

/// Pages of the pool: enough for the longest request with four answers, and far too few for all that run together.
const PAGES: usize = 64;
/// Requests under way together, more than the engine works on at a time.
const TOGETHER: usize = 48;
/// The part of the requests, of a hundred, after which memory must not grow any more.
const WARM_UP: usize = 30;
/// Bytes by which it may: allocators keep some of what they were given back, the more the later.
const SLACK: u64 = 6 << 20;
/// How many times memory is read.
const READINGS: usize = 60;

/// Numbers that look random and are the same in every run (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

/// A request of a random kind, within a context of `context` tokens.
fn request(dice: &mut Dice, vocab: usize, context: usize) -> Request {
    let text = |which: usize, index: usize| {
        (3 + (which * 7919 + index * 104_729 + index * index) % (vocab - 3)) as u32
    };
    let shared = if dice.one_in(3) { 0 } else { dice.below(200) };
    let (which, own) = (dice.below(6), 10 + dice.below(100_000));
    let length = 1 + if dice.one_in(8) { dice.below(context - 230) } else { dice.below(60) };
    let prompt = (0..shared).map(|index| text(which, index));
    let prompt: Vec<u32> = prompt.chain((0..length).map(|index| text(own, index))).collect();
    let ends = if dice.one_in(2) { (0..vocab as u32 / 16).collect() } else { Vec::new() };
    let seed = dice.next();
    let sampling = match dice.below(3) {
        0 => SamplingSettings::greedy(),
        1 => SamplingSettings { seed, ..SamplingSettings::plain(1.0) },
        _ => SamplingSettings { seed, repetition_penalty: 1.1, top_k: 20, ..SamplingSettings::default() },
    };
    let answers = if dice.one_in(4) { 1 + dice.below(4) } else { 1 };
    // Hardly any of it comes true: most drafts are computed in vain.
    let prediction = if answers == 1 && dice.one_in(4) { prompt.clone() } else { Vec::new() };
    Request {
        sampling,
        max_tokens: NonZeroUsize::new(1 + dice.below(40)),
        logprobs: if dice.one_in(5) { Logprobs::Top(3) } else { Logprobs::None },
        answers: Answers::Sampled(NonZeroUsize::new(answers).unwrap_or(NonZeroUsize::MIN)),
        prediction: prediction.into(),
        scheduling: Scheduling {
            priority: dice.below(3) as i32,
            tenant: Tenant(dice.below(4) as u64),
            ..Scheduling::default()
        },
        ..Request::new(prompt, ends)
    }
}

/// What became of the requests.
#[derive(Debug, Default)]
struct Outcomes {
    finished: usize,
    cancelled: usize,
    /// Refused with a reason that is the request's own.
    refused: usize,
    tokens: usize,
}

/// A request under way, and after how many events its caller goes away.
struct Open {
    stream: EventStream,
    patience: usize,
}

impl Open {
    /// Reads the request's events, as many as its caller has patience for.
    fn end(self, outcomes: &mut Outcomes) -> Result<(), Failure> {
        for _ in 0..self.patience {
            match self.stream.next_event()?.map(|event| event.kind) {
                None => {
                    outcomes.finished += 1;
                    return Ok(());
                }
                Some(EventKind::Token(_)) => outcomes.tokens += 1,
                Some(EventKind::Failed(EngineError::ContextFull { .. })) => {
                    outcomes.refused += 1;
                    return Ok(());
                }
                Some(EventKind::Failed(error)) => return Err(error.into()),
                Some(_) => {}
            }
        }
        outcomes.cancelled += 1;
        Ok(())
    }
}

/// Bytes of memory that this process has now.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok();
    let line = status.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("VmRSS:")));
    let kibibytes = match line {
        Some(line) => line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?,
        None => {
            let own = std::process::id().to_string();
            let listed = std::process::Command::new("ps").args(["-o", "rss=", "-p", &own]).output().ok()?;
            String::from_utf8_lossy(&listed.stdout).trim().parse().ok()?
        }
    };
    Some(1024 * kibibytes)
}

/// The engine, the model's vocabulary and the tokens that a request may have.
fn start(path: &Path, folder: &Path) -> Result<(Engine, usize, usize), Failure> {
    let checkpoint = Checkpoint::open(path)?;
    let spec = ModelSpec::from_config(&checkpoint.config()?)?;
    let settings = CpuSettings { pages: PAGES, rows: 128, samples: 32, ..CpuSettings::default() };
    let (vocab, context) = (spec.vocab, spec.context.min(512));
    let model = CpuModel::load(spec, &checkpoint, &settings, &mut |_| ())?;
    let fingerprint = model_fingerprint(&wootz_weights::fingerprint(&checkpoint)?, "cpu soak");
    let disk = DiskSettings { folder: folder.to_owned(), bytes: 16 << 20, model: fingerprint };
    let settings = EngineSettings { queue: TOGETHER, disk: Some(disk), ..EngineSettings::default() };
    Ok((Engine::start(Box::new(model), settings)?, vocab, context))
}

/// Reads memory now and then, and says how far things are.
struct Watch {
    begun: Instant,
    total: usize,
    readings: Vec<(usize, u64)>,
}

impl Watch {
    fn look(&mut self, done: usize, engine: &Engine) -> Result<(), Failure> {
        if !done.is_multiple_of((self.total / READINGS).max(1)) {
            return Ok(());
        }
        let memory = resident().ok_or("this system does not say how much memory a process has")?;
        self.readings.push((done, memory));
        let PageCounts { free, cached, held } = engine.metrics().pages;
        // Before the first step there are no figures.
        let pages = free + cached + held;
        if pages != PAGES as u64 && pages > 0 {
            return Err(format!("{free} free, {cached} cached and {held} held pages are not {PAGES}").into());
        }
        self.draw(done, &format!("{:.1} MiB, {held} pages held", memory as f64 / 1_048_576.0))
    }

    fn draw(&self, done: usize, text: &str) -> Result<(), Failure> {
        let full = 30 * done / self.total.max(1);
        let bar: String = (0..30).map(|place| if place < full { '#' } else { '.' }).collect();
        let end = if std::io::stderr().is_terminal() { '\r' } else { '\n' };
        let seconds = self.begun.elapsed().as_secs();
        eprint!("[{bar}] {done}/{} requests, {seconds} s, {text}   {end}", self.total);
        Ok(std::io::stderr().flush()?)
    }

    /// The greatest reading of the first requests after the warm-up, and of the last ones.
    fn growth(&self) -> (u64, u64) {
        let warm = self.total * WARM_UP / 100;
        let middle = (warm + self.total) / 2;
        let most = |readings: &mut dyn Iterator<Item = &(usize, u64)>| {
            readings.map(|(_, memory)| *memory).max().unwrap_or(0)
        };
        let early = most(&mut self.readings.iter().filter(|(done, _)| (warm..middle).contains(done)));
        (early, most(&mut self.readings.iter().filter(|(done, _)| *done >= middle)))
    }
}

/// Waits until no request is open and no page is held.
fn settle(engine: &Engine) -> Result<PageCounts, Failure> {
    for _ in 0..200 {
        let pages = engine.metrics().pages;
        if engine.is_idle() && pages.held == 0 {
            return Ok(pages);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let (pages, idle) = (engine.metrics().pages, engine.is_idle());
    Err(format!("pages leaked: {pages:?} when all requests have ended (idle: {idle})").into())
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let total: usize = arguments.next().map_or(Ok(10_000), |text| text.parse())?;
    let own =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../wootz-backend/tests/fixtures/stories260k/model.gguf");
    let path = arguments.next().map_or(own, PathBuf::from);
    let folder = tempfile::tempdir()?;
    let (engine, vocab, context) = start(&path, folder.path())?;
    let mut watch = Watch { begun: Instant::now(), total, readings: Vec::with_capacity(2 * READINGS) };
    let (mut dice, mut outcomes) = (Dice(7), Outcomes::default());
    let mut open: VecDeque<Open> = VecDeque::with_capacity(TOGETHER);
    for done in 0..total {
        if open.len() == TOGETHER {
            // The oldest, mostly; sometimes another, so that requests end in any order.
            let which = if dice.one_in(4) { dice.below(TOGETHER) } else { 0 };
            open.remove(which).map_or(Ok(()), |request| request.end(&mut outcomes))?;
        }
        let request = request(&mut dice, vocab, context);
        let patience = if dice.one_in(6) { dice.below(12) } else { usize::MAX };
        match engine.submit(request) {
            Ok(stream) => open.push_back(Open { stream, patience }),
            Err(EngineError::QueueFull { .. }) => outcomes.refused += 1,
            Err(error) => return Err(error.into()),
        }
        watch.look(done, &engine)?;
    }
    open.drain(..).try_for_each(|request| request.end(&mut outcomes))?;
    let pages = settle(&engine)?;
    watch.draw(total, "done")?;
    let (early, late) = watch.growth();
    let metrics = engine.metrics();
    let megabytes = |bytes: u64| bytes as f64 / 1_048_576.0;
    println!("\n{outcomes:?} in {:.0} s", watch.begun.elapsed().as_secs_f64());
    println!("preemptions {}, {:?}, {:?}", metrics.preemptions, metrics.prefix, metrics.tokens);
    println!("memory after warm-up {:.1} MiB, at the end {:.1} MiB", megabytes(early), megabytes(late));
    println!("pages free {}, cached {}, held {} of {PAGES}", pages.free, pages.cached, pages.held);
    if late > early + SLACK {
        return Err(format!("memory grew by {:.1} MiB after the warm-up", megabytes(late - early)).into());
    }
    println!("memory is flat, and no page leaked");
    Ok(())
}
