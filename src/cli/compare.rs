//! `efficientllm compare`: two runs or two arms side by side, from the result files alone.
use super::Place;
use crate::base::output::write_out;
use crate::base::suggest::nearest;
use crate::record::Results;
use crate::report::Metric;
use crate::report::compare::compare;
use anyhow::{Result, bail};
use clap::Args;

#[derive(Args)]
pub(super) struct Options {
    /// Run or arm that is held against, as `runs.csv` names it; a run may be `arm/seed`, with axes an arm is `arm · value · …`
    a: String,
    /// Run or arm that is held against the first; differences are b − a
    b: String,
    /// List up to N items of each task whose answer changed, in each direction
    #[arg(long, value_name = "N", default_value_t = 0)]
    flips: usize,
    /// Compare tasks on this metric of items [default: acc, or acc_norm where it is the task's usual one]
    #[arg(long, value_name = "METRIC")]
    metric: Option<String>,
    /// Write Markdown
    #[arg(long)]
    markdown: bool,
}

pub(super) fn main(place: &Place, options: &Options) -> Result<u8> {
    let metric = match &options.metric {
        Some(name) => Some(metric(name)?),
        None => None,
    };
    let results = Results::read(&place.recorded()?)?;
    let comparison = compare(&results, [&options.a, &options.b], metric)?;
    let page = if options.markdown {
        comparison.to_markdown(options.flips)
    } else {
        comparison.to_text(options.flips)
    };
    write_out(&page);
    Ok(0)
}

/// The metric of items of that name.
fn metric(name: &str) -> Result<Metric> {
    let known = Metric::ALL.into_iter().filter(|metric| metric.is_of_items()).map(Metric::name);
    match Metric::parse(name).filter(|metric| metric.is_of_items()) {
        Some(metric) => Ok(metric),
        None => {
            let hint = nearest(name, known.clone())
                .map_or(String::new(), |name| format!("\nhint: did you mean `{name}`?"));
            bail!("unknown metric `{name}`; known: {}{hint}", known.collect::<Vec<_>>().join(", "))
        }
    }
}
