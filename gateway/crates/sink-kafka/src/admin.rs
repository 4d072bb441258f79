//! Questions and requests to the cluster's administration: topics created, configuration read.
//!
//! Several topics go in one request. Blocks; needs a thread that is in no runtime.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::error::RDKafkaErrorCode;

use crate::context::QuietContext;
use crate::topic_rules::TopicRule;
use crate::{KafkaError, KafkaOptions, client};

/// One request; asked again for ever.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Topics in one request, and partitions of all of them: a broker limits what one request may ask
/// for.
const REQUEST_TOPICS: usize = 100;
const REQUEST_PARTITIONS: usize = 2000;

/// A resource's configuration, by name.
pub(crate) type Config = BTreeMap<String, String>;

/// A client for administration.
pub(crate) struct Admin {
    client: AdminClient<QuietContext>,
    runtime: tokio::runtime::Runtime,
}

impl Admin {
    pub(crate) fn new(options: &KafkaOptions) -> Result<Admin, KafkaError> {
        let client = client::admin(options)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(KafkaError::Thread)?;
        Ok(Admin { client, runtime })
    }

    /// Asks the cluster to create topics; `validate_only` asks whether it would. Gives an answer
    /// for each, in their order. A topic that is there is well.
    pub(crate) fn create(
        &self,
        topics: &[(&str, &TopicRule)],
        validate_only: bool,
    ) -> Vec<Result<(), RDKafkaErrorCode>> {
        let mut answers = Vec::with_capacity(topics.len());
        let mut rest = topics;
        while !rest.is_empty() {
            let (request, later) = rest.split_at(fitting(rest));
            answers.extend(self.create_at_once(request, validate_only));
            rest = later;
        }
        answers
    }

    fn create_at_once(
        &self,
        topics: &[(&str, &TopicRule)],
        validate_only: bool,
    ) -> Vec<Result<(), RDKafkaErrorCode>> {
        let wanted: Vec<NewTopic<'_>> = topics.iter().map(|(name, rule)| new(name, rule)).collect();
        let options = AdminOptions::new()
            .request_timeout(Some(REQUEST_TIMEOUT))
            .operation_timeout(Some(REQUEST_TIMEOUT))
            .validate_only(validate_only);
        let results = match self.runtime.block_on(self.client.create_topics(&wanted, &options)) {
            Ok(results) => results,
            Err(error) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                return vec![Err(code); topics.len()];
            }
        };
        let mut by_name: HashMap<String, Result<(), RDKafkaErrorCode>> = HashMap::new();
        for result in results {
            match result {
                Ok(name) => by_name.insert(name, Ok(())),
                Err((name, RDKafkaErrorCode::TopicAlreadyExists)) => by_name.insert(name, Ok(())),
                Err((name, code)) => by_name.insert(name, Err(code)),
            };
        }
        let answer = |(name, _): &(&str, &TopicRule)| {
            by_name.remove(*name).unwrap_or(Err(RDKafkaErrorCode::Unknown))
        };
        topics.iter().map(answer).collect()
    }

    /// The configuration of topics; those that cannot be read are left out.
    pub(crate) fn topic_configs(&self, topics: &[&str]) -> HashMap<String, Config> {
        let mut configs = HashMap::with_capacity(topics.len());
        for request in topics.chunks(REQUEST_TOPICS) {
            let resources: Vec<ResourceSpecifier<'_>> =
                request.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
            for resource in self.describe(&resources) {
                if let OwnedResourceSpecifier::Topic(name) = &resource.specifier {
                    configs.insert(name.clone(), entries(&resource));
                }
            }
        }
        configs
    }

    /// The configuration of a broker; `None`: it cannot be read.
    pub(crate) fn broker_config(&self, id: i32) -> Option<Config> {
        self.describe(&[ResourceSpecifier::Broker(id)]).first().map(entries)
    }

    fn describe(&self, resources: &[ResourceSpecifier<'_>]) -> Vec<ConfigResource> {
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        match self.runtime.block_on(self.client.describe_configs(resources, &options)) {
            Ok(results) => results.into_iter().filter_map(Result::ok).collect(),
            Err(error) => {
                tracing::debug!(%error, "configuration cannot be read from kafka");
                Vec::new()
            }
        }
    }
}

/// How many of the topics fit one request; at least one.
fn fitting(topics: &[(&str, &TopicRule)]) -> usize {
    let mut partitions = 0_usize;
    let fits = |(_, rule): &&(&str, &TopicRule)| {
        partitions += usize::try_from(rule.partitions).unwrap_or(1);
        partitions <= REQUEST_PARTITIONS
    };
    topics.iter().take(REQUEST_TOPICS).take_while(fits).count().max(1)
}

fn new<'t>(name: &'t str, rule: &'t TopicRule) -> NewTopic<'t> {
    let replication = TopicReplication::Fixed(rule.replication);
    let mut topic = NewTopic::new(name, rule.partitions, replication);
    for (name, value) in &rule.config {
        topic = topic.set(name, value);
    }
    topic
}

fn entries(resource: &ConfigResource) -> Config {
    let entries = resource.entries.iter();
    entries.filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TopicOptions;

    #[test]
    fn a_request_asks_for_a_bounded_number_of_topics_and_partitions() {
        let rule = |partitions| TopicOptions { partitions, ..TopicOptions::default() }.rule("t");
        let (one, many, huge) = (rule(1), rule(300), rule(9000));
        assert_eq!(fitting(&vec![("t", &one); 500]), 100);
        assert_eq!(fitting(&vec![("t", &many); 500]), 6);
        assert_eq!(fitting(&[("t", &huge), ("u", &one)]), 1);
        assert_eq!(fitting(&[("t", &one), ("u", &huge)]), 1);
    }
}
