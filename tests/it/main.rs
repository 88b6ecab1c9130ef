//! Tests of the whole: golden numbers, the rooms' imports, and the program as people meet it.
mod cli;
mod eval;
mod golden;
mod interruptions;
mod rooms;
