//! Turns tokens back: `detokenise CONFIG.json COLUMN [TWEAK-COLUMN'S VALUE]`, one token a line on
//! standard input, one value a line on standard output.
//!
//! CONFIG.json is the `config` of `builtin:tokenise` as JSON, with the key. Values of
//! `unfit_value` are no tokens; where one comes, this ends with a message and status 1.

use std::error::Error;
use std::io::{BufRead as _, Write as _};

use offtake_plugin_tokenise::Settings;
use offtake_sdk::Config;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(column)) = (arguments.next(), arguments.next()) else {
        return Err("usage: detokenise CONFIG.json COLUMN [TWEAK-COLUMN'S VALUE] < tokens".into());
    };
    let config = Config::from_json(std::fs::read_to_string(path)?);
    let settings = Settings::read(&config).map_err(|failure| failure.message)?;
    let other = arguments.next();
    let tweak = settings.tweak.bytes(&column, other.as_deref())?;
    let mut out = std::io::stdout().lock();
    for (number, line) in (1..).zip(std::io::stdin().lock().lines()) {
        let token = line?;
        let value = settings
            .tokeniser
            .detokenise(&tweak, &token)
            .map_err(|unfit| format!("line {number} is no token: {unfit}"))?;
        writeln!(out, "{}", value.characters().collect::<String>())?;
    }
    Ok(())
}
