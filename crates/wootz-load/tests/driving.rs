//! Runs on a paused clock, against servers that are a few lines each: every time is exact.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep};
use wootz_load::drive::{Progress, Run, drive};
use wootz_load::exchange::{Exchange, ExchangeError, Heard, HeardPiece};
use wootz_load::metrics::ServerFigures;
use wootz_load::plan::{Pace, Plan, PlannedRequest, Turn};
use wootz_load::record::{ErrorKind, Outcome, Part};
use wootz_load::summary::Summary;

const MS: Duration = Duration::from_millis(1);

/// Answers so many requests at a time: each takes `first` to its first token and `each` for every other.
struct Fake {
    slots: Semaphore,
    first: Duration,
    each: Duration,
    /// While a long prompt is processed, tokens of others take this much longer.
    slowed: Duration,
    long: Cell<bool>,
    /// What it was asked, after which turns.
    asked: RefCell<Vec<(String, Vec<Turn>)>>,
}

impl Fake {
    fn new(slots: usize, first: u32, each: u32) -> Self {
        let slots = Semaphore::new(slots);
        let (first, each) = (MS * first, MS * each);
        Self { slots, first, each, slowed: Duration::ZERO, long: Cell::new(false), asked: RefCell::default() }
    }
}

impl Exchange for Fake {
    async fn exchange(
        &self,
        request: &PlannedRequest,
        before: &[Turn],
        heard: &mut Heard,
        progress: &dyn Fn(),
    ) -> Result<(), ExchangeError> {
        let _slot = self.slots.acquire().await.unwrap();
        let asked = &request.turns[before.len()];
        self.asked.borrow_mut().push((asked.clone(), before.to_vec()));
        heard.text = format!("re: {asked}");
        if asked == "fails" {
            sleep(MS).await;
            return Err(ExchangeError::new(ErrorKind::Status(503), "full"));
        }
        if request.part == Part::Beside {
            self.long.set(true);
            sleep(MS * 100).await;
            self.long.set(false);
        } else {
            sleep(self.first).await;
        }
        for token in 0..request.output_tokens {
            if token > 0 {
                sleep(if self.long.get() { self.each + self.slowed } else { self.each }).await;
            }
            heard.pieces.push(HeardPiece {
                at: Instant::now(),
                text_bytes: 2,
                so_far: Some(u64::from(token) + 1),
            });
            progress();
        }
        heard.usage.prompt = Some(10);
        heard.usage.output = Some(request.output_tokens.into());
        Ok(())
    }
}

fn request(prompt: &str, output_tokens: u32, part: Part) -> PlannedRequest {
    PlannedRequest { turns: vec![prompt.into()], output_tokens, part }
}

fn plan(count: usize, output_tokens: u32, pace: Pace) -> Plan {
    Plan { requests: vec![request("p", output_tokens, Part::Plain); count], pace, beside: None }
}

async fn run(plan: &Plan, fake: &Fake) -> Run {
    let (_stopper, stop) = watch::channel(false);
    drive(plan, fake, &stop, &|_| {}).await
}

fn summary(run: &Run) -> Summary {
    Summary::of(&[run], ServerFigures::default(), None)
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
}

#[tokio::test(start_paused = true)]
async fn latency_counts_from_when_a_request_was_due() {
    // One every 10 ms for a server that takes 30 ms each: the waiting grows by 20 ms a request, and is all counted.
    let times = (0..5).map(|index| MS * 10 * index).collect();
    let run = run(&plan(5, 1, Pace::Open(times)), &Fake::new(1, 30, 0)).await;
    let waits: Vec<f64> = run.records.iter().map(|record| record.time_to_first_token().unwrap()).collect();
    for (index, wait) in waits.into_iter().enumerate() {
        close(wait, 0.030 + 0.020 * index as f64);
    }
    assert!(run.records.iter().all(|record| record.sent == record.due));
    assert_eq!(run.took, MS * 150);
}

#[tokio::test(start_paused = true)]
async fn streams_send_when_an_answer_has_ended() {
    let run = run(&plan(6, 5, Pace::Closed { streams: 2 }), &Fake::new(9, 20, 5)).await;
    let dues: Vec<u128> = run.records.iter().map(|record| record.due.as_millis()).collect();
    assert_eq!(dues, [0, 0, 40, 40, 80, 80]);
    let summary = summary(&run);
    assert_eq!((summary.answered, summary.output_tokens, summary.prompt_tokens), (6, 30, Some(60)));
    close(summary.seconds, 0.120);
    close(summary.output_tokens_per_second, 30.0 / 0.120);
    close(summary.total_tokens_per_second.unwrap(), 90.0 / 0.120);
    close(summary.requests_per_second, 6.0 / 0.120);
    close(summary.time_to_first_token.unwrap().p99, 0.020);
    let gaps = summary.inter_token.unwrap();
    assert_eq!(gaps.count, 24);
    close(gaps.p50, 0.005);
    close(summary.per_output_token.unwrap().mean, 0.005);
    close(summary.end_to_end.unwrap().highest, 0.040);
}

