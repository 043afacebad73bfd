//! Large files whose hash is known, in memory: /dev/shm.

use std::fmt::Write as _;
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// A file of a chosen size, no two blocks of which are alike.
#[derive(Debug)]
pub struct Blob {
    folder: TempDir,
    size_bytes: u64,
    sha256: String,
}

impl Blob {
    /// Writes a file of `mebibytes`.
    ///
    /// # Panics
    /// When memory is short.
    pub fn new(mebibytes: u32) -> Self {
        let folder = TempDir::with_prefix_in("bore-blob-", "/dev/shm").expect("room in /dev/shm");
        // nginx may drop its rights.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755))
            .expect("the owner may");
        let mut file = File::create(folder.path().join(NAME)).expect("room in /dev/shm");
        let sha256 = pour(mebibytes, &mut file).expect("room in /dev/shm");
        let size_bytes = u64::from(mebibytes) << 20;
        Self { folder, size_bytes, sha256 }
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join(NAME)
    }

    /// The folder that it alone is in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its size.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Its hash, hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

/// Writes what such a file holds anywhere else, and returns its hash.
///
/// # Errors
/// Of the writer.
pub fn pour(mebibytes: u32, to: &mut impl Write) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    for number in 0..u64::from(mebibytes) {
        fill(&mut block, number);
        hash.update(&block);
        to.write_all(&block)?;
    }
    Ok(hexadecimal(&hash.finalize()))
}

/// The hash of a file.
pub fn sha256_of(path: &Path) -> String {
    let mut file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    crate::service::hash_all(&mut file)
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A counter in every eight bytes: a block that is lost, doubled or moved changes the hash.
fn fill(block: &mut Vec<u8>, number: u64) {
    block.clear();
    let words = BLOCK_BYTES as u64 / 8;
    block.extend(
        (number * words..(number + 1) * words)
            .flat_map(|word| (word.wrapping_mul(ODD)).to_le_bytes()),
    );
}

const NAME: &str = "blob";
const BLOCK_BYTES: usize = 1 << 20;
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
