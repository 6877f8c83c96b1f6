-- What headgate-li keeps: a database of its own, whose rows say nothing without its key.
-- The owner of the database runs this; hg_li alone may connect.

CREATE SEQUENCE item_version;
CREATE TABLE item (
    kind    text NOT NULL CHECK (kind IN ('agency', 'order')),
    id      bigint NOT NULL CHECK (id > 0),
    version bigint NOT NULL DEFAULT nextval('item_version') UNIQUE,
    sealed  bytea NOT NULL CHECK (length(sealed) BETWEEN 29 AND 40000),
    PRIMARY KEY (kind, id)
);

-- Who did what: each row with the hash of the one before it.
CREATE TABLE event (
    seq    bigint PRIMARY KEY,
    at     timestamptz NOT NULL,
    sealed bytea NOT NULL,
    prev   bytea NOT NULL CHECK (length(prev) = 32),
    hash   bytea NOT NULL CHECK (length(hash) = 32)
);

CREATE FUNCTION event_hash(p_seq bigint, p_at timestamptz, p_sealed bytea, p_prev bytea) RETURNS bytea
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$
    SELECT sha256(convert_to(p_seq || ':' || to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || ':'
        || encode(p_sealed, 'hex') || ':' || encode(p_prev, 'hex'), 'UTF8'))
$$;

CREATE FUNCTION add_event(p_seq bigint, p_sealed bytea) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last bytea := coalesce((SELECT e.hash FROM public.event e WHERE e.seq = p_seq - 1), decode(repeat('00', 32), 'hex'));
    now_at timestamptz := clock_timestamp();
BEGIN
    IF p_seq <> coalesce((SELECT max(e.seq) FROM public.event e), 0) + 1 THEN
        RAISE EXCEPTION 'the log goes on at another number' USING ERRCODE = 'serialization_failure';
    END IF;
    INSERT INTO public.event VALUES (p_seq, now_at, p_sealed, last, public.event_hash(p_seq, now_at, p_sealed, last));
END $$;

CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION 'the log is written to and never changed' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON event FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER append_only_all BEFORE TRUNCATE ON event FOR EACH STATEMENT EXECUTE FUNCTION append_only();
ALTER TABLE event ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_all;

DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO hg_li', current_database());
END $$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO hg_li;
GRANT SELECT, INSERT, UPDATE ON item TO hg_li;
GRANT USAGE ON SEQUENCE item_version TO hg_li;
GRANT SELECT ON event TO hg_li;
REVOKE ALL ON FUNCTION add_event(bigint, bytea), append_only() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION add_event(bigint, bytea), event_hash(bigint, timestamptz, bytea, bytea) TO hg_li;
