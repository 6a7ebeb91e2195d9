//! A connection to the kernel's rtnetlink: requests, and what it tells of interfaces and addresses by itself.
//!
//! One socket does both, so that what a request brings about has been taken in when its acknowledgement comes.

// What the kernel says is a foreign enum that keeps growing; what has no name here is of no interest.
#![allow(clippy::wildcard_enum_match_arm)]

use std::io;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::sys::{AsyncSocket, SocketAddr};
use rtnetlink::{Handle, MulticastGroup};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::link::Interfaces;
use crate::netlink::Dump;
use crate::routing::Routing;
use crate::{route, rule};

/// What the kernel queues of notifications, in bytes; enough for thousands of changes between two turns of the
/// reconciler. When it overflows everything is asked for anew.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// How long an answer may take. The kernel answers within the request's system call; only an answer that was lost for
/// want of room takes longer, and it never comes.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The same after the socket's buffer has overflowed: the kernel answers at once, so what did not come with what the buffer
/// still held was lost.
const OVERRUN_ANSWER_LIMIT: Duration = Duration::from_millis(200);

/// How often interfaces and addresses are asked for until nothing changes meanwhile.
const OBSERVATION_LIMIT: u32 = 4;

/// Why a request to rtnetlink was not carried out.
#[derive(Debug, Error)]
pub enum RequestError {
    /// The kernel said no.
    #[error("{0}")]
    Refused(#[source] io::Error),
    /// No answer came.
    #[error("rtnetlink gave no answer within {} s", ANSWER_LIMIT.as_secs())]
    NoAnswer,
    /// The socket is closed.
    #[error("the connection to rtnetlink is closed")]
    Closed,
}

/// The connection and what is known from it.
pub(crate) struct RouteNetlink {
    handle: Handle,
    notifications: BoxStream<'static, (NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>,
    connection: JoinHandle<()>,
    interfaces: Interfaces,
    completeness: Completeness,
    attention: Attention,
    routing: Routing,
    routing_completeness: Completeness,
    resync: Resync,
    /// Whether something was taken in that nobody has made use of.
    news: News,
}

/// Whether everything had to be asked for anew since that was last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resync {
    Unneeded,
    Done,
}

/// What the kernel is asked to tell by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attention {
    /// Interfaces and addresses: a router that speaks BGP changes routes all day long.
    Addresses,
    /// Routes and rules too.
    Routing,
}

/// Whether everything that the kernel told was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Completeness {
    Complete,
    Lacking,
}

/// What comes back.
type AnswerStream = BoxStream<'static, NetlinkMessage<RouteNetlinkMessage>>;

/// What came back.
struct Answers {
    messages: Vec<RouteNetlinkMessage>,
    dump: Dump,
}

/// Whether what the kernel tells can be of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Own,
    Foreign,
}

impl RouteNetlink {
    /// Opens the connection, subscribes and asks for everything.
    ///
    /// Has to be called inside a tokio runtime, whose reactor and scheduler then serve the connection.
    pub(crate) async fn open() -> Result<Self, RequestError> {
        Self::open_with(Interfaces::default(), Attention::Addresses).await
    }

    /// Opens the connection anew, and asks for everything.
    pub(crate) async fn reopen(&mut self) -> Result<(), RequestError> {
        *self = Self::open_with(self.interfaces.clone(), self.attention).await?;
        self.resync = Resync::Done;
        Ok(())
    }

    /// Has the kernel tell of routes and rules too from now on.
    pub(crate) async fn attend_to_routing(&mut self) -> Result<(), RequestError> {
        if self.attention == Attention::Addresses {
            *self = Self::open_with(self.interfaces.clone(), Attention::Routing).await?;
        }
        Ok(())
    }

    async fn open_with(interfaces: Interfaces, attention: Attention) -> Result<Self, RequestError> {
        let addresses = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
        let routing = [
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
            MulticastGroup::Ipv4Rule,
            MulticastGroup::Ipv6Rule,
        ];
        let groups = match attention {
            Attention::Addresses => addresses.to_vec(),
            Attention::Routing => [&addresses[..], &routing[..]].concat(),
        };
        let (mut connection, handle, notifications) =
            rtnetlink::new_multicast_connection(&groups).map_err(RequestError::Refused)?;
        // Without CAP_NET_ADMIN the system's own limit has to do.
        let _ = set_socket_recv_buffer_size_force(connection.socket_mut().socket_mut(), RECEIVE_BUFFER_BYTES);
        // Without it, a kernel before 4.20, the answer to a question for some routes is all of them.
        let _ = connection.socket_mut().socket_mut().set_netlink_get_strict_chk(true);
        let mut opened = Self {
            handle,
            notifications: notifications.boxed(),
            connection: tokio::spawn(connection),
            interfaces,
            completeness: Completeness::Lacking,
            attention,
            routing: Routing::default(),
            routing_completeness: Completeness::Lacking,
            resync: Resync::Unneeded,
            news: News::Foreign,
        };
        opened.observe().await?;
        opened.resync = Resync::Unneeded;
        if attention == Attention::Addresses {
            // What a dead process has left behind.
            opened.observe_routing().await?;
        }
        Ok(opened)
    }

