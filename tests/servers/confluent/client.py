"""Confluent's Python client as a user runs it: writes or reads a topic with the client's own Avro,
Protobuf and JSON Schema (de)serialisers and a schema registry.

Takes one JSON object on standard input (see tests/src/confluent.rs) and prints one JSON object a
message. Knows nothing of Offtake. What JSON cannot hold is printed as {"bytes": base64},
{"decimal": text} or {"time": ISO 8601}.
"""

import base64
import datetime
import decimal
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
from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError
from confluent_kafka.schema_registry.confluent import meta_pb2
from confluent_kafka.schema_registry.confluent.type import decimal_pb2
from google.protobuf import descriptor_pb2, json_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc_tools import protoc

# Where protoc finds google/protobuf, and google/type.
GOOGLE = os.path.join(os.path.dirname(protoc.__file__), "_proto")
PACKAGES = os.path.dirname(os.path.dirname(protoc.__file__))
META = "confluent/meta.proto"


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
    """Classes of messages, made of schemas by protoc, as a consumer of Protobuf has them. Each schema
    has a pool of its own, for several may define one name."""

    def __init__(self, registry):
        self.registry = registry
        self.files = {}

    def of_schema(self, text, indexes):
        return self.nested(self.file({"schema": text}), indexes)

    def of_frame(self, frame):
        number, indexes = int.from_bytes(frame[1:5], "big"), message_indexes(frame)
        if number not in self.files:
            self.files[number] = self.file(self.registry.get(f"/schemas/ids/{number}"))
        return self.nested(self.files[number], indexes)

    def file(self, schema):
        """The schema's file with all that it imports, in a pool."""
        described = descriptor(schema["schema"])
        files = [described] if described is not None else self.compiled(schema)
        pool = DescriptorPool()
        for file in files:
            pool.Add(file)
        return pool.FindFileByName(files[-1].name)

    def compiled(self, schema):
        texts = {}
        self.registry.proto_files(schema, "schema.proto", texts)
        folder = tempfile.mkdtemp(prefix="protoc-")
        for name, text in texts.items():
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if "(confluent." in text and META not in text:
                # Confluent's converters leave this import out; its own clients put it in.
                text = text.replace(";", f';\nimport "{META}";', 1)
            with open(path, "w", encoding="utf-8") as out:
                out.write(text)
        known = FileDescriptorSet()
        for file in (meta_pb2.DESCRIPTOR, decimal_pb2.DESCRIPTOR):
            file.CopyToProto(known.file.add())
        known.file.add().CopyFrom(FileDescriptorProto.FromString(descriptor_pb2.DESCRIPTOR.serialized_pb))
        with open(os.path.join(folder, "known"), "wb") as out:
            out.write(known.SerializeToString())
        arguments = ["protoc", "-I" + folder, "-I" + GOOGLE, "-I" + PACKAGES]
        arguments += ["--descriptor_set_in=" + os.path.join(folder, "known")]
        arguments += ["--include_imports", "--descriptor_set_out=" + os.path.join(folder, "out")]
        if protoc.main(arguments + [os.path.join(folder, "schema.proto")]) != 0:
            raise SerializationError("protoc refuses the schema")
        with open(os.path.join(folder, "out"), "rb") as found:
            return list(FileDescriptorSet.FromString(found.read()).file)

    def nested(self, file, indexes):
        # A file's messages by name keep the order in which they are declared.
        found = list(file.message_types_by_name.values())[indexes[0]]
        for index in indexes[1:]:
            found = found.nested_types[index]
        return GetMessageClass(found)


def descriptor(text):
    """The file that a schema describes where it is a descriptor, as this client registers it."""
    try:
        return FileDescriptorProto.FromString(base64.b64decode(text, validate=True))
    except (ValueError, DecodeError):
        return None


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
        read = {"partition": message.partition(), "offset": message.offset()}
        try:
            read["key"], read["key_id"] = key.read(message.key())
            read["value"], read["value_id"] = value.read(message.value())
        except Exception as error:  # Whatever the client's own code raises, as a user would see it.
            read["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(read))
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
