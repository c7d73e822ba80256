//! A device that computes wrongly with one kernel is found out, and models run on it with the next choice.
//!
//! Kernels are damaged in their text, one line of one entry point, as a compiler or a GPU might get them wrong.

#[allow(dead_code)]
#[path = "models/fixture.rs"]
mod fixture;

use std::collections::BTreeSet;
use std::sync::Arc;

use fixture::{Expected, distance, emulator, fixtures, logits, settings, step, try_load};
use wootz_backend::Model;
use wootz_gpu::choices::Choices;
use wootz_gpu::device::{
    BufferId, Command, Device, DeviceError, DeviceFacts, Kernel, Profile, Slice, Submission, Timing,
};
use wootz_gpu::doctor::{Examination, ExaminationProgress, Scope, examine, examine_used};
use wootz_gpu::emulator::{Checks, Emulator, Schedule};
use wootz_gpu::kernels::CONCEPTS;
use wootz_gpu::model::{GpuModel, GpuSettings};
use wootz_gpu::paper::Paper;
use wootz_gpu::select::Answers;
use wootz_gpu::source::KernelSource;
use wootz_weights::MappedFile;

/// One entry point, and what is wrong with it.
#[derive(Clone, Copy)]
struct Damage {
    file: &'static str,
    entry: &'static str,
    right: &'static str,
    wrong: &'static str,
}

/// Each lane gives its own share instead of the sum over the lanes.
const GEMV: Damage = Damage {
    file: "gemv_plain.metal",
    entry: "gemv_loose_f32",
    right: "const float sum = simd_sum(sums[r][m]);",
    wrong: "const float sum = sums[r][m];",
};

/// Epsilon is forgotten, and the mean is of one element too many.
const RMS_NORM: Damage = Damage {
    file: "norm.metal",
    entry: "rms_norm",
    right: "all.sum / float(width) + args.epsilon",
    wrong: "all.sum / float(width + 1)",
};

/// An emulator on which one kernel is wrong.
struct Faulty {
    device: Emulator,
    entry: &'static str,
    source: &'static KernelSource,
}

impl Faulty {
    fn new(damage: Damage) -> Faulty {
        let mut sources = CONCEPTS.iter().flat_map(|concept| concept.sources);
        let original = sources.find(|source| source.file == damage.file).expect("the file exists");
        let text = original.flattened().unwrap();
        assert_eq!(text.matches(damage.right).count(), 1, "{} occurs once", damage.right);
        // It lives as long as the process, as all kernels do.
        let text: &'static str = text.replace(damage.right, damage.wrong).leak();
        let file: &'static str = format!("damaged_{}", damage.file).leak();
        let source = Box::leak(Box::new(KernelSource { file, text, arguments: &[] }));
        Faulty { device: emulator(Checks::Plain, Schedule::InOrder), entry: damage.entry, source }
    }

    fn damaged(&self, kernel: Kernel) -> Kernel {
        if kernel.entry == self.entry { Kernel { source: self.source, ..kernel } } else { kernel }
    }
}

impl Device for Faulty {
    fn facts(&self) -> &DeviceFacts {
        self.device.facts()
    }
    fn allocate(&mut self, bytes: usize, purpose: &'static str) -> Result<BufferId, DeviceError> {
        self.device.allocate(bytes, purpose)
    }
    fn map(&mut self, file: &Arc<MappedFile>) -> Result<BufferId, DeviceError> {
        self.device.map(file)
    }
    fn release(&mut self, buffer: BufferId) {
        self.device.release(buffer);
    }
    fn write(&mut self, to: Slice, bytes: &[u8]) -> Result<(), DeviceError> {
        self.device.write(to, bytes)
    }
    fn read(&mut self, from: Slice, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.device.read(from, bytes)
    }
    fn prepare(&mut self, kernels: &[Kernel], progress: &mut dyn FnMut(usize)) -> Result<(), DeviceError> {
        let kernels: Vec<Kernel> = kernels.iter().map(|&kernel| self.damaged(kernel)).collect();
        self.device.prepare(&kernels, progress)
    }
    fn submit(&mut self, commands: &[Command], profile: Profile) -> Result<Submission, DeviceError> {
        let mut commands = commands.to_vec();
        for command in &mut commands {
            if let Command::Dispatch(dispatch) = command {
                dispatch.kernel = self.damaged(dispatch.kernel);
            }
        }
        self.device.submit(&commands, profile)
    }
    fn wait(&mut self, submission: Submission) -> Result<Timing, DeviceError> {
        self.device.wait(submission)
    }
}

/// The model of these tests.
fn folder() -> std::path::PathBuf {
    fixtures().join("models/llama")
}

