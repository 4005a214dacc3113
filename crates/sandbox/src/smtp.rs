//! A mail server that accepts and stores every message, and delivers nothing.
//!
//! Supports the SMTP commands that a client needs (EHLO, HELO, MAIL, RCPT, DATA, RSET, NOOP, QUIT), without TLS and
//! without authentication.

use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::received::{ReceivedMessage, Sink};
use crate::shared::Shared;

/// The maximum size of a message, which the server also announces.
const LARGEST_BYTES: usize = 10_000_000;
/// RFC 5321, 4.5.3.1.6: a line of text has at most 1,000 bytes. The same limit applies to commands.
const LONGEST_LINE: u64 = 1_000;

/// Accepts connections until the sandbox stops.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let stopping = shared.stopping.clone();
                    tokio::select! {
                        () = stopping.cancelled() => {}
                        // A client that hangs up early is its own business.
                        _ = converse(stream, &shared) => {}
                    }
                });
            }
        }
    }
}

#[derive(Default)]
struct Envelope {
    from: Option<String>,
    to: Vec<String>,
}

async fn converse(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut reading = BufReader::new(reading);
    let mut envelope = Envelope::default();
    writing.write_all(b"220 sandbox ready\r\n").await?;
    while let Some(line) = line(&mut reading).await? {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        let verb = text
            .split([' ', ':'])
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase();
        let answer = match verb.as_str() {
            "EHLO" => format!("250-sandbox\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE {LARGEST_BYTES}"),
            "HELO" => "250 sandbox".to_owned(),
            "MAIL" => match address(&text) {
                Some(from) => {
                    envelope = Envelope {
                        from: Some(from),
                        to: Vec::new(),
                    };
                    "250 sender taken".to_owned()
                }
                None => "501 no sender".to_owned(),
            },
            "RCPT" => match (address(&text).filter(|to| to.contains('@')), &envelope.from) {
                (Some(to), Some(_)) => {
                    envelope.to.push(to);
                    "250 recipient taken".to_owned()
                }
                (None, _) => "501 no recipient".to_owned(),
                (_, None) => "503 MAIL comes first".to_owned(),
            },
            "DATA" if envelope.to.is_empty() => "503 RCPT comes first".to_owned(),
            "DATA" => {
                writing
                    .write_all(b"354 end with a line that is one dot\r\n")
                    .await?;
                let Some(message) = message(&mut reading).await? else {
                    return Ok(());
                };
                let envelope = std::mem::take(&mut envelope);
                take(shared, envelope, message)
            }
            "RSET" => {
                envelope = Envelope::default();
                "250 forgotten".to_owned()
            }
            "NOOP" => "250 still here".to_owned(),
            "QUIT" => {
                writing.write_all(b"221 goodbye\r\n").await?;
                return Ok(());
            }
            _ => "502 not a command of this server".to_owned(),
        };
        writing.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
    Ok(())
}

/// One line with its line end; `None` if the client has disconnected.
async fn line(reading: &mut (impl AsyncBufReadExt + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let read = reading.take(LONGEST_LINE).read_until(b'\n', &mut line).await?;
    Ok((read > 0).then_some(line))
}

/// Everything up to the line with a single dot; doubled dots at the start of lines become single. `None` if the client
/// disconnected before; an empty message if it was too large.
async fn message(reading: &mut (impl AsyncBufReadExt + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let mut message: Vec<u8> = Vec::new();
    let mut at_line_start = true;
    let mut too_large = false;
    loop {
        let Some(line) = line(reading).await? else {
            return Ok(None);
        };
        if at_line_start && (line == b".\r\n" || line == b".\n") {
            return Ok(Some(if too_large { Vec::new() } else { message }));
        }
        let stuffed = at_line_start && line.starts_with(b".");
        at_line_start = line.ends_with(b"\n");
        too_large = too_large || message.len() + line.len() > LARGEST_BYTES;
        if !too_large {
            message.extend_from_slice(&line[usize::from(stuffed)..]);
        }
    }
}

/// The text between angle brackets.
fn address(line: &str) -> Option<String> {
    let (_, rest) = line.split_once('<')?;
    let (address, _) = rest.split_once('>')?;
    Some(address.to_owned())
}

fn take(shared: &Shared, envelope: Envelope, message: Vec<u8>) -> String {
    let fault = shared.faults.sink_refuses(|sinks| &mut sinks.smtp);
    let refusal = if fault.is_some() {
        Some("451 try again later")
    } else if message.is_empty() {
        Some("552 larger than announced, or empty")
    } else {
        None
    };
    let text = String::from_utf8_lossy(&message).into_owned();
    let head = text
        .split("\r\n\r\n")
        .next()
        .unwrap_or_default()
        .replace("\r\n ", " ");
    let named = |line: &str| {
        line.split_once(':')
            .is_some_and(|(name, _)| name.eq_ignore_ascii_case("subject"))
    };
    let subject = head
        .lines()
        .find(|line| named(line))
        .and_then(|line| line.split_once(':'));
    shared.received.message(ReceivedMessage {
        received_at: shared.clock.now(),
        sink: Sink::Smtp,
        accepted: refusal.is_none(),
        refusal: refusal.map(str::to_owned),
        from: envelope.from.unwrap_or_default(),
        to: envelope.to,
        subject: subject
            .map(|(_, text)| text.trim().to_owned())
            .unwrap_or_default(),
        body: Value::String(text),
    });
    refusal.unwrap_or("250 kept").to_owned()
}
