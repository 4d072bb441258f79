//! Heartbeats, as Debezium has them (`heartbeat.interval.ms`): at most one an interval, also while
//! nothing changes.
//!
//! They go their own way, through a producer without transactions: no cursor counts them, nothing
//! waits for them, and one that is lost is not sent again. While one is on its way there is no other,
//! so a broker that is away holds up a single one. A registry that refuses their schemas is asked
//! again; until it takes them there are none, and a warning says so.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use offtake_encode::debezium::HeartbeatRecords;
use offtake_registry::RegistryError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::context::{CURSOR_RECORD, SinkContext};
use crate::deliveries::Pending;
use crate::publications::{Asked, Publications};
use crate::session::{LOOK_WAIT, Publisher};
use crate::status::StatusCell;
use crate::topic_names::topic_of;
use crate::{KafkaError, KafkaOptions, client};

/// All heartbeats go to the first partition.
const PARTITION: i32 = 0;

/// When heartbeats are due and how they are sent.
pub(crate) struct Heartbeat {
    name: String,
    interval: Duration,
    due: Instant,
    ready: Option<Ready>,
    /// Why the registry has no ids for it, as it was said last.
    told: Option<RegistryError>,
}

/// The topic is there and the schemas are known.
struct Ready {
    records: HeartbeatRecords,
    producer: BaseProducer<SinkContext>,
}

impl Heartbeat {
    /// `None`: there are none.
    pub(crate) fn new(options: &KafkaOptions) -> Option<Heartbeat> {
        let interval = options.heartbeat_interval;
        let name = options.heartbeat_topic()?;
        Some(Heartbeat { name, interval, due: Instant::now() + interval, ready: None, told: None })
    }

    /// Gives the producer time to send, and forgets it where it gave a heartbeat up.
    fn serve(&mut self) -> bool {
        let Some(Ready { producer, .. }) = &self.ready else { return true };
        if producer.in_flight_count() == 0 {
            return true;
        }
        producer.poll(Duration::ZERO);
        let Some(failure) = producer.context().failure() else { return true };
        tracing::debug!(code = ?failure.code, "a heartbeat was given up");
        self.ready = None;
        false
    }

    /// Sends one, unless the last one is still on its way.
    fn beat(&mut self) -> Result<(), KafkaError> {
        let Some(Ready { records, producer }) = &mut self.ready else { return Ok(()) };
        if producer.in_flight_count() > 0 {
            return Ok(());
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        let message = records.beat(unix_ms)?;
        let topic = topic_of(&self.name);
        let record = BaseRecord {
            topic: &topic,
            partition: Some(PARTITION),
            payload: message.value,
            key: message.key,
            timestamp: Some(unix_ms),
            headers: None,
            delivery_opaque: CURSOR_RECORD,
        };
        // The queue is empty, so what is refused here is the producer's end.
        if producer.send(record).is_err() {
            self.ready = None;
        }
        Ok(())
    }

    /// Says once why there are no heartbeats: changes do not wait for them.
    fn tell(&mut self, error: RegistryError) {
        if !error.is_transient() && self.told.as_ref() != Some(&error) {
            let (code, next_step) = (error.code(), error.next_step());
            tracing::warn!(code, cause = %error, next_step, "the registry refuses heartbeats");
            self.told = Some(error);
        }
    }

    /// Prepares what is sent. The inner error says what there is to wait for.
    fn prepare(
        &self,
        options: &KafkaOptions,
        publications: &mut Publications<'_>,
    ) -> Asked<HeartbeatRecords> {
        let format = options.topics.rule(&self.name).format;
        let mut plan = options.plan_options(format);
        let (key, value) = HeartbeatRecords::new(&plan).schemas();
        let frames = publications.own_frames(&topic_of(&self.name), format, (&key, &value))?;
        Ok(frames.map(|(key, value)| {
            (plan.key_frame, plan.value_frame) = (key, value);
            HeartbeatRecords::new(&plan)
        }))
    }
}

impl Publisher<'_> {
    /// Sends a heartbeat if it is time.
    ///
    /// # Errors
    /// The topic is missing and is not to be created, or may not be written.
    pub(crate) fn heartbeat(&mut self) -> Result<(), KafkaError> {
        if self.stop.is_asked() {
            return Ok(());
        }
        let Some(mut heartbeat) = self.heartbeat.take() else { return Ok(()) };
        let sent = self.heartbeat_if_due(&mut heartbeat);
        self.heartbeat = Some(heartbeat);
        sent
    }

    fn heartbeat_if_due(&mut self, heartbeat: &mut Heartbeat) -> Result<(), KafkaError> {
        if !heartbeat.serve() {
            // The topic may be gone.
            self.topics.forget();
        }
        let now = Instant::now();
        if now < heartbeat.due {
            return Ok(());
        }
        if heartbeat.ready.is_none() && !self.prepare_heartbeat(heartbeat)? {
            // Soon, but other things have their turn first.
            heartbeat.due = Instant::now() + LOOK_WAIT;
            return Ok(());
        }
        heartbeat.due = now + heartbeat.interval;
        heartbeat.beat()
    }

    /// `false`: topic or registry are not ready.
    fn prepare_heartbeat(&mut self, heartbeat: &mut Heartbeat) -> Result<bool, KafkaError> {
        // Asking takes its time while nobody answers.
        if self.status.is_waiting() || self.topics.step_own(&heartbeat.name, self.log)?.is_err() {
            return Ok(false);
        }
        let records = match heartbeat.prepare(self.options, &mut self.publications)? {
            Ok(records) => records,
            Err(error) => {
                heartbeat.tell(error);
                return Ok(false);
            }
        };
        // What this producer has to say of the brokers, the other one says too.
        let status = Arc::new(StatusCell::silent());
        let context = SinkContext::new(Arc::new(Pending::new()), status);
        let kind = client::Kind { one_by_one: true, transactional: false };
        let producer = client::producer(self.options, context, kind)?;
        heartbeat.ready = Some(Ready { records, producer });
        Ok(true)
    }
}
