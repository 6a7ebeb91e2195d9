//! How the sync groups stand: which members could claim, and which hold the others back.

use std::collections::BTreeMap;

use monotonic::Instant;
use vrrp::State;

use super::Routers;
use super::member::{Member, Standing};
use crate::fault::{Fault, Wait};
use crate::name::{GroupName, RouterName};
use crate::status::{Cause, GroupStatus, RouterState, Stance};

impl Routers {
    /// Returns how each sync group stands at a moment.
    pub(super) fn group_status(&self, now: Instant) -> BTreeMap<GroupName, GroupStatus> {
        let groups = self.config.sync_groups.keys();
        groups.map(|group| (group.clone(), self.one_group(group, now))).collect()
    }

    fn one_group(&self, group: &GroupName, now: Instant) -> GroupStatus {
        let names = self.groups.members(group);
        let present = names.iter().filter_map(|name| Some((name, self.members.get(name)?)));
        let members: BTreeMap<_, _> =
            present.map(|(name, member)| (name.clone(), stance(member, now))).collect();
        let reason = reason(&members);
        GroupStatus { state: state(members.values()), members, reason }
    }
}

fn stance(member: &Member, now: Instant) -> Stance {
    match &member.standing {
        Standing::Idle => Stance::Waiting { reason: member.reason.clone(), cause: Cause::Own },
        Standing::Waiting(wait) => Stance::Waiting { reason: wait.to_string(), cause: cause_of_wait(wait) },
        Standing::Faulted(fault) => {
            Stance::Faulted { reason: fault.to_string(), cause: cause_of_fault(fault) }
        }
        Standing::Running(machine) => match machine.state() {
            State::Initialize => Stance::Waiting { reason: member.reason.clone(), cause: Cause::Own },
            State::Active { .. } => Stance::Active,
            State::Leaving { .. } => Stance::Leaving,
            State::Backup { active_down_at, .. } if active_down_at <= now => Stance::Ready,
            State::Backup { .. } => Stance::Watching,
        },
    }
}

fn cause_of_wait(wait: &Wait) -> Cause {
    match wait {
        Wait::Track { .. } | Wait::StartDelay => Cause::Own,
        Wait::SyncGroup { .. } => Cause::OfGroup,
    }
}

fn cause_of_fault(fault: &Fault) -> Cause {
    match fault {
        Fault::InterfaceMissing { .. }
        | Fault::InterfaceDown { .. }
        | Fault::NoSource { .. }
        | Fault::SourceMissing { .. }
        | Fault::AddressForeign { .. }
        | Fault::AddressRefused { .. }
        | Fault::NotDropped { .. }
        | Fault::TrackDown { .. } => Cause::Own,
        Fault::SyncGroup { .. } => Cause::OfGroup,
    }
}

/// What one member cannot do none does.
fn state<'a>(stances: impl Iterator<Item = &'a Stance>) -> RouterState {
    let mut state = RouterState::Active;
    for stance in stances {
        let of_member = match stance {
            Stance::Active => RouterState::Active,
            Stance::Leaving => RouterState::Leaving,
            Stance::Ready | Stance::Watching => RouterState::Backup,
            Stance::Waiting { .. } => RouterState::Initialize,
            Stance::Faulted { .. } => RouterState::Fault,
        };
        if rank(of_member) > rank(state) {
            state = of_member;
        }
    }
    state
}

fn rank(state: RouterState) -> u8 {
    match state {
        RouterState::Active => 0,
        RouterState::Backup => 1,
        RouterState::Leaving => 2,
        RouterState::Initialize => 3,
        RouterState::Fault => 4,
    }
}

fn reason(members: &BTreeMap<RouterName, Stance>) -> String {
    let of = |wanted: fn(&Stance) -> bool| -> Vec<&str> {
        members.iter().filter(|(_, stance)| wanted(stance)).map(|(name, _)| name.as_str()).collect()
    };
    let held_back = members.iter().find_map(|(name, stance)| match stance {
        Stance::Faulted { reason, cause: Cause::Own } | Stance::Waiting { reason, cause: Cause::Own } => {
            Some(format!("{name} holds it back: {reason}"))
        }
        Stance::Faulted { cause: Cause::OfGroup, .. }
        | Stance::Waiting { cause: Cause::OfGroup, .. }
        | Stance::Active
        | Stance::Leaving
        | Stance::Ready
        | Stance::Watching => None,
    });
    if let Some(held_back) = held_back {
        return held_back;
    }
    let ready = of(|stance| *stance == Stance::Ready);
    let watching = of(|stance| *stance == Stance::Watching);
    let leaving = of(|stance| *stance == Stance::Leaving);
    if !leaving.is_empty() {
        format!("{} still serves until its successor does", leaving.join(", "))
    } else if watching.is_empty() && ready.is_empty() {
        "every member is Active".to_owned()
    } else if ready.is_empty() {
        "every Backup of it watches for an Active".to_owned()
    } else if watching.is_empty() {
        "every Backup of it may claim".to_owned()
    } else {
        format!(
            "{} may claim, and {} holds it back: its Active may still be there",
            ready.join(", "),
            watching.join(", ")
        )
    }
}
