-- Core data of Headgate: accounts, lines, numbers, BTIs, work orders, routes, CDRs.
-- One schema for each domain, one role for each program. Roles are made by `headgatectl migrate` before this file
-- runs (they belong to the cluster, not to the database): hg_gc, hg_prov, hg_admin, hg_li.

CREATE SCHEMA core;
CREATE SCHEMA prov;
CREATE SCHEMA cdr;

CREATE TABLE core.account (
    account_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 128),
    barred      boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE core.line (
    line_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id  bigint NOT NULL REFERENCES core.account,
    display     text NOT NULL DEFAULT '' CHECK (length(display) <= 64),
    level       smallint NOT NULL DEFAULT 0 CHECK (level IN (0, 1)),
    barred      boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE core.number (
    number      text PRIMARY KEY CHECK (number ~ '^\+[1-9][0-9]{6,14}$'),
    line_id     bigint NOT NULL REFERENCES core.line ON DELETE CASCADE,
    is_primary  boolean NOT NULL DEFAULT true
);
CREATE UNIQUE INDEX number_primary ON core.number (line_id) WHERE is_primary;

-- A BTI as everybody may know it; its keys are in prov.bti_key.
CREATE TABLE core.bti (
    bti_id      bytea PRIMARY KEY CHECK (length(bti_id) = 16),
    line_id     bigint NOT NULL REFERENCES core.line,
    mac_address text NOT NULL DEFAULT '',
    model       text NOT NULL DEFAULT '',
    software    text NOT NULL DEFAULT '',
    enrolled_at timestamptz NOT NULL DEFAULT now(),
    revoked_at  timestamptz
);
CREATE INDEX bti_line ON core.bti (line_id);

CREATE TABLE core.route (
    route_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    kind        text NOT NULL CHECK (kind IN ('next_hop', 'emergency')),
    prefix      text NOT NULL CHECK (prefix ~ '^(\+[0-9]{0,15}|[0-9]{1,8}|urn:service:sos[a-z.]*)$'),
    priority    integer NOT NULL DEFAULT 100 CHECK (priority BETWEEN 0 AND 65535),
    next_hop    text NOT NULL CHECK (next_hop ~ '^sip:[^ ]+$')
);

CREATE TABLE prov.bti_key (
    bti_id       bytea PRIMARY KEY REFERENCES core.bti ON DELETE CASCADE,
    k_u          bytea NOT NULL CHECK (length(k_u) = 65),   -- K_U+, uncompressed P-256 point
    ltk_sealed   bytea NOT NULL,                            -- sealed under the PS's key-encryption key
    counter      bigint NOT NULL DEFAULT 0,                 -- last session request counter accepted
    last_session timestamptz
);

CREATE TABLE prov.work_order (
    work_order_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest       bytea NOT NULL UNIQUE CHECK (length(digest) = 32), -- HMAC-SHA-256 of the number under the work-order key
    hint         text NOT NULL,                             -- last two digits, for people
    line_id      bigint NOT NULL REFERENCES core.line,
    expires_at   timestamptz NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    spent_at     timestamptz,
    spent_by     bytea,                                     -- bti_id
    spent_k_u    bytea,                                     -- K_U+ that spent it: the same key may run it again
    cancelled_at timestamptz
);

CREATE TABLE cdr.call (
    cdr_id      text PRIMARY KEY,
    started_at  timestamptz NOT NULL,
    answered_at timestamptz,
    ended_at    timestamptz NOT NULL,
    caller_line bigint,
    callee_line bigint,
    caller      text NOT NULL,
    called      text NOT NULL,
    routed      text NOT NULL,
    call_id     text NOT NULL,
    route       text NOT NULL,
    status      integer NOT NULL,
    end_by      text NOT NULL,
    node        text NOT NULL
);
CREATE INDEX call_started ON cdr.call (started_at);
-- COPY lands here first; rows move on with ON CONFLICT DO NOTHING, so that a repeated batch counts once.
CREATE UNLOGGED TABLE cdr.incoming (LIKE cdr.call);

-- Every change that a gate controller must know, numbered; NOTIFY only says "look".
CREATE TABLE core.change_log (
    seq  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid  xid8 NOT NULL DEFAULT pg_current_xact_id(),        -- readers stop before the oldest running one
    tbl  text NOT NULL,
    key  text NOT NULL,
    at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX change_at ON core.change_log (at);

CREATE FUNCTION core.note_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, core AS $$
DECLARE
    r record;
    k text;
BEGIN
    IF TG_OP = 'DELETE' THEN r := OLD; ELSE r := NEW; END IF;
    k := CASE TG_TABLE_NAME
             WHEN 'account' THEN (to_jsonb(r) ->> 'account_id')
             WHEN 'line'    THEN (to_jsonb(r) ->> 'line_id')
             WHEN 'number'  THEN (to_jsonb(r) ->> 'line_id')
             WHEN 'bti'     THEN encode((to_jsonb(r) ->> 'bti_id')::bytea, 'hex')
             ELSE '*' END;
    INSERT INTO core.change_log (tbl, key) VALUES (TG_TABLE_NAME, k);
    PERFORM pg_notify('hg_change', TG_TABLE_NAME || ':' || k);
    RETURN NULL;
END $$;

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON core.account
    FOR EACH ROW EXECUTE FUNCTION core.note_change();
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON core.line
    FOR EACH ROW EXECUTE FUNCTION core.note_change();
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON core.number
    FOR EACH ROW EXECUTE FUNCTION core.note_change();
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON core.bti
    FOR EACH ROW EXECUTE FUNCTION core.note_change();
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON core.route
    FOR EACH ROW EXECUTE FUNCTION core.note_change();

-- One role for each program, and for each only what it needs.
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA core TO hg_gc, hg_prov, hg_admin;
GRANT USAGE ON SCHEMA prov TO hg_prov, hg_admin;
GRANT USAGE ON SCHEMA cdr TO hg_gc, hg_admin;

GRANT SELECT ON core.account, core.line, core.number, core.bti, core.route, core.change_log TO hg_gc;
GRANT INSERT ON cdr.call TO hg_gc;
GRANT SELECT (cdr_id) ON cdr.call TO hg_gc;
GRANT SELECT, INSERT, DELETE, TRUNCATE ON cdr.incoming TO hg_gc;

GRANT SELECT ON core.account, core.line, core.number TO hg_prov;
GRANT SELECT, INSERT, UPDATE ON core.bti, prov.bti_key TO hg_prov;
GRANT SELECT, UPDATE ON prov.work_order TO hg_prov;

GRANT SELECT, INSERT, UPDATE, DELETE ON core.account, core.line, core.number, core.route TO hg_admin;
GRANT SELECT ON core.bti, core.change_log TO hg_admin;
GRANT UPDATE (revoked_at) ON core.bti TO hg_admin;
GRANT SELECT (work_order_id, hint, line_id, expires_at, created_at, spent_at, spent_by, cancelled_at),
      INSERT (digest, hint, line_id, expires_at), UPDATE (cancelled_at) ON prov.work_order TO hg_admin;
GRANT SELECT ON cdr.call TO hg_admin;