#[tokio::test(start_paused = true)]
async fn errors_are_counted_and_are_no_goodput() {
    let mut plan = plan(4, 3, Pace::Closed { streams: 1 });
    plan.requests[1].turns = vec!["fails".into()];
    let run = run(&plan, &Fake::new(1, 10, 10)).await;
    let objective = "ttft=10ms,itl=10ms,e2e=30ms".parse().unwrap();
    let kept = Summary::of(&[&run], ServerFigures::default(), Some(objective));
    assert_eq!((kept.requests, kept.answered, kept.failed()), (4, 3, 1));
    assert_eq!((kept.errors[0].kind.as_str(), kept.errors[0].example.as_str()), ("status 503", "full"));
    close(kept.goodput.unwrap().share, 0.75);
    let objective = "e2e=29ms".parse().unwrap();
    close(Summary::of(&[&run], ServerFigures::default(), Some(objective)).goodput.unwrap().share, 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_long_prompt_comes_when_all_streams_flow() {
    let mut plan = plan(2, 100, Pace::Closed { streams: 2 });
    plan.beside = Some(request("long", 1, Part::Beside));
    let fake = Fake { slowed: MS * 5, ..Fake::new(9, 10, 5) };
    let run = run(&plan, &fake).await;
    let long = run.records.last().unwrap();
    // 64 tokens of each stream had come: the first at 10 ms, the last at 325 ms.
    assert_eq!((long.part, long.sent), (Part::Beside, MS * 325));
    let summary = summary(&run);
    // Of each stream ten tokens came meanwhile, and then they were let go.
    assert_eq!((summary.requests, summary.let_go, summary.output_tokens), (2, 2, 2 * 74 + 1));
    assert_eq!((summary.answered, summary.interrupted, run.took), (0, 0, MS * 425));
    let beside = summary.beside.unwrap();
    close(beside.time_to_first_token.unwrap().p50, 0.100);
    close(beside.quiet.unwrap().highest, 0.005);
    assert_eq!(beside.quiet.unwrap().count, 126);
    close(beside.during.unwrap().p50, 0.010);
    close(beside.ratio_of_p50.unwrap(), 2.0);
}

/// The streams end before the long prompt is answered: others take their place.
#[tokio::test(start_paused = true)]
async fn streams_go_on_as_long_as_the_long_prompt_needs() {
    let mut plan = plan(2, 70, Pace::Closed { streams: 2 });
    plan.beside = Some(request("long", 1, Part::Beside));
    let run = run(&plan, &Fake::new(9, 10, 5)).await;
    let summary = summary(&run);
    // The first two are over 30 ms after the long prompt came at 325 ms; those after them go on until 425 ms.
    assert_eq!((summary.requests, summary.answered, summary.let_go, run.took), (4, 2, 2, MS * 425));
}

#[tokio::test(start_paused = true)]
async fn a_conversation_goes_on_with_what_was_answered() {
    let mut plan = plan(2, 2, Pace::Open(vec![Duration::ZERO, MS * 5]));
    plan.requests[0].turns = ["a", "b", "c"].map(String::from).to_vec();
    plan.requests[1].turns = ["x", "fails", "z"].map(String::from).to_vec();
    let fake = Fake::new(1, 10, 10);
    let run = run(&plan, &fake).await;
    let turn = |asked: &str| Turn { asked: asked.into(), answered: format!("re: {asked}") };
    let asked: Vec<_> = fake.asked.into_inner();
    let of = |text: &str| asked.iter().find(|(asked, _)| asked == text).map(|(_, before)| before.clone());
    assert_eq!(of("c"), Some(vec![turn("a"), turn("b")]));
    assert_eq!((of("b"), of("fails"), of("z")), (Some(vec![turn("a")]), Some(vec![turn("x")]), None));
    assert_eq!((plan.sent(), run.records.len()), (6, 5));
    // A turn is due when the one before is answered.
    let own: Vec<_> = run.records.iter().filter(|record| record.index == 0).collect();
    assert!(own.windows(2).all(|pair| pair[0].ended == pair[1].due), "{own:?}");
}

#[tokio::test(start_paused = true)]
async fn a_long_prompt_is_left_out_where_nothing_flows() {
    let mut plan = plan(2, 3, Pace::Closed { streams: 2 });
    plan.beside = Some(request("long", 1, Part::Beside));
    let run = run(&plan, &Fake::new(9, 10, 5)).await;
    assert_eq!((run.records.len(), summary(&run).beside), (2, None));
}

#[tokio::test(start_paused = true)]
async fn ending_early_keeps_what_was_heard() {
    let (stopper, stop) = watch::channel(false);
    let plan = plan(10, 10, Pace::Closed { streams: 2 });
    let fake = Fake::new(9, 10, 10);
    let last = Cell::new(Progress { ended: 0, running: 0, pieces: 0 });
    let watching = |progress| last.set(progress);
    let driving = drive(&plan, &fake, &stop, &watching);
    let stopping = async {
        sleep(MS * 145).await;
        stopper.send_replace(true);
    };
    let (run, ()) = tokio::join!(driving, stopping);
    let summary = summary(&run);
    // Two answers of 100 ms each, and two that had four tokens.
    assert_eq!((summary.requests, summary.answered, summary.interrupted), (4, 2, 2));
    assert_eq!((summary.output_tokens, summary.failed()), (28, 0));
    assert_eq!(last.get(), Progress { ended: 4, running: 0, pieces: 28 });
    assert!(run.records[2..].iter().all(|record| record.outcome == Outcome::Interrupted));
}

#[tokio::test(start_paused = true)]
async fn a_shared_prefix_is_told_by_the_first_of_its_group() {
    let mut plan = plan(4, 1, Pace::Closed { streams: 1 });
    plan.requests[0].part = Part::FirstOfGroup(0);
    plan.requests[1..].iter_mut().for_each(|request| request.part = Part::LaterOfGroup(0));
    let run = run(&plan, &Fake::new(1, 10, 0)).await;
    let shared = summary(&run).shared_prefix.unwrap();
    assert_eq!((shared.first.count, shared.later.unwrap().count), (1, 3));
    close(shared.ratio.unwrap(), 1.0);
}
