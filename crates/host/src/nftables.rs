//! Baton's own table in the kernel's packet filter, over netlink: packets to virtual addresses that are not accepted.
//!
//! Requests are answered within the system call that sends them, so nothing here waits. What belongs together goes as one
//! transaction, which the kernel carries out whole or not at all. Nothing but the table `inet baton` is ever touched.

mod messages;
mod rule;
mod set;
mod watch;

use std::collections::BTreeSet;
use std::io;

use neli::consts::socket::{Msg, NlFamily};
use neli::socket::NlSocket;
use neli::utils::Groups;
use node::input_drop::InputDrop;
use thiserror::Error;

pub(crate) use self::watch::Watch;
use crate::netlink::{self, ANSWER_BYTES, Batch, Dump, Header, HeaderKind, Progress};
use messages::{CHAIN, Question, Writer};
use rule::Rule;
use set::Set;

/// What the kernel queues of answers, in bytes: an error or an acknowledgement for each message of a transaction.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

/// Why packets are not dropped, or it is not known whether they are.
#[derive(Debug, Error)]
pub(crate) enum NftablesError {
    /// The kernel has no packet filter of this kind.
    #[error(
        "nf_tables is not in this kernel: load it with `modprobe nf_tables`, install the kernel package that has it, or say accept = true"
    )]
    Unavailable,
    /// The process may not.
    #[error("Changing nf_tables needs CAP_NET_ADMIN: run as root or under the systemd unit")]
    NotPermitted,
    /// The table has what Baton did not put there.
    #[error(
        "somebody else's chain {0} is in the table `inet baton`, which Baton keeps for itself: move it to a table of its own"
    )]
    Foreign(String),
    /// Somebody changed something while it was looked at.
    #[error("the packet filter was changed by somebody while it was looked at; it is looked at again")]
    Torn,
    /// The kernel said no.
    #[error("the packet filter refused it: {0}")]
    Refused(#[source] io::Error),
    /// The socket failed, or an answer did not come.
    #[error("the connection to nf_tables failed: {0}")]
    Socket(#[from] io::Error),
}

/// A connection to the packet filter.
pub(crate) struct Nftables {
    socket: NlSocket,
    sequence: u32,
    batch: Batch,
    answer: Box<[u8]>,
}

/// What Baton's table is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// It is not there.
    Absent,
    /// It drops these.
    Whole(BTreeSet<InputDrop>),
    /// Something of it is missing, or was put into its chain: it may drop nothing.
    Damaged,
    /// There is somebody else's chain in it, of this name.
    Foreign(String),
}

impl Nftables {
    /// Connects.
    pub(crate) fn open() -> Result<Self, NftablesError> {
        let socket = NlSocket::connect(NlFamily::Netfilter, None, Groups::empty()).map_err(|error| {
            match error.raw_os_error() {
                Some(libc::EPROTONOSUPPORT) => NftablesError::Unavailable,
                Some(_) | None => NftablesError::Socket(error),
            }
        })?;
        socket.nonblock()?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
        let answer = vec![0; ANSWER_BYTES].into();
        Ok(Self { socket, sequence: 0, batch: Batch::default(), answer })
    }

    /// The number by which the kernel tells others whose change it was.
    pub(crate) fn port(&self) -> io::Result<u32> {
        self.socket.pid()
    }

    /// Looks at Baton's table.
    pub(crate) fn observe(&mut self) -> Result<Table, NftablesError> {
        let mut chains = Vec::new();
        self.ask(Question::Chains, |answer| chains.extend(messages::read_chain(answer)))?;
        if let Some(foreign) = chains.iter().find(|name| name.as_bytes() != CHAIN.to_bytes()) {
            return Ok(Table::Foreign(foreign.clone()));
        }
        if chains.is_empty() {
            return Ok(Table::Absent);
        }
        let mut rules = Vec::new();
        self.ask(Question::Rules, |answer| rules.push(messages::read_rule(answer)))?;
        if !Rule::are_all(&rules) {
            return Ok(Table::Damaged);
        }
        let mut drops = BTreeSet::new();
        for set in Set::ALL {
            self.ask(Question::Elements(set), |answer| drops.extend(messages::read_elements(answer, set)))?;
        }
        Ok(Table::Whole(drops))
    }

