//! Addresses of e-mail: what mail is sent to, and the one judge of it.

use std::net::{IpAddr, Ipv6Addr};

use crate::format::user::MAX_EMAIL;

/// Longest part before the `@`, in bytes (RFC 5321, section 4.5.3.1.1).
const MAX_LOCAL: usize = 64;
/// Longest label of a domain, in bytes (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;

/// What is wrong with the address of a user, in words; `None`: nothing. A user may have none.
pub fn email_fault(email: &str) -> Option<&'static str> {
    if email.len() > MAX_EMAIL {
        return Some("the e-mail address is too long");
    }
    (!email.is_empty() && !is_address(email)).then_some("the e-mail address is malformed")
}

/// Whether mail is sent to a text: one address (RFC 5321, section 4.1.2; RFC 6531), without a name before it. Whether it arrives is another question.
pub fn is_address(text: &str) -> bool {
    // Quoted local parts may hold all of these. Nobody has such an address, and not every server reads the line that it stands in as it is meant:
    // a line end would begin another line of the head of a mail.
    let is_odd = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>');
    text.len() <= MAX_EMAIL
        && !text.contains(is_odd)
        && text.rsplit_once('@').is_some_and(|(local, domain)| is_local(local) && is_domain(domain))
}

fn is_local(text: &str) -> bool {
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let is_sound = match quoted {
        Some(text) => !text.is_empty() && !text.contains(['"', '\\']),
        None => text.split('.').all(is_atom),
    };
    is_sound && text.len() <= MAX_LOCAL
}

fn is_domain(text: &str) -> bool {
    if let Some(literal) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return match literal.strip_prefix("IPv6:") {
            Some(literal) => literal.parse::<Ipv6Addr>().is_ok(),
            None => literal.parse::<IpAddr>().is_ok(),
        };
    }
    let is_label = |label: &str| {
        let ends = label.starts_with(char::is_alphanumeric) && label.ends_with(char::is_alphanumeric);
        ends && label.len() <= MAX_LABEL && is_atom(label)
    };
    text.split('.').all(is_label)
}

/// Whether a text is an atom (RFC 5322, section 3.2.3; with other letters: RFC 6532, section 3.2).
fn is_atom(text: &str) -> bool {
    let is_of_atom = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    !text.is_empty() && text.chars().all(is_of_atom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_single_and_bare() {
        let longest = format!("a@{}.example.org", vec!["b".repeat(59); 4].join("."));
        assert_eq!(longest.len(), 253);
        for good in [
            "a@example.org",
            "a.b+c@example.org",
            "o'hara@example.org",
            "a@localhost",
            "a@[127.0.0.1]",
            "a@[IPv6:::1]",
            "é@example.org",
            "a@exämple.org",
            "\"a..b\"@example.org",
            &format!("{}@example.org", "a".repeat(MAX_LOCAL)),
            &longest,
        ] {
            assert!(is_address(good), "{good}");
            assert_eq!(email_fault(good), None, "{good}");
        }
        let bad = [
            "a",
            "@",
            "a@",
            "@example.org",
            "a@b@example.org",
            "a..b@example.org",
            ".a@example.org",
            "a.@example.org",
            "a@example..org",
            "a@.example.org",
            "a@example.org.",
            "a@-example.org",
            "a@example-",
            "a@[127.0.0.1",
            "a@[127.0.0]",
            "a@[IPv6:127.0.0.1]",
            "a@[]",
            "\"@example.org",
            "\"\"@example.org",
            "\"a\"b\"@example.org",
            "a\"b@example.org",
            "A <a@example.org>",
            "<a@example.org>",
            " a@example.org",
            "a@example.org ",
            "a@example.org,b@example.org",
            "a@example.org;b@example.org",
            "a(b)@example.org",
            "a:b@example.org",
            "a\\b@example.org",
            "a b@example.org",
            "\"a b\"@example.org",
            "a@example.org\r\nBcc: b@example.org",
            "a@example.org\n",
            "a\0@example.org",
            "a@exam\tple.org",
            "\"a\r\n\"@example.org",
            "a@example.org\u{2028}",
            "a@example.org> SIZE=1",
            &format!("{}@example.org", "a".repeat(MAX_LOCAL + 1)),
            &format!("a@{}.org", "b".repeat(MAX_LABEL + 1)),
            &format!("{longest}rg"),
        ];
        for bad in bad {
            assert!(!is_address(bad), "{bad:?}");
            assert!(email_fault(bad).is_some(), "{bad:?}");
        }
        // A user may have none; mail is sent nowhere then.
        assert!(!is_address("") && email_fault("").is_none());
    }
}
