//! Decides what comes after an attempt. Pure: clock and randomness are passed in.

pub mod presets;
pub mod route;
