//! Files that a user names: opened and read with everything that is wrong with the file as a whole said by its name.
//!
//! | what lies there | why it is told apart |
//! |---|---|
//! | a named pipe, a device, a socket | opening it may wait for ever, reading it may never end |
//! | a Git LFS pointer | a clone without LFS puts three lines of text in the place of a large file |
//! | a page of HTML | a download that failed keeps the server's page under the file's name |
//! | UTF-16 | editors of some systems write it; every byte is read as text of another kind |
//! | a byte-order mark of UTF-8 | the same editors write it; it is no part of the text and is left out |
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek};
use std::path::Path;

/// The byte-order mark of UTF-8.
pub const BOM: &[u8] = b"\xef\xbb\xbf";
/// Bytes from the beginning of a file that tell what it is.
const HEAD: u64 = 512;
/// First line of every Git LFS pointer.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";

/// What is wrong with a file as a whole. It travels inside an [`io::Error`], so that every reader's own error names the
/// file beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputFault {
    #[error("it is {found}, not a file")]
    NotAFile { found: &'static str },
    #[error("it has {bytes} bytes, more than the {limit} that such a file may have")]
    TooLarge { bytes: u64, limit: u64 },
    #[error(
        "it is a Git LFS pointer, which stands for the file{}, and not the file itself\nhint: fetch the file with `git lfs pull`",
        bytes.map_or_else(String::new, |bytes| format!(" of {bytes} bytes"))
    )]
    LfsPointer { bytes: Option<u64> },
    #[error(
        "it is a page of HTML, such as a server sends in the place of a file that it does not give\nhint: fetch the file again, and look at the page for the reason"
    )]
    Html,
    #[error(
        "it is UTF-16 text, and UTF-8 is expected\nhint: save it as UTF-8, or convert it with `iconv -f UTF-16 -t UTF-8`"
    )]
    Utf16,
    #[error("not UTF-8 text (byte {offset})")]
    NotUtf8 { offset: usize },
}

impl From<InputFault> for io::Error {
    fn from(fault: InputFault) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, fault)
    }
}

/// The fault that an I/O error of this module carries.
pub fn fault_of(error: &io::Error) -> Option<InputFault> {
    error.get_ref().and_then(|inner| inner.downcast_ref()).copied()
}

/// Opens a file that is one: no pipe, no device, no folder.
///
/// # Errors
/// There is none, or it cannot be opened.
pub fn open(path: &Path) -> io::Result<File> {
    // Asked before it is opened: opening a named pipe waits for whoever writes to it.
    if let Some(found) = other_than_file(&fs::metadata(path)?) {
        return Err(InputFault::NotAFile { found }.into());
    }
    File::open(path)
}

fn other_than_file(metadata: &Metadata) -> Option<&'static str> {
    if metadata.is_file() {
        return None;
    }
    if metadata.is_dir() {
        return Some("a folder");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = metadata.file_type();
        if kind.is_fifo() {
            return Some("a named pipe");
        }
        if kind.is_char_device() || kind.is_block_device() {
            return Some("a device");
        }
    }
    Some("a socket or something else")
}

/// As [`open`], refusing what stands in the place of a file: see [`stand_in`].
///
/// # Errors
/// As [`open`].
pub fn open_real(path: &Path, may_be_html: bool) -> io::Result<File> {
    let mut file = open(path)?;
    let mut head = Vec::new();
    file.by_ref().take(HEAD).read_to_end(&mut head)?;
    if let Some(fault) = stand_in(&head, may_be_html) {
        return Err(fault.into());
    }
    file.rewind()?;
    Ok(file)
}

