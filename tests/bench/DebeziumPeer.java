// Debezium's engine as the benchmark's peer: to nowhere, or to Kafka as Debezium Server writes it.
//
// Usage: DebeziumPeer PROPERTIES. Keys that begin with `bench.` are this program's: `count` (changes
// to take), `skip` (of them, warm-up before latency is measured; 0: none is), `brokers` (empty: to
// nowhere), `pipeline` (true: a batch is sent before the one before it is acknowledged). All others
// go to the engine. It prints `first NANOSECONDS`, `done NANOSECONDS` and `latency P50 P99 MOST` (in
// milliseconds, from the commit to this program), and stays until standard input ends.

import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.Json;
import java.io.FileReader;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;

public final class DebeziumPeer implements DebeziumEngine.ChangeConsumer<ChangeEvent<String, String>> {
    private final long expected;
    private final int skip;
    private final boolean pipeline;
    private final KafkaProducer<String, String> producer;
    private final double[] latencies;
    private long count;
    private List<Future<RecordMetadata>> sent = new ArrayList<>();

    private DebeziumPeer(Properties own) {
        expected = Long.parseLong(own.getProperty("bench.count"));
        skip = Integer.parseInt(own.getProperty("bench.skip"));
        pipeline = Boolean.parseBoolean(own.getProperty("bench.pipeline"));
        latencies = new double[skip > 0 ? (int) expected - skip : 0];
        String brokers = own.getProperty("bench.brokers");
        producer = brokers.isEmpty() ? null : new KafkaProducer<>(producerProperties(brokers));
    }

    private static Properties producerProperties(String brokers) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", brokers);
        properties.put("acks", "all");
        properties.put("linger.ms", "5");
        properties.put("compression.type", "lz4");
        properties.put("key.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        properties.put("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        return properties;
    }

    @Override
    public void handleBatch(List<ChangeEvent<String, String>> records,
            DebeziumEngine.RecordCommitter<ChangeEvent<String, String>> committer) throws InterruptedException {
        List<Future<RecordMetadata>> futures = new ArrayList<>(producer == null ? 0 : records.size());
        for (ChangeEvent<String, String> record : records) {
            take(record.value());
            if (producer != null) {
                futures.add(producer.send(new ProducerRecord<>(record.destination(), record.key(), record.value())));
            }
        }
        if (pipeline) {
            List<Future<RecordMetadata>> before = sent;
            sent = futures;
            futures = count >= expected ? concatenated(before, sent) : before;
        }
        waitFor(futures);
        for (ChangeEvent<String, String> record : records) {
            committer.markProcessed(record);
        }
        committer.markBatchFinished();
        if (count >= expected) {
            report();
        }
    }

    private static <T> List<T> concatenated(List<T> first, List<T> second) {
        List<T> all = new ArrayList<>(first);
        all.addAll(second);
        return all;
    }

    private static void waitFor(List<Future<RecordMetadata>> futures) throws InterruptedException {
        try {
            for (Future<RecordMetadata> future : futures) {
                future.get();
            }
        } catch (java.util.concurrent.ExecutionException error) {
            throw new IllegalStateException(error);
        }
    }

    private void take(String value) {
        if (value == null) {
            return;
        }
        if (count == 0) {
            System.out.println("first " + nanoseconds());
        }
        count++;
        int place = (int) (count - skip) - 1;
        if (skip > 0 && place >= 0 && place < latencies.length) {
            int source = value.lastIndexOf("\"source\":{");
            int begin = value.indexOf("\"ts_us\":", source) + 8;
            int end = begin;
            while (Character.isDigit(value.charAt(end))) {
                end++;
            }
            long committed = Long.parseLong(value.substring(begin, end));
            latencies[place] = Math.max(0, nanoseconds() / 1000 - committed) / 1000.0;
        }
    }

    private void report() {
        System.out.println("done " + nanoseconds());
        if (latencies.length > 0) {
            double[] sorted = latencies.clone();
            Arrays.sort(sorted);
            System.out.println("latency " + at(sorted, 0.5) + " " + at(sorted, 0.99) + " " + at(sorted, 1.0));
        }
        System.out.flush();
    }

    private static double at(double[] sorted, double share) {
        return sorted[Math.max(0, (int) Math.ceil(share * sorted.length) - 1)];
    }

    private static long nanoseconds() {
        Instant now = Instant.now();
        return now.getEpochSecond() * 1_000_000_000L + now.getNano();
    }

    public static void main(String[] arguments) throws Exception {
        Properties all = new Properties();
        try (FileReader reader = new FileReader(arguments[0])) {
            all.load(reader);
        }
        Properties engine = new Properties();
        all.forEach((name, value) -> {
            if (!name.toString().startsWith("bench.")) {
                engine.put(name, value);
            }
        });
        DebeziumEngine<ChangeEvent<String, String>> running = DebeziumEngine.create(Json.class)
                .using(engine)
                .notifying(new DebeziumPeer(all))
                .using((success, message, error) -> {
                    System.out.println("failed " + message + " " + error);
                    System.out.flush();
                })
                .build();
        Thread thread = new Thread(running, "engine");
        thread.setDaemon(true);
        thread.start();
        while (System.in.read() >= 0) {
            // Only the end of standard input matters.
        }
        Runtime.getRuntime().halt(0);
    }
}
