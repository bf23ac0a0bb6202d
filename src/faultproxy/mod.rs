//! A loopback module proxy with scripted faults.
