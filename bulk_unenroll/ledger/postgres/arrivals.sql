-- An order on its way into the ledger, of which several processes load parts. A part, or a division
-- of the customers, is leased by the lock of its row: who is killed gives it back, and what it had
-- written of it is undone.

-- name: has_arrivals
SELECT EXISTS (SELECT 1 FROM arriving);

-- name: make_divisions
CREATE TABLE staged (division smallint, id bigint, customer_id bigint, target integer)
PARTITION BY LIST (division);
DO $$
BEGIN
    FOR number IN 0..{last_division} LOOP
        EXECUTE 'CREATE UNLOGGED TABLE staged_' || number
            || ' PARTITION OF staged FOR VALUES IN (' || number || ')';
    END LOOP;
END $$;

-- name: add_arriving
-- Ids are kept in the order of the parts, for by them it is known which place is the first one.
INSERT INTO arriving (number, source, file, content)
SELECT p.number, nextval(pg_get_serial_sequence('source', 'id')), p.file, p.content
FROM (SELECT * FROM unnest(:files::text[], :contents::text[]) WITH ORDINALITY
      AS u (file, content, number) ORDER BY number) p;

-- name: lease_part
SELECT a.number, a.source, a.file, a.content FROM arriving a
WHERE NOT a.done AND a.number < :before AND a.number <> ALL (:but::integer[])
  AND (:plans OR a.file IS NOT NULL)
  AND EXISTS (SELECT 1 FROM meta WHERE name = 'arriving' AND value = :order)
ORDER BY a.number LIMIT 1 FOR UPDATE OF a SKIP LOCKED;

-- name: is_known
SELECT EXISTS (SELECT 1 FROM source
               WHERE path = :path AND sha256 = :sha256 AND reading = :reading);

-- name: part_loaded
UPDATE arriving SET done = true, info = :info, row_count = :row_count, noticed = :noticed
WHERE number = :number;

-- name: parts_loaded
SELECT number, row_count FROM arriving WHERE done;

-- name: arriving_so_far
SELECT count(*), count(*) FILTER (WHERE done), coalesce(sum(row_count), 0)::bigint FROM arriving
WHERE EXISTS (SELECT 1 FROM meta WHERE name = 'arriving');

-- name: add_divisions
INSERT INTO division (number) SELECT generate_series(0, {last_division});

-- name: lease_division
SELECT d.number FROM division d
WHERE NOT d.done AND EXISTS (SELECT 1 FROM meta WHERE name = 'arriving' AND value = :order)
ORDER BY d.number LIMIT 1 FOR UPDATE OF d SKIP LOCKED;

-- name: division_sorted
UPDATE division SET done = true WHERE number = :number;

-- name: divisions_left
SELECT count(*) FROM division WHERE NOT done;

-- name: arrivals
SELECT source, info, row_count, noticed FROM arriving ORDER BY number;

-- name: arriving_sources
SELECT source FROM arriving;

-- name: rows_arrived
-- The divisions are not written to the log of the server: after its crash they are empty.
SELECT (SELECT count(*) FROM item WHERE {source_of id} IN (SELECT source FROM arriving))
     + (SELECT count(*) FROM row WHERE source IN (SELECT source FROM arriving));

-- name: end_arrivals
DROP TABLE IF EXISTS staged;
DELETE FROM arriving;
DELETE FROM division;
DELETE FROM meta WHERE name = 'arriving';

-- name: close_arrivals
-- From now on nobody takes a part of it.
DELETE FROM meta WHERE name = 'arriving';

-- name: end_loaders
-- Who holds a part or a division of an order that nobody waits for any more.
SELECT pg_terminate_backend(l.pid) FROM pg_locks l
JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
WHERE l.relation IN ('arriving'::regclass, 'division'::regclass) AND l.mode = 'RowShareLock'
  AND l.pid <> pg_backend_pid();

-- name: forget_arrivals
WITH gone AS (SELECT source FROM arriving),
items AS (DELETE FROM item WHERE {source_of id} IN (SELECT source FROM gone)),
rows AS (DELETE FROM row WHERE source IN (SELECT source FROM gone)),
lines AS (DELETE FROM line WHERE source IN (SELECT source FROM gone)),
targets AS (DELETE FROM target WHERE {source_of place} IN (SELECT source FROM gone))
DELETE FROM chunk WHERE {source_of id} IN (SELECT source FROM gone);
