//! Ed25519 keys of a workspace, and hexadecimal text.

use std::fmt;

use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::error::LearnError;

/// What stands before the content in the hash that is signed, so that a signature of a package can never be taken for
/// a signature of anything else made with the same key. Ends in a zero byte, which no other domain of ours may hold.
const DOMAIN: &[u8] = b"athanor package signature v1\0";

/// The number of bytes of the public key and the signature at the end of a file.
pub(super) const BLOCK_BYTES: usize = 32 + 64;

/// The key that packages are signed with. Its secret is wiped from memory when it is dropped and never printed.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// Makes a key from 32 bytes of the system's randomness. The same bytes make the same key.
    pub fn generate(seed: [u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(&seed))
    }

    /// Reads a secret key as [`Self::to_bytes`] gives it.
    ///
    /// # Errors
    /// If there are not exactly 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LearnError> {
        let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| LearnError::Corrupt {
            part: "signing key".to_owned(),
            message: format!("it has {} bytes where 32 were expected", bytes.len()),
        })?;
        Ok(Self::generate(bytes))
    }

    /// The secret key, to be kept where nobody else reads it.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public key as 64 lower-case hexadecimal digits: what others put on their list of trusted keys.
    pub fn public_hex(&self) -> String {
        hex(self.0.verifying_key().as_bytes())
    }

    /// The block at the end of a file whose bytes before it are `content`.
    pub(super) fn block(&self, content: &[u8]) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        block[..32].copy_from_slice(self.0.verifying_key().as_bytes());
        block[32..].copy_from_slice(&self.0.sign(&signed_digest(content)).to_bytes());
        block
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public_hex())
    }
}

/// The public key of a block whose signature is right for `content`. Keys of small order and signatures that are not
/// in their one canonical form are refused (`verify_strict`).
pub(super) fn verify_block(content: &[u8], block: &[u8; BLOCK_BYTES]) -> Result<String, LearnError> {
    let wrong = || LearnError::Untrusted { message: "it does not fit the package's bytes".to_owned() };
    let (mut key, mut signature) = ([0; 32], [0; 64]);
    key.copy_from_slice(&block[..32]);
    signature.copy_from_slice(&block[32..]);
    let public = VerifyingKey::from_bytes(&key).map_err(|_| wrong())?;
    public.verify_strict(&signed_digest(content), &Signature::from_bytes(&signature)).map_err(|_| wrong())?;
    Ok(hex(&key))
}

fn signed_digest(content: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(DOMAIN).chain_update(content).finalize().into()
}

/// SHA-256.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
