//! Who is at the other end of a connection on loopback.
//!
//! Linux says which user owns a socket: asked of the kernel directly where
//! that is allowed (sock_diag), read from /proc/net/tcp elsewhere. Where
//! neither can be read nothing is known, and the token alone decides.

use std::net::SocketAddr;

/// What is known of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The user that owns the other end.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux tells"))]
    Uid(u32),
    /// Nothing can be said.
    Unknown,
}

impl Owner {
    /// True for a user other than the one this process runs as.
    pub(crate) fn is_stranger(self) -> bool {
        match self {
            Self::Uid(uid) => uid != nix::unistd::geteuid().as_raw(),
            Self::Unknown => false,
        }
    }
}

/// Asks who owns the other end of the connection between `peer` and `own`.
#[cfg(target_os = "linux")]
pub(crate) fn owner(peer: SocketAddr, own: SocketAddr) -> Owner {
    let (SocketAddr::V4(peer), SocketAddr::V4(own)) = (peer, own) else {
        return Owner::Unknown;
    };
    linux::ask_kernel(peer, own)
        .or_else(|| linux::read_table(peer, own))
        .map_or(Owner::Unknown, Owner::Uid)
}

/// Nothing can be said elsewhere.
#[cfg(not(target_os = "linux"))]
pub(crate) fn owner(_peer: SocketAddr, _own: SocketAddr) -> Owner {
    Owner::Unknown
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{BufRead, BufReader};
    use std::net::SocketAddrV4;
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
    };

    /// `SOCK_DIAG_BY_FAMILY` of linux/sock_diag.h.
    const BY_FAMILY: u16 = 20;
    /// `NLM_F_REQUEST` of linux/netlink.h.
    const REQUEST: u16 = 1;
    const HEADER: usize = 16;
    /// Where the uid stands in `struct inet_diag_msg` of linux/inet_diag.h.
    const UID: usize = HEADER + 64;
    const ESTABLISHED: u8 = 1;

    /// Looks the peer's own socket up by its four numbers.
    pub(super) fn ask_kernel(peer: SocketAddrV4, own: SocketAddrV4) -> Option<u32> {
        let netlink = socket(
            AddressFamily::Netlink,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkSockDiag,
        )
        .ok()?;
        let request = request(peer, own);
        let kernel = NetlinkAddr::new(0, 0);
        sendto(netlink.as_raw_fd(), &request, &kernel, MsgFlags::empty()).ok()?;
        let mut answer = [0_u8; 512];
        let len = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty()).ok()?;
        let answer = answer.get(..len)?;
        let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
        let state = *answer.get(HEADER + 1)?;
        if kind != BY_FAMILY || state != ESTABLISHED {
            return None;
        }
        Some(u32::from_ne_bytes(answer.get(UID..UID + 4)?.try_into().ok()?))
    }

    /// `struct nlmsghdr` and `struct inet_diag_req_v2`.
    fn request(peer: SocketAddrV4, own: SocketAddrV4) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(72);
        bytes.extend_from_slice(&72_u32.to_ne_bytes());
        bytes.extend_from_slice(&BY_FAMILY.to_ne_bytes());
        bytes.extend_from_slice(&REQUEST.to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        let family = u8::try_from(libc::AF_INET).unwrap_or(2);
        let tcp = u8::try_from(libc::IPPROTO_TCP).unwrap_or(6);
        bytes.extend_from_slice(&[family, tcp, 0, 0]);
        bytes.extend_from_slice(&u32::MAX.to_ne_bytes());
        bytes.extend_from_slice(&peer.port().to_be_bytes());
        bytes.extend_from_slice(&own.port().to_be_bytes());
        for address in [peer, own] {
            bytes.extend_from_slice(&address.ip().octets());
            bytes.extend_from_slice(&[0; 12]);
        }
        bytes.extend_from_slice(&[0; 4]);
        // No cookie is known.
        bytes.extend_from_slice(&[0xff; 8]);
        bytes
    }

    /// Finds the peer's socket in /proc/net/tcp.
    pub(super) fn read_table(peer: SocketAddrV4, own: SocketAddrV4) -> Option<u32> {
        let table = BufReader::new(std::fs::File::open("/proc/net/tcp").ok()?);
        let name = |address: SocketAddrV4| {
            let ip = u32::from_ne_bytes(address.ip().octets());
            format!("{ip:08X}:{:04X}", address.port())
        };
        let (peer, own) = (name(peer), name(own));
        for line in table.lines().skip(1).map_while(Result::ok) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.get(1) == Some(&peer.as_str())
                && words.get(2) == Some(&own.as_str())
                && words.get(3) == Some(&"01")
            {
                return words.get(7)?.parse().ok();
            }
        }
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_owner_of_a_connection_is_known() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, peer) = listener.accept().unwrap();
        let own = server.local_addr().unwrap();
        let uid = nix::unistd::geteuid().as_raw();
        let (SocketAddr::V4(peer4), SocketAddr::V4(own4)) = (peer, own) else {
            panic!()
        };
        assert_eq!(linux::read_table(peer4, own4), Some(uid));
        assert_eq!(owner(peer, own), Owner::Uid(uid));
        assert!(!owner(peer, own).is_stranger());
        drop(client);
        assert!(Owner::Uid(uid.wrapping_add(1)).is_stranger());
        assert!(!Owner::Unknown.is_stranger());
    }
}
