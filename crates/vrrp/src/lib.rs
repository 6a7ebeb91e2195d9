//! What a virtual router is and says: VRRP ([RFC 9568](https://www.rfc-editor.org/rfc/rfc9568), and version 2 of
//! [RFC 3768](https://www.rfc-editor.org/rfc/rfc3768)) as a pure state machine.
//!
//! Nothing here opens a socket or reads a clock. The caller
//! 1. makes a [`VirtualRouter`] from [`Parameters`],
//! 2. hands it each [`RouterEvent`] with the current [`Instant`](monotonic::Instant),
//! 3. carries out the [`RouterAction`]s it answers with, in their order,
//! 4. comes back with [`RouterEvent::Deadline`] when [`VirtualRouter::next_deadline`] has come.
//!
//! [`Advertisement`] turns bytes into what was said and back; [`announcement`] builds the gratuitous ARP and
//! unsolicited neighbour advertisement frames that move a virtual address to this machine, [`solicitation`] the questions
//! that tell whether this machine can hear.

#![forbid(unsafe_code)]

mod advertisement;
pub mod announcement;
mod authentication;
mod cause;
pub mod frame;
mod identity;
mod neighbour_frame;
mod router;
pub mod solicitation;
mod timing;

pub use advertisement::{
    Advertisement, ChecksumStyle, MULTICAST_V4, MULTICAST_V6, Message, PROTOCOL, ParseError, Received,
    multicast_group,
};
pub use authentication::{
    Authentication, AuthenticationError, Credentials, Hmac, HmacMode, Key, KeyError, KeyId, KeyRing, Measure,
    Password, PasswordTooLong, Proof, Sequence, Sequences,
};
pub use cause::{BecomeActiveCause, BecomeBackupCause};
pub use identity::{Family, MacAddress, OutOfRange, Priority, Version, Vrid};
pub use router::{
    AfterLeaving, HandOverStage, HeardActive, Heirs, Parameters, Preemption, Restraint, RouterAction,
    RouterEvent, SUCCESSION_TIME, State, Statement, VirtualRouter,
};
pub use timing::Centiseconds;
