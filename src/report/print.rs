//! Figures for print: PDF and PNG at the width of one and of two columns, by a converter of the machine.
//!
//! A figure is drawn for each width (`figures::Sheet`), so its text has 7 points in both. The converter embeds the
//! font. It is a program and no crate: fonts, shaping and PDF would take longer to build than the rest of the reports.
use super::{Figure, ReportError, Result, Written};
use crate::base::files::write_atomic_with;
use std::path::Path;
use std::process::Command;

/// What a figure becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Pdf,
    Png,
}

impl Format {
    pub fn name(self) -> &'static str {
        match self {
            Format::Pdf => "pdf",
            Format::Png => "png",
        }
    }
}

/// Points of one column and of two (3.35 and 7 inches, as conferences have them), with the ending of the file's name.
const WIDTHS: [(&str, f64); 2] = [("1col", 241.2), ("2col", 504.0)];
/// Dots per inch of pixels.
const DPI: &str = "300";

/// A program that converts, and its arguments from the file to read, the file to write and the format.
struct Converter {
    program: &'static str,
    arguments: fn(&Path, &Path, Format) -> Vec<String>,
}

const CONVERTERS: [Converter; 3] = [
    Converter {
        program: "rsvg-convert",
        arguments: |from, to, format| {
            let dpi = if format == Format::Png { DPI } else { "72" };
            vec!["-f", format.name(), "-d", dpi, "-p", dpi, "-o", &shown(to), &shown(from)]
                .into_iter()
                .map(String::from)
                .collect()
        },
    },
    Converter {
        program: "cairosvg",
        arguments: |from, to, format| {
            let dpi = if format == Format::Png { DPI } else { "72" };
            vec!["-f", format.name(), "-d", dpi, "-o", &shown(to), &shown(from)]
                .into_iter()
                .map(String::from)
                .collect()
        },
    },
    Converter {
        program: "inkscape",
        arguments: |from, to, format| {
            vec![
                format!("--export-type={}", format.name()),
                format!("--export-dpi={DPI}"),
                format!("--export-filename={}", shown(to)),
                shown(from),
            ]
        },
    },
];

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Writes every figure in every format and width into `folder`, by the first converter that is installed.
///
/// # Errors
/// No converter is installed; it fails; a file cannot be written.
pub fn print(figures: &[Figure], formats: &[Format], folder: &Path) -> Result<Written> {
    let io = |path: &Path, source| ReportError::Io { path: path.to_path_buf(), source };
    let installed = |c: &&Converter| Command::new(c.program).arg("--version").output().is_ok();
    let converter = CONVERTERS.iter().find(installed).ok_or_else(|| ReportError::NoConverter {
        known: CONVERTERS.iter().map(|c| format!("`{}`", c.program)).collect::<Vec<_>>().join(", "),
    })?;
    std::fs::create_dir_all(folder).map_err(|e| io(folder, e))?;
    let mut written = Written::default();
    for figure in figures {
        for ((ending, points), svg) in WIDTHS.iter().zip([&figure.narrow, &figure.svg]) {
            for format in formats {
                let path = folder.join(format!("{}-{ending}.{}", figure.name, format.name()));
                convert(converter, &sized(svg, *points), *format, &path)?;
                written.changed.push(path.clone());
                written.files.push(path);
            }
        }
    }
    Ok(written)
}

fn convert(converter: &Converter, svg: &str, format: Format, path: &Path) -> Result<()> {
    let fault = |message: String| ReportError::Converter {
        program: converter.program,
        path: path.to_path_buf(),
        message: message.trim().to_string(),
    };
    let source = tempfile::Builder::new().suffix(".svg").tempfile().map_err(|e| fault(e.to_string()))?;
    std::fs::write(source.path(), svg).map_err(|e| fault(e.to_string()))?;
    // Under its name only when it is whole.
    write_atomic_with(path, |to| {
        let done = Command::new(converter.program)
            .args((converter.arguments)(source.path(), to, format))
            .output()?;
        match done.status.success() {
            true => Ok(()),
            false => Err(std::io::Error::other(String::from_utf8_lossy(&done.stderr).into_owned())),
        }
    })
    .map_err(|error| fault(error.to_string()))
}

/// The figure `points` wide; its view box keeps the proportions.
fn sized(svg: &str, points: f64) -> String {
    let number = |name: &str| -> Option<f64> {
        svg.split(&format!("{name}=\"")).nth(1)?.split('"').next()?.parse().ok()
    };
    let (Some(width), Some(height)) = (number(" width"), number(" height")) else { return svg.to_string() };
    let old = format!("width=\"{width}\" height=\"{height}\"");
    let new = format!("width=\"{points}pt\" height=\"{:.2}pt\"", points * height / width);
    svg.replacen(&old, &new, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_becomes_as_wide_as_a_column() {
        let svg = "<svg width=\"900\" height=\"450\" viewBox=\"0 0 7200 3600\">\n<rect width=\"900\" height=\"450\"/></svg>";
        let sized = sized(svg, 504.0);
        assert!(sized.starts_with("<svg width=\"504pt\" height=\"252.00pt\" viewBox"), "{sized}");
    }

    #[test]
    fn figures_are_printed_where_a_converter_is_installed() {
        let svg = |width: u32| {
            format!(
                "<svg width=\"{width}\" height=\"100\" viewBox=\"0 0 {width} 100\" xmlns=\"http://www.w3.org/2000/svg\">\n<text x=\"20\" y=\"40\">taylor</text></svg>"
            )
        };
        let figure = Figure { name: "one".into(), caption: String::new(), svg: svg(900), narrow: svg(430) };
        let folder = tempfile::tempdir().unwrap();
        match print(&[figure], &[Format::Pdf, Format::Png], folder.path()) {
            Err(ReportError::NoConverter { known }) => {
                crate::base::requirement::skip("rsvg", &format!("none of {known} is installed"));
            }
            written => {
                let files = written.unwrap().files;
                assert_eq!(files.len(), 4);
                let begins = |at: usize, with: &[u8]| std::fs::read(&files[at]).unwrap().starts_with(with);
                assert!(begins(0, b"%PDF") && begins(1, b"\x89PNG"));
            }
        }
    }
}
