//! Figures as SVG: fixed sizes and fonts, a colour-blind-safe palette, the same bytes each time.
//!
//! | file | figure |
//! |---|---|
//! | [`curves`] | parameters, pruned share, candidate saliency, loss against tokens; loss against FLOPs |
//! | [`accuracy`] | accuracy per task and arm against chance |
//! | [`forest`] | declared differences with their intervals |
//! | [`levels`] | the values of every axis from the best to the worst |
//! | [`heat_map`] | the cells of two axes |
//! | [`canvas`], [`axes`] | text, lines and colours; scales, ticks and frames |
pub mod accuracy;
pub mod axes;
pub mod canvas;
pub mod curves;
pub mod forest;
pub mod heat_map;
pub mod levels;
