//! Files that are either wholly there or not there at all.
//!
//! A result is written to a temporary file of the same folder, synced, renamed over its final name, and the
//! folder is synced: a crash at any moment leaves the old contents or the new ones, never a part. Folders whose files are checked
//! whenever they are read may be left to the system to be written ([`Durability`]).
use super::process::Process;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

/// What the names of all temporary files begin with; [`remove_leftovers`] clears them after a crash.
const TEMPORARY_PREFIX: &str = ".tmp-";
/// Those of libraries that write through files of their own are cleared, too.
const TEMPORARY_NAMES: &str = ".tmp";

/// After so long a process on another machine is taken to have left what it began.
const LONG_AGO: Duration = Duration::from_secs(24 * 60 * 60);

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
    let parent = folder_of(path);
    // In a folder of its own: what `write` leaves beside the file when it is killed is cleared with it.
    let folder = temporary_folder(parent)?;
    let file = folder.path().join("file");
    write(&file)?;
    let mode = mode_of_new_files(folder.path())?;
    make_readable(&file, &mode)?;
    File::open(&file)?.sync_all()?;
    fs::rename(&file, path)?;
    Ok(sync_folder(parent)?)
}

/// A temporary folder in `parent`, deleted when the value is dropped unless [`commit_folder`] took it.
///
/// # Errors
/// `parent` is missing or not writable.
pub fn temporary_folder(parent: &Path) -> io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix());
    // As an ordinary new folder; the umask takes away what it must.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    builder.tempdir_in(parent)
}

/// Bytes that are free where `path` is, or would be.
///
/// # Errors
/// The file system does not tell.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let nearest = path.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let nearest = if nearest.as_os_str().is_empty() { Path::new(".") } else { nearest };
    let stat = rustix::fs::statvfs(nearest)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Creates a folder, or finds it. Its parent must be there: where a results folder was moved away while a process is at work,
/// another must not appear in its old place.
///
/// # Errors
/// The parent is missing or not writable, or something else has that name.
pub fn create_folder(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        created => created,
    }
}

/// When what was committed reaches the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before the call returns: a loss of power takes nothing of it.
    Synced,
    /// When the system writes it, commonly within half a minute. For what is checked whenever it is read, and costs less to make again
    /// than to wait for.
    Written,
}

/// Renames `folder` with everything in it to `path`, a sibling that does not exist yet. Its files are then as readable for others
/// as any new file is, whoever wrote them.
///
/// # Errors
/// Any failure of the file system; `folder` is then deleted and `path` is not there.
pub fn commit_folder(folder: tempfile::TempDir, path: &Path, durability: Durability) -> io::Result<()> {
    let mode = mode_of_new_files(folder.path())?;
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    make_tree_readable(folder.path(), &mode, &mut files, &mut folders)?;
    if durability == Durability::Synced {
        // All of it counts from the rename on: nothing has to be on the disk before anything else.
        #[cfg(unix)]
        files.append(&mut folders);
        sync_files(&files)?;
    }
    fs::rename(folder.path(), path)?;
    // The folder has moved: there is nothing left for the guard to delete.
    let _ = folder.keep();
    match durability {
        Durability::Synced => sync_folder(folder_of(path)),
        Durability::Written => Ok(()),
    }
}

/// Deletes what killed processes left behind: every entry of `folder` that [`write_atomic`] or
/// [`temporary_folder`] made and did not rename, unless its process is at work still. Returns how many there were.
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
        if is_left(&entry) {
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

/// Whether a temporary entry has been left by its process; of one on another machine nothing is known but the time.
fn is_left(entry: &fs::DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy().into_owned();
    let process =
        name.strip_prefix(TEMPORARY_PREFIX).and_then(|rest| rest.rsplit_once('-')?.0.parse::<Process>().ok());
    match process.map(|process| process.is_alive()) {
        // Of an earlier version, or of a library that writes through files of its own.
        None => name.starts_with(TEMPORARY_NAMES),
        Some(Some(alive)) => !alive,
        Some(None) => {
            let written = entry.metadata().and_then(|data| data.modified());
            written.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > LONG_AGO))
        }
    }
}

/// Writes a file that must not be there yet, all or nothing: of several processes that try, one succeeds. It is not synced:
/// where the machine of the process that wrote it loses its power, it may be gone or say nothing.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`], and any failure of the file system.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = builder().tempfile_in(folder_of(path))?;
    file.write_all(bytes)?;
    file.persist_noclobber(path).map_err(|failure| failure.error)?;
    Ok(())
}

/// Whether `error`, or what it comes from, is a disk without room, or a quota that is used up.
pub fn is_full(error: &(dyn Error + 'static)) -> bool {
    let of_itself = error.downcast_ref::<io::Error>().is_some_and(|error| {
        matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    });
    of_itself || error.source().is_some_and(is_full)
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

/// What the names of this process's temporary files begin with.
fn prefix() -> &'static str {
    static PREFIX: OnceLock<String> = OnceLock::new();
    PREFIX.get_or_init(|| format!("{TEMPORARY_PREFIX}{}-", Process::current()))
}

fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix());
    // Results are for others to read too: the mode of an ordinary new file, cut down by the umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}

/// Lists all files and folders below `path`, the innermost first, and gives the files their mode.
fn make_tree_readable(
    path: &Path,
    mode: &fs::Permissions,
    files: &mut Vec<PathBuf>,
    folders: &mut Vec<PathBuf>,
) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_tree_readable(&entry.path(), mode, files, folders)?;
        } else {
            make_readable(&entry.path(), mode)?;
            files.push(entry.path());
        }
    }
    folders.push(path.to_path_buf());
    Ok(())
}

