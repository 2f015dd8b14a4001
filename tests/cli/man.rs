//! `vault man`

use crate::sandbox::Sandbox;

#[test]
fn every_command_has_a_page() {
    let sandbox = Sandbox::empty();
    assert!(sandbox.vault(&["man"]).run().ok().text().contains(".TH vault 1"));
    for name in crate::help::commands() {
        let page = sandbox.vault(&["man", &name]).run().ok().text();
        assert!(page.contains(&format!(".TH vault-{name} 1")), "{name}: {page}");
        assert!(page.contains(".SH SYNOPSIS") && page.contains(".SH DESCRIPTION"), "{name}");
    }
    sandbox.vault(&["man", "nope"]).run().fails(2, "no such subcommand");
}
