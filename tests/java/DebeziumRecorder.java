// Records what Debezium's engine writes, as Kafka Connect's converters make bytes of it.
//
// Usage: DebeziumRecorder PROPERTIES…. Each file is an engine of its own; all run side by side in
// this one process. Keys that begin with `recorder.` are this program's, all others go to the engine:
//
//   recorder.outputs = a,b              names of outputs; every record goes to each of them
//   recorder.a.file = PATH              one JSON object a line: topic, partition, key, value, headers
//   recorder.a.key.converter = CLASS    Kafka Connect's JsonConverter when left out
//   recorder.a.value.converter = CLASS  the same
//   recorder.a.header.converter = CLASS SimpleHeaderConverter, Connect's own default, when left out
//   recorder.a.key.converter.X = …      the converter's option X; the others alike
//   recorder.a.base64 = true            bytes in base64; left out: as text, which JSON is
//
// It prints `started NAME` when an engine streams, `failed NAME MESSAGE` when one ends with an error,
// and stays until standard input ends. The engine alone decides what is recorded: nothing is changed,
// left out or put in another order here.

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.debezium.embedded.Connect;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.RecordChangeEvent;
import io.debezium.engine.format.ChangeEventFormat;
import java.io.BufferedWriter;
import java.io.FileReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.storage.Converter;
import org.apache.kafka.connect.storage.HeaderConverter;

public final class DebeziumRecorder implements DebeziumEngine.ChangeConsumer<RecordChangeEvent<SourceRecord>> {
    private static final String PREFIX = "recorder.";
    private static final String JSON = "org.apache.kafka.connect.json.JsonConverter";
    private static final String SIMPLE = "org.apache.kafka.connect.storage.SimpleHeaderConverter";
    private static final ObjectMapper MAPPER = new ObjectMapper();

    private final List<Output> outputs = new ArrayList<>();

    private DebeziumRecorder(Properties all) throws Exception {
        for (String name : all.getProperty(PREFIX + "outputs").split(",")) {
            outputs.add(new Output(all, PREFIX + name + "."));
        }
    }

    @Override
    public void handleBatch(List<RecordChangeEvent<SourceRecord>> records,
            DebeziumEngine.RecordCommitter<RecordChangeEvent<SourceRecord>> committer) throws InterruptedException {
        try {
            for (RecordChangeEvent<SourceRecord> event : records) {
                for (Output output : outputs) {
                    output.write(event.record());
                }
                committer.markProcessed(event);
            }
            for (Output output : outputs) {
                output.file.flush();
            }
        }
        catch (IOException error) {
            throw new IllegalStateException(error);
        }
        committer.markBatchFinished();
    }

    /** One file with one set of converters. */
    private static final class Output {
        private final BufferedWriter file;
        private final Converter key;
        private final Converter value;
        private final HeaderConverter header;
        private final boolean base64;

        Output(Properties all, String prefix) throws Exception {
            file = Files.newBufferedWriter(Path.of(all.getProperty(prefix + "file")), StandardCharsets.UTF_8);
            key = (Converter) create(all, prefix + "key.converter", JSON);
            key.configure(options(all, prefix + "key.converter."), true);
            value = (Converter) create(all, prefix + "value.converter", JSON);
            value.configure(options(all, prefix + "value.converter."), false);
            header = (HeaderConverter) create(all, prefix + "header.converter", SIMPLE);
            Map<String, String> headerOptions = options(all, prefix + "header.converter.");
            headerOptions.put("converter.type", "header");
            header.configure(headerOptions);
            base64 = Boolean.parseBoolean(all.getProperty(prefix + "base64"));
        }

        private static Object create(Properties all, String property, String otherwise) throws Exception {
            return Class.forName(all.getProperty(property, otherwise)).getDeclaredConstructor().newInstance();
        }

        private static Map<String, String> options(Properties all, String prefix) {
            Map<String, String> options = new HashMap<>();
            for (String name : all.stringPropertyNames()) {
                if (name.startsWith(prefix)) {
                    options.put(name.substring(prefix.length()), all.getProperty(name));
                }
            }
            return options;
        }

        void write(SourceRecord record) throws IOException {
            ObjectNode line = MAPPER.createObjectNode();
            String topic = record.topic();
            line.put("topic", topic);
            line.put("partition", record.kafkaPartition());
            // As a Connect worker does it: headers first, then key and value, which may add to them.
            RecordHeaders headers = new RecordHeaders();
            for (Header one : record.headers()) {
                headers.add(one.key(), header.fromConnectHeader(topic, one.key(), one.schema(), one.value()));
            }
            line.put("key", text(key.fromConnectData(topic, headers, record.keySchema(), record.key())));
            line.put("value", text(value.fromConnectData(topic, headers, record.valueSchema(), record.value())));
            ArrayNode pairs = line.putArray("headers");
            for (org.apache.kafka.common.header.Header one : headers) {
                pairs.addArray().add(one.key()).add(text(one.value()));
            }
            file.write(MAPPER.writeValueAsString(line));
            file.write('\n');
        }

        private String text(byte[] bytes) {
            if (bytes == null) {
                return null;
            }
            return base64 ? Base64.getEncoder().encodeToString(bytes) : new String(bytes, StandardCharsets.UTF_8);
        }
    }

    /** Prints when an engine streams. */
    private static final class Progress implements DebeziumEngine.ConnectorCallback {
        private final String name;

        Progress(String name) {
            this.name = name;
        }

        @Override
        public void pollingStarted() {
            say("started " + name);
        }
    }

    private static synchronized void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    private static void start(String path) throws Exception {
        Properties all = new Properties();
        try (FileReader reader = new FileReader(path, StandardCharsets.UTF_8)) {
            all.load(reader);
        }
        Properties engine = new Properties();
        for (String name : all.stringPropertyNames()) {
            if (!name.startsWith(PREFIX)) {
                engine.put(name, all.getProperty(name));
            }
        }
        String name = engine.getProperty("name");
        DebeziumEngine<RecordChangeEvent<SourceRecord>> running = DebeziumEngine
                .create(ChangeEventFormat.of(Connect.class))
                .using(engine)
                .notifying(new DebeziumRecorder(all))
                .using(new Progress(name))
                .using((success, message, error) -> {
                    say("failed " + name + " " + message + " " + error);
                    if (error != null) {
                        error.printStackTrace();
                    }
                })
                .build();
        Thread thread = new Thread(running, name);
        thread.setDaemon(true);
        thread.start();
    }

    public static void main(String[] arguments) throws Exception {
        for (String path : arguments) {
            start(path);
        }
        while (System.in.read() >= 0) {
            // Only the end of standard input matters.
        }
        Runtime.getRuntime().halt(0);
    }
}
