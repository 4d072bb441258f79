-- pgvector's types: as columns, in arrays of PostgreSQL's own, NULL, unchanged TOAST, keys.

CREATE EXTENSION vector;

CREATE TABLE vectors (id int PRIMARY KEY, must vector(3) NOT NULL, any_size vector, half halfvec(3), half_any halfvec, sparse sparsevec(5), sparse_any sparsevec);
INSERT INTO vectors VALUES
    (1, '[1,2,3]', '[0.1]', '[1,2,3]', '[0.1]', '{1:0.5,3:2}/5', '{}/1'),
    (2, '[0,-0,1e-45]', '[3.4028235e38,-3.4028235e38,1.17549435e-38]', '[65504,-65504,6e-8]', '[0.333333,100.5]', '{}/5', '{2:1.5}/32767'),
    (3, '[1.5,16777216,0.1]', NULL, NULL, NULL, NULL, NULL),
    (4, '[1e10,1e-10,123456.789]', '[1e7,9999999,1e-3,0.0001]', '[1000,10000,0.001]', '[0]', '{1:1,2:2,3:3,4:4,5:5}/5', '{1:1,17:2,33:3,100:4,1000:5,31000:6}/32000');

CREATE TABLE vectors_full (id int PRIMARY KEY, v vector(3) DEFAULT '[7,8,9]', h halfvec(2) DEFAULT '[1,2]', s sparsevec(3) DEFAULT '{1:1}/3');
ALTER TABLE vectors_full REPLICA IDENTITY FULL;
INSERT INTO vectors_full VALUES (1, '[1,2,3]', '[3,4]', '{2:2}/3'), (2, DEFAULT, DEFAULT, DEFAULT), (3, NULL, NULL, NULL);

CREATE TABLE vectors_many (id int PRIMARY KEY, note text, large vector(2000));
ALTER TABLE vectors_many ALTER COLUMN large SET STORAGE EXTERNAL;
INSERT INTO vectors_many SELECT 1, 'n', array_agg(i / 7.0)::vector FROM generate_series(1, 2000) i;

CREATE TABLE zz_marker (id int PRIMARY KEY, step text);
INSERT INTO zz_marker VALUES (0, 'setup');