fn load(device: Box<dyn Device>, choices: Choices) -> GpuModel {
    let settings = GpuSettings { choices, ..settings(64, Answers::Fastest) };
    try_load(&folder(), device, &settings).unwrap_or_else(|error| panic!("{error}"))
}

/// What the model would use without some kernels.
fn used_without(facts: &DeviceFacts, excluded: &BTreeSet<String>) -> BTreeSet<&'static str> {
    let choices = Choices { excluded: excluded.clone(), ..Choices::default() };
    let model = load(Box::new(Paper::new(facts.clone())), choices);
    model.kernels().iter().map(|kernel| kernel.entry).collect()
}

/// What the model would use where nothing is known of the device.
fn used(facts: &DeviceFacts) -> BTreeSet<&'static str> {
    used_without(facts, &BTreeSet::new())
}

fn examined(device: &mut Faulty) -> Examination {
    let facts = device.facts().clone();
    let used = |excluded: &BTreeSet<String>| Ok::<_, ()>(used_without(&facts, excluded));
    let (examination, entries) = examine_used(device, &used, &mut |_| ()).unwrap();
    // What is used instead was examined too.
    let excluded = examination.excluded().into_iter().map(str::to_owned).collect();
    assert!(used_without(&facts, &excluded).is_subset(&entries));
    examination
}

/// The logits of an answer's first token after the prompt, which a step with a single row computes.
fn answer(model: &mut GpuModel) -> Vec<f32> {
    let Expected { prompt, .. } = Expected::read(&folder());
    logits(model, &prompt);
    model.forward(&step(&prompt[..1], prompt.len(), vec![0])).unwrap().to_vec()
}

#[test]
fn a_wrong_kernel_is_found_and_the_next_choice_used() {
    let mut device = Faulty::new(GEMV);
    let examination = examined(&mut device);
    assert!(!examination.is_sound());
    assert_eq!(examination.excluded(), BTreeSet::from([GEMV.entry]));
    for failure in examination.findings.iter().flat_map(|finding| &finding.failures) {
        assert_eq!(failure.kernels, [GEMV.entry], "{}", failure.error);
    }

    let mut clean = load(Box::new(emulator(Checks::Plain, Schedule::InOrder)), Choices::default());
    let right = answer(&mut clean);
    let mut trusting = load(Box::new(Faulty::new(GEMV)), Choices::default());
    assert!(trusting.kernels().iter().any(|kernel| kernel.entry == GEMV.entry));
    let off = distance(&answer(&mut trusting), &right);
    assert!(off > 0.1, "the damage should show, and logits are off by {off:e} only");

    let excluded = examination.excluded().into_iter().map(str::to_owned).collect();
    let choices = Choices { excluded, ..Choices::new(device.facts()) };
    let mut warned = load(Box::new(device), choices);
    assert!(warned.kernels().iter().all(|kernel| kernel.entry != GEMV.entry));
    let off = distance(&answer(&mut warned), &right);
    // The next choice multiplies by tiles of f16: eleven bits, so 5e-4 a product at most, and sums average.
    assert!(off < 5e-3, "off by {off:e}");
}

/// What is left to do about it is the command line's: it refuses to run the model there.
#[test]
fn a_wrong_kernel_without_an_alternative_is_reported() {
    let mut device = Faulty::new(RMS_NORM);
    let examination = examined(&mut device);
    assert_eq!(examination.excluded(), BTreeSet::from([RMS_NORM.entry]));
    let norm = examination.findings.iter().find(|finding| finding.concept == "norm").unwrap();
    assert!(!norm.failures.is_empty());
    let others = examination.findings.iter().filter(|finding| finding.concept != "norm");
    assert!(others.into_iter().all(|finding| finding.failures.is_empty()));

    let excluded = BTreeSet::from([RMS_NORM.entry.to_owned()]);
    let choices = Choices { excluded, ..Choices::new(device.facts()) };
    let model = load(Box::new(device), choices);
    assert!(model.kernels().iter().any(|kernel| kernel.entry == RMS_NORM.entry));
}

#[test]
fn a_sound_device_is_found_sound() {
    let mut device = emulator(Checks::Plain, Schedule::InOrder);
    let scope = Scope::Only(used(device.facts()));
    let mut seen = Vec::new();
    let examination = examine(&mut device, &scope, &mut |progress| {
        if let ExaminationProgress::Running(_, done, total) = progress {
            seen.push((done, total));
        }
    });
    assert!(examination.is_sound(), "{:?}", examination.findings);
    assert!(examination.excluded().is_empty() && examination.timestamps);
    assert_eq!(examination.findings[0].concept, "probe");
    let cases: usize = examination.findings.iter().map(|finding| finding.cases).sum();
    assert_eq!(seen, (0..cases).map(|done| (done, cases)).collect::<Vec<_>>());
}
