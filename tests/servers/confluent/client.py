"""Confluent's Python client as a user runs it: writes or reads a topic with the client's own Avro,
Protobuf and JSON Schema (de)serialisers and a schema registry.

Takes one JSON object on standard input (see tests/src/confluent.rs) and prints one JSON object a
message. Knows nothing of Offtake. What JSON cannot hold is printed as {"bytes": base64},
{"decimal": text} or {"time": ISO 8601}.
"""

import base64
import datetime
import decimal
import importlib
import json
import os
import sys
import tempfile
import time
import urllib.parse
import urllib.request

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError, Message
from grpc_tools import protoc

GOOGLE = os.path.join(os.path.dirname(protoc.__file__), "_proto")


class Registry:
    """What is asked of the registry beside what the client asks by itself."""

    def __init__(self, url):
        self.url = url.rstrip("/")

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def proto_files(self, schema, name, files):
        """A .proto file and all that it imports, by name."""
        files[name] = schema["schema"]
        for reference in schema.get("references") or []:
            subject = urllib.parse.quote(reference["subject"], safe="")
            found = self.get(f"/subjects/{subject}/versions/{reference['version']}")
            self.proto_files(found, reference["name"], files)


class MessageClasses:
    """Classes that protoc makes of schemas, as a consumer of Protobuf has them."""

    def __init__(self, registry):
        self.registry = registry
        self.modules = {}

    def of_schema(self, text, indexes):
        return self.nested(self.module({"schema": text}, f"written{len(self.modules)}"), indexes)

    def of_frame(self, frame):
        number, indexes = int.from_bytes(frame[1:5], "big"), message_indexes(frame)
        if number not in self.modules:
            schema = self.registry.get(f"/schemas/ids/{number}")
            self.modules[number] = self.module(schema, f"schema{number}")
        return self.nested(self.modules[number], indexes)

    def module(self, schema, name):
        folder = tempfile.mkdtemp(prefix="protoc-")
        arguments = ["protoc", "--python_out=" + folder]
        described = descriptor(schema["schema"])
        if described is not None:
            described.name = name + ".proto"
            path = os.path.join(folder, "descriptors")
            with open(path, "wb") as out:
                out.write(FileDescriptorSet(file=[described]).SerializeToString())
            arguments += ["--descriptor_set_in=" + path, described.name]
        else:
            files = {}
            self.registry.proto_files(schema, name + ".proto", files)
            for file, text in files.items():
                path = os.path.join(folder, file)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as out:
                    out.write(text)
            arguments += ["-I" + folder, "-I" + GOOGLE]
            arguments += [os.path.join(folder, file) for file in files]
        if protoc.main(arguments) != 0:
            raise SystemExit(f"protoc refuses schema {name}")
        sys.path.insert(0, folder)
        return importlib.import_module(name + "_pb2")

    def nested(self, module, indexes):
        types = list(module.DESCRIPTOR.message_types_by_name.values())
        found = types[indexes[0]]
        for index in indexes[1:]:
            found = found.nested_types[index]
        return getattr_path(module, found.full_name[len(module.DESCRIPTOR.package):].lstrip("."))


def descriptor(text):
    """The file that a schema describes where it is a descriptor, as this client registers it."""
    try:
        return FileDescriptorProto.FromString(base64.b64decode(text, validate=True))
    except (ValueError, DecodeError):
        return None


def getattr_path(found, path):
    for name in path.split("."):
        found = getattr(found, name)
    return found


