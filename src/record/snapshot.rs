//! The files of a results folder as one whole: all of one moment, and none changed since.
//!
//! `SHA256SUMS` (as `sha256sum -c` reads it) lists the tables, the plan and the provenance; what is made of them (`derived`) can be
//! made again. The line of `items.csv` begins with `# `, which `sha256sum` takes for a comment: the file is large, results are
//! passed on without it, and the list is right for them, too. Where the file is there, readers here hold it against its line,
//! and so does `sed 's/^# //' SHA256SUMS | sha256sum -c`. New contents are put in place in three steps:
//!
//! ```text
//! 1. every file that changes is written and synced as `.new-<name>`      a full disk ends here, and nothing has changed
//! 2. SHA256SUMS is replaced                                             from here on the new contents count
//! 3. every `.new-<name>` is renamed to `<name>`
//! ```
//!
//! Where there is no room for both sets, the list is replaced first and then file by file: a reader in between is refused. Where
//! there is none for one file beside its old contents, these are deleted first: they are not what the list says any more.
//!
//! A reader takes of `<name>` and `.new-<name>` the one that SHA256SUMS names. So whoever reads while tables are written,
//! or after a process was killed while it wrote, finds the old tables or the new ones and never some of both.
use super::dictionary::ITEMS;
use super::{RecordError, Result};
use crate::base::files::{is_full, write_atomic};
use crate::base::hash::{sha256_file, sha256_hex};
use crate::base::input::{self, InputFault};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Name of the list.
pub const SUMS_FILE: &str = "SHA256SUMS";
const NEW: &str = ".new-";
/// A file that is renamed between two looks at it is looked at again.
const LOOKS: usize = 4;
const PAUSE: Duration = Duration::from_millis(20);

/// Begins the line of a file that may be missing.
const MAY_BE_MISSING: &str = "# ";

/// Hashes by file name.
pub type Sums = BTreeMap<String, String>;

/// The listed files of a results folder by name.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    files: BTreeMap<String, Vec<u8>>,
}

impl Snapshot {
    /// Reads `wanted` files of `folder`, those that there are; a folder that has no list (results of earlier versions, or
    /// somebody deleted it to go on with changed tables) is read as it is.
    ///
    /// # Errors
    /// A file that is listed is missing or not what was written: [`RecordError::Changed`]; `Io` with the path. `items.csv` alone
    /// may be missing: it is large, and results are passed on without it.
    pub fn read(folder: &Path, wanted: &[&str]) -> Result<Snapshot> {
        Self::look(folder, wanted, LOOKS)
    }

    /// As [`Snapshot::read`], with so many looks at files that are not what the list says.
    pub(super) fn look(folder: &Path, wanted: &[&str], most: usize) -> Result<Snapshot> {
        let mut looks = 0;
        loop {
            let sums = read_sums(folder)?;
            let read = read_once(folder, wanted, sums.as_ref());
            looks += 1;
            match read {
                Err(RecordError::Changed { .. }) if looks < most || read_sums(folder)? != sums => {
                    std::thread::sleep(PAUSE);
                }
                read => return read,
            }
        }
    }

    /// Contents of one of the wanted files; `None` where it is not there.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(Vec::as_slice)
    }
}

fn read_once(folder: &Path, wanted: &[&str], sums: Option<&Sums>) -> Result<Snapshot> {
    let mut files = BTreeMap::new();
    for name in wanted {
        let path = folder.join(name);
        let current = read_file(&path)?;
        let bytes = match sums.and_then(|sums| sums.get(*name)) {
            // A table that a list leaves out is one whose name was changed in it.
            None if sums.is_some() && current.is_some() && name.ends_with(".csv") => {
                return Err(RecordError::Changed { path });
            }
            None => current.map(|bytes| without_mark(&bytes).to_vec()),
            Some(sum) => {
                let written = match current.as_deref().and_then(|bytes| as_written(bytes, sum)) {
                    Some(bytes) => Some(bytes),
                    None => {
                        read_file(&folder.join(format!("{NEW}{name}")))?.filter(|b| sha256_hex(b) == *sum)
                    }
                };
                match (written, current) {
                    (Some(bytes), _) => Some(bytes),
                    // Its reader tells of that; no number can come of it.
                    (None, Some(bytes)) if name.ends_with(".csv") && has_other_separator(&bytes) => {
                        Some(bytes)
                    }
                    (None, None) if *name == ITEMS => None,
                    (None, _) => return Err(RecordError::Changed { path }),
                }
            }
        };
        if let Some(bytes) = bytes {
            files.insert(name.to_string(), bytes);
        }
    }
    Ok(Snapshot { files })
}

