-- Every type that PostgreSQL has, with extremes and NULL: one table a family. The rows are there
-- before either side starts, so that the snapshot reads them; changes.sql writes them again.

CREATE EXTENSION hstore;
CREATE EXTENSION citext;
CREATE EXTENSION ltree;
CREATE EXTENSION isn;
CREATE EXTENSION cube;

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy, or so');
ALTER TYPE mood ADD VALUE 'calm' BEFORE 'ok';
CREATE TYPE pair AS (amount int, label text);
CREATE DOMAIN short_text AS varchar(5);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN price AS numeric(8, 3);
CREATE DOMAIN price_of_price AS price;
CREATE DOMAIN moment AS timestamptz(3);

CREATE TABLE integers (
    id int PRIMARY KEY, small int2, normal int4, big int8, object oid, flag bool,
    small_must int2 NOT NULL, normal_must int4 NOT NULL, big_must int8 NOT NULL, flag_must bool NOT NULL
);
INSERT INTO integers VALUES
    (1, 0, 0, 0, 0, false, 0, 0, 0, false),
    (2, -32768, -2147483648, -9223372036854775808, 4294967295, true, 1, 2, 3, true),
    (3, 32767, 2147483647, 9223372036854775807, 2147483648, false, -1, -2, -3, false),
    (4, NULL, NULL, NULL, NULL, NULL, 7, 7, 7, true);

CREATE TABLE floats (id int PRIMARY KEY, single real, wide double precision, single_must real NOT NULL, wide_must float8 NOT NULL);
INSERT INTO floats VALUES
    (1, 0, 0, 0, 0),
    (2, 'NaN', 'NaN', 'NaN', 'NaN'),
    (3, 'Infinity', 'Infinity', 1, 1),
    (4, '-Infinity', '-Infinity', 1, 1),
    (5, '-0', '-0', '-0', '-0'),
    (6, 3.4028235e38, 1.7976931348623157e308, 1, 1),
    (7, 1.17549435e-38, 2.2250738585072014e-308, 1, 1),
    (8, 1e-45, 5e-324, 1, 1),
    (9, 0.1, 0.1, 0.3, 0.3),
    (10, 3.3, 3.3333333333333335, 1e7, 1e7),
    (11, 12345678, 123456789012345678, 9999999, 0.001),
    (12, 1e10, 1e21, 0.0001, 0.0001),
    (13, NULL, NULL, 16777217, 9007199254740993),
    (14, 2.0e-3, 2.2e-3, 1.0e23, 1.0e23);

