//! Every kernel's cases, which the emulator runs too, against their twins in Rust.

use std::collections::BTreeMap;

use libtest_mimic::{Failed, Trial};
use wootz_gpu::case::Case;
use wootz_gpu::device::Device;
use wootz_gpu::kernels::CONCEPTS;
use wootz_gpu::source::KernelSource;

use crate::Shared;

/// Failures that a message shows.
const SHOWN: usize = 5;

/// One test for the cases of each kernel file.
pub fn trials(device: &Shared) -> Vec<Trial> {
    let mut files: BTreeMap<&'static str, Vec<Case>> = BTreeMap::new();
    for concept in CONCEPTS {
        for case in (concept.cases)() {
            let sources = || case.dispatches.iter().map(|dispatch| dispatch.kernel.source);
            // Metal 4's tensor operations are Apple's.
            if sources().any(KernelSource::needs_tensor_operations) {
                continue;
            }
            // A case belongs to the file of its concept that it is about, which comes last.
            if let Some(source) = sources().next_back() {
                files.entry(source.file).or_default().push(case);
            }
        }
    }
    let trial = |(file, cases): (&'static str, Vec<Case>)| {
        let device = device.clone();
        Trial::test(format!("kernels::{file}"), move || check(&mut **device.lock(), &cases))
    };
    files.into_iter().map(trial).collect()
}

fn check(device: &mut dyn Device, cases: &[Case]) -> Result<(), Failed> {
    let run = |case: &Case| Some(format!("{}: {}", case.name, case.run(device).err()?));
    let wrong: Vec<String> = cases.iter().filter_map(run).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    let shown = wrong.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n");
    Err(format!("{} of {} cases are wrong:\n{shown}", wrong.len(), cases.len()).into())
}
