//! Texts that somebody gives as their public key, and what a plugin answers.

use std::io::{self, Read, Write};
use std::sync::Arc;

use vault::crypto::{AgeIdentity, AgeRecipient, Attached, Callbacks, PluginError, PluginProcess, encrypt_age};
use zeroize::Zeroizing;

/// Nobody to ask; what the plugin writes is the input.
struct Scripted(Vec<u8>);

impl Callbacks for Scripted {
    fn message(&self, text: &str) {
        assert!(!text.contains(char::is_control) && text.len() < 4096);
    }

    fn confirm(&self, question: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        assert!([question, yes, no.unwrap_or_default()].iter().all(|text| !text.contains(char::is_control)));
        Some(true)
    }

    fn public(&self, _: &str) -> Option<String> {
        Some("public".to_owned())
    }

    fn secret(&self, _: &str) -> Option<Zeroizing<String>> {
        None
    }

    fn start(&self, name: &str, _: &str) -> Result<Box<dyn PluginProcess>, PluginError> {
        assert_eq!(name, "fuzz");
        Ok(Box::new(Process(io::Cursor::new(self.0.clone()))))
    }
}

struct Process(io::Cursor<Vec<u8>>);

impl Read for Process {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Process {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl PluginProcess for Process {}

pub fn keys(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(recipient) = AgeRecipient::parse(&text) {
        let canonical = recipient.to_string();
        assert_eq!(AgeRecipient::parse(&canonical).map(|again| again.to_string()), Ok(canonical));
        // Whatever is taken can be encrypted to.
        assert_eq!(encrypt_age(&recipient, b"x").is_ok(), recipient.plugin().is_none());
    }
    let _ = AgeIdentity::parse(&text);

    let callbacks = Attached::new(Arc::new(Scripted(data.to_vec())));
    let recipient = AgeRecipient::parse("age1fuzz1qyqszqgpcyfj7s").unwrap().with_callbacks(callbacks.clone());
    let file = encrypt_age(&recipient, b"payload");
    let identity = AgeIdentity::parse("AGE-PLUGIN-FUZZ-1QYQSZQGPTETQCC").unwrap().with_callbacks(&callbacks);
    if let Ok(file) = file {
        // It knows no file key, so it can give none that fits.
        assert!(identity.open(&file).is_err() || !data.starts_with(b"-> file-key"));
    }
    let age = encrypt_age(&AgeRecipient::parse(X25519).unwrap(), b"payload").unwrap();
    assert!(!matches!(identity.open(&age), Ok(Some(_))), "a key that was guessed opens a file");
}

const X25519: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
