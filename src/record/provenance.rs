//! Where results come from: code, machine, engine.
use super::snapshot::Snapshot;
use super::{RecordError, Result, SCHEMA_VERSION, sources};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::Command;

/// Name of the provenance beside the CSV files.
pub const ENVIRONMENT_FILE: &str = "environment.json";

/// Of the sources that this program was built from.
const SOURCES: &str = env!("EFFICIENTLLM_SOURCES");

/// What produced a set of results; none of it changes a number but code and engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    pub schema_version: u32,
    pub crate_version: String,
    /// SHA-256 of the sources that the program was built from (`record::sources`); `None` in files of earlier versions.
    #[serde(default)]
    pub source_sha256: Option<String>,
    /// Commit of the source tree; `None` outside a git checkout, and where the tree has changed since the program was built.
    pub git_commit: Option<String>,
    /// Files that the program is built from differ from that commit.
    pub git_dirty: Option<bool>,
    pub cpu_model: Option<String>,
    pub os: String,
    pub threads: usize,
    pub engine: String,
}

impl Provenance {
    /// Asks git and the system. `source_tree` is the folder of the code; `engine` the one that runs.
    pub fn gather(source_tree: &Path, engine: &str, threads: usize) -> Provenance {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let os = format!("{} {} {}", std::env::consts::OS, std::env::consts::ARCH, kernel.trim());
        let is_built_from = sources::digest(source_tree).is_ok_and(|digest| digest == SOURCES);
        let git = |arguments: &[&str]| is_built_from.then(|| git(source_tree, arguments)).flatten();
        Provenance {
            schema_version: SCHEMA_VERSION,
            crate_version: env!("CARGO_PKG_VERSION").into(),
            source_sha256: Some(SOURCES.into()),
            git_commit: git(&["rev-parse", "HEAD"]),
            git_dirty: git(&STATUS).map(|changes| !changes.is_empty()),
            cpu_model: cpu_model(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            os: os.trim_end().into(),
            threads,
            engine: engine.into(),
        }
    }

    /// With the commit that `known`, written by the same program earlier, tells, where the tree has changed since and says nothing.
    pub fn or_commit_of(self, known: Option<&Provenance>) -> Provenance {
        match known.filter(|known| self.git_commit.is_none() && known.source_sha256 == self.source_sha256) {
            Some(known) => {
                Provenance { git_commit: known.git_commit.clone(), git_dirty: known.git_dirty, ..self }
            }
            None => self,
        }
    }

    /// The text of `environment.json`.
    ///
    /// # Errors
    /// None in practice: it holds texts and numbers.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let mut json = serde_json::to_vec_pretty(self)
            .map_err(|e| RecordError::Json { path: ENVIRONMENT_FILE.into(), message: e.to_string() })?;
        json.push(b'\n');
        Ok(json)
    }

    /// Reads `environment.json` of `folder`; `None` where there is none.
    ///
    /// # Errors
    /// It was changed since it was written, or is none.
    pub fn read(folder: &Path) -> Result<Option<Provenance>> {
        let files = Snapshot::read(folder, &[ENVIRONMENT_FILE])?;
        let Some(bytes) = files.get(ENVIRONMENT_FILE) else { return Ok(None) };
        let json = |e: serde_json::Error| RecordError::Json {
            path: folder.join(ENVIRONMENT_FILE),
            message: e.to_string(),
        };
        serde_json::from_slice(bytes).map(Some).map_err(json)
    }
}

/// What tells whether files that the program is built from differ from the commit. Others do not matter to it, and a checkout with many results takes
/// a third of a second to be looked at as a whole.
const STATUS: [&str; 7] =
    ["status", "--porcelain", "--untracked-files=no", "--", "Cargo.toml", "Cargo.lock", "src"];

fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    // Whoever looks on writes nothing into the user's checkout, not even git's own notes.
    let mut command = Command::new("git");
    command.arg("--no-optional-locks").arg("-C").arg(folder).args(arguments);
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|l| l.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_absence() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Provenance::read(folder.path()).unwrap(), None);
        let gathered = Provenance::gather(folder.path(), "cpu", 2);
        // A bare temporary folder is no checkout.
        assert_eq!((&gathered.git_commit, gathered.git_dirty), (&None, None));
        std::fs::write(folder.path().join(ENVIRONMENT_FILE), gathered.to_json().unwrap()).unwrap();
        assert_eq!(Provenance::read(folder.path()).unwrap(), Some(gathered));
    }

    /// A tree that was changed, checked out anew or never this program's says nothing about it.
    #[test]
    fn the_commit_of_a_tree_is_recorded_only_where_the_program_was_built_from_it() {
        let tree = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| super::git(tree.path(), arguments);
        if git(&["init", "--quiet"]).is_none() {
            return crate::base::requirement::skip("git", "git is not here");
        }
        std::fs::write(tree.path().join("Cargo.toml"), "").unwrap();
        let author = ["-c", "user.name=a", "-c", "user.email=a@b"];
        git(&["add", "."]).unwrap();
        git(&[&author[..], &["commit", "--quiet", "-m", "another project"]].concat()).unwrap();
        let other = Provenance::gather(tree.path(), "cpu", 2);
        assert_eq!((other.git_commit, other.git_dirty), (None, None));
        assert_eq!(other.source_sha256.as_deref(), Some(SOURCES));

        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        let gathered = Provenance::gather(own, "cpu", 2);
        let is_unchanged = sources::digest(own).is_ok_and(|digest| digest == SOURCES);
        let commit = super::git(own, &["rev-parse", "HEAD"]).filter(|_| is_unchanged);
        assert_eq!(gathered.git_commit, commit);
    }

    /// The tree is edited while an experiment is interrupted: its program is still that of the commit.
    #[test]
    fn the_same_program_keeps_its_commit_when_it_goes_on() {
        let nowhere = tempfile::tempdir().unwrap();
        let now = || Provenance::gather(nowhere.path(), "cpu", 2);
        let commit = |of: Provenance| (of.git_commit, of.git_dirty);
        let known = Provenance { git_commit: Some("3a0f77b".into()), git_dirty: Some(false), ..now() };
        assert_eq!(commit(now().or_commit_of(Some(&known))), (Some("3a0f77b".into()), Some(false)));
        let other = Provenance { source_sha256: Some("0".repeat(64)), ..known.clone() };
        assert_eq!(commit(now().or_commit_of(Some(&other))), (None, None));
        let newer = Provenance { git_commit: Some("d396f33".into()), ..now() };
        assert_eq!(newer.or_commit_of(Some(&known)).git_commit.as_deref(), Some("d396f33"));
        assert_eq!(commit(now().or_commit_of(None)), (None, None));
    }

    /// A process that is killed while git holds a lock would leave it in the user's checkout.
    #[test]
    fn the_checkout_is_looked_at_and_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let run = |arguments: &[&str]| git(folder.path(), arguments);
        let file = folder.path().join("Cargo.toml");
        std::fs::write(&file, "text").unwrap();
        let identity = ["-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "one"];
        let made = run(&["init", "-q"]).and(run(&["add", "Cargo.toml"])).and(run(&identity));
        if made.is_none() {
            return crate::base::requirement::skip("git", "no checkout can be made");
        }
        // Contents are the same, and what git remembers of the file is not: it would note that.
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(later).unwrap();
        let index = folder.path().join(".git/index");
        let before = std::fs::read(&index).unwrap();
        assert_eq!(git(folder.path(), &STATUS).as_deref(), Some(""));
        assert_eq!(std::fs::read(&index).unwrap(), before);
    }

    #[test]
    fn cpu_name() {
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: A CPU\n"), Some("A CPU".into()));
        assert_eq!(cpu_model(""), None);
    }
}
