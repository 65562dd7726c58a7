//! The model package: one file that holds a model and everything that serving it needs, and nothing that is code.
//!
//! `docs/package.md` describes the file byte by byte: a header of fixed size, the manifest, the parts in the order of the
//! manifest's list, and a signature block of fixed size. Every byte belongs to exactly one of them and every byte is
//! covered by a digest, so a changed, missing or added byte is refused, and the error names what it hit.
//!
//! **Architecture Invariant:** reading never trusts a length before it was compared with what is there, never allocates
//! what a length says, and never looks at a file's name: a pickle is refused whatever it is called.
//!
//! **Architecture Invariant:** equal content gives equal bytes. Documents are compact JSON in the order of their fields,
//! and one that is not written exactly so is refused, so nothing can hide in spaces, doubled or unknown members.

mod assemble;
mod check;
mod keys;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, ops::Range};

use athanor_protocol::{
    package::{Manifest, PartEntry, PartName, Statistics},
    recipe::FittedRecipe,
};

pub(crate) use self::check::foreign;
pub use self::{
    assemble::{RunPackage, package_run, serving_recipe, signature},
    keys::SigningKey,
};
use self::{
    check::{check_manifest, check_part, read_canonical},
    keys::{BLOCK_BYTES, hex, sha256, verify_block},
};
use crate::error::LearnError;

/// The newest format that this program reads, and the one that it writes.
pub const PACKAGE_VERSION: u32 = 1;
/// The most bytes of a manifest.
pub const MAX_MANIFEST_BYTES: u64 = 4 << 20;
/// The most bytes of a package. Compare a file's length with it before reading the file.
pub const MAX_PACKAGE_BYTES: u64 = 4 << 30;
/// The most bytes of each JSON part but the model.
pub const MAX_DOCUMENT_BYTES: u64 = 256 << 20;
/// How a package's file name ends, without the dot.
pub const PACKAGE_EXTENSION: &str = "athanor";

/// A byte that is not text, our name, and the line ends and end-of-file mark that a transfer "as text" would change.
const MAGIC: [u8; 8] = *b"\x89ATH\r\n\x1a\n";
const HEADER_BYTES: usize = 8 + 4 + 4 + 8 + 32;
const FLAG_SIGNED: u32 = 1;

/// Whether a package is signed. A signature that does not fit is an error of [`Package::read`], not a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureStatus {
    /// Nobody vouches for it.
    Unsigned,
    /// Signed, with a signature that fits every byte.
    Signed {
        /// The public key, 64 lower-case hexadecimal digits.
        key: String,
    },
}

/// A package whose bytes were all checked.
#[derive(Clone)]
pub struct Package {
    bytes: Vec<u8>,
    manifest: Manifest,
    parts: BTreeMap<PartName, Range<usize>>,
    signature: SignatureStatus,
}

/// Writes an unsigned package. Parts are put in their one order, whatever order they come in; `manifest.parts` is
/// replaced. Equal input gives equal bytes.
///
/// # Errors
/// If the result would not be accepted by [`Package::read`]: a part that is twice there, missing or not what its name
/// says, or a manifest that contradicts itself or is too large.
pub fn build(mut manifest: Manifest, mut parts: Vec<(PartName, Vec<u8>)>) -> Result<Vec<u8>, LearnError> {
    parts.sort_by_key(|(part, _)| *part);
    manifest.parts = parts
        .iter()
        .map(|(part, bytes)| PartEntry { part: *part, n_bytes: bytes.len() as u64, sha256: hex(&sha256(bytes)) })
        .collect();
    let document = serde_json::to_vec(&manifest)
        .map_err(|err| LearnError::Internal(format!("cannot write the manifest: {err}")))?;
    let n_content = parts.iter().fold(HEADER_BYTES + document.len() + BLOCK_BYTES, |sum, (_, bytes)| sum + bytes.len());
    let mut file = Vec::with_capacity(n_content);
    file.extend_from_slice(&MAGIC);
    file.extend_from_slice(&PACKAGE_VERSION.to_le_bytes());
    file.extend_from_slice(&0_u32.to_le_bytes());
    file.extend_from_slice(&(document.len() as u64).to_le_bytes());
    file.extend_from_slice(&sha256(&document));
    file.extend_from_slice(&document);
    for (_, bytes) in &parts {
        file.extend_from_slice(bytes);
    }
    file.extend_from_slice(&[0; BLOCK_BYTES]);
    // What is written must be what can be read: the same checks, on the very bytes.
    Package::read(file).map(Package::into_bytes)
}

