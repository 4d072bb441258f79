-- What happens while both sides stream. A line that begins with `-- step` begins a step: the test
-- waits until both sides have read it to its end, because Debezium reads defaults and other things
-- that the stream does not carry from the catalog of the moment. A step runs statement by statement,
-- each in a transaction of its own unless it says BEGIN.

-- step every type, inserted
SELECT write_again('integers');
SELECT write_again('floats');
SELECT write_again('decimals');
SELECT write_again('texts');
SELECT write_again('bytes');
SELECT write_again('times');
SELECT write_again('old_times');
SELECT write_again('extreme_times');
SELECT write_again('network');
SELECT write_again('documents');
SELECT write_again('shapes');
SELECT write_again('money_and_books');
SELECT write_again('user_types');
SELECT write_again('ranges');
SELECT write_again('arrays');
SELECT write_again('arrays_more');
SELECT write_again('matrices');
SELECT write_again('system_types');
SELECT write_again('special_decimals');

-- step every type, updated and deleted without old values
UPDATE integers SET small_must = small_must WHERE id IN (101, 104);
UPDATE texts SET must = must || '!' WHERE id IN (102, 103);
UPDATE times SET day_must = day_must + 1 WHERE id IN (102, 105);
DELETE FROM integers WHERE id > 102;
DELETE FROM floats WHERE id > 110;
DELETE FROM decimals WHERE id > 105;
DELETE FROM texts WHERE id > 104;
DELETE FROM bytes WHERE id > 103;
DELETE FROM old_times WHERE id > 105;
DELETE FROM extreme_times WHERE id > 105;
DELETE FROM network WHERE id > 103;
DELETE FROM documents WHERE id > 104;
DELETE FROM shapes WHERE id > 102;
DELETE FROM money_and_books WHERE id > 103;
DELETE FROM user_types WHERE id > 102;
DELETE FROM ranges WHERE id > 102;
DELETE FROM arrays WHERE id > 102;
DELETE FROM arrays_more WHERE id > 102;

-- step every type gets replica identity full
ALTER TABLE integers REPLICA IDENTITY FULL;
ALTER TABLE floats REPLICA IDENTITY FULL;
ALTER TABLE decimals REPLICA IDENTITY FULL;
ALTER TABLE texts REPLICA IDENTITY FULL;
ALTER TABLE bytes REPLICA IDENTITY FULL;
ALTER TABLE old_times REPLICA IDENTITY FULL;
ALTER TABLE times REPLICA IDENTITY FULL;
ALTER TABLE extreme_times REPLICA IDENTITY FULL;
ALTER TABLE network REPLICA IDENTITY FULL;
ALTER TABLE documents REPLICA IDENTITY FULL;
ALTER TABLE shapes REPLICA IDENTITY FULL;
ALTER TABLE money_and_books REPLICA IDENTITY FULL;
ALTER TABLE user_types REPLICA IDENTITY FULL;
ALTER TABLE ranges REPLICA IDENTITY FULL;
ALTER TABLE arrays REPLICA IDENTITY FULL;
ALTER TABLE arrays_more REPLICA IDENTITY FULL;

-- step every type, updated and deleted with old values
UPDATE integers SET normal = 5 WHERE id < 100;
UPDATE floats SET single = 0.5 WHERE id < 100;
UPDATE decimals SET plain = 0.5 WHERE id < 100;
UPDATE texts SET plain = 'new' WHERE id < 100;
UPDATE bytes SET raw = '\x01' WHERE id < 100;
UPDATE times SET day = '2001-02-03' WHERE id < 100;
UPDATE old_times SET day = '2001-02-03' WHERE id < 100;
UPDATE extreme_times SET zoned_clock = '00:00+00' WHERE id < 100;
UPDATE network SET address = '10.0.0.9' WHERE id < 100;
UPDATE documents SET j = '{"new":1}' WHERE id < 100;
UPDATE shapes SET p = '(9,9)' WHERE id < 100;
UPDATE money_and_books SET cash = '1' WHERE id < 100;
UPDATE user_types SET m = 'calm' WHERE id < 100;
UPDATE ranges SET i = '[0,1)' WHERE id < 100;
UPDATE arrays SET i4 = '{9}' WHERE id < 100;
UPDATE arrays_more SET ch = '{z}' WHERE id < 100;
DELETE FROM integers;
DELETE FROM texts;
DELETE FROM times;
DELETE FROM arrays;

