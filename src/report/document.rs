//! A report as blocks; each output format renders the same blocks.
//!
//! Text may hold `code` between backticks and, in cells, `**bold**`, nothing else.

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
    /// How many of the last rows are about all others (chance, numbers of items) and stay at the end when rows are sorted.
    pub footer: usize,
    /// Rows before which a rule is drawn, ascending.
    pub rules: Vec<usize>,
    /// Rows that are titles of those below them, ascending: their first cell goes across all columns.
    pub titles: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Stem of the file in `figures/`.
    pub name: String,
    pub caption: String,
    /// For a page.
    pub svg: String,
    /// The same for a small screen and for one column of a paper.
    pub narrow: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    Heading(String),
    Text(String),
    List(Vec<String>),
    /// A list that a page shows when its title is clicked on.
    Folded(String, Vec<String>),
    Table(Table),
    Figure(Figure),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub title: String,
    pub blocks: Vec<Block>,
}

impl Document {
    /// Every figure, in order.
    pub fn figures(&self) -> impl Iterator<Item = &Figure> {
        self.blocks.iter().filter_map(|block| match block {
            Block::Figure(figure) => Some(figure),
            _ => None,
        })
    }
}

impl Table {
    /// A table whose first `left` columns are set left, the others right.
    pub fn new(name: &str, caption: &str, left: usize, header: Vec<String>, rows: Vec<Vec<String>>) -> Table {
        let align = (0..header.len()).map(|i| if i < left { Align::Left } else { Align::Right }).collect();
        Table {
            name: name.into(),
            caption: caption.into(),
            header,
            align,
            rows,
            footer: 0,
            rules: Vec::new(),
            titles: Vec::new(),
        }
    }
}

/// Splits text at backticks: plain, code, plain, code, ….
pub fn spans(text: &str) -> impl Iterator<Item = (bool, &str)> {
    text.split('`').enumerate().map(|(i, part)| (i % 2 == 1, part))
}
