-- What a line subscribes to and has switched on, what a trunk signs and verifies, and traces of malicious calls.

-- A line without a row subscribes to nothing and has nothing switched on.
CREATE TABLE core.line_service (
    line_id           bigint PRIMARY KEY REFERENCES core.line ON DELETE CASCADE,
    caller_id         boolean NOT NULL DEFAULT false,       -- it is shown who calls
    private           boolean NOT NULL DEFAULT false,       -- its calls are private unless *82 says otherwise
    rejects_anonymous boolean NOT NULL DEFAULT false,
    forward_always    text CHECK (forward_always ~ '^\+[1-9][0-9]{6,14}$'),
    forward_busy      text CHECK (forward_busy ~ '^\+[1-9][0-9]{6,14}$'),
    forward_no_answer text CHECK (forward_no_answer ~ '^\+[1-9][0-9]{6,14}$'),
    no_answer_s       smallint NOT NULL DEFAULT 20 CHECK (no_answer_s BETWEEN 5 AND 120)
);

ALTER TABLE core.trunk
    ADD COLUMN stir_sign   boolean NOT NULL DEFAULT false,
    ADD COLUMN stir_verify text NOT NULL DEFAULT 'off' CHECK (stir_verify IN ('off', 'mark', 'reject'));

-- Gate controllers of before leave them out; COPY by name of column fills in what they do not know.
ALTER TABLE cdr.call
    ADD COLUMN private      boolean NOT NULL DEFAULT false, -- hidden from the callee; caller is the truth all the same
    ADD COLUMN forwarded_by text NOT NULL DEFAULT '',       -- number whose service record sent the call on
    ADD COLUMN attest       text NOT NULL DEFAULT '';       -- A, B, C as signed or verified; -: bad
ALTER TABLE cdr.incoming
    ADD COLUMN private      boolean NOT NULL DEFAULT false,
    ADD COLUMN forwarded_by text NOT NULL DEFAULT '',
    ADD COLUMN attest       text NOT NULL DEFAULT '';
CREATE INDEX call_callee ON cdr.call (callee_line, started_at DESC) WHERE callee_line IS NOT NULL;

-- Service records are read with their line.
CREATE OR REPLACE FUNCTION core.change_key(tbl text, r jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$
    SELECT CASE tbl WHEN 'account'      THEN r ->> 'account_id'
                    WHEN 'line'         THEN r ->> 'line_id'
                    WHEN 'number'       THEN r ->> 'line_id'
                    WHEN 'credential'   THEN r ->> 'line_id'
                    WHEN 'line_service' THEN r ->> 'line_id'
                    WHEN 'bti'          THEN encode((r ->> 'bti_id')::bytea, 'hex')
                    ELSE '*' END
$$;
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON core.line_service
    FOR EACH ROW EXECUTE FUNCTION core.note_change();

GRANT SELECT ON core.line_service TO hg_gc;
GRANT SELECT, INSERT, UPDATE, DELETE ON core.line_service TO hg_admin;

-- A line changes its own record by feature codes. The gate controller knows who the line is (by MAC or Digest); it can set
-- these four things and no other. value NULL: off.
CREATE FUNCTION core.set_line_service(line bigint, setting text, value text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM core.line l JOIN core.account a USING (account_id)
                   WHERE l.line_id = line AND NOT l.barred AND NOT a.barred) THEN
        RAISE EXCEPTION 'the line is barred, or there is none' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF EXISTS (SELECT FROM core.number n WHERE n.number = value AND n.line_id = line) THEN
        RAISE EXCEPTION 'a line cannot forward to itself' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO core.line_service (line_id) VALUES (line) ON CONFLICT DO NOTHING;
    CASE setting
        WHEN 'rejects_anonymous' THEN
            UPDATE core.line_service SET rejects_anonymous = value IS NOT NULL WHERE line_id = line;
        WHEN 'forward_always' THEN
            UPDATE core.line_service SET forward_always = value WHERE line_id = line;
        WHEN 'forward_busy' THEN
            UPDATE core.line_service SET forward_busy = value WHERE line_id = line;
        WHEN 'forward_no_answer' THEN
            UPDATE core.line_service SET forward_no_answer = value WHERE line_id = line;
        ELSE
            RAISE EXCEPTION 'no such setting' USING ERRCODE = 'insufficient_privilege';
    END CASE;
END $$;

-- Who called a line last. A call that the line never saw because it rejects anonymous ones (433) is none of its calls.
CREATE FUNCTION core.last_call(line bigint)
    RETURNS TABLE (started_at timestamptz, caller text, called text, call_id text, private boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.started_at, c.caller, c.called, c.call_id, c.private FROM cdr.call c
    WHERE c.callee_line = line AND c.status <> 433 ORDER BY c.started_at DESC LIMIT 1
$$;

-- Traces (*57) are for those who follow malicious calls, not for everyday operators: a schema and a role of their own. No
-- foreign key: a trace outlives its line.
CREATE SCHEMA trace;
CREATE TABLE trace.record (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    line_id      bigint NOT NULL,                           -- who asked for the trace: the called line
    at           timestamptz NOT NULL DEFAULT now(),
    caller       text NOT NULL CHECK (length(caller) <= 64),
    called       text NOT NULL CHECK (length(called) <= 64),
    call_id      text NOT NULL CHECK (length(call_id) <= 128),
    call_started timestamptz NOT NULL,
    private      boolean NOT NULL,
    node         text NOT NULL CHECK (length(node) <= 64),
    UNIQUE (line_id, call_id)                               -- the same call traced twice is one trace
);

-- The later of the call that the gate controller has in memory (known_us, microseconds since 1970; 0: none) and the last call
-- record. False: there was no call.
CREATE FUNCTION trace.note_last_call(line bigint, node text, known_us bigint, known_caller text, known_called text,
                                     known_call_id text, known_private boolean) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known_at timestamptz := 'epoch'::timestamptz + known_us * interval '1 microsecond';
    c record;
BEGIN
    SELECT * INTO c FROM core.last_call(line);
    IF known_us > 0 AND (c.started_at IS NULL OR known_at >= c.started_at) THEN
        INSERT INTO trace.record (line_id, caller, called, call_id, call_started, private, node)
            VALUES (line, known_caller, known_called, known_call_id, known_at, known_private, note_last_call.node)
            ON CONFLICT (line_id, call_id) DO NOTHING;
    ELSIF c.started_at IS NOT NULL THEN
        INSERT INTO trace.record (line_id, caller, called, call_id, call_started, private, node)
            VALUES (line, c.caller, c.called, c.call_id, c.started_at, c.private, note_last_call.node)
            ON CONFLICT (line_id, call_id) DO NOTHING;
    ELSE
        RETURN false;
    END IF;
    RETURN true;
END $$;

GRANT USAGE ON SCHEMA trace TO hg_gc, hg_trace;
GRANT SELECT ON trace.record TO hg_trace;
REVOKE ALL ON FUNCTION core.set_line_service(bigint, text, text), core.last_call(bigint),
    trace.note_last_call(bigint, text, bigint, text, text, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.set_line_service(bigint, text, text), core.last_call(bigint),
    trace.note_last_call(bigint, text, bigint, text, text, text, boolean) TO hg_gc;
