-- The columns of a generation's table with their types, the names of its indexes, and its revision.
-- No row where the generation has no table.
SELECT g.revision,
       (SELECT jsonb_object_agg(a.attname, format_type(a.atttypid, a.atttypmod))
        FROM pg_attribute a
        WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped),
       (SELECT coalesce(jsonb_agg(c.relname), '[]')
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE i.indrelid = t.oid)
FROM generations g
JOIN pg_class t ON t.oid = to_regclass(quote_ident(%(table)s))
WHERE g.tenant = %(tenant)s AND g.projection = %(name)s AND g.generation = %(generation)s