/// Signs a package; a signature that it has already is replaced. Equal package and key give equal bytes.
///
/// # Errors
/// If `bytes` are not a package that [`Package::read`] accepts.
pub fn sign(bytes: Vec<u8>, key: &SigningKey) -> Result<Vec<u8>, LearnError> {
    let mut file = Package::read(bytes)?.into_bytes();
    file[12..16].copy_from_slice(&FLAG_SIGNED.to_le_bytes());
    let at = file.len() - BLOCK_BYTES;
    let block = key.block(&file[..at]);
    file[at..].copy_from_slice(&block);
    Ok(file)
}

impl Package {
    /// Checks every byte of a package and takes it apart. Nothing of it is executed, and no weights are loaded.
    ///
    /// A good result says that the content is whole and the signature, where there is one, fits; whether its key is
    /// trusted is for [`Self::verify`] to say.
    ///
    /// # Errors
    /// Names what is wrong: `header`, `manifest`, the name of a part, `signature`, or that it is no package at all.
    /// [`LearnError::Version`] for a newer format, [`LearnError::TooLarge`] over a limit, [`LearnError::Untrusted`] for
    /// a signature that does not fit, otherwise [`LearnError::Corrupt`].
    pub fn read(bytes: impl Into<Vec<u8>>) -> Result<Self, LearnError> {
        let bytes: Vec<u8> = bytes.into();
        if bytes.len() as u64 > MAX_PACKAGE_BYTES {
            return Err(too_large("package", bytes.len() as u64, MAX_PACKAGE_BYTES));
        }
        let mut rest = Reader { bytes: &bytes, at: 0 };
        let is_signed = read_head(&mut rest)?;
        let n_manifest = u64::from_le_bytes(rest.array("header")?);
        let manifest_digest: [u8; 32] = rest.array("header")?;
        if n_manifest > MAX_MANIFEST_BYTES {
            return Err(too_large("manifest", n_manifest, MAX_MANIFEST_BYTES));
        }
        let document = &bytes[rest.take("manifest", n_manifest)?];
        if sha256(document) != manifest_digest {
            return Err(corrupt("manifest", "its bytes are not those that were packed"));
        }
        let manifest: Manifest = read_canonical("manifest", document, PACKAGE_VERSION)?;
        check_manifest(&manifest)?;

        let mut parts = BTreeMap::new();
        for entry in &manifest.parts {
            let name = entry.part.as_str();
            let range = rest.take(name, entry.n_bytes)?;
            if hex(&sha256(&bytes[range.clone()])) != entry.sha256 {
                return Err(corrupt(name, "its bytes are not those that were packed"));
            }
            parts.insert(entry.part, range);
        }
        let (content, block) = (rest.at, rest.array::<BLOCK_BYTES>("signature")?);
        if rest.at != bytes.len() {
            return Err(corrupt("package", format!("{} bytes follow its end", bytes.len() - rest.at)));
        }
        let signature = match is_signed {
            true => SignatureStatus::Signed { key: verify_block(&bytes[..content], &block)? },
            false if block == [0; BLOCK_BYTES] => SignatureStatus::Unsigned,
            false => return Err(corrupt("signature", "there is one, but the header says that there is none")),
        };
        for (part, range) in &parts {
            check_part(*part, &bytes[range.clone()])?;
        }
        Ok(Self { manifest, parts, signature, bytes })
    }

