//! The examination of a device: every kernel against its twin, on the device itself.
//!
//! The emulator assumes things of a GPU that only a GPU can show. So on a user's machine the same cases run that run in
//! tests, first those that ask for the assumptions themselves (the `probe` concept).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::case::{Case, CaseError};
use crate::device::{Argument, BufferId, Command, Device, DeviceFacts, Dispatch, Profile};
use crate::kernels::{CONCEPTS, Concept, probe};

/// What was found of one concept's kernels.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Which concept.
    pub concept: &'static str,
    /// Cases that ran.
    pub cases: usize,
    /// Seconds that they took, compiling included.
    pub seconds: f64,
    /// The cases that failed: the entry points that they dispatch, and why.
    pub failures: Vec<Failure>,
}

/// A case that failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The kernels that the case runs: any of them may be at fault.
    pub kernels: Vec<&'static str>,
    /// What differs.
    pub error: CaseError,
}

/// What was found of a device.
#[derive(Debug, Clone)]
pub struct Examination {
    /// The device.
    pub facts: DeviceFacts,
    /// By concept, probes first.
    pub findings: Vec<Finding>,
    /// Whether the device measures single kernels.
    pub timestamps: bool,
}

/// Which kernels are examined.
#[derive(Debug, Clone)]
pub enum Scope {
    /// All.
    All,
    /// The probes, and these entry points: what one model would use.
    Only(BTreeSet<&'static str>),
}

impl Scope {
    fn has(&self, concept: &Concept, case: &Case) -> bool {
        match self {
            Scope::All => true,
            Scope::Only(entries) => {
                concept.name == probe::CONCEPT.name
                    || kernels(case).iter().any(|entry| entries.contains(entry))
            }
        }
    }
}

/// Runs every case in `scope` on `device`. `progress` is told the concept, and how many of all cases are done.
pub fn examine(
    device: &mut dyn Device,
    scope: &Scope,
    progress: &mut dyn FnMut(&'static str, usize, usize),
) -> Examination {
    let mut concepts: Vec<&Concept> = CONCEPTS.iter().collect();
    concepts.sort_by_key(|concept| concept.name != probe::CONCEPT.name);
    let chosen: Vec<(&Concept, Vec<Case>)> = concepts
        .into_iter()
        .map(|concept| {
            let cases = (concept.cases)().into_iter().filter(|case| scope.has(concept, case));
            (concept, cases.collect())
        })
        .filter(|(_, cases): &(_, Vec<Case>)| !cases.is_empty())
        .collect();
    let total = chosen.iter().map(|(_, cases)| cases.len()).sum();
    let mut done = 0;
    let mut findings = Vec::new();
    for (concept, cases) in chosen {
        let begun = Instant::now();
        let mut failures = Vec::new();
        for case in &cases {
            progress(concept.name, done, total);
            if let Err(error) = case.run(device) {
                failures.push(Failure { kernels: kernels(case), error });
            }
            done += 1;
        }
        let seconds = begun.elapsed().as_secs_f64();
        findings.push(Finding { concept: concept.name, cases: cases.len(), seconds, failures });
    }
    let timestamps = measures_kernels(device);
    Examination { facts: device.facts().clone(), findings, timestamps }
}

/// The entry points that a case dispatches, each once.
fn kernels(case: &Case) -> Vec<&'static str> {
    let entries: BTreeSet<_> = case.dispatches.iter().map(|dispatch| dispatch.kernel.entry).collect();
    entries.into_iter().collect()
}

/// Whether a submission with [`Profile::Kernels`] says how long its kernels took.
fn measures_kernels(device: &mut dyn Device) -> bool {
    let Some(case) = (probe::CONCEPT.cases)().into_iter().next() else { return false };
    let run = |device: &mut dyn Device| -> Result<bool, CaseError> {
        let slice = &case.buffers[0];
        let buffer = device.allocate(slice.bytes.len(), "a kernel's test")?;
        let commands: Vec<Command> =
            case.dispatches.iter().map(|dispatch| Command::Dispatch(on(dispatch, buffer))).collect();
        let submission = device.submit(&commands, Profile::Kernels);
        let timing = submission.and_then(|submission| device.wait(submission));
        device.release(buffer);
        Ok(timing?.kernels.len() == commands.len())
    };
    run(device).unwrap_or(false)
}

/// The dispatch on one buffer instead of the case's first.
fn on(dispatch: &Dispatch, buffer: BufferId) -> Dispatch {
    let mut dispatch = dispatch.clone();
    for argument in &mut dispatch.arguments {
        if let Argument::Buffer(slice, _) = argument {
            slice.buffer = buffer;
        }
    }
    dispatch
}

impl Examination {
    /// Whether every case came out right.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.failures.is_empty())
    }

    /// The kernels that are not to be used on this device: those of a failed case, less those that other cases show
    /// to be right.
    ///
    /// A case may run several kernels, of which one is wrong. A kernel that is in failed cases only is at fault; if
    /// every kernel of a failed case passes elsewhere, all of them are: the fault shows under conditions of that case.
    pub fn excluded(&self) -> BTreeSet<&'static str> {
        let mut failed: BTreeMap<&'static str, usize> = BTreeMap::new();
        for failure in self.findings.iter().flat_map(|finding| &finding.failures) {
            failure.kernels.iter().for_each(|kernel| *failed.entry(kernel).or_default() += 1);
        }
        let total = |kernel: &str| {
            let cases = CONCEPTS.iter().flat_map(|concept| (concept.cases)());
            cases.filter(|case| kernels(case).contains(&kernel)).count()
        };
        let always: BTreeSet<&'static str> = failed
            .iter()
            .filter(|&(kernel, &count)| count == total(kernel))
            .map(|(kernel, _)| *kernel)
            .collect();
        let mut excluded = always.clone();
        for failure in self.findings.iter().flat_map(|finding| &finding.failures) {
            if !failure.kernels.iter().any(|kernel| always.contains(kernel)) {
                excluded.extend(&failure.kernels);
            }
        }
        excluded
    }
}
