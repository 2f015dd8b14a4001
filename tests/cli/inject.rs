//! `vault inject`

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::sandbox::Sandbox;

fn filled() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.set("svc/db prod", "old");
    sandbox.set("svc/db prod", "new");
    sandbox.vault(&["set", "api", "-e", "prod"]).stdin("for-prod").run().ok();
    sandbox.vault(&["set", "json", "--json"]).stdin(r#"{"user":"u","hosts":["a","b"]}"#).run().ok();
    sandbox.vault(&["set", "late", "--ttl", "0s"]).stdin("late-value").run().ok();
    sandbox
}

#[test]
fn references_become_values() {
    let sandbox = filled();
    let template = "a={{ vault://svc/db%20prod }} b={{vault://svc/db%20prod?version=1}} c={{ vault://json#hosts.1 }}\n\
        d={{ vault://api?env=prod }} e={{ vault://none | default \"x y\" }} vault://api {{ .Values }}\n";
    let expected = "a=new b=old c=b\nd=for-prod e=x y vault://api {{ .Values }}\n";
    assert_eq!(sandbox.vault(&["inject"]).stdin(template).run().ok().text(), expected);
    sandbox.write("t.tpl", template);
    sandbox.vault(&["inject", "-i", "t.tpl", "-o", "t.out"]).run().ok();
    let path = sandbox.path("work/t.out");
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(sandbox.vault(&["inject", "-e", "prod"]).stdin("{{ vault://api }}").run().ok().text(), "for-prod");
}

#[test]
fn one_that_cannot_be_resolved_is_an_error_and_nothing_is_written() {
    let sandbox = filled();
    sandbox.write("t.out", "before");
    for (template, code, words) in [
        ("{{ vault://api }}", 3, "line 1: there is no entry 'api'"),
        ("x\n{{ vault://json#nothing }}", 3, "line 2: "),
        ("{{ vault://svc/db%20prod?version=9 }}", 3, "no version 9"),
        ("{{ vault://late }}", 9, "has expired"),
        ("{{ vault://a b }}", 2, "neither | nor }}"),
        ("{{ vault://a%2 }}", 2, "two hex digits"),
    ] {
        sandbox.vault(&["inject"]).stdin(template).run().fails(code, words);
        sandbox.vault(&["inject", "-o", "t.out"]).stdin(template).run().fails(code, words);
    }
    assert_eq!(fs::read_to_string(sandbox.path("work/t.out")).unwrap(), "before");
    assert_eq!(sandbox.files("work").len(), 1, "a temporary file was left");
    assert_eq!(sandbox.vault(&["inject", "--allow-expired"]).stdin("{{ vault://late }}").run().ok().text(), "late-value");
    sandbox.vault(&["inject", "-i", "none"]).run().fails(13, "none");
}
