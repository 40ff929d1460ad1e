//! P-256 signatures for what the owner itself signs: the handshake of links. As fast as TLS's own, and without the half
//! millisecond that OpenSSL takes to import a public key.

use ring::{
    rand::SystemRandom,
    signature::{EcdsaKeyPair, UnparsedPublicKey, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING},
};

/// What stands before the 64 bytes of an uncompressed point in a SubjectPublicKeyInfo (RFC 5480), DER; the last byte is
/// part of the point.
const SPKI_PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
const SPKI_LENGTH: usize = 91;

pub const SIGNATURE_LENGTH: usize = 64;

pub struct SigningKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl SigningKey {
    /// From PKCS #8, DER, with the public key in it; that they belong together is checked.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, String> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random)
            .map_err(|error| format!("not a P-256 key in PKCS #8: {error}"))?;
        Ok(Self { pair, random })
    }

    /// r and s, 32 bytes each; `None` without randomness from the system.
    pub fn sign(&self, message: &[u8]) -> Option<[u8; SIGNATURE_LENGTH]> {
        let signature = self.pair.sign(&self.random, message).ok()?;
        signature.as_ref().try_into().ok()
    }
}

/// Whether `signature` (r and s) is one of `message` by the key. False for every defect of the three.
pub fn verify(public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    if public_key.len() != SPKI_LENGTH || !public_key.starts_with(&SPKI_PREFIX) {
        return false;
    }
    let point = &public_key[SPKI_PREFIX.len() - 1..];
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(message, signature)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_fits_its_key_and_message_only() {
        let pair = rcgen::KeyPair::generate().unwrap();
        let key = SigningKey::from_pkcs8(&pair.serialize_der()).unwrap();
        let spki = rcgen::PublicKeyData::subject_public_key_info(&pair);
        let signature = key.sign(b"message").unwrap();
        assert!(verify(&spki, b"message", &signature));
        assert!(!verify(&spki, b"massage", &signature));
        assert!(!verify(&spki, b"message", &signature[..63]));
        for index in 0..spki.len() {
            let mut other = spki.clone();
            other[index] ^= 1;
            assert!(!verify(&other, b"message", &signature), "byte {index}");
        }
    }

    #[test]
    fn only_p256_keys_are_taken() {
        assert!(SigningKey::from_pkcs8(b"").is_err());
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        assert!(SigningKey::from_pkcs8(&other.serialize_der()).is_err());
    }
}
