//! A device that fails on command: the requests of that step fail and say so, everybody else is answered as ever.

mod cpu;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cpu::{PLENTY, Room, alone, answers, ask, engine_over, model};
use wootz_backend::cache::CacheShape;
use wootz_backend::cpu::CpuModel;
use wootz_backend::step::{Step, StepLimits};
use wootz_backend::{BackendError, Model};
use wootz_engine::{DiskSettings, EngineError, EngineSettings, Request, SamplingSettings};
use wootz_spec::ModelSpec;

/// What is to fail: every so many calls of each kind, 0 for none; and how many calls there were.
#[derive(Debug, Default)]
struct Orders {
    steps: Order,
    reads: Order,
    writes: Order,
}

#[derive(Debug, Default)]
struct Order {
    every: AtomicU64,
    calls: AtomicU64,
}

impl Order {
    fn check(&self) -> Result<(), BackendError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        match self.every.load(Ordering::Relaxed) {
            0 => Ok(()),
            every if call.is_multiple_of(every) => {
                Err(BackendError::Device { reason: "it was told to fail".to_owned() })
            }
            _ => Ok(()),
        }
    }
}

struct Commanded {
    model: CpuModel,
    orders: Arc<Orders>,
}

impl Model for Commanded {
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
        self.orders.steps.check()?;
        self.model.forward(step)
    }
    /// Where it fails, the bytes are wrong, too: nobody may use them.
    fn read_page(&mut self, page: u32, bytes: &mut [u8]) -> Result<(), BackendError> {
        bytes.fill(0x3c);
        self.orders.reads.check()?;
        self.model.read_page(page, bytes)
    }
    fn write_page(&mut self, page: u32, bytes: &[u8]) -> Result<(), BackendError> {
        if let Err(error) = self.orders.writes.check() {
            self.model.write_page(page, &vec![0x3c; bytes.len()])?;
            return Err(error);
        }
        self.model.write_page(page, bytes)
    }
}

fn commanded(room: Room) -> (Box<dyn Model>, Arc<Orders>) {
    let orders = Arc::new(Orders::default());
    (Box::new(Commanded { model: model(room), orders: orders.clone() }), orders)
}

fn request(text: usize, length: usize) -> Request {
    Request {
        sampling: SamplingSettings { seed: length as u64, ..SamplingSettings::plain(0.9) },
        max_tokens: NonZeroUsize::new(12),
        ..Request::new(cpu::prompt(text, length, 0, 0), Vec::new())
    }
}

#[test]
fn a_failed_step_fails_its_requests_only() {
    let (model, orders) = commanded(PLENTY);
    let engine = engine_over(model, EngineSettings::default());
    let requests: Vec<Request> = (0..60).map(|number| request(number % 5, 20 + number)).collect();
    let expected = alone(&requests);
    orders.steps.every.store(25, Ordering::Relaxed);
    let (mut failed, mut finished) = (0, 0);
    for (some, expected) in requests.chunks(6).zip(expected.chunks(6)) {
        let streams: Vec<_> = some.iter().map(|request| engine.submit(request.clone()).unwrap()).collect();
        for (stream, expected) in streams.iter().zip(expected) {
            match answers(stream, 1) {
                Ok((found, _)) => {
                    assert_eq!(found, *expected);
                    finished += 1;
                }
                Err(error) => {
                    assert!(matches!(error, EngineError::Backend(_)), "{error}");
                    assert!(error.to_string().contains("told to fail"), "{error}");
                    failed += 1;
                }
            }
        }
    }
    println!("{failed} failed, {finished} finished");
    assert!(failed > 0 && finished > 0);
    // What failed is answered when it is sent again.
    orders.steps.every.store(0, Ordering::Relaxed);
    for (request, expected) in requests.iter().zip(&expected) {
        assert_eq!(ask(&engine, request).0, *expected);
    }
    // Events are sent before the books are closed.
    while !engine.is_idle() {
        std::thread::yield_now();
    }
    assert!(engine.metrics().step_failures > 0);
}

/// Pages that can't be read are not stored, and pages that can't be written are computed again.
#[test]
fn a_failed_copy_of_a_page_harms_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let requests: Vec<Request> = (0..24).map(|number| request(number % 4, 40 + 3 * number)).collect();
    let expected = alone(&requests);
    let disk = DiskSettings { folder: folder.path().to_owned(), bytes: 1 << 30, model: [0; 32] };
    let settings = EngineSettings { disk: Some(disk), ..EngineSettings::default() };
    for round in 0..3 {
        let (model, orders) = commanded(PLENTY);
        orders.reads.every.store(2, Ordering::Relaxed);
        orders.writes.every.store(2, Ordering::Relaxed);
        let engine = engine_over(model, settings.clone());
        for (request, expected) in requests.iter().zip(&expected) {
            assert_eq!(ask(&engine, request).0, *expected, "round {round}");
        }
        let calls = |order: &Order| order.calls.load(Ordering::Relaxed);
        println!("{} reads, {} writes, half of which failed", calls(&orders.reads), calls(&orders.writes));
        assert!(round == 0 || calls(&orders.writes) > 1);
        assert!(round > 0 || calls(&orders.reads) > 1);
        assert_eq!(engine.metrics().requests.failed, 0);
    }
}
