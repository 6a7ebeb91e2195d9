//! Network namespaces, bridges, faults, clients and test kernels.
