//! The UDP socket: many datagrams per system call (recvmmsg with GRO, sendmsg with GSO).

use std::{
    io::{self, ErrorKind, IoSliceMut},
    net::SocketAddr,
};

use bytes::BytesMut;
use quinn_udp::{RecvMeta, Transmit, UdpSocketState, BATCH_SIZE};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    engine::Engine,
    icmp,
    packet::Unpack,
    sink::{Outgoing, Sink},
};

pub struct UdpSocket {
    io: Socket,
    state: UdpSocketState,
    local: SocketAddr,
    pub send_errors: u64,
}

/// Room for a full GRO batch or the largest datagram.
const BUFFER: usize = 65_536;
/// Buffers per recvmmsg.
const BATCH: usize = if BATCH_SIZE < 16 { BATCH_SIZE } else { 16 };
/// Receive calls per turn of the event loop: others want their turn too.
const RECEIVES_PER_TURN: usize = 4;

/// What received datagrams are copied from; one per thread, shared by its sockets.
pub struct ReceiveBuffers {
    bytes: Vec<u8>,
}

impl Default for ReceiveBuffers {
    fn default() -> Self {
        Self {
            bytes: vec![0; BUFFER * BATCH],
        }
    }
}

impl UdpSocket {
    /// A socket for `[::]` takes IPv4 too.
    pub fn bind(address: SocketAddr, receive_buffer: usize, send_buffer: usize) -> io::Result<Self> {
        let io = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            io.set_only_v6(!address.ip().is_unspecified())?;
        }
        io.bind(&address.into())?;
        icmp::enable(&io, address.is_ipv6());
        let state = UdpSocketState::new((&io).into())?;
        // The system may give less; then bursts are shorter.
        let _ = state.set_recv_buffer_size((&io).into(), receive_buffer);
        let _ = state.set_send_buffer_size((&io).into(), send_buffer);
        let local = io
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::Error::new(ErrorKind::Unsupported, "not an internet socket"))?;
        Ok(Self {
            io,
            state,
            local,
            send_errors: 0,
        })
    }

    pub fn local(&self) -> SocketAddr {
        self.local
    }

    #[cfg(unix)]
    pub fn descriptor(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.io)
    }

    #[cfg(windows)]
    pub fn descriptor(&self) -> std::os::windows::io::RawSocket {
        std::os::windows::io::AsRawSocket::as_raw_socket(&self.io)
    }

    /// Read what is there, up to the bound per turn, into the engine.
    pub fn receive(&self, engine: &mut Engine, buffers: &mut ReceiveBuffers) -> io::Result<()> {
        let mut metas = [RecvMeta::default(); BATCH];
        for _ in 0..RECEIVES_PER_TURN {
            let mut slices = buffers.bytes.chunks_exact_mut(BUFFER).map(IoSliceMut::new);
            let mut slices: [IoSliceMut<'_>; BATCH] =
                std::array::from_fn(|_| slices.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
            let count = match self.state.recv((&self.io).into(), &mut slices, &mut metas) {
                Ok(count) => count,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => break,
                    // An ICMP message to an earlier datagram (Windows reports it here).
                    ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused | ErrorKind::Interrupted => continue,
                    _ => {
                        engine.settle_all();
                        return Err(error);
                    }
                },
            };
            engine.counters.receives += 1;
            for (meta, slice) in metas.iter().zip(&slices).take(count) {
                let mut data = BytesMut::from(&slice[..meta.len.min(BUFFER)]);
                while !data.is_empty() {
                    let datagram = data.split_to(meta.stride.clamp(1, data.len()));
                    engine.receive(meta.addr, meta.dst_ip, meta.ecn.and_then(from_udp_ecn), datagram);
                }
            }
            if count < BATCH {
                break;
            }
        }
        engine.settle_all();
        Ok(())
    }

    /// Take the ICMP errors that wait on the socket: a dial to a port where nobody listens ends at once.
    pub fn receive_errors(&self, engine: &mut Engine) {
        for address in icmp::refusals(&self.io) {
            engine.refused(address);
        }
        engine.settle_all();
    }

    /// Send packed datagrams (see `packet.rs`). Those for which there is no room are lost, as on the network.
    pub fn send_packed(&mut self, engine: &Engine, packed: &[u8]) -> usize {
        let mut sent = 0;
        for datagram in Unpack::new(packed) {
            let outgoing = Outgoing {
                destination: engine.for_socket(datagram.address),
                ecn: None,
                segment_size: None,
                src_ip: None,
            };
            sent += usize::from(self.send(&outgoing, datagram.payload));
        }
        sent
    }
}

fn from_udp_ecn(ecn: quinn_udp::EcnCodepoint) -> Option<quinn_proto::EcnCodepoint> {
    quinn_proto::EcnCodepoint::from_bits(ecn as u8)
}

impl Sink for UdpSocket {
    fn segments_max(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn send(&mut self, outgoing: &Outgoing, data: &[u8]) -> bool {
        let transmit = Transmit {
            destination: outgoing.destination,
            ecn: outgoing
                .ecn
                .and_then(|ecn| quinn_udp::EcnCodepoint::from_bits(ecn as u8)),
            contents: data,
            segment_size: outgoing.segment_size,
            src_ip: outgoing.src_ip,
        };
        // Anything but a full buffer is a lost datagram: QUIC sends again, or finds out that the peer is gone.
        let mut result = self.state.try_send((&self.io).into(), &transmit);
        if result
            .as_ref()
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        {
            // The ICMP error of an earlier datagram, perhaps to somebody else; reported once.
            result = self.state.try_send((&self.io).into(), &transmit);
        }
        match result {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(_) => {
                self.send_errors += 1;
                true
            }
        }
    }
}
