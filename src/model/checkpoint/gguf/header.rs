//! The header of a GGUF file: metadata and where each tensor lies.
//!
//! ```text
//! "GGUF" · u32 version (2 or 3) · u64 number of tensors · u64 number of metadata pairs     little-endian
//! pair     string key · u32 type · value
//! value    0 u8 · 1 i8 · 2 u16 · 3 i16 · 4 u32 · 5 i32 · 6 f32 · 7 bool (1 byte) · 8 string · 10 u64 · 11 i64 · 12 f64
//!          9 array: u32 element type · u64 count · elements
//! string   u64 length · UTF-8 bytes
//! tensor   string name · u32 number of dimensions · u64 per dimension, fastest first · u32 format · u64 offset
//! data     begins at the next multiple of `general.alignment` (32 where absent); offsets count from there
//! ```
//!
//! Source: the specification `docs/gguf.md` of ggml. Nothing is allocated for a count or length before the rest of the
//! file has been found long enough to hold it. Deviation: arrays of arrays, which no known writer makes, are refused.
use std::collections::BTreeMap;

use super::MAGIC;
use super::dequantize::Format;

/// What is wrong, and at which byte of the file.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    pub offset: u64,
    pub problem: String,
}

impl Fault {
    pub(super) fn new(offset: usize, problem: impl Into<String>) -> Self {
        Fault { offset: offset as u64, problem: problem.into() }
    }
}

/// A metadata value; integers of all widths alike.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Integer(i128),
    F32(f32),
    F64(f64),
    Bool(bool),
    Text(String),
    Integers(Vec<i64>),
    F32s(Vec<f32>),
    Texts(Vec<String>),
    /// An array of bool or f64, which nothing here asks for.
    Other,
}

impl Value {
    /// For messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Value::Integer(x) => x.to_string(),
            Value::F32(x) => x.to_string(),
            Value::F64(x) => x.to_string(),
            Value::Bool(x) => x.to_string(),
            Value::Text(x) if x.len() <= 80 => format!("\"{}\"", x.escape_debug()),
            Value::Text(_) => "a long string".into(),
            Value::Integers(x) => format!("an array of {} integers", x.len()),
            Value::F32s(x) => format!("an array of {} f32", x.len()),
            Value::Texts(x) => format!("an array of {} strings", x.len()),
            Value::Other => "an array".into(),
        }
    }
}

/// A metadata value with the byte that it begins at.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub offset: usize,
    pub value: Value,
}

/// One tensor, found to lie wholly in the file.
#[derive(Clone, Debug)]
pub(super) struct TensorInfo {
    /// Of its entry in the header, for messages.
    pub offset: usize,
    /// Fastest first.
    pub dimensions: Vec<usize>,
    pub format: Format,
    /// In the file.
    pub start: usize,
    pub bytes: usize,
}

pub(super) struct Header {
    /// Where the data begins.
    pub data: usize,
    pub metadata: BTreeMap<String, Entry>,
    pub tensors: BTreeMap<String, TensorInfo>,
}

/// Longest accepted key or tensor name; ggml's own limits are 65535 and 64.
const LONGEST_NAME: usize = 65535;
/// Largest accepted alignment.
const MAX_ALIGNMENT: i128 = 1 << 20;

/// Reads and checks the whole header.
pub(super) fn parse(file: &[u8]) -> Result<Header, Fault> {
    let mut cursor = Cursor { file, at: 0 };
    if cursor.take(4, "the magic")? != MAGIC {
        return Err(Fault::new(0, "not a GGUF file: it does not begin with `GGUF`"));
    }
    let version = cursor.u32("the version")?;
    match version {
        2 | 3 => {}
        0x0200_0000 | 0x0300_0000 => {
            return Err(Fault::new(4, "the file is big-endian, expected little-endian"));
        }
        _ => return Err(Fault::new(4, format!("GGUF version {version}, expected 2 or 3"))),
    }
    // The shortest tensor entry has no name and no dimension, the shortest pair no key and one byte of value.
    let num_tensors = cursor.count(8 + 4 + 4 + 8, "tensors")?;
    let num_pairs = cursor.count(8 + 4 + 1, "metadata pairs")?;
    let mut metadata = BTreeMap::new();
    for _ in 0..num_pairs {
        let (offset, key) = (cursor.at, cursor.name("a metadata key")?);
        let kind = cursor.u32(&key)?;
        let entry = Entry { offset: cursor.at, value: cursor.value(kind, &key)? };
        if metadata.insert(key.clone(), entry).is_some() {
            return Err(Fault::new(offset, format!("key `{}` stands twice", key.escape_debug())));
        }
    }
    let mut infos = Vec::new();
    for _ in 0..num_tensors {
        infos.push(cursor.tensor()?);
    }
    let alignment = match metadata.get("general.alignment") {
        None => 32,
        Some(Entry { value: Value::Integer(n @ 1..=MAX_ALIGNMENT), .. }) if n & (n - 1) == 0 => *n as u64,
        Some(Entry { offset, value }) => {
            let found = value.describe();
            let problem =
                format!("`general.alignment` is {found}, expected a power of two to {MAX_ALIGNMENT}");
            return Err(Fault::new(*offset, problem));
        }
    };
    let data = (cursor.at as u64).next_multiple_of(alignment);
    place(file.len() as u64, data, alignment, infos).map(|tensors| Header {
        data: data as usize,
        metadata,
        tensors,
    })
}

