//! Who may connect: chain to a realm authority, validity, revocation and, when dialling, the node id.

use std::{
    collections::HashSet,
    sync::{
        atomic::{AtomicI64, AtomicU64, Ordering},
        Arc, PoisonError, RwLock,
    },
    time::Duration,
};

use ring::digest;
use rustls::{
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{verify_tls13_signature, WebPkiSupportedAlgorithms},
    pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, TrustAnchor, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
    time_provider::TimeProvider,
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme,
};
use webpki::{ring as algorithms, EndEntityCert, KeyUsage};

use crate::tickets::Peers;

pub type NodeId = [u8; 32];
/// Certificates, leaf first.
pub type Chain = Arc<[CertificateDer<'static>]>;

/// For the signatures in chains; a user's own authority need not be P-256.
static CHAIN_ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    algorithms::ECDSA_P256_SHA256,
    algorithms::ECDSA_P256_SHA384,
    algorithms::ECDSA_P384_SHA256,
    algorithms::ECDSA_P384_SHA384,
    algorithms::ED25519,
    algorithms::RSA_PKCS1_2048_8192_SHA256,
    algorithms::RSA_PKCS1_2048_8192_SHA384,
    algorithms::RSA_PKCS1_2048_8192_SHA512,
];

/// For the handshake itself: nodes have P-256 keys (design, section 3).
static HANDSHAKE_ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[algorithms::ECDSA_P256_SHA256],
    mapping: &[(SignatureScheme::ECDSA_NISTP256_SHA256, &[algorithms::ECDSA_P256_SHA256])],
};

/// Wall-clock time as the owner tells it; it goes on with the engine's own `now`.
#[derive(Debug, Default)]
pub struct WallClock {
    unix_at_zero_ms: AtomicI64,
    now_ms: AtomicU64,
}

impl WallClock {
    pub fn advance(&self, now_ms: f64) {
        self.now_ms.store(now_ms as u64, Ordering::Relaxed);
    }

    pub fn set(&self, unix_ms: f64, now_ms: f64) {
        self.advance(now_ms);
        self.unix_at_zero_ms.store((unix_ms - now_ms) as i64, Ordering::Relaxed);
    }

    pub fn unix_ms(&self) -> u64 {
        let zero = self.unix_at_zero_ms.load(Ordering::Relaxed);
        let now = self.now_ms.load(Ordering::Relaxed) as i64;
        zero.saturating_add(now).max(0) as u64
    }
}

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(self.unix_ms())))
    }
}

#[derive(Debug, Default)]
pub struct Trust {
    anchors: Vec<TrustAnchor<'static>>,
    revoked: HashSet<NodeId>,
    revoked_serials: HashSet<Vec<u8>>,
    realm: Option<String>,
}

impl Trust {
    pub fn new(authorities: &[Vec<u8>], revoked: &[NodeId], revoked_serials: &[Vec<u8>]) -> Result<Self, String> {
        let mut anchors = Vec::with_capacity(authorities.len());
        for (index, der) in authorities.iter().enumerate() {
            let der = CertificateDer::from(der.as_slice());
            let anchor = webpki::anchor_from_trusted_cert(&der)
                .map_err(|error| format!("authority {index} is not a usable certificate: {error}"))?;
            anchors.push(anchor.to_owned());
        }
        Ok(Self {
            anchors,
            revoked: revoked.iter().copied().collect(),
            revoked_serials: revoked_serials.iter().cloned().collect(),
            realm: None,
        })
    }

    /// An authority may certify more than one realm: leaves must name this one, as the URI `macula:<realm>/<node id>`.
    pub fn in_realm(mut self, realm: Option<String>) -> Self {
        self.realm = realm;
        self
    }

    fn is_of_realm(&self, certificate: &EndEntityCert<'_>, id: &NodeId) -> bool {
        self.realm.as_ref().is_none_or(|realm| {
            let wanted = format!("macula:{realm}/{}", base32(id));
            certificate.valid_uri_names().any(|uri| uri == wanted)
        })
    }
}

/// The verifier of both roles. It stays the same object when the trust changes, because tickets are bound to it.
#[derive(Debug)]
pub struct Verifier {
    trust: RwLock<Trust>,
    clock: Arc<WallClock>,
    peers: Arc<Peers>,
}

/// The SubjectPublicKeyInfo of a certificate, DER.
pub fn public_key(leaf: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let certificate = EndEntityCert::try_from(leaf).ok()?;
    Some(certificate.subject_public_key_info().to_vec())
}

pub fn node_id(leaf: &CertificateDer<'_>) -> Option<NodeId> {
    public_key(leaf).map(|key| key_id(&key))
}

/// The node id of a SubjectPublicKeyInfo.
pub fn key_id(public_key: &[u8]) -> NodeId {
    let mut id = NodeId::default();
    id.copy_from_slice(digest::digest(&digest::SHA256, public_key).as_ref());
    id
}

/// The server name that carries the expected node id to the verifier. It is never sent (no SNI).
pub fn dial_name(expected: Option<&NodeId>) -> String {
    let Some(id) = expected else {
        return "any.node".to_owned();
    };
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    // A label has at most 63 characters.
    format!("{}.{}.node", &hex[..32], &hex[32..])
}

