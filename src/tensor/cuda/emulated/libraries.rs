//! Stand-ins for libcuda, libnvrtc, libcublasLt and libnccl: shared objects that a process loads in their place, so that the
//! driver's side of the engine is executed on machines without a GPU.
//!
//! They are strict where the real libraries are (a current context, sizes of attributes, alignment, what a capture allows)
//! and slow. A process gets them by its environment, as it would get a toolkit: `LD_LIBRARY_PATH` is read when it starts.
//! Included by unit tests and by the tests of the program alike, and hence without dependencies.
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// File name, what it is made of. The names are those that are tried first, before any that a toolkit may have installed.
const LIBRARIES: [(&str, &str); 4] = [
    ("libcuda.so", include_str!("libraries/cuda.cpp")),
    ("libnvrtc.so", include_str!("libraries/nvrtc.cpp")),
    ("libcublasLt.so", include_str!("libraries/cublaslt.cpp")),
    ("libnccl.so", include_str!("libraries/nccl.cpp")),
];
const HEADERS: [(&str, &str); 2] =
    [("stand_in.h", include_str!("libraries/stand_in.h")), ("emulation.h", include_str!("emulation.h"))];

/// `program`, to be run with the stand-ins; none, with the reason printed, where there is no C++ compiler.
pub fn with_stand_ins(program: &Path) -> Option<Command> {
    if Command::new("c++").arg("--version").output().is_err() {
        crate::base::requirement::skip(
            "cxx",
            "there is no C++ compiler (`c++`) to build stand-ins for CUDA's libraries with",
        );
        return None;
    }
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join("stand_in");
    let folder = BUILT.get_or_init(|| built(&root));
    let mut command = Command::new(program);
    command
        .env("LD_LIBRARY_PATH", folder)
        // Compiled kernels are kept from one run of the tests to the next, with the compiler that made them.
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env_remove("CUDA_VISIBLE_DEVICES");
    Some(command)
}

/// The folder with the libraries, made unless it is there.
fn built(root: &Path) -> PathBuf {
    let mut hash = DefaultHasher::new();
    (LIBRARIES, HEADERS).hash(&mut hash);
    let folder = root.join(format!("{:016x}", hash.finish()));
    if folder.exists() {
        return folder;
    }
    let unfinished = root.join(format!("{:016x}-{}", hash.finish(), std::process::id()));
    std::fs::create_dir_all(&unfinished).expect("a folder for the libraries");
    let write =
        |name: &str, text: &str| std::fs::write(unfinished.join(name), text).expect("a writable folder");
    for (name, text) in HEADERS {
        write(name, text);
    }
    let header = format!("-DEMULATION=\"{}\"", folder.join("emulation.h").display());
    for (name, text) in LIBRARIES {
        let source = format!("{name}.cpp");
        write(&source, text);
        let output = Command::new("c++")
            .args(["-std=c++17", "-O2", "-fPIC", "-shared", "-pthread", "-ffp-contract=off", &header, "-o"])
            .args([name, &source, "-ldl"])
            .current_dir(&unfinished)
            .output()
            .expect("`c++` ran before");
        assert!(output.status.success(), "{name}:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    // Another process may have finished first; both made the same.
    if std::fs::rename(&unfinished, &folder).is_err() {
        assert!(folder.exists(), "{} cannot be made", folder.display());
        let _ = std::fs::remove_dir_all(&unfinished);
    }
    folder
}
