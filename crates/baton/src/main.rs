//! VRRP failover and IPVS load balancing for Linux.

mod config_file;

fn main() {}