-- step defaults
INSERT INTO defaults DEFAULT VALUES;
UPDATE defaults SET t = NULL, i = NULL, d = NULL, tz = NULL, m = NULL WHERE id = 3;
UPDATE defaults SET id = 30 WHERE id = 3;
DELETE FROM defaults WHERE id = 30;
INSERT INTO generated (base) VALUES (5);
UPDATE generated SET base = 6 WHERE base = 5;
DELETE FROM generated WHERE base = 6;
INSERT INTO all_must SELECT 2, i, t, b, n, f, d, tz, by, u, j, a FROM all_must;
UPDATE all_must SET i = 2 WHERE id = 2;
UPDATE all_must SET id = 3 WHERE id = 2;
DELETE FROM all_must WHERE id = 3;

-- step keys
INSERT INTO key_order VALUES (5, 'z', 6, 'new');
UPDATE key_order SET note = 'changed' WHERE a = 5;
UPDATE key_order SET b = 'zz' WHERE a = 5;
UPDATE key_order SET c = 7, note = 'both' WHERE a = 5;
DELETE FROM key_order WHERE a = 5;
INSERT INTO key_text VALUES ('k', 'n');
UPDATE key_text SET code = 'l' WHERE code = 'k';
DELETE FROM key_text WHERE code = 'l';
INSERT INTO key_uuid VALUES ('00000000-0000-0000-0000-000000000001', 'n');
UPDATE key_uuid SET note = 'm';
UPDATE key_uuid SET code = '00000000-0000-0000-0000-000000000002' WHERE code = '00000000-0000-0000-0000-000000000001';
DELETE FROM key_uuid;
INSERT INTO key_time VALUES ('infinity', '2021-01-01', '2021-01-01', 1, 'n'), ('2021-01-01Z', 'infinity', 'infinity', -1, 'n');
UPDATE key_time SET amount = 2 WHERE amount = 1;
DELETE FROM key_time;
INSERT INTO key_default VALUES (8, 'l', NULL);
UPDATE key_default SET id = 9 WHERE id = 8;
DELETE FROM key_default;
INSERT INTO key_bytes VALUES ('\x01', false, 'sad', NULL);
DELETE FROM key_bytes;
INSERT INTO no_key VALUES (2, 'm');
INSERT INTO no_key_full VALUES (2, 'm'), (3, NULL);
UPDATE no_key_full SET note = 'o' WHERE id = 2;
UPDATE no_key_full SET id = 4 WHERE id = 3;
DELETE FROM no_key_full;
INSERT INTO unique_only VALUES (2, 'd', 'm');
INSERT INTO identity_full VALUES (3, 3, 'z');
UPDATE identity_full SET a = 4;
UPDATE identity_full SET id = 5 WHERE id = 3;
DELETE FROM identity_full;
INSERT INTO identity_nothing VALUES (2, 'm');
INSERT INTO identity_index VALUES (2, 'd', 2, 'm');
UPDATE identity_index SET note = 'o';
UPDATE identity_index SET part = 3 WHERE id = 2;
UPDATE identity_index SET id = 3 WHERE id = 2;
DELETE FROM identity_index;

-- step names
INSERT INTO "Odd Schema"."Table.with ""quotes"" and-dashes" VALUES (2, 2, 'd', 'q', 3, 4, 'ü', true, 5, 6);
UPDATE "Odd Schema"."Table.with ""quotes"" and-dashes" SET "Id" = 3 WHERE "Id" = 2;
DELETE FROM "Odd Schema"."Table.with ""quotes"" and-dashes";
INSERT INTO "UPPER" VALUES (2, NULL);
DELETE FROM "UPPER";