    /// Checks that somebody who is trusted signed the package. `trusted` are public keys in hexadecimal digits.
    ///
    /// # Errors
    /// [`LearnError::Untrusted`] if it is not signed, or the key is not on the list.
    pub fn verify(&self, trusted: &[String]) -> Result<(), LearnError> {
        match &self.signature {
            SignatureStatus::Unsigned => Err(LearnError::Untrusted { message: "the package is not signed".to_owned() }),
            SignatureStatus::Signed { key } if trusted.iter().any(|known| known.eq_ignore_ascii_case(key)) => Ok(()),
            SignatureStatus::Signed { key } => {
                Err(LearnError::Untrusted { message: format!("the key {key} is not one that is trusted here") })
            }
        }
    }

    /// What the package says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether it is signed, and by which key.
    pub fn signature(&self) -> &SignatureStatus {
        &self.signature
    }

    /// The bytes of a part, if it is there.
    pub fn part(&self, part: PartName) -> Option<&[u8]> {
        self.parts.get(&part).map(|range| &self.bytes[range.clone()])
    }

    /// The preparation that is replayed on each row.
    ///
    /// # Errors
    /// None on a package that was read; the part was checked then.
    pub fn recipe(&self) -> Result<FittedRecipe, LearnError> {
        read_canonical("recipe", self.needed(PartName::Recipe)?, check::RECIPE_VERSION)
    }

    /// The training statistics for drift.
    ///
    /// # Errors
    /// None on a package that was read; the part was checked then.
    pub fn statistics(&self) -> Result<Statistics, LearnError> {
        read_canonical("statistics", self.needed(PartName::Statistics)?, check::STATISTICS_VERSION)
    }

    /// SHA-256 of everything before the signature block, 64 hexadecimal digits. Signing changes it once, from unsigned
    /// to signed; it is the same whoever signed.
    pub fn content_sha256(&self) -> String {
        hex(&sha256(&self.bytes[..self.bytes.len() - BLOCK_BYTES]))
    }

    /// The whole file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The whole file, taken out.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The bytes of a part that every package has.
    pub(crate) fn needed(&self, part: PartName) -> Result<&[u8], LearnError> {
        self.part(part).ok_or_else(|| corrupt(part.as_str(), "it is missing"))
    }
}

impl std::fmt::Debug for Package {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bytes, manifest, parts, signature } = self;
        f.debug_struct("Package")
            .field("n_bytes", &bytes.len())
            .field("manifest", manifest)
            .field("parts", parts)
            .field("signature", signature)
            .finish()
    }
}

/// Magic bytes, version and flags. Returns whether the file says that it is signed.
fn read_head(rest: &mut Reader<'_>) -> Result<bool, LearnError> {
    if let Some(other) = check::foreign(rest.bytes) {
        let message = format!("this is no model package but {other}");
        return Err(corrupt("header", message));
    }
    let magic: [u8; 8] = rest.array("header")?;
    if magic != MAGIC {
        return Err(corrupt("header", "this is no model package"));
    }
    let version = u32::from_le_bytes(rest.array("header")?);
    check::version("package", version.into(), PACKAGE_VERSION)?;
    match u32::from_le_bytes(rest.array("header")?) {
        0 => Ok(false),
        FLAG_SIGNED => Ok(true),
        flags => Err(corrupt("header", format!("the flags {flags:#x} are unknown"))),
    }
}

/// Takes bytes from the front and knows how many are left.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// The range of the next `n_bytes`, which belong to `what`.
    fn take(&mut self, what: &str, n_bytes: u64) -> Result<Range<usize>, LearnError> {
        let left = self.bytes.len() - self.at;
        match usize::try_from(n_bytes) {
            Ok(n) if n <= left => {
                let range = self.at..self.at + n;
                self.at = range.end;
                Ok(range)
            }
            _ => Err(corrupt(what, format!("it should have {n_bytes} bytes, but the file ends after {left}"))),
        }
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], LearnError> {
        let range = self.take(what, N as u64)?;
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[range]);
        Ok(array)
    }
}

fn corrupt(part: &str, message: impl Into<String>) -> LearnError {
    LearnError::Corrupt { part: part.to_owned(), message: message.into() }
}

fn too_large(what: &str, n_bytes: u64, limit: u64) -> LearnError {
    LearnError::TooLarge { what: what.to_owned(), message: format!("{n_bytes} bytes are more than {limit}") }
}
