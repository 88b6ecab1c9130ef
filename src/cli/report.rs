//! `efficientllm report`: tables and figures from the result files alone.
use super::Place;
use anyhow::{Result, bail};

pub(super) fn main(place: &Place) -> Result<u8> {
    let (_, results) = place.load()?;
    if !results.join("runs.csv").exists() {
        bail!(
            "no results in `{}`\nhint: `efficientllm run {}` makes them",
            results.display(),
            place.experiment.display()
        );
    }
    for file in crate::report::write(&results)? {
        println!("{}", file.display());
    }
    Ok(0)
}