-- step large values
INSERT INTO large SELECT 2, repeat('t', 9000), repeat('v', 9000), repeat('b', 9000)::bytea, to_json(repeat('j', 9000)), to_jsonb(repeat('j', 9000)), ('<x>' || repeat('x', 9000) || '</x>')::xml, hstore('k', repeat('h', 9000)),
    array_fill('ta'::text, ARRAY[2000]), array_fill(1, ARRAY[3000]), array_fill(1::bigint, ARRAY[2000]), array_fill('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, ARRAY[1000]), repeat('9', 9000)::numeric, array_fill(1.5::float8, ARRAY[2000]), repeat('c', 5000), repeat('i', 9000), to_tsvector((SELECT string_agg('w' || n, ' ') FROM generate_series(1, 3000) n)), array_fill('2020-01-01'::date, ARRAY[3000]), array_fill('sa'::varchar, ARRAY[2000]), 0, repeat('m', 9000);
UPDATE large SET counter = 1 WHERE id = 2;
UPDATE large SET t = 'short', counter = 2 WHERE id = 2;
UPDATE large SET id = 3 WHERE id = 2;
ALTER TABLE large REPLICA IDENTITY FULL;
UPDATE large SET counter = 3 WHERE id = 3;
DELETE FROM large;

-- step partitions
INSERT INTO parts VALUES (3, 'eu', 'm');
UPDATE parts SET note = 'o' WHERE id = 3;
UPDATE parts SET region = 'us' WHERE id = 3;
DELETE FROM parts WHERE id = 3;

-- step transactions of several tables
BEGIN;
INSERT INTO one VALUES (1, 'a'), (2, 'b');
INSERT INTO two VALUES (1, 'a');
UPDATE one SET note = 'c' WHERE id = 1;
UPDATE one SET id = 3 WHERE id = 2;
DELETE FROM two;
COMMIT;
BEGIN;
INSERT INTO one VALUES (10, 'a');
ROLLBACK;
BEGIN;
INSERT INTO one VALUES (11, 'kept');
SAVEPOINT s;
INSERT INTO one VALUES (12, 'rolled back');
ROLLBACK TO s;
INSERT INTO two VALUES (11, 'kept');
COMMIT;

-- step truncate
INSERT INTO one VALUES (20, 'a');
TRUNCATE one;
TRUNCATE one, two RESTART IDENTITY;
INSERT INTO one VALUES (21, 'b');

-- step logical messages
SELECT pg_logical_emit_message(false, 'outside', 'not transactional');
SELECT pg_logical_emit_message(true, 'inside', 'transactional');
BEGIN;
INSERT INTO one VALUES (30, 'before');
SELECT pg_logical_emit_message(true, 'inside', E'\\x00ff01'::bytea);
INSERT INTO one VALUES (31, 'after');
SELECT pg_logical_emit_message(false, 'outside', 'from within');
COMMIT;
SELECT pg_logical_emit_message(true, '', '');

-- step a column is added
ALTER TABLE evolving ADD currency text;
INSERT INTO evolving VALUES (2, 20, 'd', 'EUR');
-- step a column with a default is added
ALTER TABLE evolving ADD rate numeric(6, 3) NOT NULL DEFAULT 1.5;
INSERT INTO evolving VALUES (3, 30, 'd', 'EUR', 2);
UPDATE evolving SET amount = 11 WHERE id = 1;
-- step a column is dropped
ALTER TABLE evolving DROP dropped;
INSERT INTO evolving VALUES (4, 40, 'EUR', 3);
-- step a column is renamed
ALTER TABLE evolving RENAME amount TO total;
INSERT INTO evolving VALUES (5, 50, 'EUR', 4);
UPDATE evolving SET total = 51 WHERE id = 5;
-- step a column gets another type
ALTER TABLE evolving ALTER total TYPE bigint;
INSERT INTO evolving VALUES (6, 60000000000, 'EUR', 5);
ALTER TABLE evolving ALTER rate TYPE numeric(10, 4);
INSERT INTO evolving VALUES (7, 70, 'EUR', 6);
-- step a column loses its default and may be null
ALTER TABLE evolving ALTER rate DROP DEFAULT, ALTER rate DROP NOT NULL;
INSERT INTO evolving VALUES (8, 80, 'EUR', NULL);
DELETE FROM evolving WHERE id > 6;
-- step an enum gets a label
ALTER TYPE mood ADD VALUE 'late' AFTER 'ok';
-- step the new label is used
INSERT INTO user_types (id, m, m_must) VALUES (200, 'late', 'late');
