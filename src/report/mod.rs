//! Events, and the views of them: terminal, JSON lines, CI systems.
