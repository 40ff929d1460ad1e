//! What goes out.

use super::Engine;
use crate::{
    events::Kind,
    sink::{Outgoing, Sink},
};

/// Sends of one connection before the next one's turn.
const SENDS_PER_TURN: usize = 64;
/// What a GSO send may carry (the limit of IPv4's length field, less headers).
const SEND_BYTES_MAX: usize = 65_000;

impl Engine {
    /// Send everything there is to send. `false`: the sink is full; call again when it has room.
    pub fn flush(&mut self, sink: &mut dyn Sink) -> bool {
        self.send_blocked = !self.flush_all(sink);
        if self.send_blocked {
            self.counters.send_blocked += 1;
        }
        !self.send_blocked
    }

    fn flush_all(&mut self, sink: &mut dyn Sink) -> bool {
        if let Some((outgoing, data)) = self.blocked.take() {
            if !self.emit(&outgoing, &data, sink) {
                self.blocked = Some((outgoing, data));
                return false;
            }
        }
        while let Some((outgoing, data)) = self.responses.pop_front() {
            if !self.emit(&outgoing, &data, sink) {
                self.blocked = Some((outgoing, data));
                return false;
            }
        }
        while let Some(&slot) = self.dirty.front() {
            let mut buffer = std::mem::take(&mut self.scratch);
            let sent = self.flush_one(slot, &mut buffer, sink);
            self.scratch = buffer;
            self.schedule(slot);
            match sent {
                Flushed::Blocked => return false,
                // Others first, then again.
                Flushed::More => self.dirty.rotate_left(1),
                Flushed::Done => {
                    self.dirty.pop_front();
                    if let Some(connection) = &mut self.slots[slot as usize].connection {
                        connection.dirty = false;
                    }
                    self.settle(slot);
                }
            }
        }
        true
    }

    fn flush_one(&mut self, slot: u32, buffer: &mut Vec<u8>, sink: &mut dyn Sink) -> Flushed {
        for _ in 0..SENDS_PER_TURN {
            let Some(connection) = &mut self.slots[slot as usize].connection else {
                return Flushed::Done;
            };
            let Some(proto) = &mut connection.proto else {
                return Flushed::Done;
            };
            let fit = SEND_BYTES_MAX / usize::from(proto.current_mtu()).max(1);
            let segments = sink.segments_max().min(fit).max(1);
            buffer.clear();
            let Some(transmit) = proto.poll_transmit(self.now, segments, buffer) else {
                return Flushed::Done;
            };
            let outgoing = Outgoing::from(&transmit);
            if !self.emit(&outgoing, &buffer[..transmit.size], sink) {
                self.blocked = Some((outgoing, buffer[..transmit.size].to_vec()));
                return Flushed::Blocked;
            }
        }
        Flushed::More
    }

    fn emit(&mut self, outgoing: &Outgoing, data: &[u8], sink: &mut dyn Sink) -> bool {
        let mut outgoing = *outgoing;
        let size = outgoing.segment_size.unwrap_or(data.len()).max(1);
        if self.addresses.is_virtual(outgoing.destination) {
            match self.addresses.real(outgoing.destination) {
                Some(real) => outgoing.destination = real,
                None => {
                    let mut first = false;
                    for datagram in data.chunks(size) {
                        first |= self.virtual_out.push(outgoing.destination, outgoing.ecn, datagram);
                    }
                    if first {
                        self.events.push(Kind::Virtual, 0, 0, 0);
                    }
                    return true;
                }
            }
        }
        if !sink.send(&outgoing, data) {
            return false;
        }
        self.counters.sends += 1;
        self.counters.datagrams_sent += data.len().div_ceil(size) as u64;
        self.counters.bytes_sent += data.len() as u64;
        true
    }
}

enum Flushed {
    Done,
    More,
    Blocked,
}
