//! `vault diff`

use crate::sandbox::{Sandbox, fields};

#[test]
fn says_what_differs_and_no_value() {
    let sandbox = Sandbox::new();
    for name in ["same", "gone", "value", "tags"] {
        sandbox.set(name, "v");
    }
    sandbox.vault(&["backup", "old", "-q"]).run().ok();
    let file = sandbox.file();
    let diff = |options: &[&str]| {
        let mut arguments = vec!["diff", "old", file.to_str().unwrap()];
        arguments.extend(options);
        sandbox.vault(&arguments).run()
    };
    assert_eq!(diff(&["--exit-code"]).ok().text(), "");
    let canary = crate::sandbox::canary();
    sandbox.vault(&["rm", "gone"]).run().ok();
    sandbox.set("value", &canary);
    sandbox.vault(&["set", "tags", "--meta-only", "--tag", "t", "--meta", "k=v", "--category", "c", "--ttl", "1d"]).run().ok();
    sandbox.vault(&["set", "new", "-e", "prod"]).stdin(&canary).run().ok();
    let text = diff(&[]).ok().text();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "gone: removed",
            "new (prod): added",
            "tags: category changed, tags changed, metadata changed, expiry changed",
            "value: version 1 → 2, value changed",
        ]
    );
    assert_eq!(diff(&["--exit-code"]).ends(10).text(), text);
    let json = diff(&["--format", "json"]).ok();
    assert!(!json.text().contains(&canary));
    let json = json.json();
    assert_eq!(
        (fields(&json), fields(&json["differences"][0])),
        (vec!["version", "differences"], vec!["name", "environment", "changes"])
    );
    let markdown = diff(&["--format", "markdown"]).ok().text();
    assert!(markdown.starts_with("| entry | change |\n|---|---|\n| gone | removed |\n"), "{markdown}");
    assert!(markdown.contains("| new \\(prod\\) | added |\n") && !markdown.contains(&canary), "{markdown}");
    let same = sandbox.vault(&["diff", "old", "old", "--format", "markdown"]).run().ok();
    assert_eq!(same.text(), "No entry differs.\n");
    sandbox.vault(&["diff", "old", "none"]).run().fails(5, "no vault at none");
    sandbox.vault(&["diff", "old"]).run().ends(2);
}
