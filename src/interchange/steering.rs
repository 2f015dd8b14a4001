//! Variables that decide which programs run, or which code runs in them. Whoever may write an entry, or a file that variables are read from, must not
//! get that far by it.
//!
//! A list cannot be complete: each program has variables of its own. This one has what shells, the dynamic linker, the interpreters, make and git obey,
//! and what this program does: a project that chose by which command a passphrase is had would run it.

/// Whether a variable is never set, whoever asks for it: where programs and their files are found, and what is loaded into every program.
pub fn is_never_set(name: &str) -> bool {
    ["PATH", "HOME", "PS1"].contains(&name) || ["LD_", "DYLD_"].iter().any(|start| name.starts_with(start))
}

/// Whether a variable decides what runs. Only a person at the command line may set it, and of those that are never set not even they.
pub fn is_steering(name: &str) -> bool {
    is_never_set(name)
        || NAMES.contains(&name)
        || STARTS.iter().any(|start| name.starts_with(start))
        || name.ends_with("_PRELOAD")
}

const NAMES: &[&str] = &[
    // Shells: files that they read, text that they run, how they split it.
    "BASH_ENV",
    "BASHOPTS",
    "ENV",
    "FPATH",
    "IFS",
    "PROMPT_COMMAND",
    "PS0",
    "PS2",
    "PS4",
    "SHELL",
    "SHELLOPTS",
    "ZDOTDIR",
    // Programs that others start.
    "BROWSER",
    "EDITOR",
    "LESSCLOSE",
    "LESSOPEN",
    "MANPAGER",
    "PAGER",
    "SSH_ASKPASS",
    "SUDO_ASKPASS",
    "SYSTEMD_PAGER",
    "VISUAL",
    // Interpreters: options, modules, code at their start.
    "CLASSPATH",
    "DOTNET_STARTUP_HOOKS",
    "EXINIT",
    "GEM_HOME",
    "GEM_PATH",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PERL5DB",
    "PERL5LIB",
    "PERL5OPT",
    "PERLLIB",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "PYTHONBREAKPOINT",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "RUBYLIB",
    "RUBYOPT",
    "RUSTC_WRAPPER",
    "VIMINIT",
    "_JAVA_OPTIONS",
    // make, which runs what stands in them.
    "GNUMAKEFLAGS",
    "MAKEFILES",
    "MAKEFLAGS",
    "MFLAGS",
    // Which vault this program opens, and by what.
    "VAULT_FILE",
    "VAULT_FINGERPRINT",
    "VAULT_IDENTITY",
    "VAULT_KEY",
    "VAULT_KEY_FILE",
    // Libraries that load others.
    "GCONV_PATH",
    "OPENSSL_CONF",
    "OPENSSL_ENGINES",
    "OPENSSL_MODULES",
    // git, which runs what its configuration and these name.
    "GIT_ASKPASS",
    "GIT_DIR",
    "GIT_EDITOR",
    "GIT_EXEC_PATH",
    "GIT_EXTERNAL_DIFF",
    "GIT_PAGER",
    "GIT_PROXY_COMMAND",
    "GIT_SEQUENCE_EDITOR",
    "GIT_TEMPLATE_DIR",
];

/// The last is where programs look for their configuration.
const STARTS: &[&str] =
    &["BASH_FUNC_", "GIT_CONFIG", "GIT_SSH", "LUA_CPATH", "LUA_INIT", "LUA_PATH", "VAULT_PASSPHRASE", "VAULT_SERVER", "XDG_"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers() {
        for name in ["PATH", "LD_PRELOAD", "DYLD_INSERT_LIBRARIES"] {
            assert!(is_never_set(name) && is_steering(name), "{name}");
        }
        for name in [
            "BASH_ENV",
            "MAKEFLAGS",
            "VAULT_PASSPHRASE_CMD",
            "VAULT_KEY",
            "GIT_SSH_COMMAND",
            "GIT_CONFIG_COUNT",
            "NODE_OPTIONS",
            "_JAVA_OPTIONS",
            "X_PRELOAD",
            "XDG_CONFIG_HOME",
        ] {
            assert!(!is_never_set(name) && is_steering(name), "{name}");
        }
        for name in [
            "API_KEY",
            "VAULT_ADDR",
            "VAULT_TOKEN",
            "GIT_TOKEN",
            "GIT_AUTHOR_NAME",
            "PATHS",
            "HOMEPAGE",
            "ENVIRONMENT",
            "NODE_ENV",
            "JAVA_HOME",
            "PGPASSWORD",
        ] {
            assert!(!is_steering(name), "{name}");
        }
    }
}
