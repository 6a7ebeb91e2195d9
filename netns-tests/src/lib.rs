//! The built binary in network namespaces.
