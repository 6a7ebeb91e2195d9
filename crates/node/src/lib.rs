//! One machine's brain: virtual routers and virtual servers, pure.

#![forbid(unsafe_code)]

pub mod config;
pub mod host_state;
pub mod link;
pub mod name;
pub mod plan;
pub mod pools;
pub mod reception;
pub mod reconciliation;
pub mod report;
pub mod routers;
pub mod status;
