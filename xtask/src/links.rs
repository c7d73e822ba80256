//! Links between the documents: every file and every heading that they name is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::failure::Failure;
use crate::repository::Repository;

/// What can be linked to in a document, and what it links to.
struct Document {
    anchors: BTreeSet<String>,
    /// Line, from 1, and target.
    links: Vec<(usize, String)>,
}

/// Checks all Markdown files of the repository. Addresses on the network are not looked up.
pub fn run(repository: &Repository) -> Result<(), Failure> {
    let files = repository.files()?;
    let mut documents = BTreeMap::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "md")) {
        documents.insert(file.clone(), Document::read(&repository.read(file)?));
    }
    let mut broken = 0;
    for (file, document) in &documents {
        for (line, target) in &document.links {
            if let Err(reason) = resolve(repository.root(), &documents, file, target) {
                eprintln!("{}:{line}: `{target}`: {reason}", file.display());
                broken += 1;
            }
        }
    }
    if broken == 0 { Ok(()) } else { Err(Failure::Gate { gate: "links", findings: broken }) }
}

fn resolve(
    root: &Path,
    documents: &BTreeMap<PathBuf, Document>,
    from: &Path,
    target: &str,
) -> Result<(), &'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let file = if path.is_empty() { from.to_path_buf() } else { join(from, path)? };
    if !root.join(&file).exists() {
        return Err("no such file in the repository");
    }
    match (anchor, documents.get(&file)) {
        (Some(anchor), Some(document)) if !document.anchors.contains(anchor) => Err("no such heading"),
        _ => Ok(()),
    }
}

/// The path that `target` names in a document at `from`, without `.` and `..`.
fn join(from: &Path, target: &str) -> Result<PathBuf, &'static str> {
    let mut path = from.parent().unwrap_or(Path::new("")).to_path_buf();
    for component in Path::new(target).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if path.pop() => {}
            Component::Normal(name) => path.push(name),
            _ => return Err("leads out of the repository"),
        }
    }
    Ok(path)
}

impl Document {
    fn read(text: &str) -> Document {
        let mut document = Document { anchors: BTreeSet::new(), links: Vec::new() };
        let mut in_code = false;
        for (index, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
            } else if !in_code {
                if let Some(title) = heading(line) {
                    document.add_anchor(title);
                }
                let targets = targets(&without_code_spans(line));
                document.links.extend(targets.into_iter().map(|target| (index + 1, target)));
            }
        }
        document
    }

    /// The second heading of one name gets `-1`, the third `-2`, as GitHub numbers them.
    fn add_anchor(&mut self, title: &str) {
        let slug = slug(title);
        let numbered = (0..).map(|n| if n == 0 { slug.clone() } else { format!("{slug}-{n}") });
        let free = numbered.into_iter().find(|name| !self.anchors.contains(name));
        self.anchors.extend(free);
    }
}

fn heading(line: &str) -> Option<&str> {
    let title = line.trim_start_matches('#');
    let level = line.len() - title.len();
    (1..=6).contains(&level).then(|| title.strip_prefix(' '))?
}

/// A heading's anchor: lower case, words joined by hyphens, punctuation dropped.
fn slug(title: &str) -> String {
    let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn without_code_spans(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

/// Targets of `](…)`, `src="…"`, `srcset="…"` and `href="…"`.
fn targets(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (opening, closing) in [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"'), ("href=\"", '"')] {
        for rest in line.split(opening).skip(1) {
            let target = rest.split(closing).next().unwrap_or("").split_whitespace().next().unwrap_or("");
            found.push(target.trim_matches(['<', '>']).to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_anchors_are_read() {
        let text = "# Two Words, here\n## `code` & more\n## Two words here\n[a](b.md#c \"t\") `[x](y)`\n\
                    ```\n# not\n[not](this)\n```\n<img src=\"i.svg\">";
        let document = Document::read(text);
        let anchors: Vec<&str> = document.anchors.iter().map(String::as_str).collect();
        assert_eq!(anchors, ["code--more", "two-words-here", "two-words-here-1"]);
        assert_eq!(document.links, [(4, "b.md#c".to_owned()), (9, "i.svg".to_owned())]);
    }

    #[test]
    fn links_stay_inside_the_repository() {
        assert_eq!(join(Path::new("docs/a.md"), "../README.md"), Ok(PathBuf::from("README.md")));
        assert!(join(Path::new("docs/a.md"), "../../b").is_err());
        assert!(join(Path::new("docs/a.md"), "/etc").is_err());
    }

    #[test]
    fn a_missing_file_or_heading_is_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.md"), "# Here").unwrap();
        let documents = BTreeMap::from([(PathBuf::from("a.md"), Document::read("# Here"))]);
        let resolve = |target| resolve(folder.path(), &documents, Path::new("a.md"), target);
        assert_eq!(resolve("#here"), Ok(()));
        assert_eq!(resolve("a.md#here"), Ok(()));
        assert!(resolve("#there").is_err() && resolve("b.md").is_err());
        assert_eq!(resolve("https://example.org/x#y"), Ok(()));
    }
}
