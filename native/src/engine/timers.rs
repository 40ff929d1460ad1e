//! When the connections want to be looked at again.

use std::cmp::Reverse;

use super::{handle_of, Engine};

impl Engine {
    /// When [`Engine::handle_timeouts`] wants to be called, milliseconds on the scale of `now`.
    pub fn timeout(&self) -> Option<f64> {
        let Reverse((when, ..)) = self.timers.peek()?;
        // Rounded up: a `now` that is this number must not be before the timer, whatever the rounding of both.
        let micros = when.saturating_duration_since(self.base).as_micros() as u64 + 2;
        Some(micros as f64 / 1e3)
    }

    pub fn handle_timeouts(&mut self) {
        while let Some(&Reverse((when, slot, generation))) = self.timers.peek() {
            if when > self.now {
                break;
            }
            self.timers.pop();
            let entry = &mut self.slots[slot as usize];
            if entry.generation != generation {
                continue;
            }
            let Some(connection) = &mut entry.connection else {
                continue;
            };
            if connection.scheduled == Some(when) {
                connection.scheduled = None;
            }
            if connection.expire(self.now, handle_of(slot, generation), &mut self.events) {
                self.counters.incoming_failed += u64::from(connection.has_failed());
                self.touch(slot);
            } else if let Some(proto) = &mut connection.proto {
                if proto.poll_timeout().is_some_and(|due| due <= self.now) {
                    proto.handle_timeout(self.now);
                    self.touch(slot);
                } else {
                    self.schedule(slot);
                }
            }
        }
        self.settle_all();
    }

    /// Remember when the connection's next timer is due. Timers that moved later are looked at again when they fire.
    pub(super) fn schedule(&mut self, slot: u32) {
        let entry = &mut self.slots[slot as usize];
        let Some(connection) = &mut entry.connection else {
            return;
        };
        let Some(due) = connection.poll_timeout() else {
            return;
        };
        if connection.scheduled.is_none_or(|scheduled| due < scheduled) {
            connection.scheduled = Some(due);
            self.timers.push(Reverse((due, slot, entry.generation)));
        }
    }
}
