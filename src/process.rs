//! What the process does for itself before anything else: no core dumps, no tracing, no death by a full file.
//!
//! The one file in which `unsafe` is allowed; each block has its reason.
#![allow(unsafe_code)]

/// Hardens the process. What the system refuses is left as it is: a container that forbids one of these still gets its secrets.
pub fn harden() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        // A process of the same user may then neither attach to this one nor read its memory or environment.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
        // SAFETY: setting a signal to "ignore" runs no handler and touches no memory; no other thread exists yet. Without it, writing beyond
        // RLIMIT_FSIZE kills the process in the middle of a commit instead of failing with EFBIG.
        unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        }
    }
}
