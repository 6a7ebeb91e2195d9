//! Sync groups: virtual routers that are all Active on this node or none is.
//!
//! A member whose timer ran out waits as a Backup until the timer of every other member that is a Backup has run out
//! too; then they claim together. The release of one member's Active counts for all of them. One that has to yield makes
//! the others release, and one that cannot take part keeps the others from it. Members that hand over and are not
//! succeeded go on together, unless a part of them is.

use std::collections::{BTreeMap, BTreeSet};

use monotonic::Instant;
use vrrp::{HandOverStage, State};

use super::member::Member;
use crate::name::{GroupName, RouterName};

/// Which virtual routers move together.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    members: BTreeMap<GroupName, BTreeSet<RouterName>>,
    group_of: BTreeMap<RouterName, GroupName>,
}

impl Groups {
    pub(super) fn new(members: &BTreeMap<GroupName, BTreeSet<RouterName>>) -> Self {
        let pairs =
            members.iter().flat_map(|(group, names)| names.iter().map(|name| (name.clone(), group.clone())));
        Self { members: members.clone(), group_of: pairs.collect() }
    }

    pub(super) fn of(&self, name: &RouterName) -> Option<GroupName> {
        self.group_of.get(name).cloned()
    }

    pub(super) fn members(&self, group: &GroupName) -> BTreeSet<RouterName> {
        self.members.get(group).cloned().unwrap_or_default()
    }

    /// Returns the virtual routers that move together with this one, itself included.
    pub(super) fn together_with(&self, name: &RouterName) -> BTreeSet<RouterName> {
        match self.group_of.get(name) {
            Some(group) => self.members(group),
            None => BTreeSet::from([name.clone()]),
        }
    }

    /// Returns when the group has something to do together: when the last of its waiting members may claim, with which
    /// all of them do, or when nobody wants any more what it hands over.
    pub(super) fn next_deadline(
        &self,
        group: &GroupName,
        members: &BTreeMap<RouterName, Member>,
    ) -> Option<Instant> {
        let states = || {
            let names = self.members.get(group).into_iter().flatten();
            names.map(|name| members.get(name).and_then(Member::state))
        };
        let given_up = states().filter_map(|state| match state {
            Some(State::Leaving { stage: HandOverStage::Offered { give_up_at }, .. }) => Some(give_up_at),
            Some(
                State::Leaving { stage: HandOverStage::Claimed { .. }, .. }
                | State::Initialize
                | State::Backup { .. }
                | State::Active { .. },
            )
            | None => None,
        });
        if let Some(last) = given_up.max() {
            return Some(last);
        }
        let mut claim = None;
        for state in states() {
            match state? {
                State::Initialize | State::Leaving { .. } => return None,
                State::Backup { active_down_at, .. } => claim = claim.max(Some(active_down_at)),
                State::Active { .. } => {}
            }
        }
        claim
    }
}
