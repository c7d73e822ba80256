//! Every kernel against its scalar twin on the emulator.
//!
//! Each concept is one test: its cases run with every access checked, in order; then without checks, as fast code is
//! compiled, under random schedules of threads, threadgroups and dispatches.

use std::collections::BTreeSet;
use std::path::Path;

use wootz_gpu::case::{Case, CaseError};
use wootz_gpu::device::{DeviceError, Kernel};
use wootz_gpu::emulator::{Checks, Emulator, EmulatorSettings, Schedule};
use wootz_gpu::kernels::{CONCEPTS, Concept};
use wootz_gpu::source::KernelSource;

/// Seeds of the random schedules.
const SEEDS: [u64; 2] = [1, 20_260_731];

macro_rules! concepts {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            check(stringify!($name));
        })*

        /// Nothing that clang accepts and Metal's compiler refuses.
        mod lint {
            $(#[test]
            fn $name() {
                super::lint_sources(stringify!($name));
            })*
        }

        #[test]
        fn every_concept_has_a_test() {
            let names: Vec<&str> = CONCEPTS.iter().map(|concept| concept.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

concepts![
    activation,
    attention,
    copy,
    embedding,
    gemm,
    gemm_packed,
    gemv,
    kv_write,
    moe,
    norm,
    probe,
    residual,
    rope,
    sample,
];

fn emulator(checks: Checks, schedule: Schedule) -> Emulator {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels");
    let settings = EmulatorSettings { checks, schedule, cache, ..EmulatorSettings::default() };
    Emulator::new(settings).unwrap_or_else(|error| panic!("{error}"))
}

fn concept(name: &str) -> &'static Concept {
    CONCEPTS.iter().find(|concept| concept.name == name).unwrap()
}

/// Runs all cases of a concept in every way, and fails with all that went wrong.
fn check(name: &str) {
    let cases = (concept(name).cases)();
    let random = SEEDS.map(|seed| (Checks::Plain, Schedule::Random(seed)));
    let ways = [(Checks::Checked, Schedule::InOrder)].into_iter().chain(random);
    let mut failures: Vec<String> = Vec::new();
    for (checks, schedule) in ways {
        let mut device = emulator(checks, schedule);
        for case in &cases {
            let failure = match case.run(&mut device) {
                Ok(()) => continue,
                // The same for every case of the file.
                Err(error @ CaseError::Device(DeviceError::Compile { .. })) => error.to_string(),
                Err(error) => format!("{}, {schedule:?}, case {}: {error}", names(case), case.name),
            };
            if !failures.contains(&failure) {
                failures.push(failure);
            }
        }
        // What a first way finds, the others would say again.
        if !failures.is_empty() {
            break;
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// The kernels that a case dispatches.
fn names(case: &Case) -> String {
    let names: BTreeSet<String> =
        case.dispatches.iter().map(|dispatch| format!("{:?}", dispatch.kernel)).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

fn msl_source(source: &KernelSource) -> msl::Source {
    let text = source.flattened().unwrap_or_else(|message| panic!("{message}"));
    msl::Source::new(source.file, text)
}

#[test]
fn every_entry_point_has_a_case() {
    let mut uncovered = Vec::new();
    for concept in CONCEPTS {
        let covered: BTreeSet<(&str, &str)> = (concept.cases)()
            .iter()
            .flat_map(|case| &case.dispatches)
            .map(|dispatch| (dispatch.kernel.source.file, dispatch.kernel.entry))
            .collect();
        for source in concept.sources {
            let lowered = msl::lower(&msl_source(source)).unwrap_or_else(|error| panic!("{error}"));
            let names = lowered.interface.entry_points.iter().map(|entry_point| &entry_point.name);
            uncovered.extend(
                names
                    .filter(|name| !covered.contains(&(source.file, name.as_str())))
                    .map(|name| format!("{}:{name}", source.file)),
            );
        }
    }
    assert!(uncovered.is_empty(), "entry points that no case dispatches: {}", uncovered.join(", "));
}

/// The first case that fails when `from` is replaced by `to`, in a file or in a header of it.
fn caught(file: &str, from: &str, to: &str) -> Option<CaseError> {
    let has_file = |concept: &&Concept| concept.sources.iter().any(|source| source.file == file);
    let concept = CONCEPTS.iter().find(has_file).unwrap();
    let source = concept.sources.iter().find(|source| source.file == file).unwrap();
    let whole = source.flattened().unwrap();
    assert!(whole.contains(from), "{file} has no `{from}`");
    let text: &'static str = whole.replacen(from, to, 1).leak();
    let wrong: &'static KernelSource =
        Box::leak(Box::new(KernelSource { file: source.file, text, arguments: &[] }));
    let mut device = emulator(Checks::Checked, Schedule::InOrder);
    (concept.cases)().into_iter().find_map(|mut case| {
        for dispatch in case.dispatches.iter_mut().filter(|dispatch| dispatch.kernel.source.file == file) {
            dispatch.kernel = Kernel { source: wrong, entry: dispatch.kernel.entry };
        }
        case.run(&mut device).err()
    })
}

fn faulted(error: &CaseError) -> &str {
    let CaseError::Device(DeviceError::Fault { kernel, message, .. }) = error else { panic!("{error}") };
    assert!(kernel.as_deref().is_some_and(|name| name.starts_with("norm.metal:")), "{error}");
    message
}

#[test]
fn a_wrong_number_is_caught() {
    let error = caught("norm.metal", "args.epsilon", "0.1f").unwrap();
    assert!(matches!(error, CaseError::Differs { .. }), "{error}");
}

#[test]
fn an_access_beyond_a_row_is_caught() {
    let error =
        caught("norm.metal", "const ulong start = ulong(row) *", "const ulong start = ulong(row + 1) *");
    let error = error.unwrap();
    assert!(faulted(&error).contains("common/quads.h:"), "{error}");
}

#[test]
fn a_missing_threadgroup_barrier_is_caught() {
    let error = caught("norm.metal", "threadgroup_barrier(mem_flags::mem_threadgroup);", "").unwrap();
    assert!(faulted(&error).contains("common/team.h:"), "{error}");
}

fn lint_sources(name: &str) {
    let mut findings = Vec::new();
    for source in concept(name).sources {
        let found = msl::lint::lint(&msl_source(source)).unwrap_or_else(|error| panic!("{error}"));
        findings.extend(found.iter().map(ToString::to_string));
    }
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}
