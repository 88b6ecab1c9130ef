//! Rows of data files as JSON objects, whatever the file: JSON Lines, Parquet (as the Hugging Face hub gives), Arrow IPC
//! (file and stream, as `datasets` keeps on disk).
use super::corpus::read_objects;
use super::error::DataError;
use super::guard::guarded;
use super::parquet_file::ParquetFile;
use crate::base::input;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::{ArrowError, DataType};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

/// Endings of the names of files that [`read_rows`] reads.
pub const ENDINGS: [&str; 5] = ["jsonl", "jsonl.zst", "jsonl.gz", "parquet", "arrow"];

/// What an Arrow IPC file begins with; a stream begins otherwise.
const ARROW_MAGIC: &[u8] = b"ARROW1";

/// Characters of a reader's message that are passed on.
const LONGEST_REASON: usize = 120;

/// One row: where it stands, for messages, and its fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The file with the line (JSON Lines) or row (tables), counted from 1.
    pub place: String,
    pub object: Map<String, Value>,
}

/// All rows of a file, in order.
///
/// A column of an Arrow file whose type JSON has no like for (times, decimals) is left out of the objects.
///
/// # Errors
/// The name has another ending, or the file cannot be read or is damaged.
pub fn read_rows(path: &Path) -> Result<Vec<Row>, DataError> {
    let name = path.to_string_lossy();
    let objects = match () {
        () if [".jsonl", ".jsonl.zst", ".jsonl.gz"].iter().any(|end| name.ends_with(end)) => {
            let row = |(line, object)| Row { place: format!("`{}` line {line}", path.display()), object };
            return Ok(read_objects(path)?.into_iter().map(row).collect());
        }
        () if name.ends_with(".parquet") => guarded(|| read_parquet(path))
            .unwrap_or_else(|reason| Err(damaged(path, "Parquet", 0, reason)))?,
        () if name.ends_with(".arrow") => {
            guarded(|| read_arrow(path)).unwrap_or_else(|reason| Err(damaged(path, "Arrow", 0, reason)))?
        }
        () => {
            return Err(DataError::Extension {
                path: path.to_path_buf(),
                expected: "`.jsonl`, `.jsonl.zst`, `.jsonl.gz`, `.parquet` or `.arrow`",
            });
        }
    };
    let row = |(index, object)| Row { place: format!("`{}` row {}", path.display(), index + 1), object };
    Ok(objects.into_iter().enumerate().map(row).collect())
}

pub(super) fn open(path: &Path) -> Result<File, DataError> {
    input::open_real(path, false).map_err(|source| DataError::Read { path: path.to_path_buf(), source })
}

pub(super) fn damaged(path: &Path, kind: &'static str, row: usize, reason: impl ToString) -> DataError {
    // The reader quotes a cell that it cannot decode, however long it is.
    let mut reason = reason.to_string();
    if let Some((end, _)) = reason.char_indices().nth(LONGEST_REASON) {
        reason.truncate(end);
        reason.push('…');
    }
    DataError::Table { path: path.to_path_buf(), kind, row: row + 1, reason }
}

fn read_parquet(path: &Path) -> Result<Vec<Map<String, Value>>, DataError> {
    let fault = |row: usize, reason: parquet::errors::ParquetError| damaged(path, "Parquet", row, reason);
    let reader = SerializedFileReader::new(ParquetFile(open(path)?)).map_err(|e| fault(0, e))?;
    let mut objects = Vec::new();
    for row in reader.get_row_iter(None).map_err(|e| fault(0, e))? {
        if let Value::Object(object) = row.map_err(|e| fault(objects.len(), e))?.to_json_value() {
            objects.push(object);
        }
    }
    Ok(objects)
}

