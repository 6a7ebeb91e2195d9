//! Instants on a monotonic clock, as plain data.