/// The bytes with the hash `sum` that `bytes` are: as they are, or as a spreadsheet or an editor saved the same cells,
/// with a byte-order mark, other ends of lines and other quotation marks.
fn as_written(bytes: &[u8], sum: &str) -> Option<Vec<u8>> {
    if sha256_hex(bytes) == sum {
        return Some(bytes.to_vec());
    }
    let text = String::from_utf8(without_mark(bytes).to_vec()).ok()?.replace("\r\n", "\n");
    if sha256_hex(text.as_bytes()) == sum {
        return Some(text.into_bytes());
    }
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    for row in reader.byte_records() {
        writer.write_byte_record(&row.ok()?).ok()?;
    }
    writer.into_inner().ok().filter(|bytes| sha256_hex(bytes) == sum)
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)
}

/// Whether the first line of a table is one that a spreadsheet wrote where the comma marks decimals.
fn has_other_separator(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    !line.contains(&b',') && line.iter().any(|byte| b";\t|".contains(byte))
}

/// Contents, or `None` where there is no such file.
fn read_file(path: &Path) -> Result<Option<Vec<u8>>> {
    match input::read(path, u64::MAX) {
        Ok(bytes) if input::is_utf16(&bytes) => {
            Err(RecordError::Io { path: path.to_path_buf(), source: InputFault::Utf16.into() })
        }
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(RecordError::Io { path: path.to_path_buf(), source }),
    }
}

/// The list in `folder`; `None` where there is none.
///
/// # Errors
/// It cannot be read or is not what was written.
pub fn read_sums(folder: &Path) -> Result<Option<Sums>> {
    let path = folder.join(SUMS_FILE);
    let Some(bytes) = read_file(&path)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|_| RecordError::Changed { path: path.clone() })?;
    let line = |line: &str| {
        let line = line.strip_prefix(MAY_BE_MISSING).filter(|rest| rest.ends_with(ITEMS)).unwrap_or(line);
        let (sum, name) = line.split_once("  ")?;
        let is_sum = sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (is_sum && !name.is_empty() && !name.contains('/')).then(|| (name.to_string(), sum.to_string()))
    };
    let sums: Option<Sums> = text.lines().map(line).collect();
    match sums {
        // Earlier versions listed all files alike.
        Some(sums) if [listed(&sums), lines(&sums, "")].contains(&text) => Ok(Some(sums)),
        _ => Err(RecordError::Changed { path }),
    }
}

fn listed(sums: &Sums) -> String {
    lines(sums, MAY_BE_MISSING)
}

/// The list of `folder`, where every file is in its place as it is listed and none waits to be put there.
pub fn in_place(folder: &Path) -> Option<Sums> {
    let sums = read_sums(folder).ok().flatten()?;
    let waits = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with(NEW);
    if fs::read_dir(folder).ok()?.flatten().any(waits) {
        return None;
    }
    let is_as_listed =
        |(name, sum): (&String, &String)| sha256_file(&folder.join(name)).is_ok_and(|found| found == *sum);
    sums.iter().all(is_as_listed).then_some(sums)
}

/// SHA-256 of a list.
pub fn sum_of(sums: &Sums) -> String {
    sha256_hex(listed(sums).as_bytes())
}

/// A line each, `mark` before that of `items.csv`.
fn lines(sums: &Sums, mark: &str) -> String {
    let mark = |name: &str| if name == ITEMS { mark } else { "" };
    sums.iter().map(|(name, sum)| format!("{}{sum}  {name}\n", mark(name))).collect()
}

/// One new set of files for a results folder; nothing counts before [`Draft::commit`].
pub struct Draft<'a> {
    folder: &'a Path,
    /// The set that counts so far.
    old: Sums,
    sums: Sums,
}

/// A draft that came to nothing leaves nothing.
impl Drop for Draft<'_> {
    fn drop(&mut self) {
        let _ = put_in_place(self.folder, &self.old);
    }
}