fn read_arrow(path: &Path) -> Result<Vec<Map<String, Value>>, DataError> {
    let read = |source| DataError::Read { path: path.to_path_buf(), source };
    let mut file = BufReader::new(open(path)?);
    let mut magic = Vec::new();
    file.by_ref().take(ARROW_MAGIC.len() as u64).read_to_end(&mut magic).map_err(read)?;
    file.rewind().map_err(read)?;
    let mut objects = Vec::new();
    let fault = |row: usize, e: ArrowError| damaged(path, "Arrow", row, e);
    if magic == ARROW_MAGIC {
        collect(FileReader::try_new(file, None).map_err(|e| fault(0, e))?, &mut objects)
    } else {
        collect(StreamReader::try_new(file, None).map_err(|e| fault(0, e))?, &mut objects)
    }
    .map_err(|e| fault(objects.len(), e))?;
    Ok(objects)
}

fn collect(
    batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
    objects: &mut Vec<Map<String, Value>>,
) -> Result<(), ArrowError> {
    for batch in batches {
        let batch = batch?;
        let schema = batch.schema();
        for row in 0..batch.num_rows() {
            let cell = |(field, column): (&std::sync::Arc<arrow_schema::Field>, &ArrayRef)| {
                cell(column.as_ref(), row).map(|value| (field.name().clone(), value))
            };
            objects.push(schema.fields().iter().zip(batch.columns()).filter_map(cell).collect());
        }
    }
    Ok(())
}

/// The value at `row`; `None` for a type that JSON has no like for.
fn cell(array: &dyn Array, row: usize) -> Option<Value> {
    if array.is_null(row) {
        return Some(Value::Null);
    }
    let list = |items: ArrayRef| {
        let values: Option<Vec<Value>> = (0..items.len()).map(|i| cell(items.as_ref(), i)).collect();
        values.map(Value::Array)
    };
    Some(match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::UInt8 => array.as_primitive::<UInt8Type>().value(row).into(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(row).into(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).into(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).into(),
        DataType::Float32 => array.as_primitive::<Float32Type>().value(row).into(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).into(),
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).into(),
        DataType::Utf8View => array.as_string_view().value(row).into(),
        DataType::List(_) => list(array.as_list::<i32>().value(row))?,
        DataType::LargeList(_) => list(array.as_list::<i64>().value(row))?,
        DataType::FixedSizeList(..) => list(array.as_fixed_size_list().value(row))?,
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let pairs = fields.iter().zip(columns);
            let named = |(field, column): (&std::sync::Arc<arrow_schema::Field>, &ArrayRef)| {
                cell(column.as_ref(), row).map(|value| (field.name().clone(), value))
            };
            Value::Object(pairs.filter_map(named).collect())
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            cell(dictionary.values().as_ref(), *dictionary.normalized_keys().get(row)?)?
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// Files by `scripts/make-table-fixtures.py`, with pyarrow.
    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables").join(name)
    }

    #[test]
    fn all_kinds_give_the_same_objects() {
        let objects = |name: &str| -> Vec<Map<String, Value>> {
            read_rows(&fixture(name)).expect(name).into_iter().map(|row| row.object).collect()
        };
        let lines = objects("rows.jsonl");
        assert_eq!(lines.len(), 3);
        for name in ["snappy.parquet", "zstd.parquet", "file.arrow", "stream.arrow"] {
            assert_eq!(objects(name), lines, "{name}");
        }
        let rows = read_rows(&fixture("stream.arrow")).expect("rows");
        assert!(rows[2].place.ends_with("stream.arrow` row 3"), "{}", rows[2].place);
    }

    #[test]
    fn damage_names_the_file_and_what_it_was_read_as() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, kind) in [("zstd.parquet", "Parquet"), ("file.arrow", "Arrow"), ("stream.arrow", "Arrow")]
        {
            let bytes = std::fs::read(fixture(name)).expect("a fixture");
            let path = folder.path().join(name);
            for length in [0, 5, bytes.len() / 2, bytes.len() - 9] {
                std::fs::write(&path, &bytes[..length]).expect("written");
                match read_rows(&path) {
                    Err(DataError::Table { kind: found, .. }) => assert_eq!(found, kind),
                    // A stream may end between two batches.
                    other => {
                        assert!(name == "stream.arrow" && other.is_ok(), "{name} cut to {length}: {other:?}")
                    }
                }
            }
        }
        let error = read_rows(&folder.path().join("a.csv")).expect_err("no such kind").to_string();
        assert!(error.contains("`.parquet` or `.arrow`"), "{error}");
    }
}
