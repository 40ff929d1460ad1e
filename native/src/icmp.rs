//! ICMP "port unreachable" on Linux, by way of the socket's error queue (ip(7), IP_RECVERR). Elsewhere a dial to a port
//! where nobody listens ends with the time-out.

use std::net::SocketAddr;

use socket2::Socket;

#[cfg(not(target_os = "linux"))]
pub fn enable(_socket: &Socket, _ipv6: bool) {}

#[cfg(not(target_os = "linux"))]
pub fn refusals(_socket: &Socket) -> Vec<SocketAddr> {
    Vec::new()
}

#[cfg(target_os = "linux")]
pub use linux::{enable, refusals};

#[cfg(target_os = "linux")]
mod linux {
    use std::{ffi::c_int, mem, os::fd::AsRawFd, ptr};

    use super::{Socket, SocketAddr};

    /// Errors read at once, at most; more wait for the next turn.
    const AT_ONCE: usize = 64;

    pub fn enable(socket: &Socket, ipv6: bool) {
        let set = |level: c_int, name: c_int| {
            let on: c_int = 1;
            // SAFETY: a live descriptor and an option of the size told. A failure only means slower refusals.
            unsafe {
                let value = ptr::from_ref(&on).cast();
                libc::setsockopt(socket.as_raw_fd(), level, name, value, mem::size_of::<c_int>() as u32);
            }
        };
        set(libc::IPPROTO_IP, libc::IP_RECVERR);
        if ipv6 {
            set(libc::IPPROTO_IPV6, libc::IPV6_RECVERR);
        }
    }

    /// The addresses that refused, each as often as they did. Empties the queue, or libuv would report it for ever.
    pub fn refusals(socket: &Socket) -> Vec<SocketAddr> {
        // The error itself also waits in SO_ERROR, from where every send or receive would get it.
        let _ = socket.take_error();
        (0..AT_ONCE).map_while(|_| next(socket)).flatten().collect()
    }

    #[repr(align(8))]
    struct Control([u8; 512]);

    fn next(socket: &Socket) -> Option<Option<SocketAddr>> {
        let mut control = Control([0; 512]);
        let mut byte = [0_u8; 1];
        // SAFETY: all pointers are to live buffers of the lengths told; the kernel fills them.
        unsafe {
            let mut part = libc::iovec {
                iov_base: byte.as_mut_ptr().cast(),
                iov_len: byte.len(),
            };
            let (result, address) = socket2::SockAddr::try_init(|storage, length| {
                let mut message: libc::msghdr = mem::zeroed();
                message.msg_name = storage.cast();
                message.msg_namelen = *length;
                message.msg_iov = &mut part;
                message.msg_iovlen = 1;
                message.msg_control = control.0.as_mut_ptr().cast();
                message.msg_controllen = control.0.len() as _;
                let count = libc::recvmsg(
                    socket.as_raw_fd(),
                    &mut message,
                    libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT,
                );
                if count < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                *length = message.msg_namelen;
                Ok(is_refusal(&message))
            })
            .ok()?;
            Some(if result { address.as_socket() } else { None })
        }
    }

    unsafe fn is_refusal(message: &libc::msghdr) -> bool {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while !header.is_null() {
            let kind = ((*header).cmsg_level, (*header).cmsg_type);
            if kind == (libc::IPPROTO_IP, libc::IP_RECVERR) || kind == (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) {
                let error = ptr::read_unaligned(libc::CMSG_DATA(header).cast::<libc::sock_extended_err>());
                return error.ee_errno == libc::ECONNREFUSED as u32;
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
        false
    }
}
