//! Virtual routers with a hardware address of their own.

use super::*;
use crate::device::VirtualDevice;

fn macs(outputs: &[RoutersOutput]) -> Vec<Option<MacAddress>> {
    let mac = |output: &RoutersOutput| match output {
        RoutersOutput::Send(transmission) => Some(transmission.mac),
        RoutersOutput::Announce(_)
        | RoutersOutput::Introduce(_)
        | RoutersOutput::Solicit(_)
        | RoutersOutput::Report(_)
        | RoutersOutput::RolesChanged
        | RoutersOutput::Prepare { .. }
        | RoutersOutput::Exit => None,
    };
    outputs.iter().filter_map(mac).collect()
}

#[test]
fn advertisements_come_from_the_virtual_mac_as_soon_as_the_addresses_stand_and_not_before() {
    let mut web = virtual_router(51, 50);
    let device = VirtualDevice::new(web.vrid, Family::V4, web.interface.clone());
    let address = InterfaceAddress { interface: device.name.clone(), ..virtual_address(50) };
    (web.device, web.addresses) = (Some(device), vec![address.clone()]);
    let mut routers = started(config(&[("web", web)], &[]));
    assert_eq!(macs(&run_until(&mut routers, at(3_700))), [None]);
    let _ = routers.handle(taken(&[address]), at(3_701));
    let mac = MacAddress([0, 0, 0x5E, 0, 1, 51]);
    assert_eq!(macs(&run_until(&mut routers, at(4_700))), [Some(mac)]);
}

#[test]
fn an_address_that_stands_on_the_interface_below_is_somebody_else_s() {
    let mut web = virtual_router(51, 50);
    let device = VirtualDevice::new(web.vrid, Family::V4, web.interface.clone());
    let address = InterfaceAddress { interface: device.name.clone(), ..virtual_address(50) };
    (web.device, web.addresses) = (Some(device), vec![address]);
    let mut routers = started(config(&[("web", web)], &[]));
    let _ = routers.handle(link_event(Some(link(&[OWN, [10, 77, 0, 50]]))), at(1));
    assert_eq!(state(&routers, "web"), RouterState::Fault);
}
