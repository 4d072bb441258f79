//! The question before something is removed for good.

use std::io::{BufRead, IsTerminal, Write};

/// Asks for a word to be typed; true: it was, or `--yes` was given. Without a terminal and without
/// `--yes` the answer is no.
pub fn confirmed(yes: bool, what: &str, word: &str) -> bool {
    say!("{what}");
    if yes {
        return true;
    }
    if !std::io::stdin().is_terminal() {
        eprintln!("nothing was done: this needs a terminal, or --yes");
        return false;
    }
    print!("Type {word:?} to go on: ");
    let _ = std::io::stdout().flush();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    let agreed = read.is_ok() && answer.trim() == word;
    if !agreed {
        say!("nothing was done");
    }
    agreed
}
