//! Which components are used at a start.
//!
//! A plugin's file is, unless a rollback took it out or a reload refused it: neither a crash nor a
//! restart puts to work what would not be put to work beside a running pipeline. And a transaction that
//! the log has in part is finished by the components that began it, where these are kept.

use offtake_config::Config;
use offtake_log::Recovered;
use sha2::{Digest, Sha256};

use super::build::{check_partial, digest, load_all, read_component};
use super::chain::{Configured, hexadecimal};
use super::halt::Halt;
use super::reload::{Components, HeldBack, Version};
use super::worker::Switch;

/// The plugins as their files have them, but for those that were rolled back or refused before. All
/// are kept. `takes_files`: the files in any case.
pub fn load_chosen(
    config: &Config,
    components: &Components,
    takes_files: bool,
) -> Result<Vec<Configured>, Halt> {
    let mut held_back = Vec::new();
    let loaded = load_all(config, Some(config.log.dir.join("compiled")), |plugin, _| {
        let file = read_component(plugin)?;
        let digest = hexadecimal(&Sha256::digest(&file));
        let held = components.held_back(&plugin.name, &digest, &settings_digest(plugin));
        let Some(held) = held.filter(|_| !takes_files) else {
            components.keep(&file)?;
            return Ok(file);
        };
        tracing::warn!(
            code = held.code,
            plugin = plugin.name,
            file = digest,
            used = held.used,
            "the plugin's file {}; the one before is used until the file is another, `offtake plugin \
             reload NAME` asks for it, or `offtake run --accept-plugin-files` takes it",
            held.why
        );
        held_back.push(plugin.name.clone());
        components.read(&held.used)
    });
    loaded.map_err(|halt| match held_back.is_empty() {
        true => halt,
        false => Halt {
            next_step: format!(
                "{}. The files of these plugins were rolled back or refused, and the components \
                 before are used: {}; `offtake run --accept-plugin-files` takes the files",
                halt.next_step,
                held_back.join(", ")
            ),
            ..halt
        },
    })
}

/// The plugins that would start with something else than their file, and why; what cannot be read has a
/// finding of its own elsewhere.
pub fn held_back(config: &Config) -> Vec<(&str, HeldBack)> {
    let Ok(components) = Components::open(&config.log.dir) else { return Vec::new() };
    let held = config.plugins.iter().filter_map(|plugin| {
        let digest = hexadecimal(&Sha256::digest(read_component(plugin).ok()?));
        let held = components.held_back(&plugin.name, &digest, &settings_digest(plugin))?;
        Some((plugin.name.as_str(), held))
    });
    held.collect()
}

/// SHA-256 of what the configuration says of a plugin, hexadecimal.
pub fn settings_digest(plugin: &offtake_config::Plugin) -> String {
    let mut hash = Sha256::new();
    hash.update((plugin.config_json.len() as u64).to_be_bytes());
    hash.update(&plugin.config_json);
    // Limits and policies; a later program may write them otherwise, and then what was refused is
    // judged anew.
    hash.update(format!("{plugin:?}"));
    hexadecimal(&hash.finalize())
}

/// The versions that began the transaction that is in the log in part, if only components changed
/// since and all of them are kept. `plugins`: as they are now.
pub fn finishing(
    config: &Config,
    components: &Components,
    plugins: &[Configured],
    recovered: &Recovered,
) -> Result<Option<Vec<Configured>>, Halt> {
    let mut digests = Vec::with_capacity(plugins.len());
    for loaded in plugins {
        let plugin = &loaded.plugin;
        let mut newest_first = recovered.plugins.iter().rev();
        let Some(record) = newest_first.find(|record| record.name == plugin.name()) else {
            return Ok(None);
        };
        if record.config_digest != hexadecimal(&plugin.config_digest())
            || record.stateful != plugin.state().is_some()
            || !components.holds(&record.digest)
        {
            return Ok(None);
        }
        digests.push(&record.digest);
    }
    let cache_dir = Some(config.log.dir.join("compiled"));
    let before = load_all(config, cache_dir, |_, index| components.read(digests[index]))?;
    let digest = digest(config, before.iter().map(|loaded| &loaded.plugin));
    Ok(check_partial(recovered, &digest, None).is_ok().then_some(before))
}

/// Writes down which components are at work, and which take over, and removes what nobody needs.
pub fn record_versions(
    components: &mut Components,
    at_work: &[Configured],
    switching: Option<&Switch>,
) -> Result<(), Halt> {
    let digests = |loaded: &Configured| {
        (hexadecimal(&loaded.plugin.digest()), hexadecimal(&loaded.plugin.config_digest()))
    };
    for (index, loaded) in at_work.iter().enumerate() {
        let (component, config) = digests(loaded);
        let next = switching.and_then(|switch| switch.plugins.get(index)).map(digests);
        components.started(
            loaded.plugin.name(),
            Version { component: &component, config: &config },
            next.as_ref().map(|(component, config)| Version { component, config }),
        )?;
    }
    let names: Vec<&str> = at_work.iter().map(|loaded| loaded.plugin.name()).collect();
    components.tidy(&names)
}
