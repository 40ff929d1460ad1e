//! Signatures.

use napi::bindgen_prelude::Uint8ArraySlice;
use napi_derive::napi;

use crate::{
    keys::{self, SigningKey, SIGNATURE_LENGTH},
    node::{failure, NodeError},
};

#[napi]
pub struct NativeKey {
    key: SigningKey,
}

#[napi]
impl NativeKey {
    #[napi(constructor)]
    pub fn new(pkcs8: &[u8]) -> Result<Self, NodeError> {
        let key = SigningKey::from_pkcs8(pkcs8).map_err(|message| failure("INVALID", message))?;
        Ok(Self { key })
    }

    /// Writes the signature (64 bytes) into `into`.
    #[napi]
    pub fn sign(&self, message: &[u8], mut into: Uint8ArraySlice) -> Result<(), NodeError> {
        let signature = self
            .key
            .sign(message)
            .ok_or_else(|| failure("BROKEN", "the system gives no random bytes"))?;
        // SAFETY: JavaScript does not run while this does.
        let into = unsafe { into.as_mut() };
        if into.len() != SIGNATURE_LENGTH {
            return Err(failure("INVALID", "a signature has 64 bytes"));
        }
        into.copy_from_slice(&signature);
        Ok(())
    }
}

/// Whether the signature is good. False for every defect.
// In tests `#[napi]` registers nothing, and so nobody calls it.
#[cfg_attr(test, allow(dead_code))]
#[napi]
pub fn verify_signature(public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    keys::verify(public_key, message, signature)
}
