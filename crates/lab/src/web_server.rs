//! A real server: small, but real.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::{Error, Namespace, Result};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

/// An HTTP/1.1 server inside a namespace that answers every path with its own name, over IPv4 and IPv6.
///
/// `/healthz` says whether it is well. Connections are kept until the client closes them or asks for that. When it
/// is dropped it stops, and its connections are closed.
#[derive(Debug)]
pub struct WebServer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// How a [`WebServer`] treats its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Everything is answered with status 200.
    Serving,
    /// `/healthz` is answered with status 503, everything else as before.
    Unhealthy,
    /// Connections are accepted and requests read, but nothing is answered until the behaviour changes.
    Hanging,
    /// As when its process has died: connections are closed and new ones refused.
    Down,
}

impl WebServer {
    /// Starts to serve on a port of every address that the namespace has or will have.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start(namespace: &Namespace, name: &str, port: u16) -> Result<Self> {
        let failed = Error::system(format!("listen on port {port} in {}", namespace.name()));
        let listener =
            namespace.enter(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)))?.map_err(failed)?;
        let state =
            State { behaviour: Behaviour::Serving, ended: false, served: 0, connections: BTreeMap::new() };
        let shared =
            Shared { name: name.to_owned(), listener, state: Mutex::new(state), changed: Condvar::new() };
        let shared = Arc::new(shared);
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name(format!("web-server-{name}"))
            .spawn(move || accept(&theirs))
            .map_err(Error::system("start a thread"))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Changes how clients are treated, from now on.
    ///
    /// # Errors
    /// When the port cannot be listened on again.
    pub fn behave(&self, behaviour: Behaviour) -> Result<()> {
        let mut state = self.shared.state();
        let before = std::mem::replace(&mut state.behaviour, behaviour);
        let outcome = match (before, behaviour) {
            (Behaviour::Down, Behaviour::Down) => Ok(()),
            (Behaviour::Serving | Behaviour::Unhealthy | Behaviour::Hanging, Behaviour::Down) => {
                self.shared.hang_up(&mut state)
            }
            (Behaviour::Down, Behaviour::Serving | Behaviour::Unhealthy | Behaviour::Hanging) => {
                // A socket that was shut down keeps its port and may listen again.
                rustix::net::listen(&self.shared.listener, BACKLOG).map_err(io::Error::from)
            }
            (
                Behaviour::Serving | Behaviour::Unhealthy | Behaviour::Hanging,
                Behaviour::Serving | Behaviour::Unhealthy | Behaviour::Hanging,
            ) => Ok(()),
        };
        drop(state);
        self.shared.changed.notify_all();
        outcome.map_err(Error::system(format!("change {} to {behaviour:?}", self.shared.name)))
    }

    /// How many requests have been answered, those for `/healthz` left out.
    pub fn served(&self) -> u64 {
        self.shared.state().served
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.ended = true;
        // Failure means that it was down already.
        let _ = self.shared.hang_up(&mut state);
        drop(state);
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed, and the test that depends on it fails by itself.
            let _ = thread.join();
        }
    }
}

#[derive(Debug)]
struct Shared {
    name: String,
    listener: TcpListener,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    behaviour: Behaviour,
    ended: bool,
    served: u64,
    connections: BTreeMap<u64, TcpStream>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // The state is valid after every single step, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hang_up(&self, state: &mut State) -> io::Result<()> {
        for connection in std::mem::take(&mut state.connections).into_values() {
            // One that the client has closed needs no closing.
            let _ = connection.shutdown(Shutdown::Both);
        }
        Ok(rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both)?)
    }

    /// Waits while a condition holds and the server has not ended.
    fn wait_while(&self, condition: impl Fn(Behaviour) -> bool) -> MutexGuard<'_, State> {
        let waiting = |state: &mut State| !state.ended && condition(state.behaviour);
        self.changed.wait_while(self.state(), waiting).unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(shared: &Arc<Shared>) {
    let mut numbers = 0..;
    while !shared.wait_while(|behaviour| behaviour == Behaviour::Down).ended {
        // Refusal means that it went down, or ended, while it was waiting here.
        let Ok((stream, _)) = shared.listener.accept() else { continue };
        let mut state = shared.state();
        if state.ended || state.behaviour == Behaviour::Down {
            continue;
        }
        let (Ok(ours), Some(number)) = (stream.try_clone(), numbers.next()) else { continue };
        state.connections.insert(number, ours);
        drop(state);
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // A broken connection is the client's business.
            let _ = serve(&shared, stream);
            shared.state().connections.remove(&number);
        });
    }
}

