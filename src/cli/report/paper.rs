//! `efficientllm report a b --table paper`: one table of several experiments, evaluations and published rows.
use super::{Options, Place};
use crate::base::output::write_out;
use crate::report::paper::{self, Origin};
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

pub(super) fn main(place: &Place, options: &Options) -> Result<u8> {
    let mut origins: Vec<Origin> = options.published.iter().cloned().map(Origin::Published).collect();
    for named in std::iter::once(&place.experiment).chain(&options.more) {
        origins.push(origin(named, place)?);
    }
    let folder = match (&options.out, origins.iter().find_map(results)) {
        (Some(folder), _) => folder.clone(),
        (None, Some(folder)) => folder,
        (None, None) => {
            bail!("none of these is an experiment\nhint: name a folder for the table with `--out`")
        }
    };
    let (text, written) = paper::write(&origins, &folder)?;
    write_out(&text);
    say!("");
    written.files.iter().for_each(|file| say!("{}", file.display()));
    Ok(0)
}

fn results(origin: &Origin) -> Option<PathBuf> {
    match origin {
        Origin::Results(folder) => Some(folder.clone()),
        _ => None,
    }
}

/// What `named` is: a folder of results, one of `efficientllm eval`, or an experiment, whose results are looked for.
fn origin(named: &Path, place: &Place) -> Result<Origin> {
    if let Some(origin) = Origin::of(named) {
        return Ok(origin);
    }
    let name = crate::spec::name(named)?;
    // `--results` is of the first experiment; the others' are where `run` leaves them.
    let own = named == place.experiment.as_path();
    let folder = if own { place.results(&name) } else { Path::new("results").join(&name) };
    Origin::of(&folder).ok_or_else(|| {
        anyhow::anyhow!(
            "no results in `{}`\nhint: `efficientllm run {}` makes them",
            folder.display(),
            named.display()
        )
    })
}
