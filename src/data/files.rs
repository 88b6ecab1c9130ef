//! Files of text as streams of bytes, decompressed where the name ends in `.gz` or `.zst`. A byte-order mark is no part of
//! the text; UTF-16 is refused by name.
//!
//! One piece (a line, a document) is in memory at a time, so a corpus may be larger than memory.
use super::error::DataError;
use crate::base::input::{self, InputFault};
use flate2::read::MultiGzDecoder;
use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Whether the file's name ends in one of `endings`.
pub(super) fn ends_in(path: &Path, endings: &[&str]) -> bool {
    path.file_name().is_some_and(|name| endings.iter().any(|end| name.to_string_lossy().ends_with(end)))
}

/// A stream of text that knows where it stands.
pub(super) struct TextFile {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    /// What the file is compressed by.
    compression: Option<&'static str>,
    /// Bytes of text taken so far, after decompression.
    offset: usize,
    /// Bytes of the file itself that the readers have asked for.
    read: Rc<Cell<u64>>,
    piece: Vec<u8>,
}

impl TextFile {
    /// Opens the file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(path: &Path) -> Result<TextFile, DataError> {
        let fault = |source| DataError::Read { path: path.to_path_buf(), source };
        let read = Rc::new(Cell::new(0));
        let file = Counted {
            // Plain text may be about HTML; no other kind begins as a page does.
            file: input::open_real(path, ends_in(path, &[".txt", ".raw"])).map_err(fault)?,
            read: read.clone(),
        };
        let (reader, compression): (Box<dyn BufRead>, _) = if ends_in(path, &[".zst"]) {
            (Box::new(BufReader::new(zstd::Decoder::new(file).map_err(fault)?)), Some("zstd"))
        } else if ends_in(path, &[".gz"]) {
            // Parallel compressors write many members one after another; a plain decoder would stop after the first.
            (Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(file)))), Some("gzip"))
        } else {
            (Box::new(BufReader::new(file)), None)
        };
        Ok(TextFile { path: path.to_path_buf(), reader, compression, offset: 0, read, piece: Vec::new() })
    }

    /// The text up to the next `end`, without it, or up to the end of the file, and how many bytes of the file, as it
    /// is on disk, are read by then; `None` where nothing is left.
    ///
    /// # Errors
    /// The file is damaged, cut short or not UTF-8.
    pub fn until(&mut self, end: &str) -> Result<Option<(&str, u64)>, DataError> {
        // No byte below 128 is part of a longer UTF-8 character; all ends that are asked for are ASCII.
        let Some(last) = end.bytes().last() else { return Ok(None) };
        self.piece.clear();
        loop {
            match self.reader.read_until(last, &mut self.piece) {
                Ok(0) if self.piece.is_empty() => return Ok(None),
                Ok(0) => break,
                Ok(_) if self.piece.ends_with(end.as_bytes()) => break,
                Ok(_) => {}
                Err(source) => return Err(self.damage(source)),
            }
        }
        let start = self.offset;
        self.offset += self.piece.len();
        let mut text = self.piece.strip_suffix(end.as_bytes()).unwrap_or(&self.piece);
        if start == 0 {
            if input::is_utf16(text) {
                let source = InputFault::Utf16.into();
                return Err(DataError::Read { path: self.path.clone(), source });
            }
            text = text.strip_prefix(input::BOM).unwrap_or(text);
        }
        std::str::from_utf8(text)
            .map(|text| Some((text, self.read.get())))
            .map_err(|e| DataError::NotUtf8 { path: self.path.clone(), offset: start + e.valid_up_to() })
    }

    fn damage(&self, source: std::io::Error) -> DataError {
        let path = self.path.clone();
        match self.compression {
            Some(kind) => {
                DataError::Compressed { path, kind, offset: self.offset + self.piece.len(), source }
            }
            None => DataError::Read { path, source },
        }
    }
}

/// A file that counts what is read of it.
struct Counted {
    file: File,
    read: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.read.set(self.read.get() + n as u64);
        Ok(n)
    }
}
