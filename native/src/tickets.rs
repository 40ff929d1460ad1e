//! Session resumption: the server's cache and the client's tickets.
//!
//! A ticket resumes once: the server forgets it when it is used, so early data cannot be replayed (RFC 8446 §8.1). Whom
//! a ticket belongs to is remembered beside it, and checked again (validity, realm, revocation) when it is used.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, Mutex, MutexGuard, PoisonError,
    },
};

use rustls::{
    client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue},
    pki_types::ServerName,
    server::StoresServerSessions,
    NamedGroup,
};

use crate::trust::{Chain, Verifier};

/// A poisoned lock means that a panic was caught; the data is a cache, so going on is safe.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which connection rustls is working for at the moment, and whom its peer is, until the ticket is issued.
#[derive(Default, Debug)]
pub struct Peers {
    current: AtomicU64,
    chains: Mutex<HashMap<u64, Chain>>,
}

impl Peers {
    pub fn enter(&self, connection: u64) {
        self.current.store(connection, Ordering::Relaxed);
    }

    pub fn remember(&self, chain: Chain) {
        lock(&self.chains).insert(self.current.load(Ordering::Relaxed), chain);
    }

    pub fn forget(&self, connection: u64) -> Option<Chain> {
        lock(&self.chains).remove(&connection)
    }

    fn take_current(&self) -> Option<Chain> {
        self.forget(self.current.load(Ordering::Relaxed))
    }
}

struct Session {
    value: Vec<u8>,
    peer: Chain,
}

#[derive(Default)]
struct Sessions {
    by_key: HashMap<Vec<u8>, Session>,
    oldest: VecDeque<Vec<u8>>,
}

/// The server's single-use session cache; the oldest session is forgotten when it is full.
pub struct SessionCache {
    sessions: Mutex<Sessions>,
    limit: usize,
    peers: Arc<Peers>,
    verifier: Arc<Verifier>,
}

impl SessionCache {
    pub fn new(limit: usize, peers: Arc<Peers>, verifier: Arc<Verifier>) -> Self {
        Self {
            sessions: Mutex::default(),
            limit,
            peers,
            verifier,
        }
    }
}

impl fmt::Debug for SessionCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionCache")
    }
}

impl StoresServerSessions for SessionCache {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let Some(peer) = self.peers.take_current() else {
            return false;
        };
        if self.limit == 0 {
            return false;
        }
        let mut sessions = lock(&self.sessions);
        while sessions.oldest.len() >= self.limit {
            if let Some(old) = sessions.oldest.pop_front() {
                sessions.by_key.remove(&old);
            }
        }
        sessions.oldest.push_back(key.clone());
        sessions.by_key.insert(key, Session { value, peer });
        true
    }

    /// Only `take` resumes a TLS 1.3 session; a session that could be got twice could be replayed.
    fn get(&self, _key: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let session = lock(&self.sessions).by_key.remove(key)?;
        // Without this a revoked or expired peer would stay in for as long as it has tickets. A full handshake follows,
        // in which it gets the right alert.
        self.verifier.check_client(&session.peer).ok()?;
        self.peers.remember(session.peer);
        Some(session.value)
    }

    fn can_cache(&self) -> bool {
        self.limit > 0
    }
}

/// What a client keeps to resume a session: opaque to the owner, good for one dial.
#[derive(Debug)]
pub struct Ticket {
    value: Mutex<Option<Tls13ClientSessionValue>>,
    /// Whose ticket it is.
    pub peer: Chain,
}

impl Ticket {
    pub fn new(value: Tls13ClientSessionValue, peer: Chain) -> Self {
        Self {
            value: Mutex::new(Some(value)),
            peer,
        }
    }

    pub fn take(&self) -> Option<Tls13ClientSessionValue> {
        lock(&self.value).take()
    }
}

/// The session store of one dial: offers the ticket it was given, keeps those it gets.
#[derive(Default, Debug)]
pub struct DialStore {
    offer: Mutex<Option<Tls13ClientSessionValue>>,
    got: Mutex<VecDeque<Tls13ClientSessionValue>>,
}

/// Tickets that wait for the owner, at most: a server could send any number.
const TICKETS_WAITING_MAX: usize = 4;

impl DialStore {
    pub fn new(offer: Option<Tls13ClientSessionValue>) -> Self {
        Self {
            offer: Mutex::new(offer),
            got: Mutex::default(),
        }
    }

    pub fn take(&self) -> Option<Tls13ClientSessionValue> {
        lock(&self.got).pop_front()
    }

    pub fn waiting(&self) -> usize {
        lock(&self.got).len()
    }
}

impl ClientSessionStore for DialStore {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut got = lock(&self.got);
        if got.len() == TICKETS_WAITING_MAX {
            got.pop_front();
        }
        got.push_back(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        lock(&self.offer).take()
    }
}
