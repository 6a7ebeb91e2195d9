//! The kernel's table of virtual servers, over generic netlink.
//!
//! Requests are answered within the system call that sends them, so nothing here waits: what is not there when it is
//! asked for never comes.

mod attributes;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use neli::consts::nl::NlmF;
use neli::consts::socket::{Msg, NlFamily};
use neli::socket::NlSocket;
use neli::utils::Groups;
use node::plan::ServiceChange;
use thiserror::Error;
use virtual_server::service::{Service, ServiceKey};

use crate::netlink::{self, ANSWER_BYTES, Batch, Envelope, Header, HeaderKind, Progress};

/// The most messages that one system call sends: 100 are 30 times as fast as one by one, 500 hardly faster or slower.
pub(crate) const CHUNK_LIMIT: usize = 100;

/// What the kernel queues of answers, in bytes: those of a chunk that is refused message by message.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

/// Why the table can be neither read nor changed.
#[derive(Debug, Error)]
pub(crate) enum IpvsError {
    /// The kernel has none.
    #[error(
        "ip_vs is not in this kernel: load it with `modprobe ip_vs`, or install the kernel package that has it; it is tried again"
    )]
    Unavailable,
    /// The process may not.
    #[error("Changing the IPVS table needs CAP_NET_ADMIN: run as root or under the systemd unit")]
    NotPermitted,
    /// The socket failed, or an answer did not come.
    #[error("The connection to IPVS failed: {0}")]
    Socket(#[from] io::Error),
}

/// Why one change was not made.
#[derive(Debug, Error)]
pub(crate) enum ChangeError {
    #[error("This kernel has no IPVS scheduler {0}: load it with `modprobe ip_vs_{0}`")]
    NoScheduler(&'static str),
    /// What is to be changed is not there: what was seen has aged.
    #[error("it is not in the kernel's table any more")]
    Gone,
    /// What is to be added is there: what was seen has aged.
    #[error("it is in the kernel's table already")]
    There,
    #[error("The kernel refused to {change}: {source}")]
    Kernel { change: String, source: io::Error },
}

/// A connection to IPVS.
pub(crate) struct Ipvs {
    socket: NlSocket,
    family: u16,
    sequence: u32,
    batch: Batch,
    answer: Box<[u8]>,
}

impl Ipvs {
    /// Connects; has the kernel load the module where it can.
    pub(crate) fn open() -> Result<Self, IpvsError> {
        let socket = NlSocket::connect(NlFamily::Generic, None, Groups::empty())?;
        socket.nonblock()?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
        let answer = vec![0; ANSWER_BYTES].into();
        let mut ipvs = Self { socket, family: 0, sequence: 0, batch: Batch::default(), answer };
        ipvs.family = ipvs.resolve()?;
        Ok(ipvs)
    }

    /// Reads those of the kernel's services that are asked for, with their destinations; gives up, with nothing, as soon
    /// as there is something more urgent.
    pub(crate) fn observe(
        &mut self,
        keys: &BTreeSet<ServiceKey>,
        is_interrupted: impl Fn() -> bool,
    ) -> Result<Option<BTreeMap<ServiceKey, Arc<Service>>>, IpvsError> {
        let mut services = Vec::new();
        if !keys.is_empty() {
            let envelope = self.envelope(NlmF::DUMP);
            self.batch.clear();
            attributes::write_services_query(envelope, &mut self.batch);
            self.dump(|answer| services.extend(attributes::read_service(answer)))?;
        }
        let mut observed = BTreeMap::new();
        for mut service in services.into_iter().filter(|service| keys.contains(&service.key)) {
            if is_interrupted() {
                return Ok(None);
            }
            let key = service.key;
            let envelope = self.envelope(NlmF::DUMP);
            self.batch.clear();
            attributes::write_destinations_query(envelope, key, &mut self.batch);
            let destinations = &mut service.destinations;
            self.dump(|answer| {
                destinations.extend(attributes::read_destination(answer, key));
            })?;
            observed.insert(key, Arc::new(service));
        }
        Ok(Some(observed))
    }