/// A tensor's entry before it has been held against the file.
struct RawTensor {
    offset: usize,
    name: String,
    dimensions: Vec<usize>,
    format: Format,
    /// From the beginning of the data.
    start: u64,
    bytes: u64,
}

/// Where the tensors lie in the file, once they are found inside it, aligned, apart from each other and named apart.
fn place(
    length: u64,
    data: u64,
    alignment: u64,
    raw: Vec<RawTensor>,
) -> Result<BTreeMap<String, TensorInfo>, Fault> {
    let mut spans: Vec<(u64, u64, usize)> = Vec::with_capacity(raw.len());
    for (i, tensor) in raw.iter().enumerate() {
        let name = tensor.name.escape_debug();
        if tensor.start % alignment != 0 {
            let problem =
                format!("tensor `{name}` begins at {}, not a multiple of {alignment}", tensor.start);
            return Err(Fault::new(tensor.offset, problem));
        }
        let start = data.checked_add(tensor.start);
        match start.and_then(|start| start.checked_add(tensor.bytes).map(|end| (start, end))) {
            Some((start, end)) if end <= length => spans.push((start, end, i)),
            _ => {
                let problem = format!(
                    "tensor `{name}` ({} bytes at {} of the data) ends beyond the file of {length} bytes",
                    tensor.bytes, tensor.start
                );
                return Err(Fault::new(tensor.offset, problem));
            }
        }
    }
    spans.sort_unstable();
    for pair in spans.windows(2) {
        if pair[1].0 < pair[0].1 {
            let (first, second) = (&raw[pair[0].2], &raw[pair[1].2]);
            let problem = format!(
                "tensors `{}` and `{}` overlap",
                first.name.escape_debug(),
                second.name.escape_debug()
            );
            return Err(Fault::new(second.offset, problem));
        }
    }
    let mut tensors = BTreeMap::new();
    for RawTensor { offset, name, dimensions, format, start, bytes } in raw {
        let start = (data + start) as usize;
        let info = TensorInfo { offset, dimensions, format, start, bytes: bytes as usize };
        if tensors.insert(name.clone(), info).is_some() {
            return Err(Fault::new(offset, format!("tensor `{}` stands twice", name.escape_debug())));
        }
    }
    Ok(tensors)
}