CREATE TABLE decimals (
    id int PRIMARY KEY, plain numeric, whole numeric(5), fixed numeric(3, 2), wide numeric(38, 10),
    huge numeric(1000, 500), rounded numeric(3, -2), tiny numeric(2, 5), must numeric(10, 4) NOT NULL, plain_must numeric NOT NULL
);
INSERT INTO decimals VALUES
    (1, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    (2, 10.1111, 22.2, 1.1, 1234567890123456789012345678.0123456789, 1.5, 12345, 0.00012, 1.1, 1.10),
    (3, -10.1111, -99999, -9.99, -9999999999999999999999999999.9999999999, -0.5, -99900, -0.00099, -1, -100),
    (4, 1e100, 1, 0.01, 0.0000000001, 1e-400, 100, 0.00001, 999999.9999, 1e-30),
    (5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 5, 5),
    (6, 120.00, 128, 1.28, 255, 127, 25600, 0.00099, 65536, 1000),
    (7, 0.000, 100, 1.00, 32768, -128, -300, 0.0009, -0.0001, 0.10);

CREATE TABLE texts (
    id int PRIMARY KEY, plain text, limited varchar(10), unlimited varchar, fixed char(10), one char, internal "char", called name,
    loose citext, document xml, path ltree, pattern lquery, full_pattern ltxtquery, must text NOT NULL, limited_must varchar(3) NOT NULL
);
INSERT INTO texts VALUES
    (1, '', '', '', '', '', '', '', '', '', '', 'a', 'a', '', ''),
    (2, 'plain', 'ten chars.', 'unlimited', 'padded', 'x', 'c', 'called', 'Loose', '<a b="c">d</a>', 'Top.Science', '*.a{1,2}', 'a & b', 'x', 'xyz'),
    (3, E'quote " back \\ slash / tab \t line \n return \r feed \f bell \b one \x01 del \x7f', E'\n', E'"\\', E'\t', E'"', '"', 'a"b\c', E'\\', '<x>&amp;</x>', 'a', 'a.b', 'a', E'\u2028\u2029', '</'),
    (4, 'čšž ñ € 漢字 😀 é', 'é😀漢', '¡', 'ä', 'ß', 'z', 'ünï', 'Größe', '<ä/>', 'a.b.c', 'a|b', 'a|b', '𝄞', '𝄞𝄞𝄞'),
    (5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'n', 'n'),
    (6, repeat('long ', 100), '', '', '', '', '', '', '', NULL, NULL, NULL, NULL, '', '');

CREATE TABLE bytes (id int PRIMARY KEY, raw bytea, one bit, one_must bit NOT NULL, two bit(2), seven bit(7), wide bit(64), odd bit(70), any_bits varbit, few varbit(5), raw_must bytea NOT NULL);
INSERT INTO bytes VALUES
    (1, '', B'0', B'0', B'00', B'0000000', B'0'::bit(64), B'0'::bit(70), B'', B'', ''),
    (2, '\x00ff', B'1', B'1', B'11', B'1010101', (B'1' || repeat('0', 63)::varbit)::bit(64), (repeat('10', 35))::bit(70), B'101', B'11', '\x68656c6c6f'),
    (3, '\xdeadbeef00', B'1', B'0', B'10', B'0000001', (repeat('0', 63) || '1')::bit(64), (repeat('0', 69) || '1')::bit(70), (repeat('110', 30))::varbit, B'00001', '\x5c5c'),
    (4, NULL, NULL, B'1', NULL, NULL, NULL, NULL, NULL, NULL, '\x00');

CREATE TABLE times (
    id int PRIMARY KEY, day date, clock time, clock0 time(0), clock3 time(3), clock6 time(6), zoned_clock timetz, zoned_clock3 timetz(3),
    stamp timestamp, stamp0 timestamp(0), stamp3 timestamp(3), stamp5 timestamp(5), zoned timestamptz, zoned0 timestamptz(0), zoned3 timestamptz(3), zoned5 timestamptz(5),
    day_must date NOT NULL, clock_must time NOT NULL, stamp_must timestamp NOT NULL, zoned_must timestamptz NOT NULL, span interval, span0 interval(0), span_day interval day to second
);
INSERT INTO times VALUES
    (1, '1970-01-01', '00:00', '00:00', '00:00', '00:00', '00:00+00', '00:00+00', '1970-01-01', '1970-01-01', '1970-01-01', '1970-01-01', '1970-01-01Z', '1970-01-01Z', '1970-01-01Z', '1970-01-01Z', '1970-01-01', '00:00', '1970-01-01', '1970-01-01Z', '0', '0', '0'),
    (2, '2016-11-04', '13:51:30', '13:51:30', '13:51:30.123', '13:51:30.123456', '13:51:30.123789+02', '13:51:30.123+02', '2016-11-04 13:51:30.123456', '2016-11-04 13:51:30', '2016-11-04 13:51:30.123', '2016-11-04 13:51:30.12345', '2016-11-04 13:51:30.123456+02', '2016-11-04 13:51:30+02', '2016-11-04 13:51:30.123+02', '2016-11-04 13:51:30.12345+02', '2020-02-29', '23:59:59.999999', '1999-12-31 23:59:59.999999', '1999-12-31 23:59:59.999999+05:30', '1 year 2 mons 3 days 04:05:06.78', '1 day 00:00:01', '3 days 01:02:03.456'),
    (5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2000-01-01', '00:00:01', '2000-01-01', '2000-01-01Z', NULL, NULL, NULL);
-- Past what 64 bits of nanoseconds hold, or from before the Gregorian calendar.
CREATE TABLE old_times (LIKE times INCLUDING ALL);
INSERT INTO old_times VALUES
    (3, '0001-01-01', '23:59:59.999999', '23:59:59', '23:59:59.999', '23:59:59.999999', '23:59:59.999999-12', '23:59:59.999-12', '0001-01-01 00:00:00', '0001-01-01', '0001-01-01', '0001-01-01', '0001-01-01Z', '0001-01-01Z', '0001-01-01Z', '0001-01-01Z', '1582-10-04', '00:00:00.000001', '1582-10-04', '1582-10-15Z', '-1 year -2 mons +3 days -04:05:06.78', '-1 days', '-00:00:00.000001'),
    (4, '1582-10-15', '12:00', '12:00', '12:00', '12:00', '12:00+14', '12:00-14', '1582-10-05 12:34:56.789', '1582-10-14', '1500-02-28', '1500-03-01', '1500-01-01 12:00Z', '1582-10-05Z', '1200-01-01Z', '1883-11-18Z', '1969-12-31', '12:00', '1969-12-31 23:59:59.999999', '1969-12-31 23:59:59.999999Z', '178000000 years', '1000 days', '1000000 hours'),
    (6, '9999-12-31', '00:00:00.5', '01:00', '00:00:00.5', '00:00:00.1', '00:00:00.5+00', '00:00:00.5+05:30', '9999-12-31 23:59:59.999999', '9999-12-31', '9999-12-31 23:59:59.999', '2021-03-28 02:30:00.5', '9999-12-31 23:59:59.999999Z', '2021-03-28 01:30:00Z', '2021-03-28 01:30:00.5Z', '2021-03-28 01:30:00.50001Z', '2000-01-01', '00:00:01', '2000-01-01 00:00:00.1', '2000-01-01 00:00:00.1Z', '1.5 months', '00:00:59', '00:00:00.1');

CREATE TABLE extreme_times (id int PRIMARY KEY, day date, stamp timestamp, stamp3 timestamp(3), zoned timestamptz, zoned3 timestamptz(3), clock time, zoned_clock timetz, stamp_far timestamp);
INSERT INTO extreme_times VALUES
    (1, 'infinity', 'infinity', 'infinity', 'infinity', 'infinity', '24:00', NULL, NULL),
    (2, '-infinity', '-infinity', '-infinity', '-infinity', '-infinity', '00:00', '24:00+00', NULL),
    (3, '4713-01-01 BC', '4713-01-01 00:00:00 BC', '4713-01-01 00:00:00 BC', '4713-12-31 23:59:59.999999 BC', '4713-12-31 23:59:59.999 BC', '24:00', '23:59:60+00', '0044-03-15 12:00 BC'),
    (4, '0001-12-31 BC', '0001-12-31 23:59:59.999999 BC', '0001-02-29 00:00 BC', '0001-12-31 23:59:59.999999Z BC', '0100-01-01Z BC', '00:00', '00:00+15:59', '99999-12-31'),
    (5, '5874897-12-31', '10000-01-01 00:00:00', '12345-01-01 00:00:00.5', '10000-01-01Z', '12345-01-01 00:00:00.5Z', '00:00', '00:00-15:59', '294246-12-31 23:59:59.999999'),
    (6, '12345-06-07', '100000-01-01', '100000-01-01', '100000-01-01Z', '294276-12-31 23:59:59.999Z', '00:00', NULL, '294247-01-10 04:00:54.775807');

CREATE TABLE network (id int PRIMARY KEY, address inet, block cidr, mac macaddr, mac8 macaddr8, unique_id uuid, position pg_lsn, unique_must uuid NOT NULL);
INSERT INTO network VALUES
    (1, '192.168.2.0/12', '192.168.100.128/25', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '16/B374D848', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'),
    (2, '::1', '2001:4f8:3:ba::/64', '0800.2b01.0203', '08002b:0102030405', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '0/0', '00000000-0000-0000-0000-000000000000'),
    (3, '10.1.2.3', '10.0.0.0/8', 'ff:ff:ff:ff:ff:ff', NULL, 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'FFFFFFFF/FFFFFFFF', 'ffffffff-ffff-ffff-ffff-ffffffffffff'),
    (4, NULL, NULL, NULL, NULL, NULL, NULL, '00000000-0000-0000-0000-000000000001');

CREATE TABLE documents (id int PRIMARY KEY, j json, b jsonb, h hstore, v tsvector, q tsquery, j_must json NOT NULL, h_must hstore NOT NULL);
INSERT INTO documents VALUES
    (1, '{}', '{}', '', '', '', '{}', ''),
    (2, '{"a" : [1, 2.50, null, true],  "b":"x"}', '{"b":"x", "a":[1,2.50,null,true], "b": "last"}', 'key4=>val4, key5=>NULL', 'a fat cat', 'fat & rat', '[]', 'a=>1'),
    (3, '"text \u00e9 \" \n"', '"text \u00e9 \" \n"', 'a=>1, b=>2, c=>3, d=>4, e=>5, f=>6, g=>7, h=>8, i=>9, j=>10, k=>11, l=>12, m=>13, n=>14', to_tsvector('english', 'The quick brown fox jumped over the lazy dog'), 'a | b', 'null', 'aa=>1,bb=>2,Aa=>3,BB=>4,"č"=>5,"quote\"d"=>"va\"lue", "sp ace"=>"b\\s"'),
    (4, NULL, NULL, NULL, NULL, NULL, '1', 'k=>NULL'),
    (5, '1e400', '1e40', 'first_longer_key=>x, second_longer_key=>y, third=>z, 4=>"", ""=>"empty key"', 'x:1A y:2B', 'a & !b', '"s"', '"1"=>"2"');

CREATE TABLE shapes (id int PRIMARY KEY, p point, l line, s lseg, b box, open path, closed path, poly polygon, c circle, cubed cube, p_must point NOT NULL);
INSERT INTO shapes VALUES
    (1, '(1,1)', '{1,2,3}', '[(0,0),(1,1)]', '(1,1),(0,0)', '[(0,0),(1,1)]', '((0,0),(1,1))', '((0,0),(1,1),(1,0))', '<(1,1),2>', '(1,2,3)', '(0,0)'),
    (2, '(-1.5,1e300)', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '(NaN,Infinity)'),
    (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '(0.1,-0)');

CREATE TABLE money_and_books (id int PRIMARY KEY, cash money, cash_must money NOT NULL, book isbn, book13 isbn13, serial issn, music ismn, product upc, code ean13);
INSERT INTO money_and_books VALUES
    (1, '1234.11', '0', '978-0-393-04002-9', '978-0-393-04002-9', '1436-4522', '979-0-2600-0043-8', '220356483481', '0220356483481'),
    (2, '-1234.11', '-0.01', '0-11-000222-9', '978-1-86197-876-9', '977-1436-452-00-8', 'M-2306-7118-7', '036000291452', '4006381333931'),
    (3, '-92233720368547758.08', '92233720368547758.07', NULL, NULL, NULL, NULL, NULL, NULL),
    (4, NULL, '1', NULL, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE user_types (
    id int PRIMARY KEY, m mood, m_must mood NOT NULL, combined pair, short short_text, pos positive, pr price, prpr price_of_price, at moment, short_must short_text NOT NULL DEFAULT 'x', ms mood[]
);
INSERT INTO user_types VALUES
    (1, 'sad', 'ok', '(1,"a b")', 'abc', 1, 1.5, 2.25, '2020-01-01 00:00:00.123Z', 'y', '{sad,ok}'),
    (2, 'happy, or so', 'calm', '(,)', '', 2147483647, -99999.999, 0, '1999-12-31Z', 'z', '{"happy, or so",NULL}'),
    (3, NULL, 'happy, or so', NULL, NULL, NULL, NULL, NULL, NULL, 'n', NULL);

CREATE TABLE ranges (id int PRIMARY KEY, i int4range, b int8range, n numrange, d daterange, t tsrange, z tstzrange, many int4multirange, days datemultirange);
INSERT INTO ranges VALUES
    (1, '[1,10)', '[1,10]', '(1.5,2.5]', '[2020-01-01,2020-02-01)', '[2020-01-01,2020-02-01 12:30:00.5]', '[2020-01-01Z,2020-02-01Z)', '{[1,2),[5,9)}', '{[2020-01-01,2020-02-01)}'),
    (2, 'empty', '(,)', '[1,)', '(,2020-01-01]', '(,)', '[2020-01-01 00:00+02,)', '{}', '{}'),
    (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE arrays (
    id int PRIMARY KEY, i2 int2[], i4 int4[], i8 int8[], f4 real[], f8 float8[], n numeric[], nf numeric(10, 2)[], b bool[], t text[], v varchar(5)[], c char(10)[],
    u uuid[], d date[], ti time[], ts timestamp[], tz timestamptz[], j json[], jb jsonb[], a inet[], ci cidr[], m macaddr[], ct citext[], h hstore[], e mood[], o oid[], i4_must int4[] NOT NULL
);
INSERT INTO arrays VALUES
    (1, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'),
    (2, '{1,2,NULL}', '{1,2,3}', '{1,9223372036854775807}', '{1.5,NaN}', '{2.5,Infinity}', '{1.1,22.22,NULL}', '{1.1,22.22}', '{t,f,NULL}', '{"one","t w o","q\"uote",NULL,"NULL"}', '{abc,de}', '{cone,ctwo}',
        '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}', '{2020-01-01,NULL}', '{12:00,13:00:00.5}', '{"2020-01-01 12:00:00.5"}', '{"2020-01-01 12:00:00.5Z"}', ARRAY['{"a":1}', '[1, 2]']::json[], ARRAY['{"a":1}', 'null']::jsonb[], '{10.0.0.1,::1}', '{10.0.0.0/8}', '{08:00:2b:01:02:03}', '{Loose,"b c"}', ARRAY['a=>1', 'b=>NULL']::hstore[], '{sad,"happy, or so"}', '{1,4294967295}', '{1}'),
    (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{3}');

CREATE TABLE arrays_more (id int PRIMARY KEY, by bytea[], mo money[], iv interval[], bi bit(3)[], vb varbit[], x xml[], p point[], na name[], r int4range[], tt timetz[], dm short_text[], pr pair[], l ltree[], mc macaddr8[], vec oidvector, ch "char"[]);
INSERT INTO arrays_more VALUES
    (1, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '', '{}'),
    (2, ARRAY['\x00ff', '\x']::bytea[], '{1.50}', '{1 day}', '{101}', '{1}', '{<a/>}', '{"(1,2)"}', '{name}', '{"[1,2)"}', '{12:00+02}', '{abc}', ARRAY[(1, 'x')::pair], '{a.b}', '{08:00:2b:01:02:03:04:05}', '1 2', '{a}'),
    (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE matrices (id int PRIMARY KEY, i int[][], t text[][]);
INSERT INTO matrices VALUES (1, '{{1,2},{3,4}}', '{{a,b},{c,NULL}}'), (2, '[0:1]={5,6}', '{{{x}}}');

CREATE TABLE system_types (id int PRIMARY KEY, x xid, ci cid, t tid, c regclass, ty regtype, s txid_snapshot, x8 xid8, jp jsonpath, ro regrole, ns regnamespace);
INSERT INTO system_types VALUES (1, '1', '2', '(0,1)', 'pg_class', 'int4', '10:20:10,14', '7', '$.a', 'postgres', 'public'), (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

-- What the precise decimals cannot hold: a table of its own, which only some option sets read.
CREATE TABLE special_decimals (id int PRIMARY KEY, plain numeric, fixed numeric(10, 2));
INSERT INTO special_decimals VALUES (1, 'NaN', 'NaN'), (2, 'Infinity', NULL), (3, '-Infinity', NULL);
