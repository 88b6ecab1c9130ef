//! A Parquet file whose end is an error for who reads on.
//!
//! The reader of page headers skips a field by copying as many bytes as it is said to have, and takes the end of the file for
//! so many (`skip_bytes` of parquet 60.1): a damaged count of two thousand million fields is then read through, one call to the
//! system each.
use bytes::Bytes;
use parquet::errors::Result;
use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;
use std::io::{self, BufReader, Read};

pub(super) struct ParquetFile(pub File);

/// What reads from some place on.
pub(super) struct FromPlace(BufReader<File>);

impl Read for FromPlace {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self.0.read(to)? {
            0 if !to.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

impl Length for ParquetFile {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl ChunkReader for ParquetFile {
    type T = FromPlace;

    fn get_read(&self, start: u64) -> Result<FromPlace> {
        self.0.get_read(start).map(FromPlace)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        // Room is made before it is read: a damaged length would ask for more than there is.
        let left = self.len().saturating_sub(start);
        if length as u64 > left {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        self.0.get_bytes(start, length)
    }
}
