//! Probes of the network and of the set-up, for `gofix doctor`.
