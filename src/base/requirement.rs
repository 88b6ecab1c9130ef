//! What a test needs and may not find: a test that passes by skipping says so, and fails where it was promised.
//!
//! ```sh
//! EFFICIENTLLM_REQUIRE=cxx,nvrtc cargo test             # fails where a C++ compiler or NVRTC is missing
//! EFFICIENTLLM_SKIPPED=skipped.txt cargo test           # every skip as a line of that file, for the end of a CI run
//! ```
use std::fs::OpenOptions;
use std::io::Write;

/// Everything that a test can ask for, with what it is.
pub const REQUIREMENTS: [(&str, &str); 18] = [
    ("git", "`git`"),
    ("cxx", "a C++ compiler (`c++`)"),
    ("asan", "AddressSanitizer of that compiler"),
    ("nvrtc", "libnvrtc, NVIDIA's run-time compiler"),
    ("device", "a CUDA device and its libraries"),
    ("nccl", "libnccl"),
    ("shared", "the folder of shared test data"),
    ("python", "a Python with torch and transformers"),
    ("pandas", "a Python with pandas"),
    ("r", "`Rscript`"),
    ("llama_cpp", "a Python with xllamacpp"),
    ("smollm2", "the weights of SmolLM2-135M-Instruct"),
    ("slurm", "a Slurm that can be started here"),
    ("tmpfs", "leave to mount a small tmpfs (root), and `unshare`"),
    ("pdflatex", "`pdflatex` with booktabs and longtable"),
    ("rsvg", "a program that converts figures (`rsvg-convert`, `cairosvg` or `inkscape`)"),
    ("jsonschema", "a Python with jsonschema"),
    ("chromium", "`chromium`, a browser without a screen"),
];

/// Records that a test cannot run because `requirement` is missing, for `reason`, and says so on standard error.
///
/// # Panics
/// Where `$EFFICIENTLLM_REQUIRE` (names separated by commas) promises `requirement`, and where either names something
/// that is not in [`REQUIREMENTS`].
pub fn skip(requirement: &str, reason: &str) {
    let known = |name: &str| REQUIREMENTS.iter().any(|(known, _)| *known == name);
    assert!(known(requirement), "`{requirement}` is not in the list of requirements");
    let required = std::env::var("EFFICIENTLLM_REQUIRE").unwrap_or_default();
    for name in required.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        assert!(known(name), "EFFICIENTLLM_REQUIRE names `{name}`; expected some of {REQUIREMENTS:?}");
        assert!(
            name != requirement,
            "required by EFFICIENTLLM_REQUIRE, but missing: {requirement}: {reason}"
        );
    }
    eprintln!("skipped ({requirement}): {reason}");
    if let Some(path) = std::env::var_os("EFFICIENTLLM_SKIPPED") {
        let test = std::thread::current().name().unwrap_or("main").to_string();
        let line = format!("{requirement}: {test}: {reason}\n");
        let file = OpenOptions::new().create(true).append(true).open(&path);
        // One write, so that tests of several threads do not mix their lines.
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// The same program, one ignored-by-name test of it, under another environment.
    fn skipping(variables: &[(&str, &str)]) -> (bool, String) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["base::requirement::tests::a_test_that_skips", "--exact", "--nocapture"]);
        command.env_remove("EFFICIENTLLM_REQUIRE").env_remove("EFFICIENTLLM_SKIPPED");
        let output = command.envs(variables.iter().copied()).env("SKIP_ONE", "1").output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    #[test]
    fn a_test_that_skips() {
        if std::env::var_os("SKIP_ONE").is_some() {
            skip("slurm", "there is none in this test");
        }
    }

    #[test]
    fn a_skip_is_told_listed_and_fails_where_it_was_required() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("skipped.txt");
        let (passed, text) = skipping(&[("EFFICIENTLLM_SKIPPED", list.to_str().unwrap())]);
        assert!(passed && text.contains("skipped (slurm): there is none in this test"), "{text}");
        let told = std::fs::read_to_string(&list).unwrap();
        assert_eq!(told, "slurm: base::requirement::tests::a_test_that_skips: there is none in this test\n");
        assert!(skipping(&[("EFFICIENTLLM_REQUIRE", "cxx,nvrtc")]).0);
        let (passed, text) = skipping(&[("EFFICIENTLLM_REQUIRE", "cxx, slurm")]);
        assert!(!passed && text.contains("missing: slurm"), "{text}");
        let (passed, text) = skipping(&[("EFFICIENTLLM_REQUIRE", "slrum")]);
        assert!(!passed && text.contains("names `slrum`"), "{text}");
    }
}
