//! The first word about an address, from the thread that knows first that the kernel has it: until the neighbours hear of
//! it they send to whoever had it before.

use std::collections::BTreeSet;

use node::config::InterfaceAddress;
use vrrp::announcement;

use crate::link::Interfaces;
use crate::packet_socket::{Frame, FrameSocket};

/// Who says it.
#[derive(Debug)]
pub(super) struct Herald {
    /// Nothing where the process may not announce; whoever takes part says so.
    socket: Option<FrameSocket>,
}

impl Herald {
    pub(super) fn new() -> Self {
        Self { socket: FrameSocket::open().ok() }
    }

    /// Announces each of these addresses once, unless something else is wanted by then, and returns those of which that was
    /// said.
    pub(super) fn announce<'a>(
        &self,
        addresses: impl Iterator<Item = &'a InterfaceAddress>,
        interfaces: &Interfaces,
        is_overtaken: impl Fn() -> bool,
    ) -> BTreeSet<InterfaceAddress> {
        let Some(socket) = &self.socket else { return BTreeSet::new() };
        let announced: Vec<_> = addresses
            .filter_map(|address| {
                let (index, interface) = interfaces.find(&address.interface)?;
                Some((address, index, announcement::frame(address.address, interface.mac()?)))
            })
            .collect();
        let frames: Vec<_> =
            announced.iter().map(|(_, index, octets)| Frame { interface_index: *index, octets }).collect();
        if is_overtaken() {
            return BTreeSet::new();
        }
        let failed: BTreeSet<_> =
            socket.send_batch(&frames).into_iter().map(|failure| failure.index).collect();
        let sent = announced.iter().enumerate().filter(|(number, _)| !failed.contains(number));
        sent.map(|(_, (address, ..))| InterfaceAddress::clone(address)).collect()
    }
}
