//! A client that keeps its connection.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::{Error, Namespace, Result};

/// What a web server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, without the line's end.
    pub body: String,
}

impl Answer {
    /// Reads a whole answer; `None` when it is not one.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (head, body) = std::str::from_utf8(text).ok()?.split_once("\r\n\r\n")?;
        if body.len() < length(head)? {
            return None;
        }
        Some(Self { status: status(head)?, body: body.trim_end().to_owned() })
    }
}

/// One connection to a web server, kept for many requests.
#[derive(Debug)]
pub struct WebClient {
    target: SocketAddr,
    stream: BufReader<TcpStream>,
}

impl WebClient {
    /// Connects from inside a namespace; each later answer may take as long as the connection may.
    ///
    /// # Errors
    /// When no connection is made within the limit.
    pub fn connect(client: &Namespace, target: SocketAddr, limit: Duration) -> Result<Self> {
        let connect = || {
            let stream = TcpStream::connect_timeout(&target, limit)?;
            stream.set_read_timeout(Some(limit))?;
            Ok(stream)
        };
        let stream = client.enter(connect)?.map_err(Error::system(format!("connect to {target}")))?;
        Ok(Self { target, stream: BufReader::new(stream) })
    }

    /// Fetches one path.
    ///
    /// # Errors
    /// When the connection breaks, the answer takes too long or cannot be read.
    pub fn get(&mut self, path: &str) -> Result<Answer> {
        let target = self.target;
        let failed = || Error::system(format!("fetch {path} from {target}"));
        let question = format!("GET {path} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        self.stream.get_mut().write_all(question.as_bytes()).map_err(failed())?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head).map_err(failed())? == 0 {
                return Err(self.unreadable(path, "the connection was closed"));
            }
        }
        let length = length(&head).ok_or_else(|| self.unreadable(path, "it has no Content-Length"))?;
        let status = status(&head).ok_or_else(|| self.unreadable(path, "it has no status"))?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).map_err(failed())?;
        Ok(Answer { status, body: String::from_utf8_lossy(&body).trim_end().to_owned() })
    }

    fn unreadable(&self, path: &str, reason: &str) -> Error {
        Error::Answer { command: format!("GET {path} from {}", self.target), reason: reason.to_owned() }
    }
}

fn status(head: &str) -> Option<u16> {
    head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

fn length(head: &str) -> Option<usize> {
    head.lines().find_map(|line| line.strip_prefix("Content-Length: "))?.trim().parse().ok()
}
