//! The examination of a device: every kernel against its twin, on the device itself.
//!
//! The emulator assumes things of a GPU that only a GPU can show. So on a user's machine the same cases run that run in
//! tests, first those that ask for the assumptions themselves (the `probe` concept).

use std::collections::{BTreeSet, HashSet};
use std::time::Instant;

use crate::case::{Case, CaseError};
use crate::device::{Device, DeviceFacts, Dispatch, Kernel, Profile};
use crate::kernels::{CONCEPTS, Concept, probe};
use crate::product::MatrixProduct;

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
    /// Entry points of cases that came out right.
    pub right: BTreeSet<&'static str>,
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

/// Whether a device has what a case's kernels are written in, and the library that it calls.
fn runs_on(case: &Case, facts: &DeviceFacts) -> bool {
    let has = |dispatch: &Dispatch| {
        (facts.tensor_operations || !dispatch.kernel.source.needs_tensor_operations())
            && (facts.register_factors || !dispatch.kernel.source.needs_register_factors())
            && (facts.warpgroup_products || !dispatch.kernel.source.needs_warpgroup_products())
            && (facts.matrix_library || MatrixProduct::of(dispatch).is_none())
    };
    case.dispatches.iter().all(has)
}

/// How far an examination has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExaminationProgress {
    /// Kernels are being compiled, so many of all.
    Compiling(usize, usize),
    /// Cases of this concept run, and so many of all are done.
    Running(&'static str, usize, usize),
}

/// Runs every case in `scope` on `device`, less those of tensor operations where it has none.
pub fn examine(
    device: &mut dyn Device,
    scope: &Scope,
    progress: &mut dyn FnMut(ExaminationProgress),
) -> Examination {
    let facts = device.facts().clone();
    let mut concepts: Vec<&Concept> = CONCEPTS.iter().collect();
    concepts.sort_by_key(|concept| concept.name != probe::CONCEPT.name);
    let chosen: Vec<(&Concept, Vec<Case>)> = concepts
        .into_iter()
        .map(|concept| {
            let cases = (concept.cases)().into_iter();
            let cases = cases.filter(|case| scope.has(concept, case) && runs_on(case, &facts));
            (concept, cases.collect())
        })
        .filter(|(_, cases): &(_, Vec<Case>)| !cases.is_empty())
        .collect();
    compile(device, &chosen, progress);
    let total = chosen.iter().map(|(_, cases)| cases.len()).sum();
    let mut done = 0;
    let mut findings = Vec::new();
    for (concept, cases) in chosen {
        let begun = Instant::now();
        let (mut failures, mut right) = (Vec::new(), BTreeSet::new());
        for case in &cases {
            progress(ExaminationProgress::Running(concept.name, done, total));
            match case.run(device) {
                Ok(()) => right.extend(kernels(case)),
                Err(error) => failures.push(Failure { kernels: kernels(case), error }),
            }
            done += 1;
        }
        let seconds = begun.elapsed().as_secs_f64();
        findings.push(Finding { concept: concept.name, cases: cases.len(), seconds, failures, right });
    }
    let timestamps = measures_kernels(device);
    Examination { facts, findings, timestamps }
}

/// Names of entry points.
pub type Entries = BTreeSet<&'static str>;

/// Examines what a model uses, and what it would use instead of kernels that turn out wrong. `used` says which entry points
/// those are when some are excluded. The answer has all that were examined.
///
/// # Errors
/// When `used` fails with nothing excluded. Later it may: then nothing is left to use instead.
pub fn examine_used<E>(
    device: &mut dyn Device,
    used: &dyn Fn(&BTreeSet<String>) -> Result<Entries, E>,
    progress: &mut dyn FnMut(ExaminationProgress),
) -> Result<(Examination, Entries), E> {
    let mut entries = used(&BTreeSet::new())?;
    let mut examination = examine(device, &Scope::Only(entries.clone()), progress);
    while !examination.is_sound() {
        let excluded = examination.excluded().into_iter().map(str::to_owned).collect();
        let Ok(instead) = used(&excluded) else { break };
        let new: Entries = instead.difference(&entries).copied().collect();
        if new.is_empty() {
            break;
        }
        let findings = examine(device, &Scope::Only(new.clone()), progress).findings;
        let known = |finding: &Finding| finding.concept == probe::CONCEPT.name;
        examination.findings.extend(findings.into_iter().filter(|finding| !known(finding)));
        entries.extend(new);
    }
    Ok((examination, entries))
}

/// Compiles all that the cases need, at once because that takes less time than one after another. What does not compile
/// is no reason to stop: its cases fail by themselves.
fn compile(
    device: &mut dyn Device,
    chosen: &[(&Concept, Vec<Case>)],
    progress: &mut dyn FnMut(ExaminationProgress),
) {
    let mut kernels: Vec<Kernel> = Vec::new();
    let mut known = HashSet::new();
    for dispatch in chosen.iter().flat_map(|(_, cases)| cases).flat_map(|case| &case.dispatches) {
        if known.insert(dispatch.kernel) {
            kernels.push(dispatch.kernel);
        }
    }
    let total = kernels.len();
    let _ = device.prepare(&kernels, &mut |done| progress(ExaminationProgress::Compiling(done, total)));
}

/// The entry points that a case dispatches, each once.
fn kernels(case: &Case) -> Vec<&'static str> {
    let entries: BTreeSet<_> = case.dispatches.iter().map(|dispatch| dispatch.kernel.entry).collect();
    entries.into_iter().collect()
}

/// Whether a submission with [`Profile::Kernels`] says how long its kernels took.
fn measures_kernels(device: &mut dyn Device) -> bool {
    let Some(case) = (probe::CONCEPT.cases)().into_iter().next() else { return false };
    let timing = case.run_profiled(device, Profile::Kernels);
    timing.is_ok_and(|timing| timing.kernels.len() == case.dispatches.len())
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
    /// every kernel of a failed case is right elsewhere, all of them are: the fault shows under conditions of that case.
    pub fn excluded(&self) -> BTreeSet<&'static str> {
        let right: BTreeSet<&'static str> =
            self.findings.iter().flat_map(|finding| &finding.right).copied().collect();
        let mut excluded = BTreeSet::new();
        for failure in self.findings.iter().flat_map(|finding| &finding.failures) {
            let always: Vec<_> = failure.kernels.iter().filter(|kernel| !right.contains(*kernel)).collect();
            match always.as_slice() {
                [] => excluded.extend(&failure.kernels),
                always => excluded.extend(always.iter().copied()),
            }
        }
        excluded
    }
}
