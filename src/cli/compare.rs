//! `efficientllm compare`: two runs or two arms side by side, from the result files alone.
use super::Place;
use crate::base::output::write_out;
use crate::record::Results;
use crate::report::compare::compare;
use anyhow::Result;
use clap::Args;

#[derive(Args)]
pub(super) struct Options {
    /// Run or arm that is held against, as `runs.csv` names it; with axes an arm is `arm · value · …`
    a: String,
    /// Run or arm that is held against the first; differences are b − a
    b: String,
    /// List up to N items of each task whose answer changed, in each direction
    #[arg(long, value_name = "N", default_value_t = 0)]
    flips: usize,
    /// Write Markdown
    #[arg(long)]
    markdown: bool,
}

pub(super) fn main(place: &Place, options: &Options) -> Result<u8> {
    let results = Results::read(&place.recorded()?)?;
    let comparison = compare(&results, [&options.a, &options.b])?;
    let page = if options.markdown {
        comparison.to_markdown(options.flips)
    } else {
        comparison.to_text(options.flips)
    };
    write_out(&page);
    Ok(0)
}
