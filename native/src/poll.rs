//! Readiness of the socket, told by Node's own event loop: libuv's `uv_poll`, looked up in the running process, so that
//! one binary serves every version of Node.

use std::{
    alloc::{alloc_zeroed, dealloc, Layout},
    ffi::{c_int, c_void},
    ptr,
    rc::Rc,
    sync::OnceLock,
};

use napi::sys;

use crate::node::{on_ready, Shared};

pub const READABLE: c_int = 1;
pub const WRITABLE: c_int = 2;
/// Ours: an error waits on the socket.
pub const ERROR: c_int = 1 << 16;
/// `UV_POLL` in `uv_handle_type`.
const UV_POLL: c_int = 8;

type Handle = *mut c_void;
type PollCallback = unsafe extern "C" fn(Handle, c_int, c_int);
type CloseCallback = unsafe extern "C" fn(Handle);
#[cfg(unix)]
type Descriptor = std::os::fd::RawFd;
#[cfg(windows)]
type Descriptor = std::os::windows::io::RawSocket;

struct Uv {
    handle_size: unsafe extern "C" fn(c_int) -> usize,
    poll_init: unsafe extern "C" fn(*mut sys::uv_loop_s, Handle, Descriptor) -> c_int,
    poll_start: unsafe extern "C" fn(Handle, c_int, PollCallback) -> c_int,
    poll_stop: unsafe extern "C" fn(Handle) -> c_int,
    close: unsafe extern "C" fn(Handle, Option<CloseCallback>),
}

fn uv() -> Option<&'static Uv> {
    static UV: OnceLock<Option<Uv>> = OnceLock::new();
    UV.get_or_init(load).as_ref()
}

fn load() -> Option<Uv> {
    #[cfg(unix)]
    let library = libloading::os::unix::Library::this();
    #[cfg(windows)]
    let library = libloading::os::windows::Library::this().ok()?;
    let init: &[u8] = if cfg!(windows) {
        b"uv_poll_init_socket\0"
    } else {
        b"uv_poll_init\0"
    };
    // SAFETY: the names and types are those of libuv's stable interface (1.x).
    unsafe {
        Some(Uv {
            handle_size: *library.get(b"uv_handle_size\0").ok()?,
            poll_init: *library.get(init).ok()?,
            poll_start: *library.get(b"uv_poll_start\0").ok()?,
            poll_stop: *library.get(b"uv_poll_stop\0").ok()?,
            close: *library.get(b"uv_close\0").ok()?,
        })
    }
}

/// One `uv_poll` handle. It lives until libuv has let go of it, whatever happens to its owner.
pub struct Poll {
    handle: Handle,
    layout: Layout,
    events: c_int,
    closing: bool,
    cleanup: sys::napi_async_cleanup_hook_handle,
    pub env: sys::napi_env,
    pub on_turn: sys::napi_ref,
    pub on_flush: sys::napi_ref,
    pub shared: Rc<Shared>,
}

impl Poll {
    /// Watch `descriptor`. The references pass to the handle.
    ///
    /// # Safety
    /// On the thread of `env`; the descriptor stays open until [`Poll::close`].
    pub unsafe fn start(
        env: sys::napi_env,
        descriptor: Descriptor,
        shared: Rc<Shared>,
        on_turn: sys::napi_ref,
        on_flush: sys::napi_ref,
    ) -> Result<*mut Poll, &'static str> {
        let uv = uv().ok_or("this Node does not export libuv's uv_poll")?;
        let mut event_loop = ptr::null_mut();
        if sys::napi_get_uv_event_loop(env, &mut event_loop) != sys::Status::napi_ok {
            return Err("no event loop");
        }
        let layout = Layout::from_size_align((uv.handle_size)(UV_POLL).max(256), 16).map_err(|_| "no memory")?;
        let handle = alloc_zeroed(layout).cast::<c_void>();
        if handle.is_null() {
            return Err("no memory");
        }
        if (uv.poll_init)(event_loop, handle, descriptor) != 0 {
            dealloc(handle.cast(), layout);
            return Err("the event loop does not take the socket");
        }
        let poll = Box::into_raw(Box::new(Poll {
            handle,
            layout,
            events: 0,
            closing: false,
            cleanup: ptr::null_mut(),
            env,
            on_turn,
            on_flush,
            shared,
        }));
        // The first field of every libuv handle is `void *data`.
        *handle.cast::<*mut Poll>() = poll;
        sys::napi_add_async_cleanup_hook(env, Some(on_env_exit), poll.cast(), &mut (*poll).cleanup);
        (*poll).watch(READABLE);
        Ok(poll)
    }

    /// Which readiness to wait for.
    pub fn watch(&mut self, events: c_int) {
        if self.events == events || self.closing {
            return;
        }
        self.events = events;
        if let Some(uv) = uv() {
            // SAFETY: the handle is initialised and not closing.
            unsafe { (uv.poll_start)(self.handle, events, on_poll) };
        }
    }

    /// Stop watching. Idempotent; the memory goes when libuv is done with it.
    ///
    /// # Safety
    /// `poll` came from [`Poll::start`], and its close callback has not run.
    pub unsafe fn close(poll: *mut Poll) {
        if (*poll).closing {
            return;
        }
        (*poll).closing = true;
        if let Some(uv) = uv() {
            (uv.poll_stop)((*poll).handle);
            (uv.close)((*poll).handle, Some(on_closed));
        }
    }
}

unsafe extern "C" fn on_poll(handle: Handle, status: c_int, events: c_int) {
    let poll = *handle.cast::<*mut Poll>();
    if (*poll).closing {
        return;
    }
    if status < 0 {
        // libuv stops a handle on POLLERR (an ICMP error waits on the socket): read it away and go on.
        (*poll).events = 0;
    }
    on_ready(poll, if status < 0 { READABLE | ERROR } else { events });
    if status < 0 && !(*poll).closing && (*poll).events == 0 {
        (*poll).watch(READABLE);
    }
}

unsafe extern "C" fn on_closed(handle: Handle) {
    let poll = Box::from_raw(*handle.cast::<*mut Poll>());
    dealloc(handle.cast(), poll.layout);
    if !poll.cleanup.is_null() {
        sys::napi_remove_async_cleanup_hook(poll.cleanup);
    }
}

/// The environment (a worker, or the process) ends with the socket open: libuv must let go of it before the loop ends.
unsafe extern "C" fn on_env_exit(_hook: sys::napi_async_cleanup_hook_handle, poll: *mut c_void) {
    let poll = poll.cast::<Poll>();
    (*poll).shared.abandon();
    Poll::close(poll);
}