/// Files that are synced at the same time.
const SYNCED_TOGETHER: usize = 8;

/// Syncs files side by side: those that wait at the same time share a commit of the file system's journal, where one after
/// the other each would wait for its own.
///
/// # Errors
/// Any failure of the file system.
pub fn sync_files(files: &[PathBuf]) -> io::Result<()> {
    // Threads that do nothing but wait, and are kept: making one takes longer than some files to sync.
    static WAITING: LazyLock<Option<ThreadPool>> =
        LazyLock::new(|| ThreadPoolBuilder::new().num_threads(SYNCED_TOGETHER).build().ok());
    let sync = |path: &PathBuf| File::open(path)?.sync_all();
    match &*WAITING {
        Some(threads) if files.len() > 1 => {
            threads.install(|| files.par_iter().with_max_len(1).try_for_each(sync))
        }
        // Where no thread can be made they are synced all the same.
        _ => files.iter().try_for_each(sync),
    }
}

/// Permissions that a new file gets in `folder`: asked of a file, since the umask can only be asked for by changing it.
fn mode_of_new_files(folder: &Path) -> io::Result<fs::Permissions> {
    let probe = builder().tempfile_in(folder)?;
    Ok(probe.as_file().metadata()?.permissions())
}

/// Libraries that write through temporary files of their own leave mode 0600.
fn make_readable(file: &Path, mode: &fs::Permissions) -> io::Result<()> {
    if fs::symlink_metadata(file)?.permissions() != *mode {
        fs::set_permissions(file, mode.clone())?;
    }
    Ok(())
}

/// Makes renames in a folder durable: they are so only once the folder that records them is synced.
///
/// # Errors
/// Any failure of the file system.
pub fn sync_folder(path: &Path) -> io::Result<()> {
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
    fn a_new_file_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("claim");
        write_new(&path, b"first").unwrap();
        assert_eq!(write_new(&path, b"second").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
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
    fn a_full_disk_is_known_by_its_kind_however_deep() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot write: {source}")]
        struct Wrapped {
            source: io::Error,
        }
        let wrapped = |source| is_full(&Wrapped { source });
        // The numbers are those of Linux.
        #[cfg(target_os = "linux")]
        for code in [28, 122] {
            assert!(is_full(&io::Error::from_raw_os_error(code)), "{code}");
            assert!(wrapped(io::Error::from_raw_os_error(code)), "{code}");
        }
        assert!(wrapped(io::ErrorKind::StorageFull.into()));
        assert!(!wrapped(io::ErrorKind::PermissionDenied.into()));
        assert!(!wrapped(io::Error::other("No space left on device (os error 28)")), "not by its text");
    }

    #[test]
    fn a_folder_appears_under_its_name_only_when_committed() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("stage");
        let dropped = temporary_folder(parent.path()).unwrap();
        fs::write(dropped.path().join("half"), "x").unwrap();
        drop(dropped);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
        for durability in [Durability::Synced, Durability::Written] {
            let kept = temporary_folder(parent.path()).unwrap();
            fs::create_dir(kept.path().join("sub")).unwrap();
            fs::write(kept.path().join("sub/whole"), "12345").unwrap();
            commit_folder(kept, &path, durability).unwrap();
            assert_eq!(fs::read(path.join("sub/whole")).unwrap(), b"12345");
            let name = path.with_extension("kept");
            let _ = fs::remove_dir_all(&name);
            fs::rename(&path, name).unwrap();
        }
        assert_eq!(size_of_tree(parent.path()), 5);
    }

    #[test]
    fn a_folder_is_created_or_found_and_never_its_parents() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a");
        create_folder(&path).unwrap();
        create_folder(&path).unwrap();
        fs::write(path.join("file"), "").unwrap();
        assert!(create_folder(&path.join("file")).is_err());
        assert_eq!(create_folder(&parent.path().join("b/c")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(!parent.path().join("b").exists());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_committed_is_readable_as_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let private = |path: &Path| {
            fs::write(path, "x")?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        };
        fs::write(parent.path().join("ordinary"), "").unwrap();
        fs::create_dir(parent.path().join("folder")).unwrap();
        let temporary = temporary_folder(parent.path()).unwrap();
        private(&temporary.path().join("model")).unwrap();
        commit_folder(temporary, &parent.path().join("stage"), Durability::Written).unwrap();
        write_atomic_with(&parent.path().join("state"), private).unwrap();
        let ordinary = mode(&parent.path().join("ordinary"));
        assert_eq!(mode(&parent.path().join("stage/model")), ordinary);
        assert_eq!(mode(&parent.path().join("state")), ordinary);
        assert_eq!(mode(&parent.path().join("stage")), mode(&parent.path().join("folder")));
    }

    #[test]
    fn leftovers_of_a_crash_are_found_by_their_prefix() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".tmp-abc"), "half").unwrap();
        fs::create_dir(folder.path().join(".tmp-dir")).unwrap();
        // As safetensors names its own.
        fs::write(folder.path().join(".tmpA1b2C3"), "half").unwrap();
        fs::write(folder.path().join("runs.csv"), "whole").unwrap();
        let ended = Process { started: 1, ..Process::current().clone() };
        fs::write(folder.path().join(format!(".tmp-{ended}-x1")), "half").unwrap();
        let at_work = temporary_folder(folder.path()).unwrap();
        assert_eq!(remove_leftovers(folder.path()).unwrap(), 4);
        assert!(at_work.path().exists());
        assert!(folder.path().join("runs.csv").exists());
        assert_eq!(remove_leftovers(&folder.path().join("absent")).unwrap(), 0);
    }
}
