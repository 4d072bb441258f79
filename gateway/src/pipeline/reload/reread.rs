//! The configuration, read again while it runs: what of it a reload can take over, and what waits for a
//! restart.

use std::path::Path;

use offtake_config::Config;

use super::super::halt::Halt;
use super::super::plugin_config::CONFIG_INVALID;

/// What a reload takes plugins from, and what of it waits for a restart.
///
/// # Errors
/// It cannot be read, or streams and definitions hang on what differs.
pub fn to_reload(file: &Path, running: &Config) -> Result<(Config, Vec<String>), Halt> {
    let read = read(file)?;
    if let Some(what) = routing_difference(&read, running) {
        return Err(Halt::new(
            "RELOAD_NEEDS_RESTART",
            format!("{what} are others than those that run"),
            "restart the gateway to take them over; a reload changes what plugins are made of, \
             their `config`, limits, quota and `on_error`",
        ));
    }
    let warnings = waiting(&read, running);
    Ok((read, warnings))
}

/// What a rollback takes the plugin's settings from; nothing else in it stops it.
///
/// # Errors
/// It cannot be read.
pub fn to_roll_back(file: &Path, running: &Config) -> Result<(Config, Vec<String>), Halt> {
    let read = read(file)?;
    let mut warnings = waiting(&read, running);
    warnings.extend(
        routing_difference(&read, running)
            .map(|what| format!("{what} were changed too: that takes effect at a restart")),
    );
    Ok((read, warnings))
}

fn read(file: &Path) -> Result<Config, Halt> {
    let environment = |name: &str| std::env::var(name).ok();
    offtake_config::load(file, &environment).map_err(|wrong| {
        Halt::new(
            CONFIG_INVALID,
            wrong.to_string().trim_end().to_owned(),
            "correct the configuration; the plugins at work go on as they were",
        )
    })
}

fn routing_difference(read: &Config, running: &Config) -> Option<&'static str> {
    let names = |config: &Config| -> Vec<String> {
        config.plugins.iter().map(|plugin| plugin.name.clone()).collect()
    };
    if names(read) != names(running) {
        return Some("names or order of plugins");
    }
    (read.routes != running.routes).then_some("routes")
}

/// What differs and is not a plugin's that a reload takes over.
fn waiting(read: &Config, running: &Config) -> Vec<String> {
    let sections = [
        ("[source]", read.source != running.source),
        ("[log]", read.log != running.log),
        ("[kafka]", read.kafka != running.kafka),
        ("[grpc]", read.grpc != running.grpc),
        ("[admin]", read.admin != running.admin),
        ("[capture]", read.capture != running.capture),
        ("on_halt", read.on_halt != running.on_halt),
        ("workers", read.workers != running.workers),
    ];
    let sections = sections.into_iter().filter(|(_, differs)| *differs);
    let watched = read.plugins.iter().filter_map(|plugin| {
        let runs = running.plugins.iter().find(|it| it.name == plugin.name)?;
        (runs.watch != plugin.watch).then(|| format!("`watch` of [plugin.{}]", plugin.name))
    });
    sections
        .map(|(section, _)| section.to_owned())
        .chain(watched)
        .map(|what| format!("{what} was changed too: that takes effect at a restart"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "[source]\ntype = \"postgres\"\nurl = \"postgres://me@h/db\"\n\
                          tables = [\"public.*\"]\n";
    const PLUGIN: &str = "[plugin.hide]\nwasm = \"hide.wasm\"\n";
    const ROUTE: &str = "[[route]]\ntables = [\"*.*\"]\nplugins = [\"hide\"]\n";

    #[test]
    fn what_is_changed_beside_plugins_is_told_and_routes_stop_a_reload_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("offtake.toml");
        std::fs::write(folder.path().join("hide.wasm"), b"").unwrap();
        let write = |plugin: &str, route: &str, rest: &str| {
            let text = format!("name = \"shop\"\n{SOURCE}{plugin}{route}{rest}");
            std::fs::write(&file, text).unwrap();
        };
        write(PLUGIN, ROUTE, "");
        let running = super::read(&file).unwrap();
        assert_eq!(to_reload(&file, &running).unwrap().1, [""; 0]);
        write(
            &format!("{PLUGIN}watch = true\ndeadline = \"1s\"\n"),
            ROUTE,
            "[log]\nsegment = \"1MiB\"\n",
        );
        let warnings = to_reload(&file, &running).unwrap().1.join("\n");
        assert!(warnings.contains("[log]") && warnings.contains("`watch` of [plugin.hide]"));
        assert_eq!(warnings.lines().count(), 2, "{warnings}");
        write(PLUGIN, &ROUTE.replace("*.*", "public.*"), "");
        assert_eq!(to_reload(&file, &running).unwrap_err().code, "RELOAD_NEEDS_RESTART");
        let warnings = to_roll_back(&file, &running).unwrap().1;
        assert!(warnings[0].contains("routes"), "{warnings:?}");
        std::fs::write(&file, "name = 1").unwrap();
        assert_eq!(to_roll_back(&file, &running).unwrap_err().code, "CONFIG_INVALID");
    }
}
