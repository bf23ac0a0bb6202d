//! What the tests share: sandbox, real go, terminal.
