-- Records a batch of items in one transaction: each item whole or not at all, none by its neighbours.
--
-- batch: [{stream, kind, first, actor, on_behalf_of?, correlation_id, causation_id?,
--          events: [{id, topic, state (base64)}], take: [{scope, value (base64)}], release: [scope],
--          key?: {master_id, wrapped (base64)}, destroy_key?,
--          snapshot?: {form, version, sealed (base64)},
--          receipt?: {key, request (base64), status}}]
-- The caller sends no two items in a batch that share a stream, a claim or a key. An item without
-- `first` has no events and no receipt: it stores a snapshot of any version that exists.
--
-- Answers [b, t, r1, r2, ...]: events recorded now have positions from b on, and the event at
-- position p was recorded at t + (p - b) microseconds since 1970. r is the position of the item's
-- last event (of the log's head for an item without events), or what stopped it:
-- -1 the idempotency key was seen, -2 the stream is not at version first - 1,
-- -3 the master key that wraps its new key is not the current one of the log,
-- -10 - n another stream holds its claim n (from 0). A position below b: the item stood already.
CREATE OR REPLACE FUNCTION append_v2(for_tenant text, batch jsonb) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
SET jit = off -- by its estimates this is nearly worth compiling, which takes longer than a batch
AS $$
DECLARE
    head     bigint;
    head_at  timestamptz;
    master   text;
    base     bigint;
    base_at  timestamptz;
    verdicts bigint[];
    offsets  bigint[];
    total    bigint;
BEGIN
    -- The order of positions is the order of commits only if each statement below sees what the
    -- last holder of the lock committed, and a snapshot taken before the lock would not.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'append_v2 needs READ COMMITTED';
    END IF;
    PERFORM pg_advisory_xact_lock(1383034987, 1);

    SELECT notification_id, recorded_at INTO head, head_at
    FROM stored_events ORDER BY notification_id DESC LIMIT 1;
    head := coalesce(head, 0);
    -- Read under the lock: after a rotation has changed it, no key under an older one is stored.
    SELECT master_id INTO master FROM log WHERE only_row;

    -- Judge each item; 0: to be recorded. Each look-up is a LATERAL with a LIMIT or a scalar
    -- subquery with one: an index probe an item, where a join may be planned as a scan. Claims
    -- have two indexes with the scope in them, and to a planner that knows the table as empty
    -- they look alike: a scope behind `|| ''` is no condition on an index, so the one is left that
    -- finds one row and not all.
    WITH judged AS MATERIALIZED (
        SELECT i.n, jsonb_array_length(i.item->'events') AS events,
            CASE
                WHEN standing.position IS NOT NULL
                    THEN standing.position + jsonb_array_length(i.item->'events') - 1
                WHEN (SELECT true FROM receipts r
                      WHERE r.key = i.item->'receipt'->>'key' AND r.actor = i.item->>'actor'
                        AND r.tenant = for_tenant
                      LIMIT 1) THEN -1
                -- Rollbook's streams begin at 1; aggregates of the library may begin at 0.
                WHEN (i.item->>'first')::bigint <> coalesce(
                    (SELECT e.originator_version + 1 FROM stored_events e
                     WHERE e.originator_id = (i.item->>'stream')::uuid
                     ORDER BY e.originator_version DESC LIMIT 1),
                    CASE WHEN i.item->>'first' = '0' THEN 0 ELSE 1 END) THEN -2
                ELSE coalesce(
                    (SELECT -10 - min(t.n - 1)
                     FROM jsonb_array_elements(i.item->'take') WITH ORDINALITY AS t(claim, n)
                     CROSS JOIN LATERAL (
                        SELECT FROM claims c
                        WHERE c.value = decode(t.claim->>'value', 'base64')
                          AND c.scope || '' = t.claim->>'scope' AND c.tenant = for_tenant
                          AND c.stream_id <> (i.item->>'stream')::uuid
                        LIMIT 1) AS held),
                    CASE WHEN i.item->'key'->>'master_id' <> master THEN -3 ELSE 0 END)
            END AS verdict
        FROM jsonb_array_elements(batch) WITH ORDINALITY AS i(item, n)
        LEFT JOIN LATERAL (
            SELECT e.notification_id AS position FROM stored_events e
            WHERE e.originator_id = (i.item->>'stream')::uuid
              AND e.originator_version = (i.item->>'first')::bigint
              AND e.event_id = (i.item->'events'->0->>'id')::uuid
            LIMIT 1
        ) standing ON true
    ), counted AS (
        SELECT n, verdict, CASE WHEN verdict = 0 THEN events ELSE 0 END AS mine,
               sum(CASE WHEN verdict = 0 THEN events ELSE 0 END) OVER (ORDER BY n) AS running
        FROM judged
    )
    SELECT array_agg(verdict ORDER BY n), array_agg(running - mine ORDER BY n),
           coalesce(max(running), 0)
    INTO verdicts, offsets, total FROM counted;

    IF total > 0 THEN
        base := nextval('stored_events_notification_id_seq');
        IF base <= head THEN
            base := head + 1;
        END IF;
        PERFORM setval('stored_events_notification_id_seq', base + total - 1);
    ELSE
        base := head + 1;
    END IF;
    base_at := greatest(clock_timestamp(), head_at + interval '1 microsecond');

    -- Releases come before claims, so that one item may give up a value and take another. OFFSET 0
    -- keeps the look-up inside the loop: one probe of the index an item, whatever the planner thinks.
    IF batch @? '$[*].release' THEN
        DELETE FROM claims WHERE ctid = ANY (ARRAY(
            SELECT held.ctid
            FROM jsonb_array_elements(batch) WITH ORDINALITY AS i(item, n)
            CROSS JOIN LATERAL jsonb_array_elements_text(i.item->'release') AS r(scope)
            CROSS JOIN LATERAL (
                SELECT c.ctid FROM claims c
                WHERE c.stream_id = (i.item->>'stream')::uuid AND c.scope || '' = r.scope
                  AND c.tenant || '' = for_tenant
                OFFSET 0) AS held
            WHERE verdicts[i.n] = 0));
    END IF;

    INSERT INTO claims (tenant, scope, value, stream_id)
    SELECT for_tenant, t.claim->>'scope', decode(t.claim->>'value', 'base64'),
           (i.item->>'stream')::uuid
    FROM jsonb_array_elements(batch) WITH ORDINALITY AS i(item, n)
    CROSS JOIN LATERAL jsonb_array_elements(i.item->'take') AS t(claim)
    WHERE verdicts[i.n] = 0
    ON CONFLICT (value, scope, tenant) DO NOTHING;

    INSERT INTO subject_keys (tenant, subject, master_id, wrapped)
    SELECT for_tenant, (i.item->>'stream')::uuid, i.item->'key'->>'master_id',
           decode(i.item->'key'->>'wrapped', 'base64')
    FROM jsonb_array_elements(batch) WITH ORDINALITY AS i(item, n)
    WHERE verdicts[i.n] = 0 AND i.item ? 'key';

    INSERT INTO stored_events (
        originator_id, originator_version, topic, state, notification_id, tenant, kind, event_id,
        actor, on_behalf_of, correlation_id, causation_id, recorded_at)
    SELECT (i.item->>'stream')::uuid,
           (i.item->>'first')::bigint + e.n - 1,
           e.event->>'topic',
           decode(e.event->>'state', 'base64'),
           base + offsets[i.n] + e.n - 1,
           for_tenant,
           i.item->>'kind',
           (e.event->>'id')::uuid,
           i.item->>'actor',
           i.item->>'on_behalf_of',
           i.item->>'correlation_id',
           (i.item->>'causation_id')::uuid,
           base_at + (offsets[i.n] + e.n - 1) * interval '1 microsecond'
    FROM jsonb_array_elements(batch) WITH ORDINALITY AS i(item, n)
    CROSS JOIN LATERAL jsonb_array_elements(i.item->'events') WITH ORDINALITY AS e(event, n)
    WHERE verdicts[i.n] = 0;

    -- A snapshot without its person's key could never be opened. One that exists may be unusable.
    IF batch @? '$[*].snapshot' THEN
        INSERT INTO snapshots (
            tenant, stream, form, version, position, created_at, recorded_at, sealed)
        SELECT for_tenant, e.originator_id, i.item->'snapshot'->>'form', e.originator_version,
               e.notification_id, first.recorded_at, e.recorded_at,
               decode(i.item->'snapshot'->>'sealed', 'base64')
        FROM jsonb_array_elements(batch) WITH ORDINALITY AS i(item, n)
        CROSS JOIN LATERAL (
            SELECT * FROM stored_events s
            WHERE s.originator_id = (i.item->>'stream')::uuid
              AND s.originator_version = (i.item->'snapshot'->>'version')::bigint
            LIMIT 1) AS e
        CROSS JOIN LATERAL (
            SELECT s.recorded_at FROM stored_events s
            WHERE s.originator_id = e.originator_id AND s.originator_version = 1
            LIMIT 1) AS first
        WHERE verdicts[i.n] = 0 AND i.item ? 'snapshot' AND EXISTS (
            SELECT FROM subject_keys k
            WHERE k.subject = e.originator_id AND k.tenant = for_tenant)
        ON CONFLICT (stream, tenant, form, version) DO UPDATE SET sealed = excluded.sealed;
    END IF;

    IF batch @? '$[*].destroy_key' THEN
        DELETE FROM subject_keys WHERE tenant = for_tenant AND subject = ANY (ARRAY(
            SELECT (i.item->>'stream')::uuid
            FROM jsonb_array_elements(batch) WITH ORDINALITY AS i(item, n)
            WHERE verdicts[i.n] = 0 AND i.item->'destroy_key' = 'true'::jsonb));
    END IF;

    -- From here on an accepted item's verdict is its position.
    SELECT array_agg(
        CASE
            WHEN verdicts[i.n] <> 0 THEN verdicts[i.n]
            WHEN jsonb_array_length(i.item->'events') = 0 THEN head
            ELSE base + offsets[i.n] + jsonb_array_length(i.item->'events') - 1
        END ORDER BY i.n)
    INTO offsets
    FROM jsonb_array_elements(batch) WITH ORDINALITY AS i(item, n);

    INSERT INTO receipts (tenant, actor, key, request, status, stream, version, position, recorded_at)
    SELECT for_tenant, i.item->>'actor', i.item->'receipt'->>'key',
           decode(i.item->'receipt'->>'request', 'base64'),
           (i.item->'receipt'->>'status')::smallint,
           (i.item->>'stream')::uuid,
           (i.item->>'first')::bigint + jsonb_array_length(i.item->'events') - 1,
           offsets[i.n], clock_timestamp() -- not the log's time, which a wrong clock leaves ahead
    FROM jsonb_array_elements(batch) WITH ORDINALITY AS i(item, n)
    WHERE verdicts[i.n] = 0 AND i.item ? 'receipt';

    IF total > 0 THEN
        PERFORM pg_notify('rollbook', 'log');
    END IF;
    -- What stood already may have lost its wait for the synchronous replica with its session: a
    -- record of our own makes this commit wait for all before it.
    IF EXISTS (SELECT FROM unnest(verdicts) AS v WHERE v > 0) THEN
        PERFORM pg_logical_emit_message(true, 'rollbook', 'stood');
    END IF;

    RETURN array[base, (extract(epoch FROM base_at) * 1000000)::bigint] || offsets;
END
$$;