impl<'a> Draft<'a> {
    /// Finishes or clears what a process left that was killed while it wrote, and begins anew. One process at a time may
    /// do so.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn begin(folder: &'a Path) -> Result<Self> {
        fs::create_dir_all(folder)
            .map_err(|source| RecordError::Io { path: folder.to_path_buf(), source })?;
        // A damaged list vouches for nothing; it is replaced.
        let sums = read_sums(folder).ok().flatten().unwrap_or_default();
        put_in_place(folder, &sums)?;
        Ok(Draft { folder, old: sums, sums: Sums::new() })
    }

    /// The results folder.
    pub fn folder(&self) -> &'a Path {
        self.folder
    }

    /// Where to write the new contents of `name`.
    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.join(format!("{NEW}{name}"))
    }

    /// Takes what was written and synced to [`Draft::path`]; contents that are in place already are not put there again.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn add(&mut self, name: &str, sum: String) -> Result<()> {
        let path = self.folder.join(name);
        // What was listed otherwise is either replaced for that or for having been changed since.
        let is_listed = self.old.get(name) == Some(&sum);
        let same = is_listed && sha256_file(&path).is_ok_and(|current| current == sum);
        if same {
            let new = self.path(name);
            fs::remove_file(&new).map_err(|source| RecordError::Io { path: new.clone(), source })?;
        }
        self.sums.insert(name.to_string(), sum);
        Ok(())
    }

    /// Adds a small file.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn add_bytes(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        // What stays the same takes no room for a moment.
        if read_file(&self.folder.join(name)).ok().flatten().as_deref() == Some(bytes) {
            self.sums.insert(name.to_string(), sha256_hex(bytes));
            return Ok(());
        }
        let path = self.path(name);
        write_atomic(&path, bytes).map_err(|source| RecordError::Io { path, source })?;
        self.add(name, sha256_hex(bytes))
    }

    /// Makes a set the one that counts of which `tables` are in memory: its list first, then each table, which takes no more
    /// room than the tables themselves. What was added before is put in place as always: `plan.json` is never neither.
    ///
    /// # Errors
    /// Any failure of the file system: what is not replaced yet is refused by readers, until the set is written again.
    pub fn commit_in_memory(mut self, tables: &[(&str, Vec<u8>)]) -> Result<()> {
        self.sums.extend(tables.iter().map(|(name, bytes)| (name.to_string(), sha256_hex(bytes))));
        self.replace_list()?;
        put_in_place(self.folder, &self.old)?;
        for (name, bytes) in tables {
            let path = self.folder.join(name);
            if read_file(&path).ok().flatten().as_deref() == Some(bytes) {
                continue;
            }
            let written = match write_atomic(&path, bytes) {
                Err(error) if is_full(&error) => match fs::remove_file(&path) {
                    Ok(()) => write_atomic(&path, bytes),
                    // There was nothing to make room by.
                    Err(_) => Err(error),
                },
                written => written,
            };
            written.map_err(|source| RecordError::Io { path, source })?;
        }
        Ok(())
    }

    /// Makes the new set the one that counts.
    ///
    /// # Errors
    /// Any failure of the file system: the old set counts, or the new one where its list was written.
    pub fn commit(mut self) -> Result<()> {
        self.replace_list()?;
        put_in_place(self.folder, &self.old)
    }

    /// From here on the new set counts.
    fn replace_list(&mut self) -> Result<()> {
        let text = listed(&self.sums);
        let path = self.folder.join(SUMS_FILE);
        if read_file(&path).ok().flatten().as_deref() != Some(text.as_bytes()) {
            write_atomic(&path, text.as_bytes()).map_err(|source| RecordError::Io { path, source })?;
        }
        self.old = std::mem::take(&mut self.sums);
        Ok(())
    }
}

