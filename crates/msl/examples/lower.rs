//! Lowers and compiles `.metal` files, and checks that Metal's compiler would accept them: `cargo run -p msl --example lower -- FILE…`
//!
//! Headers are found next to the first folder called `kernels` above a file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use msl::{Header, Mode, Options, Source};

fn main() -> ExitCode {
    let mut failed = false;
    for file in std::env::args_os().skip(1).map(PathBuf::from) {
        match read(&file).and_then(|source| compile(&source)) {
            Ok(report) => println!("{}: {report}", file.display()),
            Err(error) => {
                failed = true;
                println!("{}: {error}", file.display());
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn compile(source: &Source) -> Result<String, Box<dyn std::error::Error>> {
    msl::compile(source, &Options::new(Mode::Fast))?;
    let library = msl::compile(source, &Options::new(Mode::Checked))?;
    let findings: Vec<String> = msl::lint(source)?.iter().map(ToString::to_string).collect();
    if !findings.is_empty() {
        return Err(findings.join("\n").into());
    }
    let entry_points = &library.interface.entry_points;
    let names: Vec<&str> = entry_points.iter().map(|entry_point| entry_point.name.as_str()).collect();
    Ok(format!("{} entry points: {}", names.len(), names.join(" ")))
}

fn read(file: &Path) -> Result<Source, Box<dyn std::error::Error>> {
    let file = file.canonicalize()?;
    let root = file.ancestors().find(|folder| folder.ends_with("kernels"));
    let root = root.or(file.parent()).unwrap_or(Path::new("/")).to_path_buf();
    let name = file.strip_prefix(&root)?.to_string_lossy().into_owned();
    let mut source = Source::new(name, std::fs::read_to_string(&file)?);
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "h") {
                let name = path.strip_prefix(&root)?.to_string_lossy().into_owned();
                source.headers.push(Header { name, text: std::fs::read_to_string(&path)? });
            }
        }
    }
    Ok(source)
}
