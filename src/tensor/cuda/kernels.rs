//! The kernel sources, and how one file of them becomes one compilable text.
//!
//! Files are plain CUDA C++ without toolkit headers. `common.cuh` stands before each; `#include "…"` of another file of
//! this folder is carried out here, once per text, so that neither NVRTC nor a host compiler needs a search path.
use std::fmt::Write;

/// Name (with the ending) and text of every file under `kernels/`.
const FILES: &[(&str, &str)] = &[
    ("attention.cuh", include_str!("kernels/attention.cuh")),
    ("attention_backward.cu", include_str!("kernels/attention_backward.cu")),
    ("attention_decode.cu", include_str!("kernels/attention_decode.cu")),
    ("attention_f32.cu", include_str!("kernels/attention_f32.cu")),
    ("attention_forward.cu", include_str!("kernels/attention_forward.cu")),
    ("attention_statistics.cu", include_str!("kernels/attention_statistics.cu")),
    ("common.cuh", include_str!("kernels/common.cuh")),
    ("cross_entropy.cu", include_str!("kernels/cross_entropy.cu")),
    ("distillation.cu", include_str!("kernels/distillation.cu")),
    ("elementwise.cu", include_str!("kernels/elementwise.cu")),
    ("layout.cu", include_str!("kernels/layout.cu")),
    ("norm.cu", include_str!("kernels/norm.cu")),
    ("optimizer.cu", include_str!("kernels/optimizer.cu")),
    ("reduce.cu", include_str!("kernels/reduce.cu")),
    ("rope.cu", include_str!("kernels/rope.cu")),
    ("span.cuh", include_str!("kernels/span.cuh")),
    ("tensor_core.cuh", include_str!("kernels/tensor_core.cuh")),
];

/// A file to compile with given macros: what tests compile and what a device may be asked for.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    /// Without its ending.
    pub file: &'static str,
    pub defines: &'static [(&'static str, u32)],
    /// Most bytes of registers that any of its kernels may spill.
    pub spill_allowance: u32,
}

/// Every unit that the engine launches kernels of; of the widths that attention is compiled for, the narrowest, that of
/// most models, and the widest.
pub const UNITS: &[Unit] = &[
    for_heads("attention_backward", &[("HEAD", 16)]),
    for_heads("attention_backward", &[("HEAD", 64)]),
    for_heads("attention_backward", &[("HEAD", 128)]),
    plain("attention_decode"),
    plain("attention_f32"),
    for_heads("attention_forward", &[("HEAD", 16)]),
    for_heads("attention_forward", &[("HEAD", 64)]),
    for_heads("attention_forward", &[("HEAD", 128)]),
    plain("attention_statistics"),
    plain("cross_entropy"),
    plain("distillation"),
    plain("elementwise"),
    plain("layout"),
    plain("norm"),
    plain("optimizer"),
    plain("reduce"),
    plain("rope"),
];

const fn plain(file: &'static str) -> Unit {
    Unit { file, defines: &[], spill_allowance: 0 }
}

const fn for_heads(file: &'static str, defines: &'static [(&'static str, u32)]) -> Unit {
    Unit { file, defines, spill_allowance: 0 }
}

/// The text of kernel file `file` (without its ending) with `defines`, ready to compile.
///
/// # Panics
/// Where there is no such file, or it includes one that there is not: a defect of this crate.
pub fn source(file: &str, defines: &[(&'static str, u32)]) -> String {
    let mut text = String::new();
    for (name, value) in defines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "#define {name} {value}");
    }
    let mut included = Vec::new();
    include("common.cuh", &mut included, &mut text);
    include(&format!("{file}.cu"), &mut included, &mut text);
    text
}

fn include(name: &str, included: &mut Vec<String>, text: &mut String) {
    if included.iter().any(|seen| seen == name) {
        return;
    }
    included.push(name.to_string());
    let (_, file) = FILES
        .iter()
        .find(|(known, _)| *known == name)
        .unwrap_or_else(|| panic!("there is no kernel file `{name}`"));
    let _ = writeln!(text, "#line 1 \"{name}\"");
    for (number, line) in file.lines().enumerate() {
        if let Some(other) = line.strip_prefix("#include \"").and_then(|rest| rest.strip_suffix('"')) {
            include(other, included, text);
            let _ = writeln!(text, "#line {} \"{name}\"", number + 2);
        } else if line.trim() != "#pragma once" {
            text.push_str(line);
            text.push('\n');
        }
    }
}

/// Names of the kernels that `source` defines.
#[cfg(test)]
pub(super) fn kernel_names(source: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for mut rest in source.split("__global__").skip(1) {
        while let Some((head, tail)) = rest.split_once('(') {
            match head.split_whitespace().next_back() {
                Some("__launch_bounds__") => rest = tail.split_once(')').map_or("", |(_, tail)| tail),
                name => {
                    names.extend(name);
                    break;
                }
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_found_in_every_way_to_declare_one() {
        let text = "__global__ void a(int x) {}\n__global__ void __launch_bounds__(128, 2)\nb(float *y) {}\n\
                    __global__ __launch_bounds__(64) void c(void) {}";
        assert_eq!(kernel_names(text), ["a", "b", "c"]);
    }

    #[test]
    fn every_unit_has_kernels_and_every_file_serves_a_unit() {
        for unit in UNITS {
            assert!(!kernel_names(&source(unit.file, unit.defines)).is_empty(), "{unit:?}");
        }
        for (name, _) in FILES.iter().filter(|(name, _)| name.ends_with(".cu")) {
            assert!(UNITS.iter().any(|unit| format!("{}.cu", unit.file) == *name), "{name}");
        }
    }
}
