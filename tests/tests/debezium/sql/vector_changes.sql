-- What happens to the tables of vectors.sql while both sides stream.

-- step inserted
INSERT INTO vectors SELECT id + 100, must, any_size, half, half_any, sparse, sparse_any FROM vectors;
INSERT INTO vectors_full SELECT id + 100, v, h, s FROM vectors_full;

-- step updated and deleted
UPDATE vectors SET must = '[9,9,9]', sparse = NULL WHERE id = 101;
UPDATE vectors SET id = 200 WHERE id = 102;
DELETE FROM vectors WHERE id > 103;
UPDATE vectors_full SET v = '[0.5,0.25,0.125]', h = NULL, s = '{3:3}/3' WHERE id = 101;
UPDATE vectors_full SET id = 300 WHERE id = 102;
DELETE FROM vectors_full WHERE id > 103;
UPDATE vectors_many SET note = 'the vector is unchanged';
UPDATE vectors_many SET large = NULL;
