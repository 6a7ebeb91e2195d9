//! The sync groups of a node, as an operator sees them.

use std::collections::BTreeMap;

use node::status::{GroupStatus, Stance};
use serde::{Deserialize, Serialize};

/// One sync group.
#[derive(Debug, Serialize, Deserialize)]
pub struct GroupView {
    /// initialize, backup, active or fault: that of the member that stands worst.
    pub state: String,
    /// Which member holds the others back, and why.
    pub reason: String,
    pub members: BTreeMap<String, MemberView>,
}

/// One member.
#[derive(Debug, Serialize, Deserialize)]
pub struct MemberView {
    /// active, leaving, ready (it may claim and waits for the others), watching (an Active is heard), waiting or fault.
    pub stance: String,
    /// Why it waits or cannot take part.
    pub reason: Option<String>,
}

impl GroupView {
    /// Puts a sync group into the view's terms.
    pub fn new(group: &GroupStatus) -> Self {
        let members = group.members.iter().map(|(name, stance)| (name.to_string(), MemberView::new(stance)));
        Self {
            state: group.state.name().to_owned(),
            reason: group.reason.clone(),
            members: members.collect(),
        }
    }
}

impl MemberView {
    fn new(stance: &Stance) -> Self {
        let (stance, reason) = match stance {
            Stance::Active => ("active", None),
            Stance::Leaving => ("leaving", None),
            Stance::Ready => ("ready", None),
            Stance::Watching => ("watching", None),
            Stance::Waiting { reason, .. } => ("waiting", Some(reason.clone())),
            Stance::Faulted { reason, .. } => ("fault", Some(reason.clone())),
        };
        Self { stance: stance.to_owned(), reason }
    }
}
