//! Tests of the whole: golden numbers, imports between modules, and the program as people meet it.
mod axis_values;
mod cases;
mod cases_of_runs;
mod cli;
mod compare;
mod contamination;
mod damage;
mod engines;
mod eval;
mod export;
mod full_disk;
mod golden;
mod gpu_check;
mod interruptions;
mod llama_cpp;
mod modules;
mod questions;
mod report;
mod slurm;
mod source;
mod stand_in;
mod sweeps;
mod toy_rule;
mod workers;

// A file of the library that `stand_in` compiles again names it by its path there.
use efficientllm::base;
