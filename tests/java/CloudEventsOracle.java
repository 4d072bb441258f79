// What Debezium's CloudEventsConverter makes of Debezium's messages: the oracle of the differential
// test of the CloudEvents format. Reads lines of JSON with schema, as Kafka's JsonConverter writes
// them, and answers each with one line: the event, "null" where it makes none, or "error: …".
//
// One argument: whether the data has its schema beside it (json.schemas.enable).

import io.debezium.converters.CloudEventsConverter;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.json.JsonConverter;

public final class CloudEventsOracle {
    public static void main(String[] arguments) throws Exception {
        JsonConverter reader = new JsonConverter();
        reader.configure(
            Map.of("schemas.enable", true, "replace.null.with.default", false), false);
        CloudEventsConverter converter = new CloudEventsConverter();
        converter.configure(Map.of("json.schemas.enable", arguments[0]), false);
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        BufferedReader in =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            try {
                SchemaAndValue data =
                    reader.toConnectData("t", line.getBytes(StandardCharsets.UTF_8));
                byte[] event = converter.fromConnectData("t", data.schema(), data.value());
                out.println(event == null ? "null" : new String(event, StandardCharsets.UTF_8));
            } catch (Exception failure) {
                out.println("error: " + failure);
            }
        }
        out.flush();
    }
}
