//! Running programs to completion.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use crate::{Error, Result};

/// Runs a program to its end and returns what it wrote, whatever its exit status.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null()).output().map_err(|source| Error::Start { command: line(command), source })
}

/// Runs a program that has to succeed and returns its standard output.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    succeeded(command, &output)
}

/// Runs a program that has to succeed with the given text as its standard input.
pub(crate) fn run_with_input(command: &mut Command, input: &str) -> Result<String> {
    let start = |source, command: &Command| Error::Start { command: line(command), source };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| start(source, command))?;
    let mut stdin = child.stdin.take().expect("the standard input was asked for as a pipe");
    // A program that ends before it has read everything says why on its standard error.
    let written = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().map_err(|source| start(source, command))?;
    let text = succeeded(command, &output)?;
    written.map_err(Error::system(format!("write to `{}`", line(command))))?;
    Ok(text)
}

/// The command as a person would type it.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// A command from its words, the first of which is the program.
pub(crate) fn command(words: &[&str]) -> Command {
    let (program, arguments) = words.split_first().expect("a command has at least one word");
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

fn succeeded(command: &Command, output: &Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Failed {
        command: line(command),
        status: output.status,
        complaint: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
