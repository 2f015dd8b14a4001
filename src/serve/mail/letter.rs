//! What leaves: one text to one address, as RFC 5322 has it.

use std::str::FromStr as _;
use std::time::SystemTime;

use lettre::Address;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message as Written, SinglePart};
use zeroize::Zeroizing;

use crate::crypto;
use crate::vault::users::is_address;

fn address(text: &str) -> Option<Address> {
    is_address(text).then(|| Address::from_str(text).ok())?
}

/// What is to be sent.
pub struct Message {
    /// To whom: an address ([`is_address`]).
    pub to: String,
    /// The subject.
    pub subject: String,
    /// The text.
    pub body: Zeroizing<String>,
}

/// From whom mail is.
#[derive(Debug, Clone)]
pub struct Sender(Mailbox);

impl Default for Sender {
    fn default() -> Self {
        Self(Mailbox::new(None, Address::new_dangerous("vault", "localhost")))
    }
}

impl Sender {
    /// Reads an address, with a name before it or not: `Vault <vault@example.org>`.
    pub fn parse(text: &str) -> Option<Self> {
        let mailbox = Mailbox::from_str(text).ok().filter(|_| !text.contains(char::is_control))?;
        is_address(mailbox.email.as_ref()).then_some(Self(mailbox))
    }
}

/// A message as it leaves.
pub(super) struct Letter {
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

impl Letter {
    /// Writes a message; `None` if it cannot be one. Written once: a server that gets it twice tells by its id that it is the same.
    pub(super) fn write(sender: &Sender, message: &Message) -> Option<Self> {
        let (from, to) = (&sender.0, address(&message.to)?);
        let random: [u8; 16] = crypto::random().ok()?;
        // Not by the name of this machine, which is nobody's business.
        let id = format!("<{:032x}@{}>", u128::from_le_bytes(random), from.email.domain());
        // A line end in it would begin another header.
        let subject: String = message.subject.chars().filter(|c| !c.is_control()).collect();
        // Every end of a line becomes that of mail: some servers take another one for it, and would see the end of the message where there is none.
        let text = message.body.replace("\r\n", "\n").replace('\r', "\n");
        let written = Written::builder()
            .from(from.clone())
            .to(Mailbox::new(None, to.clone()))
            .subject(subject)
            .date(SystemTime::now())
            .message_id(Some(id))
            // Nobody's absence is told to a program (RFC 3834).
            .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
            .singlepart(SinglePart::plain(text))
            .ok()?;
        Some(Self { from: from.email.clone(), to, bytes: Zeroizing::new(written.formatted()) })
    }

    pub(super) fn is_of_ascii_addresses(&self) -> bool {
        [&self.from, &self.to].iter().all(|address| AsRef::<str>::as_ref(*address).is_ascii())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn written(to: &str, subject: &str, body: &str) -> Option<String> {
        let message = Message { to: to.to_owned(), subject: subject.to_owned(), body: Zeroizing::new(body.to_owned()) };
        let letter = Letter::write(&Sender::parse("Vault <vault@example.org>").unwrap(), &message)?;
        Some(String::from_utf8(letter.bytes.to_vec()).unwrap())
    }

    fn headers(text: &str) -> Vec<&str> {
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        head.split("\r\n").filter(|line| !line.starts_with([' ', '\t'])).map(|line| line.split(':').next().unwrap()).collect()
    }

    proptest::proptest! {
        #[test]
        fn what_is_an_address_is_one_of_mail(text in r#"[ab1é."\\_(,\[\]:-]{0,6}@([ab1é_.:-]{0,6}|\[(IPv6:)?[1.:]{0,8}\])"#) {
            proptest::prop_assert_eq!(address(&text).is_some(), is_address(&text));
        }
    }

    #[test]
    fn senders_may_have_a_name() {
        for good in ["vault@example.org", "Vault <vault@example.org>", "\"The Vault\" <vault@example.org>"] {
            assert!(Sender::parse(good).is_some(), "{good}");
        }
        for bad in ["", "vault", "Vault", "<>", "A <a@example.org>\r\nBcc: b@example.org", "A\r\n <a@example.org>"] {
            assert!(Sender::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn the_text_is_written_as_it_is() {
        let text = written("bob@example.net", "Your OTP Code", "Your OTP code is: 123456").unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body.trim_end_matches("\r\n"), "Your OTP code is: 123456");
        let mut found = headers(&text);
        found.sort_unstable();
        let expected = [
            "Auto-Submitted",
            "Content-Transfer-Encoding",
            "Content-Type",
            "Date",
            "From",
            "MIME-Version",
            "Message-ID",
            "Subject",
            "To",
        ];
        assert_eq!(found, expected);
        for line in [
            "From: Vault <vault@example.org>",
            "To: bob@example.net",
            "Subject: Your OTP Code",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Transfer-Encoding: 7bit",
        ] {
            assert!(head.split("\r\n").any(|own| own == line), "{line}: {head}");
        }
        let id = head.split("\r\n").find_map(|line| line.strip_prefix("Message-ID: ")).unwrap();
        let random = id.strip_prefix('<').and_then(|id| id.strip_suffix("@example.org>")).unwrap();
        assert!(random.len() == 32 && random.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert!(!written("bob@example.net", "Your OTP Code", "x").unwrap().contains(random), "every message has its own");
    }

    #[test]
    fn nothing_begins_another_header_or_another_message() {
        for end in ["\r\n", "\n", "\r", "\u{85}", "\0"] {
            let text = written("bob@example.net", &format!("a{end}Bcc: eve@example.net{end}{end}b"), "text").unwrap();
            assert!(!headers(&text).contains(&"Bcc"), "{text}");
            assert_eq!(text.matches("\r\n\r\n").count(), 1, "{text}");
            assert!(written(&format!("bob@example.net{end}Bcc: eve@example.net"), "a", "text").is_none());
        }
        // All ends of lines are those of mail, so that the transport sees each dot that stands alone on its line.
        let text = written("bob@example.net", "a", "one\n.\nMAIL FROM:<eve@example.net>\rtwo\n").unwrap();
        let bare = text.replace("\r\n", "");
        assert!(!bare.contains(['\r', '\n']), "{text:?}");
    }

    #[test]
    fn other_letters_are_encoded() {
        let text = written("bob@example.net", "Dein Schlüssel", "Grüße").unwrap();
        assert!(text.is_ascii(), "{text}");
    }
}
