//! Files that are either wholly there or not there at all.
//!
//! A result is written to a temporary file of the same folder, synced, renamed over its final name, and the
//! folder is synced: a crash at any moment leaves the old contents or the new ones, never a part.
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// What the names of all temporary files begin with; [`remove_leftovers`] clears them after a crash.
pub const TEMPORARY_PREFIX: &str = ".tmp-";

/// Replaces the contents of `path` by `bytes`, all or nothing.
///
/// # Errors
/// Any failure of the file system (no such folder, no permission, disk full). `path` then has its old contents,
/// and the temporary file is gone.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    // Dropping the handle on an error path deletes the temporary file.
    let mut file = builder().tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|failure| failure.error)?;
    sync_folder(folder)
}

/// As [`write_atomic`], with contents that `write` puts into the file at the path it is given.
///
/// # Errors
/// As [`write_atomic`], and whatever `write` says.
pub fn write_atomic_with<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let folder = folder_of(path);
    let file = builder().tempfile_in(folder)?;
    write(file.path())?;
    // Opened anew: `write` may have put another file in its place.
    File::open(file.path())?.sync_all()?;
    file.persist(path).map_err(|failure| failure.error)?;
    Ok(sync_folder(folder)?)
}

/// A temporary folder in `parent`, deleted when the value is dropped unless [`commit_folder`] took it.
///
/// # Errors
/// `parent` is missing or not writable.
pub fn temporary_folder(parent: &Path) -> io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX);
    // As in `builder`: others may read what becomes of it.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    builder.tempdir_in(parent)
}

/// Gives the file at `path` the mode of an ordinary new file, for one that a library wrote for its owner alone.
///
/// # Errors
/// Any failure of the file system.
pub fn share(path: &Path) -> io::Result<()> {
    // What the mode would be is seen on a new file: asking for the umask would mean setting it for all threads.
    #[cfg(unix)]
    fs::set_permissions(path, builder().tempfile_in(folder_of(path))?.as_file().metadata()?.permissions())?;
    Ok(())
}

/// Syncs everything in `folder` and renames it to `path`, a sibling that does not exist yet.
///
/// # Errors
/// Any failure of the file system; `folder` is then deleted and `path` is not there.
pub fn commit_folder(folder: tempfile::TempDir, path: &Path) -> io::Result<()> {
    sync_tree(folder.path())?;
    fs::rename(folder.path(), path)?;
    // The folder has moved: there is nothing left for the guard to delete.
    let _ = folder.keep();
    sync_folder(folder_of(path))
}

/// Deletes what a killed process left behind: every entry of `folder` that [`write_atomic`] or
/// [`temporary_folder`] made and did not rename. Returns how many there were.
///
/// Call it only under the lock of the results folder, so that no other process is writing.
///
/// # Errors
/// Any failure of the file system; a missing folder is none.
pub fn remove_leftovers(folder: &Path) -> io::Result<usize> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
            removed += 1;
        }
    }
    Ok(removed)
}

/// The folder that holds `path`; the current one for a bare name.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Bytes of all files below `path`; 0 where it does not exist.
pub fn size_of_tree(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    fs::read_dir(path).map_or(0, |entries| entries.flatten().map(|e| size_of_tree(&e.path())).sum())
}

fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX);
    // Results are for others to read too: the mode of an ordinary new file, cut down by the umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}

fn sync_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_folder(path)
}

/// A rename is durable only once the folder that records it is.
fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(path)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_the_whole_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.csv");
        write_atomic(&path, b"long old contents").unwrap();
        write_atomic(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_rename_cleans_up_and_keeps_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        // A folder that is not empty cannot be replaced by a file.
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), "kept").unwrap();
        assert!(write_atomic(&path, b"new").is_err());
        assert_eq!(fs::read(path.join("inside")).unwrap(), b"kept");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_appears_under_its_name_only_when_committed() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("stage");
        let dropped = temporary_folder(parent.path()).unwrap();
        fs::write(dropped.path().join("half"), "x").unwrap();
        drop(dropped);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
        let kept = temporary_folder(parent.path()).unwrap();
        fs::create_dir(kept.path().join("sub")).unwrap();
        fs::write(kept.path().join("sub/whole"), "12345").unwrap();
        commit_folder(kept, &path).unwrap();
        assert_eq!(fs::read(path.join("sub/whole")).unwrap(), b"12345");
        assert_eq!(size_of_tree(parent.path()), 5);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_written_has_the_mode_of_new_files() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (plain, private) = (parent.path().join("plain"), parent.path().join("private"));
        fs::write(&plain, "x").unwrap();
        fs::write(&private, "x").unwrap();
        fs::set_permissions(&private, PermissionsExt::from_mode(0o600)).unwrap();
        share(&private).unwrap();
        assert_eq!(mode(&private), mode(&plain));
        fs::create_dir(parent.path().join("folder")).unwrap();
        let folder = temporary_folder(parent.path()).unwrap();
        assert_eq!(mode(folder.path()), mode(&parent.path().join("folder")));
    }

    #[test]
    fn leftovers_of_a_crash_are_found_by_their_prefix() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".tmp-abc"), "half").unwrap();
        fs::create_dir(folder.path().join(".tmp-dir")).unwrap();
        fs::write(folder.path().join("runs.csv"), "whole").unwrap();
        assert_eq!(remove_leftovers(folder.path()).unwrap(), 2);
        assert!(folder.path().join("runs.csv").exists());
        assert_eq!(remove_leftovers(&folder.path().join("absent")).unwrap(), 0);
    }
}
