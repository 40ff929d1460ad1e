//! TLS configurations: mutual TLS 1.3, early data, ALPN.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex},
};

use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    client::{ResolvesClientCert, Resumption},
    crypto::{ring as provider, CryptoProvider},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::ResolvesServerCert,
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
    ClientConfig, KeyLog, ServerConfig,
};

use crate::{
    tickets::{lock, DialStore, Peers, SessionCache},
    trust::{Trust, Verifier, WallClock},
};

/// The key and certificates of this node.
pub struct Identity {
    pub chain: Vec<Vec<u8>>,
    pub private_key: Vec<u8>,
}

/// Lines in the format of SSLKEYLOGFILE, waiting for the owner.
#[derive(Default)]
pub struct KeyLines(Mutex<VecDeque<String>>);

const KEY_LINES_MAX: usize = 1024;

impl KeyLines {
    pub fn pop(&self) -> Option<String> {
        lock(&self.0).pop_front()
    }

    pub fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }
}

impl fmt::Debug for KeyLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyLines")
    }
}

impl KeyLog for KeyLines {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut lines = lock(&self.0);
        if lines.len() < KEY_LINES_MAX {
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            lines.push_back(format!("{label} {} {}", hex(client_random), hex(secret)));
        }
    }
}

pub struct Tls {
    pub verifier: Arc<Verifier>,
    pub clock: Arc<WallClock>,
    pub peers: Arc<Peers>,
    pub key_lines: Option<Arc<KeyLines>>,
    provider: Arc<CryptoProvider>,
    sessions: Arc<SessionCache>,
    alpn: Vec<Vec<u8>>,
    client: Arc<ClientConfig>,
    server: Arc<QuicServerConfig>,
}

impl Tls {
    pub fn new(
        identity: Identity,
        trust: Trust,
        alpn: Vec<Vec<u8>>,
        tickets_max: usize,
        key_log: bool,
    ) -> Result<Self, String> {
        let clock = Arc::new(WallClock::default());
        let peers = Arc::new(Peers::default());
        let verifier = Arc::new(Verifier::new(trust, clock.clone(), peers.clone()));
        let sessions = Arc::new(SessionCache::new(tickets_max, peers.clone(), verifier.clone()));
        let provider = Arc::new(provider());
        let key_lines = key_log.then(Arc::<KeyLines>::default);
        let parts = Parts {
            provider: &provider,
            verifier: &verifier,
            clock: &clock,
            sessions: &sessions,
            alpn: &alpn,
            key_lines: key_lines.as_ref(),
        };
        let (client, server) = parts.build(identity)?;
        Ok(Self {
            verifier,
            clock,
            peers,
            key_lines,
            provider,
            sessions,
            alpn,
            client,
            server,
        })
    }

    /// New connections use the new identity. Tickets of the old one no longer resume: they are bound to it.
    pub fn set_identity(&mut self, identity: Identity) -> Result<(), String> {
        let parts = Parts {
            provider: &self.provider,
            verifier: &self.verifier,
            clock: &self.clock,
            sessions: &self.sessions,
            alpn: &self.alpn,
            key_lines: self.key_lines.as_ref(),
        };
        (self.client, self.server) = parts.build(identity)?;
        Ok(())
    }

    pub fn server(&self) -> Arc<QuicServerConfig> {
        self.server.clone()
    }

    /// The configuration of one dial.
    pub fn client(&self, alpn: &[u8], store: Arc<DialStore>) -> Result<Arc<QuicClientConfig>, String> {
        let mut config = ClientConfig::clone(&self.client);
        config.alpn_protocols = vec![alpn.to_vec()];
        config.resumption = Resumption::store(store);
        QuicClientConfig::try_from(config)
            .map(Arc::new)
            .map_err(|error| error.to_string())
    }
}

fn provider() -> CryptoProvider {
    let mut provider = provider::default_provider();
    // AES-128-GCM first: half the work of AES-256 per byte for no practical loss.
    provider
        .cipher_suites
        .sort_by_key(|suite| suite.suite() != rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider
}

struct Parts<'a> {
    provider: &'a Arc<CryptoProvider>,
    verifier: &'a Arc<Verifier>,
    clock: &'a Arc<WallClock>,
    sessions: &'a Arc<SessionCache>,
    alpn: &'a [Vec<u8>],
    key_lines: Option<&'a Arc<KeyLines>>,
}

impl Parts<'_> {
    fn build(&self, identity: Identity) -> Result<(Arc<ClientConfig>, Arc<QuicServerConfig>), String> {
        let text = |error: rustls::Error| error.to_string();
        let resolver = Arc::new(SingleCertAndKey::from(certified_key(self.provider, identity)?));
        let mut client = ClientConfig::builder_with_details(self.provider.clone(), self.clock.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(text)?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier.clone())
            .with_client_cert_resolver(resolver.clone() as Arc<dyn ResolvesClientCert>);
        client.enable_early_data = true;
        // The server name only carries the expected node id to the verifier.
        client.enable_sni = false;
        let mut server = ServerConfig::builder_with_details(self.provider.clone(), self.clock.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(text)?
            .with_client_cert_verifier(self.verifier.clone())
            .with_cert_resolver(resolver as Arc<dyn ResolvesServerCert>);
        server.alpn_protocols = self.alpn.to_vec();
        server.session_storage = self.sessions.clone();
        server.max_early_data_size = u32::MAX;
        server.send_tls13_tickets = 1;
        if let Some(lines) = self.key_lines {
            client.key_log = lines.clone();
            server.key_log = lines.clone();
        }
        let server = QuicServerConfig::try_from(server).map_err(|error| error.to_string())?;
        Ok((Arc::new(client), Arc::new(server)))
    }
}

fn certified_key(provider: &CryptoProvider, identity: Identity) -> Result<CertifiedKey, String> {
    if identity.chain.is_empty() {
        return Err("the identity has no certificate".to_owned());
    }
    let chain = identity.chain.into_iter().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.private_key));
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| format!("the private key is not usable: {error}"))?;
    let certified = CertifiedKey::new(chain, key);
    certified
        .keys_match()
        .map_err(|error| format!("certificate and private key do not belong together: {error}"))?;
    Ok(certified)
}