    /// Returns what the kernel has told up to now.
    pub(crate) fn interfaces(&self) -> &Interfaces {
        &self.interfaces
    }

    /// Returns the same, to ask for events.
    pub(crate) fn interfaces_mut(&mut self) -> &mut Interfaces {
        &mut self.interfaces
    }

    /// Returns the routes and rules that are Baton's own.
    pub(crate) fn routing(&self) -> &Routing {
        &self.routing
    }

    /// Returns the same, to say what has become of them.
    pub(crate) fn routing_mut(&mut self) -> &mut Routing {
        &mut self.routing
    }

    /// Asks for the routes and rules anew.
    pub(crate) async fn observe_routing(&mut self) -> Result<(), RequestError> {
        self.routing_completeness = Completeness::Complete;
        let families = [AddressFamily::Inet, AddressFamily::Inet6];
        let questions = families.map(route::question).into_iter().chain(families.map(rule::question));
        let mut routing = Routing::default();
        for question in questions {
            match self.request(question, NLM_F_DUMP).await {
                Ok(answers) => {
                    for answer in answers {
                        routing.apply(&answer, |index| self.interfaces.name(index));
                    }
                }
                // A kernel without a family has no routes of it.
                Err(RequestError::Refused(error))
                    if matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EOPNOTSUPP)) => {}
                Err(error) => {
                    self.routing_completeness = Completeness::Lacking;
                    return Err(error);
                }
            }
        }
        self.routing = routing;
        Ok(())
    }

    /// Asks for everything anew, again where something changed meanwhile; what was known stays known where no answer
    /// comes.
    ///
    /// Has to be waited for to its end: half of the answers are half of the interfaces.
    pub(crate) async fn observe(&mut self) -> Result<(), RequestError> {
        let before = self.interfaces.clone();
        if self.completeness == Completeness::Lacking {
            self.resync = Resync::Done;
        }
        for _ in 0..OBSERVATION_LIMIT {
            self.completeness = Completeness::Complete;
            if let Err(error) = self.observe_interfaces().await {
                self.completeness = Completeness::Lacking;
                self.interfaces = before;
                return Err(error);
            }
            if self.completeness == Completeness::Complete {
                break;
            }
        }
        match self.attention {
            Attention::Addresses => Ok(()),
            Attention::Routing => self.observe_routing().await,
        }
    }

    async fn observe_interfaces(&mut self) -> Result<(), RequestError> {
        self.interfaces.forget();
        let links = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let addresses = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        for question in [links, addresses] {
            if self.ask(question, NLM_F_DUMP).await?.dump == Dump::Torn {
                self.completeness = Completeness::Lacking;
            }
        }
        Ok(())
    }

    /// Waits until the kernel tells something by itself; [`RouteNetlink::catch_up`] makes use of it.
    ///
    /// Dropping the future before it is ready loses nothing, and nothing is asked for in it: half of the answers would be
    /// half of the interfaces.
    pub(crate) async fn changed(&mut self) -> Result<(), RequestError> {
        while self.news == News::Foreign {
            self.told().await?;
        }
        Ok(())
    }

    /// Waits until the kernel tells something more, whatever it is, and takes it in.
    ///
    /// Dropping the future before it is ready loses nothing.
    pub(crate) async fn told(&mut self) -> Result<(), RequestError> {
        let (message, sender) = self.notifications.next().await.ok_or(RequestError::Closed)?;
        self.take_in(message, sender);
        Ok(())
    }

    /// Takes in what the kernel has told by itself, without waiting for more; asks for everything where some was lost.
    ///
    /// Has to be waited for to its end.
    pub(crate) async fn catch_up(&mut self) -> Result<(), RequestError> {
        self.drain();
        self.news = News::Foreign;
        match (self.completeness, self.attention, self.routing_completeness) {
            (Completeness::Lacking, _, _) => self.observe().await,
            (Completeness::Complete, Attention::Routing, Completeness::Lacking) => {
                self.observe_routing().await
            }
            (Completeness::Complete, Attention::Addresses, _)
            | (Completeness::Complete, Attention::Routing, Completeness::Complete) => Ok(()),
        }
    }

    /// Tells whether something that the kernel told was lost, and made up for, since the last call.
    pub(crate) fn take_resync(&mut self) -> Resync {
        std::mem::replace(&mut self.resync, Resync::Unneeded)
    }

    /// Carries a change out and waits for its acknowledgement; all that it brought about has been taken in then.
    pub(crate) async fn change(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<(), RequestError> {
        self.request(message, flags | NLM_F_ACK).await.map(drop)
    }

    /// Has changes made that do not depend on each other, all asked for before the first answer is waited for; one that is
    /// refused is left out. All that they brought about has been taken in then.
    ///
    /// # Errors
    /// When no answer comes; nobody waits for the others then.
    pub(crate) async fn change_each(
        &mut self,
        messages: Vec<RouteNetlinkMessage>,
        flags: u16,
    ) -> Result<(), RequestError> {
        let asked: Result<Vec<_>, _> =
            messages.into_iter().map(|message| self.put(message, flags | NLM_F_ACK)).collect();
        let mut held_back = Vec::new();
        let mut outcome = Ok(());
        for answers in asked? {
            match self.receive_answers(answers, &mut held_back).await {
                Ok(_) | Err(RequestError::Refused(_)) => {}
                Err(error @ (RequestError::NoAnswer | RequestError::Closed)) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        self.take_in_late(held_back);
        outcome
    }

    /// Asks, and returns what is answered, which has been taken in too.
    pub(crate) async fn request(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, RequestError> {
        self.ask(message, flags).await.map(|answers| answers.messages)
    }

    async fn ask(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<Answers, RequestError> {
        let mut held_back = Vec::new();
        let answers = self.put(message, flags)?;
        let answered = self.receive_answers(answers, &mut held_back).await;
        self.take_in_late(held_back);
        answered
    }

    /// Puts a question to the kernel; nothing is sent before its answers, or others', are waited for.
    fn put(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<AnswerStream, RequestError> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        let answers = self.handle.request(request).map_err(|_| RequestError::Closed)?;
        Ok(answers.boxed())
    }

    /// What the kernel tells of others' changes meanwhile is taken in after the answers, as some of these may be older.
    fn take_in_late(&mut self, held_back: Vec<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>) {
        for (message, sender) in held_back {
            self.take_in(message, sender);
        }
        self.drain();
    }

    async fn receive_answers(
        &mut self,
        mut answers: AnswerStream,
        held_back: &mut Vec<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>,
    ) -> Result<Answers, RequestError> {
        let mut answered = Answers { messages: Vec::new(), dump: Dump::Whole };
        let mut limit = ANSWER_LIMIT;
        let mut until = Instant::now() + limit;
        loop {
            let answer = tokio::select! {
                biased;
                answer = timeout_at(until, answers.next()) => match answer {
                    Ok(Some(answer)) => answer,
                    Ok(None) => return Ok(answered),
                    Err(_) => {
                        self.completeness = Completeness::Lacking;
                        return Err(RequestError::NoAnswer);
                    }
                },
                Some(told) = self.notifications.next() => {
                    if let NetlinkPayload::Overrun(_) = told.0.payload {
                        limit = OVERRUN_ANSWER_LIMIT;
                        until = Instant::now() + limit;
                    }
                    held_back.push(told);
                    continue;
                }
            };
            until = Instant::now() + limit;
            if answer.header.flags & NLM_F_DUMP_INTR != 0 {
                answered.dump = Dump::Torn;
            }
            match answer.payload {
                NetlinkPayload::Error(error) if error.code.is_some() => {
                    return Err(RequestError::Refused(error.to_io()));
                }
                // What the kernel tells everybody of this change carries the request's number, and so comes here.
                NetlinkPayload::InnerMessage(message) => {
                    self.interfaces.apply(&message);
                    // Of the routes that name an address the kernel says nothing when that goes.
                    if let RouteNetlinkMessage::DelAddress(_) = message {
                        self.routing_completeness = Completeness::Lacking;
                    }
                    answered.messages.push(message);
                }
                _ => {}
            }
        }
    }

    fn drain(&mut self) {
        while let Some(Some((message, sender))) = self.notifications.next().now_or_never() {
            self.take_in(message, sender);
        }
    }

    fn take_in(&mut self, message: NetlinkMessage<RouteNetlinkMessage>, sender: SocketAddr) {
        // Other processes can send to a netlink socket too; the kernel is number 0.
        if sender.port_number() != 0 {
            return;
        }
        match message.payload {
            NetlinkPayload::InnerMessage(message) => {
                self.interfaces.apply(&message);
                let is_routing =
                    matches!(message, RouteNetlinkMessage::NewRoute(_) | RouteNetlinkMessage::DelRoute(_));
                if self.routing.is_touched_by(&message) {
                    self.routing_completeness = Completeness::Lacking;
                    self.news = News::Own;
                } else if !is_routing {
                    self.news = News::Own;
                }
            }
            NetlinkPayload::Overrun(_) => {
                self.completeness = Completeness::Lacking;
                self.news = News::Own;
            }
            _ => {}
        }
    }
}

impl Drop for RouteNetlink {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
