//! What a balanced service is and which real servers are fit to serve it.
//!
//! Nothing here speaks to the kernel or to a real server. [`service`] names what IPVS can hold, [`health`] turns the
//! outcomes of one check into a verdict, [`pool`] turns verdicts into the destinations of a virtual server, and
//! [`table`] puts those into the services that the kernel should have.

#![forbid(unsafe_code)]

pub mod health;
pub mod pool;
pub mod service;
pub mod table;
