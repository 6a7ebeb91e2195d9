//! How words and orders cross the socket pair: one JSON object a line, but for the text of a configuration.
//!
//! ```text
//!   {"word":"beat","speak_by":5750000000,"silence_limit":6000000000}
//!   #25                          the length of the text that follows, in bytes
//!   [node.lb1]
//!   # nothing yet
//! ```
//!
//! A text may have megabytes, and the daemon begins with telling it: as it is it goes from one's memory to the other's, where a
//! string of JSON would be written, read and unwritten.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

use crate::config_file::FILE_LIMIT;

/// Begins the line that says how long a text is; no JSON object does.
const TEXT_MARK: u8 = b'#';

/// Something that is said.
pub trait Message: Serialize + DeserializeOwned {
    /// Returns the text of a configuration where that is all that is said.
    fn text(&self) -> Option<&str>;

    /// Returns what says the text of a configuration.
    fn of_text(text: String) -> Self;
}

/// A message as the octets that cross, and how many of them have.
#[derive(Debug, Default)]
pub struct Frame {
    line: Vec<u8>,
    /// The text that follows the line, if one does.
    text: String,
    sent: usize,
}

impl Frame {
    /// Returns the frame of a message, nothing of it sent.
    pub fn new(message: &impl Message) -> Self {
        let mut line = Vec::new();
        append(&mut line, message);
        Self { line, text: String::new(), sent: 0 }
    }

    /// Returns the frame of the text of a configuration, which is not copied.
    pub fn of_text(text: String) -> Self {
        Self { line: text_line(&text).into(), text, sent: 0 }
    }

    /// Returns what is to be sent.
    pub fn rest(&self) -> &[u8] {
        match self.sent.checked_sub(self.line.len()) {
            None => &self.line[self.sent..],
            Some(sent) => &self.text.as_bytes()[sent..],
        }
    }

    /// Notes that so much more was sent.
    pub fn advance(&mut self, count: usize) {
        self.sent += count;
    }
}

/// Adds the frame of a message to others.
pub fn append(octets: &mut Vec<u8>, message: &impl Message) {
    if let Some(text) = message.text() {
        octets.extend_from_slice(text_line(text).as_bytes());
        octets.extend_from_slice(text.as_bytes());
        return;
    }
    serde_json::to_writer(&mut *octets, message).expect("words and orders are plain data");
    octets.push(b'\n');
}

fn text_line(text: &str) -> String {
    format!("{}{}\n", char::from(TEXT_MARK), text.len())
}

/// Where messages arrive.
#[derive(Debug)]
pub struct Inlet<R> {
    reader: BufReader<R>,
    /// What has arrived of a line.
    line: Vec<u8>,
    text: Option<PartialText>,
}

/// What has arrived of a text.
#[derive(Debug)]
struct PartialText {
    octets: Vec<u8>,
    length: usize,
}

impl<R: AsyncRead + Unpin> Inlet<R> {
    /// Returns the inlet of what this reads.
    pub fn new(reader: R) -> Self {
        Self { reader: BufReader::new(reader), line: Vec::new(), text: None }
    }

    /// Waits for the next message; nothing when the other end has closed, also in the middle of one. Cancel safe.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::InvalidData`] for a message that is none, after which others may come.
    pub async fn next<T: Message>(&mut self) -> io::Result<Option<T>> {
        loop {
            if let Some(text) = &mut self.text {
                let missing = text.length - text.octets.len();
                if missing > 0 {
                    let mut rest = (&mut self.reader).take(missing as u64);
                    if rest.read_buf(&mut text.octets).await? == 0 {
                        return Ok(None);
                    }
                    continue;
                }
                let octets = self.text.take().map(|text| text.octets).unwrap_or_default();
                return String::from_utf8(octets).map(|text| Some(T::of_text(text))).map_err(invalid);
            }
            let arrived = self.reader.fill_buf().await?;
            if arrived.is_empty() {
                return Ok(None);
            }
            let end = arrived.iter().position(|&octet| octet == b'\n');
            self.line.extend_from_slice(&arrived[..end.unwrap_or(arrived.len())]);
            let taken = end.map_or(arrived.len(), |end| end + 1);
            self.reader.consume(taken);
            if end.is_none() {
                continue;
            }
            let line = std::mem::take(&mut self.line);
            match line.strip_prefix(&[TEXT_MARK]) {
                Some(length) => self.text = Some(PartialText::begin(length)?),
                None => return serde_json::from_slice(&line).map(Some).map_err(invalid),
            }
        }
    }
}

impl PartialText {
    fn begin(length: &[u8]) -> io::Result<Self> {
        let length: usize = str::from_utf8(length).map_err(invalid)?.parse().map_err(invalid)?;
        if length as u64 > FILE_LIMIT {
            return Err(io::Error::other(format!("a text of {length} bytes is no configuration's")));
        }
        Ok(Self { octets: Vec::with_capacity(length), length })
    }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
