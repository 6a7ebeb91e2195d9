//! The only crate that touches the kernel: raw sockets, rtnetlink, IPVS.
