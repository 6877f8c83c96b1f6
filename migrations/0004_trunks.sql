-- Trunks, the dial plan, richer routes, and Digest credentials of standard phones.

CREATE TABLE core.trunk (
    trunk_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL UNIQUE CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    host         text NOT NULL CHECK (host ~ '^[A-Za-z0-9.:_-]{1,253}$'),
    port         integer NOT NULL DEFAULT 0 CHECK (port BETWEEN 0 AND 65535),
    transport    text NOT NULL DEFAULT '' CHECK (transport IN ('', 'udp', 'tcp', 'tls')),
    auth         text NOT NULL DEFAULT 'address' CHECK (auth IN ('address', 'certificate')),
    tls_name     text NOT NULL DEFAULT '' CHECK (tls_name ~ '^[A-Za-z0-9._-]{0,253}$'),
    sources      cidr[] NOT NULL DEFAULT '{}' CHECK (cardinality(sources) <= 16),
    trusts_identity boolean NOT NULL DEFAULT false,
    sends_identity  boolean NOT NULL DEFAULT false,
    may_transit  boolean NOT NULL DEFAULT false,
    disabled     boolean NOT NULL DEFAULT false,
    number_form  text NOT NULL DEFAULT 'e164' CHECK (number_form IN ('e164', 'bare', 'national')),
    strip        smallint NOT NULL DEFAULT 0 CHECK (strip BETWEEN 0 AND 15),
    add_digits   text NOT NULL DEFAULT '' CHECK (add_digits ~ '^[0-9*#+]{0,15}$'),
    default_number text NOT NULL DEFAULT '' CHECK (default_number ~ '^(\+[1-9][0-9]{6,14})?$'),
    max_channels integer NOT NULL DEFAULT 0 CHECK (max_channels >= 0),
    max_cps      integer NOT NULL DEFAULT 0 CHECK (max_cps >= 0),
    ping_s       integer NOT NULL DEFAULT 10 CHECK (ping_s BETWEEN 0 AND 3600),
    auth_user    text NOT NULL DEFAULT '' CHECK (auth_user ~ '^[A-Za-z0-9._~+-]{0,64}$'),
    auth_sealed  bytea NOT NULL DEFAULT '' CHECK (length(auth_sealed) <= 256),
    CHECK (auth = 'address' OR transport IN ('', 'tls'))
);

ALTER TABLE core.route
    ADD COLUMN trunk_id       bigint REFERENCES core.trunk,
    ADD COLUMN weight         integer NOT NULL DEFAULT 1 CHECK (weight BETWEEN 0 AND 65535),
    ADD COLUMN max_channels   integer NOT NULL DEFAULT 0 CHECK (max_channels >= 0),
    ADD COLUMN days           smallint NOT NULL DEFAULT 0 CHECK (days BETWEEN 0 AND 127),
    ADD COLUMN from_min       smallint NOT NULL DEFAULT 0 CHECK (from_min BETWEEN 0 AND 1439),
    ADD COLUMN to_min         smallint NOT NULL DEFAULT 0 CHECK (to_min BETWEEN 0 AND 1439),
    ADD COLUMN utc_offset_min smallint NOT NULL DEFAULT 0 CHECK (utc_offset_min BETWEEN -840 AND 840),
    ALTER COLUMN next_hop DROP NOT NULL,
    DROP CONSTRAINT route_prefix_check,
    ADD CONSTRAINT route_prefix_check CHECK (prefix ~ '^(\+[0-9]{0,15}|[0-9*#]{1,16}|urn:service:sos[a-z.]*)$'),
    ADD CONSTRAINT route_way CHECK ((next_hop IS NULL) <> (trunk_id IS NULL));

CREATE TABLE core.dial_rule (
    rule_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 63),
    prefix     text NOT NULL CHECK (prefix ~ '^\+?[0-9*#]{0,16}$'),
    min_digits smallint NOT NULL DEFAULT 0 CHECK (min_digits BETWEEN 0 AND 32),
    max_digits smallint NOT NULL DEFAULT 0 CHECK (max_digits BETWEEN 0 AND 32),
    rank       integer NOT NULL DEFAULT 100 CHECK (rank BETWEEN 0 AND 65535),
    strip      smallint NOT NULL DEFAULT 0 CHECK (strip BETWEEN 0 AND 16),
    add_digits text NOT NULL DEFAULT '' CHECK (add_digits ~ '^\+?[0-9*#]{0,15}$'),
    is_feature boolean NOT NULL DEFAULT false,
    blocked    boolean NOT NULL DEFAULT false,
    CHECK (max_digits >= min_digits)
);

-- HA1 alone is worth as much as the password, so it is stored under the cluster key, which no database role holds.
CREATE TABLE core.credential (
    credential_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    line_id    bigint NOT NULL REFERENCES core.line ON DELETE CASCADE,
    username   text NOT NULL CHECK (username ~ '^[A-Za-z0-9._~+-]{1,64}$'),
    algorithm  text NOT NULL DEFAULT 'SHA-256' CHECK (algorithm IN ('SHA-256', 'MD5')),
    ha1_sealed bytea NOT NULL CHECK (length(ha1_sealed) BETWEEN 16 AND 256),
    disabled   boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (username, algorithm)
);
CREATE INDEX credential_line ON core.credential (line_id);

-- Credentials are read with their line.
CREATE OR REPLACE FUNCTION core.change_key(tbl text, r jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$
    SELECT CASE tbl WHEN 'account'    THEN r ->> 'account_id'
                    WHEN 'line'       THEN r ->> 'line_id'
                    WHEN 'number'     THEN r ->> 'line_id'
                    WHEN 'credential' THEN r ->> 'line_id'
                    WHEN 'bti'        THEN encode((r ->> 'bti_id')::bytea, 'hex')
                    ELSE '*' END
$$;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON core.trunk
    FOR EACH ROW EXECUTE FUNCTION core.note_change();
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON core.dial_rule
    FOR EACH ROW EXECUTE FUNCTION core.note_change();
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON core.credential
    FOR EACH ROW EXECUTE FUNCTION core.note_change();

GRANT SELECT ON core.trunk, core.dial_rule, core.credential TO hg_gc;
GRANT SELECT, INSERT, UPDATE, DELETE ON core.trunk, core.dial_rule, core.credential TO hg_admin;

-- Old changes go. Who has not read for so long that one is missing sees it by this row and reads everything.
CREATE TABLE core.change_purged (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    xid xid8 NOT NULL DEFAULT '0'                           -- of the changes that are gone, the highest
);
INSERT INTO core.change_purged DEFAULT VALUES;
GRANT SELECT ON core.change_purged TO hg_gc;

CREATE FUNCTION core.purge_changes(keep interval, most integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gone xid8[];
    highest xid8;
BEGIN
    WITH d AS (
        DELETE FROM core.change_log WHERE seq IN (
            SELECT seq FROM core.change_log WHERE at < now() - greatest(keep, interval '1 hour')
            ORDER BY at LIMIT most FOR UPDATE SKIP LOCKED)
        RETURNING xid)
    SELECT array_agg(xid ORDER BY xid DESC) INTO gone FROM d;
    highest := gone[1];
    UPDATE core.change_purged SET xid = highest WHERE xid < highest;
    RETURN coalesce(cardinality(gone), 0);
END $$;
REVOKE ALL ON FUNCTION core.purge_changes(interval, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.purge_changes(interval, integer) TO hg_gc;
