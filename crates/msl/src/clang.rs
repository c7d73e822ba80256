//! Finding clang, and running it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::MslError;

/// The oldest major version with everything that the lowered text uses.
const OLDEST: u32 = 16;
/// The newest version that distributions install under a name of its own.
const NEWEST_NAMED: u32 = 22;
/// Homebrew keeps LLVM out of PATH, because macOS has a clang of its own.
const HOMEBREW: [&str; 2] = ["/opt/homebrew/opt/llvm/bin/clang++", "/usr/local/opt/llvm/bin/clang++"];

/// A clang that can compile lowered Metal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clang {
    program: PathBuf,
    version: String,
}

impl Clang {
    /// The first usable one of `clang++`, `clang++-22` down to `clang++-16` on PATH, and Homebrew's.
    ///
    /// # Errors
    ///
    /// If there is none: the error lists what was found and the package to install.
    pub fn find() -> Result<Self, MslError> {
        let numbered = (OLDEST..=NEWEST_NAMED).rev().map(|version| format!("clang++-{version}"));
        let named = std::iter::once("clang++".to_owned()).chain(numbered);
        let mut refused = Vec::new();
        for program in named.chain(HOMEBREW.map(str::to_owned)) {
            let Ok(output) = Command::new(&program).arg("--version").output() else { continue };
            let text = String::from_utf8_lossy(&output.stdout);
            let version = text.lines().next().unwrap_or("").trim().to_owned();
            match usable(&version) {
                Ok(()) => return Ok(Self { program: program.into(), version }),
                Err(reason) => refused.push(format!("{program} is `{version}`: {reason}")),
            }
        }
        Err(MslError::NoClang(explain(&refused)))
    }

    /// The first line of `clang++ --version`, such as `Debian clang version 19.1.7 (3~deb12u1)`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Runs clang in `folder` and returns what it wrote to its standard output.
    ///
    /// # Errors
    ///
    /// [`MslError::Compile`] with what clang wrote to its standard error, if it failed.
    pub(crate) fn run<S: AsRef<OsStr>>(
        &self,
        folder: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Vec<u8>, MslError> {
        let mut command = Command::new(&self.program);
        // Colours would end up in error texts, and the messages must not be in the user's language.
        command
            .args(["-fno-color-diagnostics", "-fno-caret-diagnostics", "-fno-elide-type"])
            .args(arguments)
            .current_dir(folder)
            .env("LC_ALL", "C");
        let output = command.output().map_err(MslError::io("cannot run", &self.program))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let errors = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        let silent = || format!("{} ended with {}", self.program.display(), output.status);
        Err(MslError::Compile(if errors.is_empty() { silent() } else { errors }))
    }
}

/// Whether a version line names a clang that will do.
fn usable(version: &str) -> Result<(), &'static str> {
    if version.starts_with("Apple") {
        return Err("Apple's own build numbers its versions differently and is not supported");
    }
    let Some((_, number)) = version.split_once("clang version ") else {
        return Err("not a clang");
    };
    let major = number.split(|letter: char| !letter.is_ascii_digit()).next().unwrap_or("");
    match major.parse::<u32>() {
        Ok(major) if major >= OLDEST => Ok(()),
        Ok(_) => Err("too old"),
        Err(_) => Err("its version could not be read"),
    }
}

fn explain(refused: &[String]) -> String {
    let found = match refused {
        [] => "none is on PATH".to_owned(),
        some => some.join("; "),
    };
    format!(
        "lowering Metal source needs clang {OLDEST} or newer, and {found}. Install it with \
         `apt install clang-19` (Debian, Ubuntu), `dnf install clang` (Fedora) or `brew install llvm` (macOS)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_line_decides() {
        assert_eq!(usable("Debian clang version 19.1.7 (3~deb12u1)"), Ok(()));
        assert_eq!(usable("Homebrew clang version 21.1.0"), Ok(()));
        assert_eq!(usable("clang version 16.0.6"), Ok(()));
        assert_eq!(usable("Ubuntu clang version 15.0.7"), Err("too old"));
        assert_eq!(usable("clang version git"), Err("its version could not be read"));
        assert_eq!(usable("g++ (Debian 12.2.0) 12.2.0"), Err("not a clang"));
        assert!(usable("Apple clang version 17.0.0 (clang-1700.0.13.3)").is_err());
    }

    #[test]
    fn a_missing_clang_names_the_package() {
        assert!(explain(&[]).contains("none is on PATH. Install it with `apt install clang-19`"));
        assert!(explain(&["clang++ is `clang version 14.0.0`: too old".into()]).contains("14.0.0"));
    }
}
