//! Terminal, standard streams, clipboard. Standard output is data and nothing else; prompts go to the terminal itself.

pub mod clipboard;
pub mod editor;
pub mod masking;
pub mod memory;
pub mod output;
mod picker;
pub mod prompt;
pub mod pty;
pub mod qr;
pub mod resident;
pub mod script;