/// Reads forward; every read is checked against the end of the file.
struct Cursor<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> usize {
        self.file.len() - self.at
    }

    fn take(&mut self, count: usize, what: &str) -> Result<&'a [u8], Fault> {
        let found = self.rest();
        match self.file.get(self.at..).and_then(|rest| rest.get(..count)) {
            Some(bytes) => {
                self.at += count;
                Ok(bytes)
            }
            None => {
                let what = what.escape_debug();
                Err(Fault::new(
                    self.at,
                    format!("{what}: {count} bytes expected, {found} found: it is truncated"),
                ))
            }
        }
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Fault> {
        let bytes = self.take(N, what)?;
        // `take` gave exactly N bytes.
        Ok(bytes.first_chunk::<N>().copied().unwrap_or([0; N]))
    }

    fn u32(&mut self, what: &str) -> Result<u32, Fault> {
        self.array(what).map(u32::from_le_bytes)
    }

    fn u64(&mut self, what: &str) -> Result<u64, Fault> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A number of things of at least `least` bytes each, which the rest of the file can hold.
    fn count(&mut self, least: usize, what: &str) -> Result<usize, Fault> {
        let at = self.at;
        let count = self.u64(what)?;
        let most = self.rest() / least;
        if count > most as u64 {
            let problem = format!(
                "{count} {} announced, the rest of the file holds at most {most}",
                what.escape_debug()
            );
            return Err(Fault::new(at, problem));
        }
        Ok(count as usize)
    }

    fn string(&mut self, what: &str) -> Result<String, Fault> {
        let length = self.count(1, what)?;
        let at = self.at;
        let bytes = self.take(length, what)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_string()),
            Err(error) => {
                let problem = format!("{}: not UTF-8", what.escape_debug());
                Err(Fault::new(at + error.valid_up_to(), problem))
            }
        }
    }

    fn name(&mut self, what: &str) -> Result<String, Fault> {
        let at = self.at;
        let name = self.string(what)?;
        match name.len() {
            1..=LONGEST_NAME => Ok(name),
            n => Err(Fault::new(at, format!("{what} of {n} bytes, expected 1 to {LONGEST_NAME}"))),
        }
    }

    fn value(&mut self, kind: u32, key: &str) -> Result<Value, Fault> {
        Ok(match kind {
            0..=5 | 10 | 11 => Value::Integer(self.integer(kind, key)?),
            6 => Value::F32(self.array(key).map(f32::from_le_bytes)?),
            7 => Value::Bool(self.boolean(key)?),
            8 => Value::Text(self.string(key)?),
            9 => self.values(key)?,
            12 => Value::F64(self.array(key).map(f64::from_le_bytes)?),
            _ => return Err(self.unknown_type(kind, key)),
        })
    }

    fn values(&mut self, key: &str) -> Result<Value, Fault> {
        let kind = self.u32(key)?;
        let least = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            9 => {
                let problem =
                    format!("`{}` is an array of arrays, which is not supported", key.escape_debug());
                return Err(Fault::new(self.at - 4, problem));
            }
            _ => return Err(self.unknown_type(kind, key)),
        };
        let count = self.count(least, key)?;
        Ok(match kind {
            6 => Value::F32s(
                (0..count).map(|_| self.array(key).map(f32::from_le_bytes)).collect::<Result<_, _>>()?,
            ),
            7 => {
                (0..count).try_for_each(|_| self.boolean(key).map(drop))?;
                Value::Other
            }
            8 => Value::Texts((0..count).map(|_| self.string(key)).collect::<Result<_, _>>()?),
            12 => {
                self.take(8 * count, key)?;
                Value::Other
            }
            _ => {
                let mut integers = Vec::with_capacity(count);
                for _ in 0..count {
                    let at = self.at;
                    let value = self.integer(kind, key)?;
                    integers.push(i64::try_from(value).map_err(|_| {
                        Fault::new(
                            at,
                            format!("`{}` holds {value}, beyond 64 bits signed", key.escape_debug()),
                        )
                    })?);
                }
                Value::Integers(integers)
            }
        })
    }

    fn integer(&mut self, kind: u32, key: &str) -> Result<i128, Fault> {
        Ok(match kind {
            0 => self.array(key).map(u8::from_le_bytes)?.into(),
            1 => self.array(key).map(i8::from_le_bytes)?.into(),
            2 => self.array(key).map(u16::from_le_bytes)?.into(),
            3 => self.array(key).map(i16::from_le_bytes)?.into(),
            4 => self.u32(key)?.into(),
            5 => self.array(key).map(i32::from_le_bytes)?.into(),
            10 => self.u64(key)?.into(),
            11 => self.array(key).map(i64::from_le_bytes)?.into(),
            _ => return Err(self.unknown_type(kind, key)),
        })
    }

    fn boolean(&mut self, key: &str) -> Result<bool, Fault> {
        let at = self.at;
        match self.array(key)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [n] => Err(Fault::new(at, format!("`{}`: {n} is no bool, expected 0 or 1", key.escape_debug()))),
        }
    }

    fn unknown_type(&self, kind: u32, key: &str) -> Fault {
        let problem = format!("`{}` has value type {kind}, expected 0 to 12", key.escape_debug());
        Fault::new(self.at.saturating_sub(4), problem)
    }

    fn tensor(&mut self) -> Result<RawTensor, Fault> {
        let offset = self.at;
        let name = self.name("a tensor name")?;
        let shown = name.escape_debug().to_string();
        let num_dimensions = self.u32(&shown)?;
        if !(1..=4).contains(&num_dimensions) {
            let problem = format!("tensor `{shown}` has {num_dimensions} dimensions, expected 1 to 4");
            return Err(Fault::new(offset, problem));
        }
        let wide = (0..num_dimensions).map(|_| self.u64(&shown)).collect::<Result<Vec<_>, _>>()?;
        let code = self.u32(&shown)?;
        let start = self.u64(&shown)?;
        let Some(format) = Format::from_code(code) else {
            let problem = format!("tensor `{shown}` has format {code}, expected one of {}", Format::known());
            return Err(Fault::new(offset, problem));
        };
        let (block, block_bytes) = format.block();
        if wide[0] % block as u64 != 0 {
            let name = format.name();
            let problem =
                format!("tensor `{shown}` has rows of {}, not a multiple of {block} ({name})", wide[0]);
            return Err(Fault::new(offset, problem));
        }
        let elements = wide.iter().try_fold(1u64, |product, n| product.checked_mul(*n));
        let bytes = elements.and_then(|n| (n / block as u64).checked_mul(block_bytes as u64));
        // Dimensions fit `usize` once their product does; a dimension of 0 hides the others from the product.
        let dimensions = wide.iter().map(|n| usize::try_from(*n).ok().filter(|n| *n > 0)).collect();
        match (bytes, dimensions) {
            (Some(bytes), Some(dimensions)) => {
                Ok(RawTensor { offset, name, dimensions, format, start, bytes })
            }
            _ => Err(Fault::new(offset, format!("tensor `{shown}` has impossible dimensions {wide:?}"))),
        }
    }
}
