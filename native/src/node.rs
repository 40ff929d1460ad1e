//! What lies between the Node-API surface and the engine: borrowing, panics, the turn of the event loop.

use std::{
    cell::{Cell, RefCell},
    panic::{catch_unwind, AssertUnwindSafe},
    ptr,
    time::Instant,
};

use napi::sys;

use crate::{
    engine::{Engine, EngineError},
    poll::{Poll, ERROR, READABLE, WRITABLE},
    socket::{ReceiveBuffers, UdpSocket},
};

pub type NodeError = napi::Error<&'static str>;
pub type NodeResult<T> = Result<T, NodeError>;

pub fn failure(code: &'static str, message: impl Into<String>) -> NodeError {
    napi::Error::new(code, message.into())
}

impl From<EngineError> for NodeError {
    fn from(error: EngineError) -> Self {
        let code = match error {
            EngineError::Stale => "STALE",
            EngineError::Limit(_) => "LIMIT",
            EngineError::Invalid(_) => "INVALID",
        };
        failure(code, error.to_string())
    }
}

pub struct Core {
    pub engine: Engine,
    pub socket: Option<UdpSocket>,
    started: Instant,
    started_ms: f64,
    /// When the owner's timer will fire, on the engine's scale; infinite without one.
    armed_ms: f64,
    broken: bool,
}

impl Core {
    pub fn clock(&self) -> f64 {
        self.started_ms + self.started.elapsed().as_secs_f64() * 1e3
    }

    /// With a socket the engine reads the clock itself; without one time is what the owner says.
    fn advance(&mut self, now_ms: f64) {
        let now = if self.socket.is_some() { self.clock() } else { now_ms };
        self.engine.set_now(now);
    }

    /// Send what there is to send; returns whether the socket took all.
    pub fn flush(&mut self) -> bool {
        match &mut self.socket {
            Some(socket) => {
                let done = self.engine.flush(socket);
                self.engine.counters.send_errors = socket.send_errors;
                done
            }
            None => true,
        }
    }

    /// Milliseconds until the next timer, for the owner to set; -1 without one.
    pub fn arm(&mut self) -> f64 {
        match self.engine.timeout() {
            Some(due) => {
                self.armed_ms = due;
                let now = if self.socket.is_some() {
                    self.clock()
                } else {
                    return due;
                };
                (due - now).max(0.0)
            }
            None => {
                self.armed_ms = f64::INFINITY;
                -1.0
            }
        }
    }

    fn needs_arming(&self) -> bool {
        self.engine.timeout().is_some_and(|due| due < self.armed_ms - 0.5)
    }
}

thread_local! {
    static BUFFERS: RefCell<Option<ReceiveBuffers>> = const { RefCell::new(None) };
}

pub struct Shared {
    core: RefCell<Core>,
    poll: Cell<*mut Poll>,
}

impl Shared {
    pub fn new(engine: Engine, now_ms: f64) -> Self {
        Self {
            core: RefCell::new(Core {
                engine,
                socket: None,
                started: Instant::now(),
                started_ms: now_ms,
                armed_ms: f64::INFINITY,
                broken: false,
            }),
            poll: Cell::new(ptr::null_mut()),
        }
    }

    /// Run `work` on the engine. A panic becomes an error, and every later call fails: the state may be inconsistent.
    pub fn with<T>(&self, now_ms: f64, work: impl FnOnce(&mut Core) -> NodeResult<T>) -> NodeResult<T> {
        let mut core = self
            .core
            .try_borrow_mut()
            .map_err(|_| failure("BUSY", "the engine is at work: a call from inside a call"))?;
        if core.broken {
            return Err(failure("BROKEN", "the engine failed earlier"));
        }
        core.advance(now_ms);
        let result = catch_unwind(AssertUnwindSafe(|| work(&mut core)));
        result.unwrap_or_else(|_| {
            core.broken = true;
            Err(failure("BROKEN", "the engine failed (a bug in macula-native or below)"))
        })
    }