    /// Turns the table from what it was when it was looked at into one that drops these; removes it where that is nothing.
    ///
    /// # Errors
    /// [`NftablesError::Refused`] also where it was not like that any more.
    pub(crate) fn change(
        &mut self,
        table: &Table,
        wanted: &BTreeSet<InputDrop>,
    ) -> Result<(), NftablesError> {
        let mut writer = Writer::new(&mut self.batch, &mut self.sequence);
        writer.begin();
        match table {
            Table::Foreign(chain) => return Err(NftablesError::Foreign(chain.clone())),
            Table::Absent if wanted.is_empty() => return Ok(()),
            Table::Whole(there) if there == wanted => return Ok(()),
            Table::Whole(there) if !wanted.is_empty() => {
                writer.add(wanted.difference(there));
                writer.remove(there.difference(wanted));
            }
            Table::Absent | Table::Whole(_) | Table::Damaged => {
                // So it is there to be removed in any case.
                writer.table();
                writer.remove_table();
                if !wanted.is_empty() {
                    writer.table();
                    writer.contents();
                    writer.add(wanted.iter());
                }
            }
        }
        writer.end();
        self.transact()
    }

    /// Sends what has been written as one transaction.
    fn transact(&mut self) -> Result<(), NftablesError> {
        self.socket.send(self.batch.octets(), Msg::empty()).map_err(unless_missing)?;
        let mut outcome = Err(NftablesError::Socket(io::ErrorKind::WouldBlock.into()));
        let heard = netlink::receive(&self.socket, &mut self.answer, |header, _| {
            match header.error {
                None if outcome.is_err() => outcome = Ok(()),
                None => {}
                Some(error) => return Err(refusal(error)),
            }
            Ok(Progress::More)
        });
        match heard {
            // All answers are there when the request has been sent.
            Err(NftablesError::Socket(error)) if error.kind() == io::ErrorKind::WouldBlock => outcome,
            Err(error) => {
                self.discard_answers();
                Err(error)
            }
            Ok(()) => outcome,
        }
    }

    /// Asks and hands over what is answered; what is not there has no answers.
    fn ask(&mut self, question: Question, mut each: impl FnMut(&[u8])) -> Result<(), NftablesError> {
        Writer::new(&mut self.batch, &mut self.sequence).ask(question);
        self.socket.send(self.batch.octets(), Msg::empty()).map_err(unless_missing)?;
        let sequence = self.sequence;
        netlink::receive(&self.socket, &mut self.answer, |header, payload| match header {
            Header { sequence: other, .. } if other != sequence => Ok(Progress::More),
            Header { error: Some(libc::ENOENT), .. } => Ok(Progress::Done),
            // Where there is no nf_tables at all its messages make no sense.
            Header { error: Some(libc::EINVAL), .. } => Err(NftablesError::Unavailable),
            Header { error: Some(error), .. } => Err(refusal(error)),
            Header { dump: Dump::Torn, .. } => Err(NftablesError::Torn),
            Header { error: None, kind: HeaderKind::End, .. } => Ok(Progress::Done),
            Header { error: None, kind: HeaderKind::Answer, .. } => {
                each(payload);
                Ok(Progress::More)
            }
        })
    }

    fn discard_answers(&mut self) {
        while self.socket.recv(&mut self.answer, Msg::empty()).is_ok() {}
    }
}

fn unless_missing(error: io::Error) -> NftablesError {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => NftablesError::Unavailable,
        Some(_) | None => NftablesError::Socket(error),
    }
}

fn refusal(error: i32) -> NftablesError {
    match error {
        libc::EPERM => NftablesError::NotPermitted,
        libc::EOPNOTSUPP | libc::EAFNOSUPPORT => NftablesError::Unavailable,
        _ => NftablesError::Refused(io::Error::from_raw_os_error(error)),
    }
}
