//! `cargo xtask book`: a page for each kernel, with its comments as prose beside the code.
//!
//! The `.metal` files are written to be read: a header comment says what a kernel computes and which thread does
//! what, and comments stand before the steps. The pages only set that out, so they can't disagree with the code.

mod highlight;
mod page;
mod segments;

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::repository::Repository;
use page::Entry;

/// Where the kernels are.
const KERNELS: &str = "kernels";
/// Pictures and the introduction, written by hand.
const INTRODUCTION: &str = "docs/kernels/README.md";
/// Where the pages are written, below the root.
const OUT: &str = "target/book";

/// The way of a token through a model: the order of the chapters. A file belongs to the first that its name begins with.
const CHAPTERS: [(&str, &[&str]); 8] = [
    ("From tokens to numbers", &["embedding", "gather"]),
    ("Norms and rotation", &["norm", "rope"]),
    ("Matrix times few rows", &["gemv", "common/gemv", "common/packet", "common/weights"]),
    ("Matrix times many rows", &["gemm", "pack.metal", "common/gemm", "common/pack", "common/tile"]),
    ("Attention", &["kv_write", "attention", "common/attention", "common/kv_page"]),
    ("Between the matrices", &["activation", "residual", "moe", "common/moe"]),
    (
        "From numbers to tokens",
        &[
            "sample",
            "common/draw",
            "common/shortlist",
            "common/search",
            "common/prefix",
            "common/shares",
            "common/random",
        ],
    ),
    ("What the kernels share", &["copy", "probe", "common/"]),
];

/// Writes every page.
pub fn run(repository: &Repository) -> Result<(), Failure> {
    let out = repository.root().join(OUT);
    let entries = entries(repository)?;
    for entry in &entries {
        write(&out.join(entry.page()), &page::kernel(entry, &entries))?;
    }
    let introduction = repository.read(Path::new(INTRODUCTION))?;
    write(&out.join("index.html"), &page::index(&introduction, &entries))?;
    copy_pictures(repository, &out)?;
    println!("{} pages; begin with {}", entries.len() + 1, out.join("index.html").display());
    Ok(())
}

/// The kernel files, in the order of the chapters.
fn entries(repository: &Repository) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    for file in repository.files()? {
        let Ok(name) = file.strip_prefix(KERNELS) else { continue };
        let name = name.to_string_lossy().replace('\\', "/");
        if !(name.ends_with(".metal") || name.ends_with(".h")) {
            continue;
        }
        let chapter =
            CHAPTERS.iter().position(|(_, beginnings)| beginnings.iter().any(|b| name.starts_with(b)));
        let Some(chapter) = chapter else {
            eprintln!("{KERNELS}/{name} is in no chapter of the book (xtask/src/book/mod.rs lists them)");
            return Err(Failure::Gate { gate: "book", findings: 1 });
        };
        let text = repository.read(&file)?;
        entries.push(Entry { name, chapter, title: CHAPTERS[chapter].0, segments: segments::split(&text) });
    }
    entries.sort_by(|a, b| (a.chapter, &a.name).cmp(&(b.chapter, &b.name)));
    Ok(entries)
}

fn copy_pictures(repository: &Repository, out: &Path) -> Result<(), Failure> {
    for file in repository.files()? {
        if file.starts_with("docs/kernels") && file.extension().is_some_and(|extension| extension == "svg") {
            let name = PathBuf::from(file.file_name().unwrap_or_default());
            write(&out.join(name), &repository.read(&file)?)?;
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |reason| Failure::File { path: path.to_path_buf(), reason };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, text).map_err(failed)
}