    /// Makes changes of services, in order and at most [`CHUNK_LIMIT`], in one system call; each has its own outcome.
    ///
    /// Removing what is gone already is as good as removing it.
    pub(crate) fn apply(
        &mut self,
        changes: &[ServiceChange],
    ) -> Result<Vec<Result<(), ChangeError>>, IpvsError> {
        assert!(changes.len() <= CHUNK_LIMIT, "the caller sends chunks");
        self.batch.clear();
        let first = self.sequence.wrapping_add(1);
        for (number, change) in changes.iter().enumerate() {
            // Errors are answered in any case, so the acknowledgement of the last one tells that all are done.
            let flags = if number + 1 == changes.len() { NlmF::ACK } else { NlmF::empty() };
            let envelope = self.envelope(flags);
            attributes::write_change(envelope, change, &mut self.batch);
        }
        let mut outcomes: Vec<_> = changes.iter().map(|_| Ok(())).collect();
        if changes.is_empty() {
            return Ok(outcomes);
        }
        self.socket.send(self.batch.octets(), Msg::empty())?;
        let last = self.sequence;
        let mut is_missing = false;
        netlink::receive::<IpvsError>(&self.socket, &mut self.answer, |header, _| {
            let index = usize::try_from(header.sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
            let (Some(outcome), Some(change)) = (outcomes.get_mut(index), changes.get(index)) else {
                return Ok(Progress::More);
            };
            if let Some(error) = header.error {
                is_missing |= error == libc::ENOENT;
                *outcome = outcome_of(error, change)?;
            }
            Ok(if header.sequence == last { Progress::Done } else { Progress::More })
        })?;
        // What a missing scheduler and a missing destination are answered with is also what a missing family is.
        if is_missing {
            self.family = self.resolve()?;
        }
        Ok(outcomes)
    }

    fn envelope(&mut self, flags: NlmF) -> Envelope {
        self.sequence = self.sequence.wrapping_add(1);
        Envelope { kind: self.family, sequence: self.sequence, flags }
    }

    fn resolve(&mut self) -> Result<u16, IpvsError> {
        let Envelope { sequence, .. } = self.envelope(NlmF::empty());
        self.batch.clear();
        attributes::write_family_query(sequence, &mut self.batch);
        self.socket.send(self.batch.octets(), Msg::empty())?;
        let mut family = None;
        netlink::receive::<IpvsError>(&self.socket, &mut self.answer, |header, payload| {
            if header.sequence != sequence {
                return Ok(Progress::More);
            }
            if header.error.is_some() {
                return Err(IpvsError::Unavailable);
            }
            family = attributes::read_family(payload);
            Ok(Progress::Done)
        })?;
        family.ok_or(IpvsError::Unavailable)
    }

    /// Sends the query that has been written and hands over what it is answered with.
    fn dump(&mut self, mut each: impl FnMut(&[u8])) -> Result<(), IpvsError> {
        self.socket.send(self.batch.octets(), Msg::empty())?;
        let sequence = self.sequence;
        netlink::receive::<IpvsError>(&self.socket, &mut self.answer, |header, payload| match header {
            Header { sequence: other, .. } if other != sequence => Ok(Progress::More),
            Header { error: Some(libc::EPERM), .. } => Err(IpvsError::NotPermitted),
            Header { error: Some(libc::ENOENT | libc::EOPNOTSUPP), .. } => Err(IpvsError::Unavailable),
            Header { error: Some(error), .. } => Err(io::Error::from_raw_os_error(error).into()),
            Header { error: None, kind: HeaderKind::End, .. } => Ok(Progress::Done),
            Header { error: None, kind: HeaderKind::Answer, .. } => {
                each(payload);
                Ok(Progress::More)
            }
        })
    }
}

fn outcome_of(error: i32, change: &ServiceChange) -> Result<Result<(), ChangeError>, IpvsError> {
    let is_removal = matches!(change, ServiceChange::Remove(_) | ServiceChange::RemoveDestination(..));
    Ok(match (error, change) {
        (libc::EPERM, _) => return Err(IpvsError::NotPermitted),
        (libc::ESRCH | libc::ENOENT, _) if is_removal => Ok(()),
        (libc::ENOENT, ServiceChange::Add(service) | ServiceChange::Edit(service)) => {
            Err(ChangeError::NoScheduler(service.scheduler.name()))
        }
        (libc::ESRCH | libc::ENOENT, _) => Err(ChangeError::Gone),
        (libc::EEXIST, _) => Err(ChangeError::There),
        (_, _) => Err(ChangeError::Kernel {
            change: change.to_string(),
            source: io::Error::from_raw_os_error(error),
        }),
    })
}
