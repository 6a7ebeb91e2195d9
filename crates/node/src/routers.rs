//! Every virtual router of a node and what they need from each other.

/// Why a virtual router cannot take part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The interface is missing or down.
    InterfaceDown,
}