/// All bytes of a file of at most `limit` bytes.
///
/// # Errors
/// As [`open_real`], and a file that is larger.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open_real(path, false)?;
    let bytes = file.metadata()?.len();
    if bytes > limit {
        return Err(InputFault::TooLarge { bytes, limit }.into());
    }
    let mut all = Vec::with_capacity(bytes as usize);
    // A file may grow while it is read.
    file.take(limit.saturating_add(1)).read_to_end(&mut all)?;
    match all.len() as u64 {
        bytes if bytes > limit => Err(InputFault::TooLarge { bytes, limit }.into()),
        _ => Ok(all),
    }
}

/// The text of a file of at most `limit` bytes, without a byte-order mark.
///
/// # Errors
/// As [`read`], and text that is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let mut bytes = read(path, limit)?;
    if is_utf16(&bytes) {
        return Err(InputFault::Utf16.into());
    }
    if bytes.starts_with(BOM) {
        bytes.drain(..BOM.len());
    }
    String::from_utf8(bytes)
        .map_err(|error| InputFault::NotUtf8 { offset: error.utf8_error().valid_up_to() }.into())
}

/// What the first bytes of a file show it to be in the place of the file that was meant.
pub fn stand_in(head: &[u8], may_be_html: bool) -> Option<InputFault> {
    if head.starts_with(LFS) {
        let text = String::from_utf8_lossy(head);
        let size = text.lines().find_map(|line| line.strip_prefix("size "));
        return Some(InputFault::LfsPointer { bytes: size.and_then(|size| size.trim().parse().ok()) });
    }
    let text = head.strip_prefix(BOM).unwrap_or(head).trim_ascii_start();
    let begins = |with: &[u8]| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    (!may_be_html && (begins(b"<!doctype html") || begins(b"<html"))).then_some(InputFault::Html)
}

/// Whether text begins as UTF-16 does: with its mark, or with every other byte 0.
pub fn is_utf16(head: &[u8]) -> bool {
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return true;
    }
    let pairs = head.get(..8).unwrap_or_default().as_chunks::<2>().0;
    let zeros_at = |place: usize| pairs.iter().all(|pair| pair[place] == 0 && pair[1 - place] != 0);
    !pairs.is_empty() && (zeros_at(0) || zeros_at(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str, bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        read_text(&path, 1000).map_or_else(|error| error.to_string(), |text| format!("read: {text}"))
    }

    #[test]
    fn what_is_not_the_file_is_named() {
        let utf16 = |text: &str, mark: bool| -> Vec<u8> {
            let mark = mark.then_some(0xfeff);
            mark.into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
        };
        let pointer =
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 269060552\n".as_slice();
        assert!(
            message("a", pointer).contains("a Git LFS pointer, which stands for the file of 269060552 bytes")
        );
        assert!(message("a", b"\n<!DOCTYPE html>\n<p>Not found").contains("a page of HTML"));
        assert!(message("a", b"\xef\xbb\xbf<HTML lang=en>").contains("a page of HTML"));
        assert!(message("a", &utf16("{\"a\": 1}", true)).contains("UTF-16"));
        assert!(message("a", &utf16("{\"a\": 1}", false)).contains("UTF-16"));
        assert_eq!(message("a", b"\xef\xbb\xbfa\xc3\xa9"), "read: a\u{e9}");
        assert_eq!(message("a", b"ab\xff"), "not UTF-8 text (byte 2)");
        assert_eq!(
            message("a", &[b'a'; 1001]),
            "it has 1001 bytes, more than the 1000 that such a file may have"
        );
        assert_eq!(message("a", b""), "read: ");
    }

    #[cfg(unix)]
    #[test]
    fn pipes_devices_and_folders_are_refused_before_they_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let message = |path: &Path| read(path, 10).unwrap_err();
        assert_eq!(fault_of(&message(&pipe)), Some(InputFault::NotAFile { found: "a named pipe" }));
        assert_eq!(message(Path::new("/dev/zero")).to_string(), "it is a device, not a file");
        assert_eq!(message(folder.path()).to_string(), "it is a folder, not a file");
        assert_eq!(message(&folder.path().join("none")).kind(), io::ErrorKind::NotFound);
    }
}
