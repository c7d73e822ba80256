//! Several loads on several servers, in turns.

use tokio::sync::watch;

use crate::drive::{Progress, Run, drive};
use crate::error::LoadError;
use crate::exchange::{Exchange, Heard};
use crate::http::Server;
use crate::metrics::ServerFigures;
use crate::plan::{Arrivals, PlannedRequest, Prompts, Workload};
use crate::report::{LoadReport, Report, ServerInfo, ServerLoad, compare};
use crate::slo::Objective;
use crate::words::{CountTokens, Meter};

/// One load.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// What it is called.
    pub name: String,
    /// How requests arrive.
    pub arrivals: Arrivals,
    /// What they ask.
    pub workload: Workload,
}

/// How loads are measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SessionSettings {
    /// How often each load is run on each server.
    pub rounds: usize,
    /// Requests to each server before the first round.
    pub warm_up: usize,
    /// What a request must keep to count as served well.
    pub objective: Option<Objective>,
}

/// What happens, for whoever watches.
#[derive(Debug, Clone, Copy)]
pub enum Happening<'a> {
    /// A server is asked its first, unmeasured requests.
    WarmsUp {
        /// The server's name.
        server: &'a str,
    },
    /// A run begins.
    Begins {
        /// The load's name.
        load: &'a str,
        /// The server's name.
        server: &'a str,
        /// Counted from 1.
        round: usize,
        /// Requests of the run.
        requests: usize,
    },
    /// A run goes on.
    Goes(Progress),
}

/// Words of the two texts whose tokens a server counts.
const MEASURED_WORDS: [usize; 2] = [32, 160];

/// Measures every load on every server, a round of each server after the other. When `stop` becomes true it ends with
/// what there is.
pub async fn measure(
    servers: &[Server],
    loads: &[Load],
    settings: SessionSettings,
    count_tokens: Option<CountTokens>,
    stop: &watch::Receiver<bool>,
    watcher: &dyn Fn(Happening),
) -> Result<Report, LoadError> {
    let meter = prepare(servers, loads, settings, count_tokens, watcher).await?;
    let mut reports = Vec::new();
    for (index, load) in loads.iter().enumerate() {
        if *stop.borrow() {
            break;
        }
        let mut rounds: Vec<Vec<(Run, ServerFigures)>> = servers.iter().map(|_| Vec::new()).collect();
        for round in 0..settings.rounds {
            // Each load and round has texts of its own, the same for every server.
            let number = (index * settings.rounds + round) as u64;
            let plan = load.workload.plan(load.arrivals, number, &meter);
            for turn in 0..servers.len() {
                // Every server is first in some round, so that none is always measured on a warmer machine.
                let place = (turn + round) % servers.len();
                let server = &servers[place];
                if *stop.borrow() {
                    break;
                }
                watcher(Happening::Begins {
                    load: &load.name,
                    server: &server.target.name,
                    round: round + 1,
                    requests: plan.sent(),
                });
                let before = server.metrics().await;
                let run = drive(&plan, server, stop, &|progress| watcher(Happening::Goes(progress))).await;
                let after = server.metrics().await;
                let figures = before.zip(after);
                let figures =
                    figures.map(|(before, after)| ServerFigures::between(server.kind, &before, &after));
                rounds[place].push((run, figures.unwrap_or_default()));
            }
        }
        let named = servers.iter().zip(rounds);
        let measured = named
            .map(|(server, rounds)| ServerLoad::new(server.target.name.clone(), rounds, settings.objective));
        let servers: Vec<ServerLoad> = measured.collect();
        let comparisons = compare(&servers);
        reports.push(LoadReport { name: load.name.clone(), servers, comparisons });
    }
    let info = |server: &Server| ServerInfo {
        name: server.target.name.clone(),
        address: server.target.address.to_string(),
        kind: server.kind,
        model: server.model.clone(),
    };
    Ok(Report { servers: servers.iter().map(info).collect(), interrupted: *stop.borrow(), loads: reports })
}

/// Warms the servers up, which shows whether they answer at all, and finds out how long texts must be.
async fn prepare(
    servers: &[Server],
    loads: &[Load],
    settings: SessionSettings,
    count_tokens: Option<CountTokens>,
    watcher: &dyn Fn(Happening),
) -> Result<Meter, LoadError> {
    let (Some(workload), Some(first)) = (loads.first().map(|load| &load.workload), servers.first()) else {
        return Err(LoadError::Setting("nothing to measure: no load or no server".into()));
    };
    let rough = Meter::Server { fixed: 0.0, per_word: 1.0 };
    for server in servers {
        watcher(Happening::WarmsUp { server: &server.target.name });
        for index in 0..settings.warm_up {
            ask(server, &workload.warm_up(index, &rough)).await?;
        }
    }
    let needs_texts =
        |load: &Load| load.workload.beside.is_some() || !matches!(load.workload.prompts, Prompts::Listed(_));
    if let Some(count) = count_tokens {
        return Ok(Meter::Tokenizer(count));
    }
    if !loads.iter().any(needs_texts) {
        return Ok(rough);
    }
    let mut counts = Vec::new();
    for words in MEASURED_WORDS {
        let heard = ask(first, &workload.measure(words)).await?;
        let tokens = heard.usage.prompt.ok_or_else(|| {
            LoadError::Setting(format!(
                "{} does not say how many tokens a prompt has: a tokenizer has to be given to make prompts of a length",
                first.target.name
            ))
        })?;
        counts.push((words, tokens));
    }
    Ok(Meter::from_counts(counts[0], counts[1]))
}

/// One request that is not measured, but has to succeed.
async fn ask(server: &Server, request: &PlannedRequest) -> Result<Heard, LoadError> {
    let mut heard = Heard::default();
    let answered = server.exchange(request, &[], &mut heard, &|| {}).await;
    answered.map_err(|error| LoadError::WarmUp {
        name: server.target.name.clone(),
        address: server.target.address.to_string(),
        why: error.to_string(),
    })?;
    Ok(heard)
}