def message_indexes(frame):
    """The message's place behind the id: zigzag varints, a lone zero for the first message."""
    at, numbers = 5, []
    while not numbers or len(numbers) <= numbers[0]:
        shift = value = 0
        while True:
            byte = frame[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        numbers.append((value >> 1) ^ -(value & 1))
        if numbers[0] == 0:
            return [0]
    return numbers[1:]


def plain(value):
    """A value as JSON has it."""
    if isinstance(value, Message):
        return json_format.MessageToDict(
            value, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, decimal.Decimal):
        return {"decimal": str(value)}
    if isinstance(value, (datetime.date, datetime.time, datetime.datetime)):
        return {"time": value.isoformat()}
    if isinstance(value, datetime.timedelta):
        return {"time": str(value)}
    return value


def unplain(value):
    """The value that JSON stands for; {"bytes": base64} alone is told from what it is."""
    if isinstance(value, dict):
        if list(value) == ["bytes"]:
            return base64.b64decode(value["bytes"])
        return {name: unplain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [unplain(item) for item in value]
    return value


class Reader:
    """One part of the messages: the key or the value."""

    def __init__(self, form, field, topic, client, classes):
        self.form, self.context, self.classes = form, SerializationContext(topic, field), classes
        if form == "avro":
            self.read_framed = AvroDeserializer(client)
        elif form == "json":
            self.read_framed = JSONDeserializer(None, schema_registry_client=client)

    def read(self, data):
        if data is None:
            return None, None
        if self.form == "text":
            return data.decode(), None
        number = int.from_bytes(data[1:5], "big")
        if self.form == "protobuf":
            # Without the registry's client: it would ask for the schema as a descriptor, which only
            # Confluent's registry makes of a text.
            of_class = ProtobufDeserializer(
                self.classes.of_frame(data), {"use.deprecated.format": False}
            )
            return plain(of_class(data, self.context)), number
        return plain(self.read_framed(data, self.context)), number


def consume(task, registry, client):
    topic = task["topic"]
    classes = MessageClasses(registry)
    key = Reader(task["key"], MessageField.KEY, topic, client, classes)
    value = Reader(task["value"], MessageField.VALUE, topic, client, classes)
    consumer = Consumer({
        "bootstrap.servers": task["brokers"],
        "group.id": f"confluent-{os.getpid()}",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
    })
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    deadline, seen, ended = time.monotonic() + task["seconds"], 0, set()
    while seen < task["count"] or len(ended) < len(partitions):
        if time.monotonic() > deadline:
            raise SystemExit(f"{seen} of {task['count']} messages within {task['seconds']} s")
        message = consumer.poll(0.2)
        if message is None:
            continue
        if message.error():
            if message.error().code() != KafkaError._PARTITION_EOF:
                raise SystemExit(str(message.error()))
            ended.add(message.partition())
            continue
        seen += 1
        (read_key, key_id), (read_value, value_id) = key.read(message.key()), value.read(message.value())
        print(json.dumps({
            "partition": message.partition(),
            "offset": message.offset(),
            "key": read_key,
            "key_id": key_id,
            "value": read_value,
            "value_id": value_id,
        }))
    consumer.close()


def writer(form, schema, client, classes):
    """Serialises a value with the client's own serialiser."""
    if form == "avro":
        serializer = AvroSerializer(client, schema)
        return lambda value, context: serializer(unplain(value), context)
    if form == "json":
        return JSONSerializer(schema, client)
    message = classes.of_schema(schema, [0])
    serializer = ProtobufSerializer(message, client, {"use.deprecated.format": False})
    return lambda value, context: serializer(json_format.ParseDict(value, message()), context)


def produce(task, registry, client):
    topic = task["topic"]
    write = writer(task["value"], task["schema"], client, MessageClasses(registry))
    context = SerializationContext(topic, MessageField.VALUE)
    producer = Producer({"bootstrap.servers": task["brokers"]})
    for record in task["records"]:
        value = record["value"]
        producer.produce(
            topic,
            key=record["key"].encode(),
            value=None if value is None else write(value, context),
        )
    if producer.flush(task["seconds"]) > 0:
        raise SystemExit("not everything was delivered")


def main():
    task = json.load(sys.stdin)
    registry = Registry(task["registry"])
    client = SchemaRegistryClient({"url": task["registry"]})
    {"consume": consume, "produce": produce}[task["mode"]](task, registry, client)


main()