/// Answers one request after the other until the connection is closed.
fn serve(shared: &Shared, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let Some(request) = Request::read(&mut stream)? else { return Ok(()) };
        let mut state = shared.wait_while(|behaviour| behaviour == Behaviour::Hanging);
        let healthy = match state.behaviour {
            Behaviour::Unhealthy => false,
            Behaviour::Serving | Behaviour::Hanging | Behaviour::Down => true,
        };
        let (status, body) = match (request.asks_for_health, healthy) {
            (true, false) => ("503 Service Unavailable", "unhealthy"),
            (true, true) => ("200 OK", "healthy"),
            (false, true | false) => ("200 OK", shared.name.as_str()),
        };
        if !request.asks_for_health {
            state.served += 1;
        }
        drop(state);
        let (length, connection) = (body.len() + 1, if request.is_last { "close" } else { "keep-alive" });
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
             Connection: {connection}\r\n\r\n{body}\n"
        );
        stream.get_mut().write_all(answer.as_bytes())?;
        if request.is_last {
            return Ok(());
        }
    }
}

/// What matters of a request.
struct Request {
    asks_for_health: bool,
    is_last: bool,
}

impl Request {
    /// Reads up to the empty line; `None` when the client has closed the connection.
    fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Self>> {
        let mut first = String::new();
        if stream.read_line(&mut first)? == 0 {
            return Ok(None);
        }
        let asks_for_health = first.split(' ').nth(1) == Some("/healthz");
        let mut is_last = first.trim_end().ends_with("HTTP/1.0");
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                return Ok(Some(Self { asks_for_health, is_last }));
            }
            if let Some(wish) = line.strip_prefix("connection:") {
                is_last = wish.trim() == "close";
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;
    use crate::{Answer, Topology, WebClient, wait_until};

    const LIMIT: Duration = Duration::from_secs(5);
    /// Long enough for an answer on an idle machine; whoever hangs does not answer in any time.
    const SHORT: Duration = Duration::from_millis(300);

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.to_owned() }
    }

    #[test]
    fn it_answers_with_its_name_over_both_families_and_keeps_connections() {
        let lab = Topology::standard(1, 1).build().unwrap();
        let server = WebServer::start(lab.namespace("rs1"), "rs1", 80).unwrap();
        for target in ["10.78.0.21:80", "[fd78::21]:80"] {
            let target: SocketAddr = target.parse().unwrap();
            let mut client = WebClient::connect(lab.namespace("lb1"), target, LIMIT).unwrap();
            for _ in 0..3 {
                assert_eq!(client.get("/anything").unwrap(), answer(200, "rs1"));
            }
            assert_eq!(client.get("/healthz").unwrap(), answer(200, "healthy"));
        }
        assert_eq!(server.served(), 6);
    }

    #[test]
    fn it_fails_in_each_way_and_recovers() {
        let namespace = Namespace::new("failing").unwrap();
        let target: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let server = WebServer::start(&namespace, "rs", 8080).unwrap();
        let connect = |limit| WebClient::connect(&namespace, target, limit);
        let mut old = connect(LIMIT).unwrap();

        server.behave(Behaviour::Unhealthy).unwrap();
        assert_eq!(old.get("/healthz").unwrap().status, 503);
        assert_eq!(old.get("/").unwrap(), answer(200, "rs"));

        server.behave(Behaviour::Hanging).unwrap();
        let mut hanging = connect(SHORT).unwrap();
        assert!(hanging.get("/healthz").is_err());

        server.behave(Behaviour::Down).unwrap();
        assert!(connect(LIMIT).is_err());
        assert!(old.get("/").is_err());

        server.behave(Behaviour::Serving).unwrap();
        assert_eq!(connect(LIMIT).unwrap().get("/healthz").unwrap(), answer(200, "healthy"));
    }

    #[test]
    fn dropping_it_closes_its_connections_and_frees_its_port() {
        let namespace = Namespace::new("dropped").unwrap();
        let target: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let server = WebServer::start(&namespace, "one", 8080).unwrap();
        let mut old = WebClient::connect(&namespace, target, LIMIT).unwrap();
        assert_eq!(old.get("/").unwrap(), answer(200, "one"));
        drop(server);
        assert!(old.get("/").is_err());
        let mut another = None;
        wait_until("The port is free", LIMIT, || {
            another = WebServer::start(&namespace, "two", 8080).ok();
            Ok(another.is_some())
        })
        .unwrap();
        let mut new = WebClient::connect(&namespace, target, LIMIT).unwrap();
        assert_eq!(new.get("/").unwrap(), answer(200, "two"));
    }
}
