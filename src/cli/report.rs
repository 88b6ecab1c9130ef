//! `efficientllm report`: tables and figures from the result files alone.
use super::Place;
use anyhow::Result;

pub(super) fn main(place: &Place) -> Result<u8> {
    for file in crate::report::write(&place.recorded()?)? {
        println!("{}", file.display());
    }
    Ok(0)
}
