//! `gofix rehearse`: the real go through bad proxies on loopback.
