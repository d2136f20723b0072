//! Whether a step must run again: a stamp holds the hash of what its inputs contained.
//!
//! Contents, not times, decide: a fresh clone, a branch switch and a touched file all give new times
//! to old contents. A stamp goes before its step runs, so that a broken step is never taken for done.

use crate::place::Place;
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold output, whichever folder they are in.
const OUTPUT_FOLDERS: &[&str] = &["node_modules", "target", ".next", "dist", ".git"];

/// Files that a step writes among its inputs.
const OUTPUT_SUFFIXES: &[&str] = &[".tsbuildinfo", ".tgz"];

/// Runs the step if an input changed or an output is missing; says whether it ran.
pub(crate) fn when_changed(
    place: &Place,
    stamp: &str,
    inputs: &[PathBuf],
    salt: &str,
    outputs: &[PathBuf],
    step: impl FnOnce() -> Result<()>,
) -> Result<bool> {
    let now = digest(&place.root, inputs, salt)?;
    let stamp = place.scratch(&format!("{stamp}.stamp"));
    if stamp.exists() && !outputs.iter().all(|output| output.exists()) {
        fs::remove_file(&stamp)?;
    }
    unless_stamped(&stamp, &now, step)
}

/// Runs the step unless the stamp says that it was done with just these inputs; says whether it ran.
pub(crate) fn unless_stamped(stamp: &Path, now: &str, step: impl FnOnce() -> Result<()>) -> Result<bool> {
    if fs::read_to_string(stamp).is_ok_and(|before| before == now) {
        return Ok(false);
    }
    if stamp.exists() {
        fs::remove_file(stamp)?;
    }
    step()?;
    write(stamp, now)?;
    Ok(true)
}

/// The hash of every file in these files and folders, and of the salt.
pub(crate) fn digest(root: &Path, inputs: &[PathBuf], salt: &str) -> Result<String> {
    let mut files = Vec::new();
    for input in inputs {
        collect(&root.join(input), &mut files)?;
    }
    files.sort();
    let mut hash = Sha256::new();
    hash.update(salt.as_bytes());
    for file in files {
        let content = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        // Lengths first: no two lists of files have the same bytes.
        let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
        hash.update(name.len().to_le_bytes());
        hash.update(name.as_bytes());
        hash.update(content.len().to_le_bytes());
        hash.update(&content);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes a file, and the folders that it lies in.
pub(crate) fn write(file: &Path, text: &str) -> Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        // A missing input is an input too: its coming changes the hash.
        if path.exists() {
            files.push(path.to_path_buf());
        }
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(|| format!("listing {}", path.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let output = if path.is_dir() {
            OUTPUT_FOLDERS.contains(&name.as_str())
        } else {
            OUTPUT_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
        };
        if !output {
            collect(&path, files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{digest, write};
    use anyhow::Result;
    use std::path::PathBuf;

    #[test]
    fn contents_names_and_salt_count_and_output_does_not() -> Result<()> {
        let root = std::env::temp_dir().join(format!("fieldsync-inputs-{}", std::process::id()));
        let inputs = [PathBuf::from("src"), PathBuf::from("missing.toml")];
        write(&root.join("src/a.rs"), "one")?;
        let first = digest(&root, &inputs, "")?;
        assert_ne!(first, digest(&root, &inputs, "-Oz")?, "the salt counts");

        write(&root.join("src/node_modules/b.js"), "output")?;
        write(&root.join("src/tsconfig.tsbuildinfo"), "output")?;
        assert_eq!(first, digest(&root, &inputs, "")?, "output does not count");

        write(&root.join("src/a.rs"), "two")?;
        let second = digest(&root, &inputs, "")?;
        assert_ne!(first, second, "contents count");

        std::fs::rename(root.join("src/a.rs"), root.join("src/b.rs"))?;
        assert_ne!(second, digest(&root, &inputs, "")?, "names count");

        let third = digest(&root, &inputs, "")?;
        write(&root.join("missing.toml"), "")?;
        assert_ne!(third, digest(&root, &inputs, "")?, "a file that comes counts");
        std::fs::remove_dir_all(root)?;
        Ok(())
    }
}
