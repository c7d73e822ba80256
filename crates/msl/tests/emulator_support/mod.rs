//! A small language for tests of the emulator: a kernel's text, buffers of numbers, and what came of it.
#![allow(dead_code, reason = "each test file uses a part of it")]

use msl::emulator::{Binding, Buffer, Counts, Dispatch, Fault, FaultKind, Library, Mode, OpenError};
use msl::{Options, Source, compile};

/// The name under which test kernels are compiled, and that faults must show.
pub const FILE: &str = "test.metal";
/// The lines before a kernel's text, so that its first line is line 3.
const HEADER: &str = "#include <metal_stdlib>\nusing namespace metal;\n";

/// Compiles and loads a kernel.
pub fn library(mode: msl::Mode, text: &str) -> Library {
    let source = Source::new(FILE, format!("{HEADER}{text}"));
    let compiled = compile(&source, &Options::new(mode)).expect("the kernel compiles");
    let opened: Result<Library, OpenError> = Library::open(&compiled);
    opened.expect("the library loads")
}

/// A dispatch of the kernel `k` on buffers of floating-point numbers, which are bound in order from index 0.
pub struct Case {
    pub text: &'static str,
    pub reads: Vec<Vec<f32>>,
    /// Buffers that are written; they come after those that are read.
    pub outputs: Vec<Vec<f32>>,
    /// Whether outputs begin as initialised.
    pub initialised: bool,
    pub threadgroup_memory: usize,
    pub threadgroups: u32,
    pub threads: u32,
}

impl Case {
    /// A kernel with one output of so many numbers, in one threadgroup.
    pub fn new(text: &'static str, output: usize, threads: u32) -> Self {
        Self {
            text,
            reads: Vec::new(),
            outputs: vec![vec![0.0; output]],
            initialised: false,
            threadgroup_memory: 0,
            threadgroups: 1,
            threads,
        }
    }

    pub fn threadgroups(mut self, count: u32) -> Self {
        self.threadgroups = count;
        self
    }

    pub fn initialised(mut self) -> Self {
        self.initialised = true;
        self
    }

    pub fn reading(mut self, numbers: Vec<f32>) -> Self {
        self.reads.push(numbers);
        self
    }

    pub fn writing(mut self, count: usize) -> Self {
        self.outputs.push(vec![0.0; count]);
        self
    }

    pub fn threadgroup_memory(mut self, bytes: usize) -> Self {
        self.threadgroup_memory = bytes;
        self
    }

    /// Runs it in a loaded library; gives back what the outputs hold.
    pub fn run_in(&self, library: &Library, mode: &Mode) -> Result<(Vec<Vec<f32>>, Counts), Box<Fault>> {
        let mut outputs = self.outputs.clone();
        let reads = self.reads.iter().map(|numbers| Buffer::read(bytemuck::cast_slice(numbers)));
        let mut buffers: Vec<Buffer<'_>> = reads.collect();
        for numbers in &mut outputs {
            let bytes = bytemuck::cast_slice_mut(numbers);
            buffers.push(if self.initialised { Buffer::read_write(bytes) } else { Buffer::output(bytes) });
        }
        let dispatch = Dispatch {
            kernel: "k".to_owned(),
            arguments: (0..).zip(buffers.into_iter().map(Binding::Buffer)).collect(),
            threadgroup_memory: (self.threadgroup_memory > 0)
                .then_some((0, self.threadgroup_memory))
                .into_iter()
                .collect(),
            threadgroups: [self.threadgroups, 1, 1],
            threads: [self.threads, 1, 1],
            ..Dispatch::default()
        };
        let counts = library.run(&dispatch, mode)?;
        drop(dispatch);
        Ok((outputs, counts))
    }

    /// Every schedule that tests use: in order, and a few drawn ones.
    fn modes() -> impl Iterator<Item = Mode> {
        [Mode::default()].into_iter().chain((1..=6).map(Mode::random))
    }

    /// Asserts that every schedule finds this fault at the line that ends in `// here`, and that the library runs on.
    #[track_caller]
    pub fn finds(&self, kind: FaultKind) -> Box<Fault> {
        self.finds_any(&[kind], &["// here"])
    }

    /// The same for a fault that is of one kind or another, by who comes first.
    #[track_caller]
    pub fn finds_either(&self, kinds: &[FaultKind]) -> Box<Fault> {
        self.finds_any(kinds, &["// here"])
    }

    /// The same for a fault that may be found at one of several places, by who comes first.
    #[track_caller]
    pub fn finds_at(&self, kind: FaultKind, marks: &[&str]) -> Box<Fault> {
        self.finds_any(&[kind], marks)
    }

    #[track_caller]
    fn finds_any(&self, kinds: &[FaultKind], marks: &[&str]) -> Box<Fault> {
        let library = library(msl::Mode::Checked, self.text);
        let mut found = None;
        for mode in Self::modes() {
            let fault = match self.run_in(&library, &mode) {
                Ok(_) => panic!("{mode:?}: no fault is found"),
                Err(fault) => fault,
            };
            assert!(kinds.contains(&fault.kind), "{mode:?}: {:?} {fault}", fault.kind);
            let location = fault.location.clone().unwrap_or_else(|| panic!("no location: {fault}"));
            assert_eq!(location.file, FILE, "{fault}");
            let text = format!("{HEADER}{}", self.text);
            let line = text.lines().nth(location.line as usize - 1).unwrap_or("");
            assert!(marks.iter().any(|mark| line.contains(mark)), "{mode:?}: {fault}\nline: {line}");
            assert!(fault.threadgroup.is_some() && fault.thread.is_some(), "{fault}");
            assert_eq!(fault.seed.is_some(), mode != Mode::default());
            found = Some(fault);
        }
        found.expect("at least one schedule runs")
    }

    /// Asserts that no schedule finds a fault, with and without checks, and that the outputs are these.
    #[track_caller]
    pub fn is_clean(&self, expected: &[Vec<f32>]) -> Counts {
        self.is_clean_in(expected.len(), expected)
    }

    /// The same where only the first output matters.
    #[track_caller]
    pub fn is_clean_in_first(&self, expected: &[f32]) -> Counts {
        self.is_clean_in(1, &[expected.to_vec()])
    }

    #[track_caller]
    fn is_clean_in(&self, count: usize, expected: &[Vec<f32>]) -> Counts {
        let mut all = None;
        for compiled in [msl::Mode::Fast, msl::Mode::Checked] {
            let library = library(compiled, self.text);
            for mode in Self::modes() {
                match self.run_in(&library, &mode) {
                    Ok((outputs, counts)) => {
                        assert_eq!(outputs[..count], *expected, "{compiled:?} {mode:?}");
                        all = Some(counts);
                    }
                    Err(fault) => panic!("{compiled:?} {mode:?}: {fault}"),
                }
            }
        }
        all.expect("at least one schedule runs")
    }
}
