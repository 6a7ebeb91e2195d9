//! `[sync_group.NAME]`: what the members of a sync group have in common.

use node::name::{GroupName, TrackName};

use super::field::Field;
use super::problem::At;
use super::section::Section;

/// Every key of a sync group.
pub(super) const KEYS: &[&str] = &["track"];

/// What the members of a sync group have in common; a group needs no section of its own.
#[derive(Debug)]
pub(super) struct GroupSection {
    /// Its name.
    pub(super) name: At<GroupName>,
    /// What has to be well for all of its members.
    pub(super) tracks: Vec<At<TrackName>>,
}

impl GroupSection {
    /// Reads the table of the sync group of this name.
    pub(super) fn read(name: At<&str>, field: Field<'_>) -> Option<Self> {
        let section = Section::open(format!("sync group {}", name.value), name.span, field, KEYS)?;
        Some(Self {
            name: section.name(name, GroupName::new)?,
            tracks: section.list("track", |field| field.name(TrackName::new)),
        })
    }
}
