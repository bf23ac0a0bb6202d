//! GOPROXY lists in Go's own grammar, and which of them may be asked.
