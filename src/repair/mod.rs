//! Mends the module cache: only what is proven bad, only what can be fetched again.
