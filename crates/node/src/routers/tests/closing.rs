//! Virtual routers that do not accept packets to their addresses.

use super::*;
use crate::input_drop::InputDrop;

fn closed() -> (Routers, Change) {
    let web = VirtualRouterConfig { accept: AcceptMode::Off, ..virtual_router(51, 50) };
    let drop = Change::Drop(Step::Take, InputDrop::of(&virtual_address(50)));
    (started(config(&[("web", web)], &[])), drop)
}

fn refuse(routers: &mut Routers, change: &Change, moment: u64) {
    let reason = "there is no packet filter".to_owned();
    let refused = vec![Refusal { change: change.clone(), kind: RefusalKind::Kernel, reason }];
    let outcome = Reconciliation { refused, ..Reconciliation::default() };
    let _ = routers.handle(RoutersInput::Reconciled(outcome), at(moment));
}

fn drop(routers: &mut Routers, change: &Change, moment: u64) {
    let outcome = Reconciliation { dropped: vec![change.clone()], ..Reconciliation::default() };
    let _ = routers.handle(RoutersInput::Reconciled(outcome), at(moment));
}

#[test]
fn packets_are_dropped_before_the_virtual_router_is_active_and_after() {
    let (mut routers, _) = closed();
    let drops = [InputDrop::of(&virtual_address(50))].into();
    assert_eq!((routers.roles().held.len(), &routers.roles().drops), (0, &drops));
    let _ = run_until(&mut routers, at(3_700));
    assert_eq!((routers.roles().held.len(), &routers.roles().drops), (1, &drops));
}

#[test]
fn a_backup_whose_packets_cannot_be_dropped_takes_no_part_until_they_can() {
    let (mut routers, change) = closed();
    refuse(&mut routers, &change, 1);
    assert_eq!(state(&routers, "web"), RouterState::Fault);
    let _ = run_until(&mut routers, at(10_000));
    assert_eq!(state(&routers, "web"), RouterState::Fault);
    drop(&mut routers, &change, 10_001);
    assert_eq!(state(&routers, "web"), RouterState::Backup);
}

#[test]
fn an_active_goes_on_where_packets_cannot_be_dropped_any_more() {
    let (mut routers, change) = closed();
    let _ = run_until(&mut routers, at(3_700));
    refuse(&mut routers, &change, 3_701);
    assert_eq!(state(&routers, "web"), RouterState::Active);
}