    pub fn attach(&self, poll: *mut Poll) {
        self.poll.set(poll);
    }

    /// Wait for room in the socket, or only for something to read.
    pub fn watch_room(&self, blocked: bool) {
        let poll = self.poll.get();
        if !poll.is_null() {
            // SAFETY: `detach` clears the pointer before the handle goes.
            unsafe { (*poll).watch(if blocked { READABLE | WRITABLE } else { READABLE }) };
        }
    }

    /// Close the socket and stop watching it.
    pub fn detach(&self) {
        let poll = self.poll.replace(ptr::null_mut());
        if !poll.is_null() {
            // SAFETY: the pointer is given out once.
            unsafe {
                release_callbacks(poll);
                Poll::close(poll);
            }
        }
        if let Ok(mut core) = self.core.try_borrow_mut() {
            core.socket = None;
        }
    }

    /// The environment ends: forget the handle, which is being closed.
    pub fn abandon(&self) {
        self.poll.set(ptr::null_mut());
    }
}

unsafe fn release_callbacks(poll: *mut Poll) {
    for reference in [&mut (*poll).on_turn, &mut (*poll).on_flush] {
        if !reference.is_null() {
            sys::napi_delete_reference((*poll).env, *reference);
            *reference = ptr::null_mut();
        }
    }
}

/// The socket is readable or writable: datagrams in, one call into JavaScript when there is news, datagrams out.
pub unsafe fn on_ready(poll: *mut Poll, events: i32) {
    let shared = (*poll).shared.clone();
    let outcome = shared.with(0.0, |core| {
        if events & ERROR != 0 {
            if let Some(socket) = &core.socket {
                socket.receive_errors(&mut core.engine);
            }
        }
        if events & READABLE != 0 {
            receive(core);
        }
        if core.engine.events.is_empty() {
            let done = core.flush();
            Ok((!core.engine.events.is_empty(), !done, core.needs_arming()))
        } else {
            Ok((true, core.engine.send_blocked, true))
        }
    });
    // A broken engine has nothing to say; its owner learns it with the next call.
    let (news, blocked, arm) = outcome.unwrap_or((true, false, true));
    shared.watch_room(blocked);
    if news {
        call(poll, true);
    }
    if (news || arm) && !shared.poll.get().is_null() {
        call(poll, false);
    }
}

fn receive(core: &mut Core) {
    let Some(socket) = &core.socket else {
        return;
    };
    BUFFERS.with_borrow_mut(|buffers| {
        let buffers = buffers.get_or_insert_with(ReceiveBuffers::default);
        // An error of the socket itself (not of a datagram) is rare and passes; the timers find out if it does not.
        let _ = socket.receive(&mut core.engine, buffers);
    });
}

/// Call back into JavaScript. `turn`: with microtasks afterwards, so that promises settle before the flush.
unsafe fn call(poll: *mut Poll, turn: bool) {
    let env = (*poll).env;
    let reference = if turn { (*poll).on_turn } else { (*poll).on_flush };
    if reference.is_null() {
        return;
    }
    let mut scope = ptr::null_mut();
    if sys::napi_open_handle_scope(env, &mut scope) != sys::Status::napi_ok {
        return;
    }
    let mut function = ptr::null_mut();
    let mut global = ptr::null_mut();
    let mut result = ptr::null_mut();
    sys::napi_get_reference_value(env, reference, &mut function);
    sys::napi_get_global(env, &mut global);
    if !function.is_null() {
        let status = sys::napi_make_callback(env, ptr::null_mut(), global, function, 0, ptr::null(), &mut result);
        if status == sys::Status::napi_pending_exception {
            // The TypeScript side catches everything; this is the last line of defence.
            let mut exception = ptr::null_mut();
            sys::napi_get_and_clear_last_exception(env, &mut exception);
        }
    }
    sys::napi_close_handle_scope(env, scope);
}
