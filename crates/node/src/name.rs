//! The names that configurations give to things; each kind is a type of its own, so that none is taken for another.

mod text;

use std::borrow::Borrow;
use std::fmt;

use serde::Serialize;
use thiserror::Error;

use self::text::Text;

/// The longest name of a thing in a configuration, in bytes; it keeps log lines and tables readable.
pub const NAME_LIMIT: usize = 64;

/// The longest name of a network interface, in bytes (`IFNAMSIZ` less its NUL, `linux/if.h`).
pub const INTERFACE_NAME_LIMIT: usize = 15;

/// The longest name of a user, in bytes (`useradd(8)`).
pub const USER_NAME_LIMIT: usize = 32;

/// A text that cannot be a name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// It is empty or too long.
    #[error("a name has 1 to {limit} bytes, this one has {length}")]
    Length {
        /// How many bytes it has.
        length: usize,
        /// How many it may have.
        limit: usize,
    },
    /// It has a character that no name may have.
    #[error("a name cannot have {character:?} in it")]
    Character {
        /// The first such character.
        character: char,
    },
}

fn check(text: &str, limit: usize, allowed: fn(char) -> bool) -> Result<(), NameError> {
    if text.is_empty() || text.len() > limit {
        return Err(NameError::Length { length: text.len(), limit });
    }
    match text.chars().find(|&character| !allowed(character)) {
        Some(character) => Err(NameError::Character { character }),
        None => Ok(()),
    }
}

fn is_plain(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '-' | '_' | '.')
}

/// The kernel refuses `/` and white space (`dev_valid_name`); a colon names an alias of old.
fn is_allowed_in_interfaces(character: char) -> bool {
    character.is_ascii_graphic() && !matches!(character, '/' | ':')
}

fn is_allowed_in_labels(character: char) -> bool {
    character == ':' || is_allowed_in_interfaces(character)
}

macro_rules! names {
    ($($(#[$docs:meta])* $name:ident, $limit:expr, $allowed:expr;)*) => {$(
        $(#[$docs])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(Text);

        impl $name {
            /// Returns the name with this text.
            ///
            /// # Errors
            /// [`NameError`] when the text cannot be such a name.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check(text, $limit, $allowed)?;
                Ok(Self(Text::new(text)))
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), formatter)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }
    )*};
}

names! {
    /// The name of a node, `[node.NAME]`.
    NodeName, NAME_LIMIT, is_plain;
    /// The name of a virtual router, `[virtual_router.NAME]`.
    RouterName, NAME_LIMIT, is_plain;
    /// The name of a sync group, `sync_group = "NAME"`.
    GroupName, NAME_LIMIT, is_plain;
    /// The name of a track, `[track.NAME]`.
    TrackName, NAME_LIMIT, is_plain;
    /// The name of a virtual server, `[virtual_server.NAME]`.
    ServerName, NAME_LIMIT, is_plain;
    /// The name of a hook, `[hook.NAME]`.
    HookName, NAME_LIMIT, is_plain;
    /// The name of a user of this machine.
    UserName, USER_NAME_LIMIT, is_plain;
    /// The name of a network interface.
    InterfaceName, INTERFACE_NAME_LIMIT, is_allowed_in_interfaces;
    /// The label of an address, like `eth0:web`.
    AddressLabel, INTERFACE_NAME_LIMIT, is_allowed_in_labels;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_the_kernel_would_refuse_for_an_interface_is_no_interface_name() {
        assert!(InterfaceName::new("bond0.100").is_ok());
        assert_eq!(InterfaceName::new("").unwrap_err(), NameError::Length { length: 0, limit: 15 });
        assert_eq!(
            InterfaceName::new("a-very-long-name").unwrap_err(),
            NameError::Length { length: 16, limit: 15 }
        );
        for (name, character) in [("et/h0", '/'), ("eth 0", ' '), ("eth0:1", ':')] {
            assert_eq!(InterfaceName::new(name).unwrap_err(), NameError::Character { character });
        }
    }
}
