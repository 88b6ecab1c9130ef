//! A report as blocks; each output format renders the same blocks.
//!
//! Text may hold `code` between backticks, nothing else.

/// How a column is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Label in LaTeX, anchor in HTML.
    pub name: String,
    pub caption: String,
    pub header: Vec<String>,
    pub align: Vec<Align>,
    pub rows: Vec<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Stem of the file in `figures/`.
    pub name: String,
    pub caption: String,
    pub svg: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    Heading(String),
    Text(String),
    List(Vec<String>),
    Table(Table),
    Figure(Figure),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub title: String,
    pub blocks: Vec<Block>,
}

impl Document {
    /// Name and SVG of every figure, in order.
    pub fn figures(&self) -> Vec<(String, String)> {
        let figure = |b: &Block| match b {
            Block::Figure(f) => Some((f.name.clone(), f.svg.clone())),
            _ => None,
        };
        self.blocks.iter().filter_map(figure).collect()
    }
}

impl Table {
    /// A table whose first `left` columns are set left, the others right.
    pub fn new(name: &str, caption: &str, left: usize, header: Vec<String>, rows: Vec<Vec<String>>) -> Table {
        let align = (0..header.len()).map(|i| if i < left { Align::Left } else { Align::Right }).collect();
        Table { name: name.into(), caption: caption.into(), header, align, rows }
    }
}

/// Splits text at backticks: plain, code, plain, code, ….
pub fn spans(text: &str) -> impl Iterator<Item = (bool, &str)> {
    text.split('`').enumerate().map(|(i, part)| (i % 2 == 1, part))
}
