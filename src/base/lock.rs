//! One writer per folder (of results, of a model that is fetched): an advisory lock that the operating system drops with its process, so that a
//! killed run leaves nothing to clean up.
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// Held while a process writes to a folder; released on drop or when the process ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

/// Takes the lock of `folder` as soon as no other process holds it.
///
/// # Errors
/// As [`try_lock`].
pub fn wait_lock(folder: &Path) -> io::Result<FolderLock> {
    let file = open(folder)?;
    file.lock()?;
    Ok(FolderLock { _file: file })
}

fn open(folder: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).open(folder.join(".lock"))
}

/// Takes the lock of `folder`, or returns `None` where another process holds it.
///
/// # Errors
/// The lock file `.lock` cannot be created or locked.
pub fn try_lock(folder: &Path) -> io::Result<Option<FolderLock>> {
    let file = open(folder)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(FolderLock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_until_the_first_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let first = try_lock(folder.path()).unwrap();
        assert!(first.is_some());
        assert!(try_lock(folder.path()).unwrap().is_none());
        drop(first);
        assert!(try_lock(folder.path()).unwrap().is_some());
    }

    #[test]
    fn who_waits_gets_the_lock_when_it_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let first = wait_lock(folder.path()).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| wait_lock(folder.path()).unwrap());
            assert!(try_lock(folder.path()).unwrap().is_none());
            drop(first);
            drop(second.join().unwrap());
        });
        assert!(try_lock(folder.path()).unwrap().is_some());
    }
}
