//! VRRP failover and IPVS load balancing for Linux.
fn main() {}
