// What Confluent's Connect converters make of Connect data: the oracle of the differential test
// beside it (tests/tests/converters).
//
// One argument: the class of a converter. Standard input has a record a line, as Kafka's
// JsonConverter writes it, schema included: {"schema":…,"payload":…}. Standard output has an answer
// a line: {"schema":"the text that was registered","bytes":"the value in hexadecimal, without the
// registry's frame"}, or {"error":"…"}.

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.confluent.kafka.schemaregistry.SchemaProvider;
import io.confluent.kafka.schemaregistry.client.MockSchemaRegistryClient;
import io.confluent.kafka.schemaregistry.client.SchemaRegistryClient;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.storage.Converter;

public final class ConvertersOracle {
    /** The registry's frame: a zero byte and the schema's number. */
    private static final int FRAME = 5;

    public static void main(String[] arguments) throws Exception {
        ObjectMapper json = new ObjectMapper();
        JsonConverter reader = new JsonConverter();
        // Nulls stay nulls, so that the converter sees them.
        reader.configure(
            Map.of("schemas.enable", true, "replace.null.with.default", false), false);
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        BufferedReader in =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            ObjectNode answer = json.createObjectNode();
            try {
                SchemaAndValue data =
                    reader.toConnectData("t", line.getBytes(StandardCharsets.UTF_8));
                // A registry a line: nothing is left of the line before.
                SchemaRegistryClient registry = registry();
                Converter converter = converter(arguments[0], registry);
                byte[] framed = converter.fromConnectData("t", data.schema(), data.value());
                if (framed != null) {
                    int id = ByteBuffer.wrap(framed, 1, 4).getInt();
                    answer.put("schema", registry.getSchemaById(id).canonicalString());
                    answer.put("bytes",
                        HexFormat.of().formatHex(framed, FRAME, framed.length));
                }
            } catch (Exception failure) {
                answer.removeAll();
                answer.put("error", words(failure));
            }
            out.println(json.writeValueAsString(answer));
        }
        out.flush();
    }

    private static SchemaRegistryClient registry() {
        List<SchemaProvider> providers = List.of();
        return new MockSchemaRegistryClient(providers);
    }

    private static Converter converter(String name, SchemaRegistryClient registry)
            throws ReflectiveOperationException {
        Converter converter = (Converter) Class.forName(name)
            .getConstructor(SchemaRegistryClient.class)
            .newInstance(registry);
        converter.configure(Map.of("schema.registry.url", "mock://oracle"), false);
        return converter;
    }

    private static String words(Throwable failure) {
        StringBuilder words = new StringBuilder(failure.toString());
        for (Throwable cause = failure.getCause(); cause != null; cause = cause.getCause()) {
            words.append(" / ").append(cause);
        }
        return words.toString();
    }
}