impl Verifier {
    pub fn new(trust: Trust, clock: Arc<WallClock>, peers: Arc<Peers>) -> Self {
        Self {
            trust: RwLock::new(trust),
            clock,
            peers,
        }
    }

    pub fn set_trust(&self, trust: Trust) {
        *self.trust.write().unwrap_or_else(PoisonError::into_inner) = trust;
    }

    pub fn check_client(&self, chain: &[CertificateDer<'_>]) -> Result<NodeId, Error> {
        self.check(chain, KeyUsage::client_auth(), None)
    }

    pub fn check_server(&self, chain: &[CertificateDer<'_>], expected: Option<&NodeId>) -> Result<NodeId, Error> {
        self.check(chain, KeyUsage::server_auth(), expected)
    }

    fn check(&self, chain: &[CertificateDer<'_>], usage: KeyUsage, expected: Option<&NodeId>) -> Result<NodeId, Error> {
        let (leaf, intermediates) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        let certificate = EndEntityCert::try_from(leaf).map_err(certificate_error)?;
        let time = UnixTime::since_unix_epoch(Duration::from_millis(self.clock.unix_ms()));
        let trust = self.trust.read().unwrap_or_else(PoisonError::into_inner);
        certificate
            .verify_for_usage(CHAIN_ALGORITHMS, &trust.anchors, intermediates, time, usage, None, None)
            .map_err(certificate_error)?;
        let id = node_id(leaf).ok_or(CertificateError::BadEncoding)?;
        if trust.revoked.contains(&id) || trust.revoked_serials.contains(certificate.serial()) {
            return Err(CertificateError::Revoked.into());
        }
        if !trust.is_of_realm(&certificate, &id) {
            return Err(CertificateError::UnknownIssuer.into());
        }
        if expected.is_some_and(|expected| *expected != id) {
            // Becomes the alert access_denied.
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(id)
    }
}

/// RFC 4648, lower case, unpadded: how node ids are written.
fn base32(bytes: &[u8]) -> String {
    let bit = |index: usize| {
        bytes
            .get(index / 8)
            .map_or(0, |byte| usize::from(byte >> (7 - index % 8) & 1))
    };
    (0..(bytes.len() * 8).div_ceil(5))
        .map(|group| (0..5).fold(0, |value, offset| value << 1 | bit(group * 5 + offset)))
        .map(|value| char::from(b"abcdefghijklmnopqrstuvwxyz234567"[value]))
        .collect()
}

fn certificate_error(error: webpki::Error) -> Error {
    use webpki::Error as E;
    match error {
        E::CertExpired { .. } | E::InvalidCertValidity => CertificateError::Expired,
        E::CertNotValidYet { .. } => CertificateError::NotValidYet,
        // Two realms may have the same name and different keys (another cookie): not a forgery, another realm.
        E::UnknownIssuer | E::InvalidSignatureForPublicKey => CertificateError::UnknownIssuer,
        E::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        E::BadDer | E::BadDerTime | E::TrailingData(_) => CertificateError::BadEncoding,
        E::MaximumPathBuildCallsExceeded | E::MaximumPathDepthExceeded | E::MaximumSignatureChecksExceeded => {
            CertificateError::UnknownIssuer
        }
        _ => return Error::General(format!("certificate: {error}")),
    }
    .into()
}

fn chain_of(leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> Vec<CertificateDer<'static>> {
    std::iter::once(leaf)
        .chain(rest)
        .map(|der| der.clone().into_owned())
        .collect()
}

fn expected_node(name: &ServerName<'_>) -> Option<NodeId> {
    let name = name.to_str();
    let hex: String = name.strip_suffix(".node")?.split('.').collect();
    if hex.len() != 64 {
        return None;
    }
    let mut id = [0; 32];
    for (index, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(id)
}

/// The half of a verifier that is the same in both roles, which rustls asks for in two traits: signatures of TLS 1.3 with
/// a node's P-256 key, and no others.
macro_rules! handshake_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::PeerIncompatible(PeerIncompatible::Tls13RequiredForQuic))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            leaf: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, leaf, signature, &HANDSHAKE_ALGORITHMS)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            HANDSHAKE_ALGORITHMS.supported_schemes()
        }
    };
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check_server(&chain_of(leaf, rest), expected_node(name).as_ref())?;
        Ok(ServerCertVerified::assertion())
    }

    handshake_signatures!();
}

impl ClientCertVerifier for Verifier {
    /// No hints: they would tell strangers the realm's name.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain = chain_of(leaf, rest);
        self.check_client(&chain)?;
        self.peers.remember(chain.into());
        Ok(ClientCertVerified::assertion())
    }

    handshake_signatures!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_is_that_of_rfc_4648() {
        assert_eq!(base32(b"foobar"), "mzxw6ytboi");
        assert_eq!(base32(b"fooba"), "mzxw6ytb");
        assert_eq!(base32(&[0; 32]).len(), 52);
    }

    #[test]
    fn the_expected_node_survives_the_server_name() {
        let id = [0xab; 32];
        let name = ServerName::try_from(dial_name(Some(&id))).unwrap();
        assert_eq!(expected_node(&name), Some(id));
        let any = ServerName::try_from(dial_name(None)).unwrap();
        assert_eq!(expected_node(&any), None);
    }
}