/// Renames every `.new-<name>` that `sums` vouches for and deletes the others.
fn put_in_place(folder: &Path, sums: &Sums) -> Result<()> {
    let io = |source| RecordError::Io { path: folder.to_path_buf(), source };
    let mut moved = false;
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let file = entry.file_name();
        let Some(name) = file.to_str().and_then(|name| name.strip_prefix(NEW)) else { continue };
        let counts = match sums.get(name) {
            Some(sum) => sha256_file(&entry.path()).map_err(io)? == *sum,
            None => false,
        };
        if counts {
            fs::rename(entry.path(), folder.join(name)).map_err(io)?;
            moved = true;
        } else {
            fs::remove_file(entry.path()).map_err(io)?;
        }
    }
    if moved { crate::base::files::sync_folder(folder).map_err(io) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    const FILES: [&str; 2] = ["evals.csv", "runs.csv"];

    /// A set of files in which everything says `version`.
    fn draft(folder: &Path, version: usize) -> Draft<'_> {
        let mut draft = Draft::begin(folder).unwrap();
        for name in FILES {
            draft.add_bytes(name, format!("a,b\n{version},\"x, y\"\n").as_bytes()).unwrap();
        }
        draft
    }

    fn versions(snapshot: &Snapshot) -> Vec<String> {
        let cell = |bytes: &[u8]| String::from_utf8_lossy(bytes)[4..].split(',').next().unwrap().to_string();
        FILES.iter().map(|name| cell(snapshot.get(name).unwrap())).collect()
    }

    #[test]
    fn whoever_reads_while_tables_are_written_finds_those_of_one_moment() {
        let folder = tempfile::tempdir().unwrap();
        draft(folder.path(), 0).commit().unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (1..100).for_each(|version| draft(folder.path(), version).commit().unwrap());
                done.store(true, Ordering::Relaxed);
            });
            let mut reads = 0;
            while !done.load(Ordering::Relaxed) || reads == 0 {
                let found = versions(&Snapshot::read(folder.path(), &FILES).unwrap());
                assert_eq!(found[0], found[1]);
                reads += 1;
            }
        });
        assert_eq!(versions(&Snapshot::read(folder.path(), &FILES).unwrap()), ["99", "99"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing else is left");
    }

    /// A process that dies after any of the steps of a commit.
    #[test]
    fn what_a_killed_process_leaves_is_the_old_set_or_the_new_one() {
        for renamed in 0..=2 {
            let folder = tempfile::tempdir().unwrap();
            draft(folder.path(), 1).commit().unwrap();
            let second = draft(folder.path(), 2);
            let sums = second.sums.clone();
            std::mem::forget(second);
            assert_eq!(versions(&Snapshot::read(folder.path(), &FILES).unwrap()), ["1", "1"]);
            fs::write(folder.path().join(SUMS_FILE), listed(&sums)).unwrap();
            for name in FILES.iter().take(renamed) {
                fs::rename(folder.path().join(format!("{NEW}{name}")), folder.path().join(name)).unwrap();
            }
            assert_eq!(versions(&Snapshot::read(folder.path(), &FILES).unwrap()), ["2", "2"]);
            drop(Draft::begin(folder.path()).unwrap());
            assert_eq!(versions(&Snapshot::read(folder.path(), &FILES).unwrap()), ["2", "2"]);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
        }
    }

    #[test]
    fn any_changed_byte_is_told_and_the_way_a_spreadsheet_saves_is_not() {
        let folder = tempfile::tempdir().unwrap();
        draft(folder.path(), 1).commit().unwrap();
        for name in FILES.iter().chain([&SUMS_FILE]) {
            let path = folder.path().join(name);
            let bytes = fs::read(&path).unwrap();
            for at in 0..bytes.len() {
                let mut other = bytes.clone();
                other[at] ^= 1;
                fs::write(&path, other).unwrap();
                let told = Snapshot::read(folder.path(), &FILES);
                assert!(matches!(told, Err(RecordError::Changed { .. })), "byte {at} of {name}");
            }
            fs::write(&path, bytes).unwrap();
        }
        let path = folder.path().join(FILES[0]);
        for saved in ["\u{feff}a,b\r\n1,\"x, y\"\r\n", "\"a\",\"b\"\n\"1\",\"x, y\"\n", "a,b\n1,\"x, y\""] {
            fs::write(&path, saved).unwrap();
            assert_eq!(versions(&Snapshot::read(folder.path(), &FILES).unwrap()), ["1", "1"], "{saved}");
        }
        fs::write(&path, "a;b\n1;x\n").unwrap();
        assert!(Snapshot::read(folder.path(), &FILES).is_ok(), "its reader says that commas are expected");
        // Without the list nothing is held against anything.
        fs::remove_file(folder.path().join(SUMS_FILE)).unwrap();
        fs::write(&path, "a,b\n7,x\n").unwrap();
        assert_eq!(versions(&Snapshot::read(folder.path(), &FILES).unwrap()), ["7", "1"]);
    }

    /// `;` stands for `,` in a table alone.
    #[test]
    fn a_semicolon_in_a_plan_is_damage() {
        let folder = tempfile::tempdir().unwrap();
        let mut draft = draft(folder.path(), 1);
        draft.add_bytes("plan.json", b"{\"experiment\": \"a\"}\n").unwrap();
        draft.commit().unwrap();
        fs::write(folder.path().join("plan.json"), "{\"experiment\"; \"a\"}\n").unwrap();
        let told = Snapshot::look(folder.path(), &["plan.json"], 1);
        assert!(matches!(told, Err(RecordError::Changed { .. })), "{told:?}");
    }

    #[test]
    fn a_set_with_tables_in_memory_is_as_whole_as_any() {
        let folder = tempfile::tempdir().unwrap();
        draft(folder.path(), 1).commit().unwrap();
        let mut other = Draft::begin(folder.path()).unwrap();
        other.add_bytes(FILES[1], b"a,b\n2,x\n").unwrap();
        other.commit_in_memory(&[(FILES[0], b"a,b\n2,x\n".to_vec())]).unwrap();
        assert_eq!(versions(&Snapshot::read(folder.path(), &FILES).unwrap()), ["2", "2"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing else is left");
    }

    /// As `sha256sum -c` reads the list: comments are left out, every other line must hold.
    fn holds(folder: &Path) -> bool {
        let text = fs::read_to_string(folder.join(SUMS_FILE)).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).all(|line| {
            let (sum, name) = line.split_once("  ").unwrap();
            fs::read(folder.join(name)).is_ok_and(|bytes| sha256_hex(&bytes) == sum)
        })
    }

    #[test]
    fn the_list_is_right_with_and_without_every_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(ITEMS);
        let mut whole = draft(folder.path(), 1);
        whole.add_bytes(ITEMS, b"a,b\n1,2\n").unwrap();
        whole.commit().unwrap();
        assert!(
            holds(folder.path())
                && fs::read_to_string(folder.path().join(SUMS_FILE)).unwrap().contains("\n# ")
        );
        let read = || Snapshot::look(folder.path(), &[FILES[0], ITEMS], 1);
        assert!(read().unwrap().get(ITEMS).is_some());
        // What is there is checked here all the same.
        fs::write(&path, "a,b\n1,3\n").unwrap();
        assert!(matches!(read(), Err(RecordError::Changed { path: told }) if told == path));
        fs::remove_file(&path).unwrap();
        assert!(holds(folder.path()) && read().unwrap().get(ITEMS).is_none());
        // A list of an earlier version is read as well.
        let sums = read_sums(folder.path()).unwrap().unwrap();
        fs::write(folder.path().join(SUMS_FILE), lines(&sums, "")).unwrap();
        assert_eq!(read_sums(folder.path()).unwrap(), Some(sums));
    }

    /// What is committed can be checked by anybody who has it.
    #[test]
    fn lists_of_committed_results_are_right() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
        let folders = fs::read_dir(root).unwrap().flatten().map(|entry| entry.path());
        // Others were made after a checkout, or by versions without lists.
        let committed = ["quickstart", "saliency", "hessian"];
        let is_committed = |folder: &std::path::PathBuf| committed.iter().any(|name| folder.ends_with(name));
        let mut checked = 0;
        for folder in folders.filter(is_committed) {
            assert!(holds(&folder), "{}", folder.display());
            let sums = read_sums(&folder).unwrap().unwrap();
            let text = fs::read_to_string(folder.join(SUMS_FILE)).unwrap();
            assert_eq!(text, listed(&sums), "{}", folder.display());
            checked += 1;
        }
        assert_eq!(checked, committed.len());
    }

    #[test]
    fn a_file_that_stays_the_same_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        draft(folder.path(), 1).commit().unwrap();
        let stamp = |name: &str| fs::metadata(folder.path().join(name)).unwrap().modified().unwrap();
        let before = [FILES[0], FILES[1], SUMS_FILE].map(stamp);
        draft(folder.path(), 1).commit().unwrap();
        assert_eq!([FILES[0], FILES[1], SUMS_FILE].map(stamp), before);
    }
}
