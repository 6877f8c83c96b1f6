-- Who changed what, in a chain that tells when a row of it was altered; and changes that need two people.

-- A later migration that changes rows and then the shape of a table here says SET CONSTRAINTS ALL IMMEDIATE in between: the
-- audit triggers wait for the end of the transaction.

-- ---- the audit log ----
CREATE TABLE core.audit (
    seq    bigint PRIMARY KEY,                              -- 1, 2, 3 ... without a gap
    at     timestamptz NOT NULL,
    actor  text NOT NULL,                                   -- database login role: what the server made sure of
    person text NOT NULL,                                   -- who headgatectl says is at the keyboard: proves nothing
    action text NOT NULL CHECK (action IN ('insert', 'update', 'delete')),
    object text NOT NULL,                                   -- table and key: "route 7"
    before jsonb,
    after  jsonb,
    prev   bytea NOT NULL CHECK (length(prev) = 32),        -- hash of the row before; 32 times 0 for the first
    hash   bytea NOT NULL CHECK (length(hash) = 32)
);
CREATE INDEX audit_object ON core.audit (object);

-- A field of what is hashed: its octets, counted, so that no two rows give the same text. Both without a search_path of their
-- own, so that they are inlined; who calls them has one.
CREATE FUNCTION core.audit_field(t text) RETURNS text
    LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(octet_length(convert_to(t, 'UTF8')) || ':' || t, '-') || ','
$$;
CREATE FUNCTION core.audit_hash(a core.audit) RETURNS bytea
    LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(convert_to(core.audit_field(a.seq::text)
        || core.audit_field(to_char(a.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
        || core.audit_field(a.actor) || core.audit_field(a.person) || core.audit_field(a.action) || core.audit_field(a.object)
        || core.audit_field(a.before::text) || core.audit_field(a.after::text) || core.audit_field(encode(a.prev, 'hex')), 'UTF8'))
$$;

-- A sealed secret is no business of a log; that it changed is.
CREATE FUNCTION core.without_secrets_of_row(r jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$
    SELECT jsonb_object_agg(key, CASE WHEN key IN ('auth_sealed', 'ha1_sealed') AND value NOT IN ('null', '"\\x"')
        THEN to_jsonb('sha256:' || left(encode(sha256(convert_to(value #>> '{}', 'UTF8')), 'hex'), 16)) ELSE value END)
    FROM jsonb_each(r)
$$;
CREATE FUNCTION core.without_secrets(r jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$
    SELECT jsonb_object_agg(key, CASE WHEN key IN ('before', 'after') AND jsonb_typeof(value) = 'object'
        THEN core.without_secrets_of_row(value) ELSE value END)
    FROM jsonb_each(core.without_secrets_of_row(r))
$$;

-- Argument: the key column. Runs when the transaction commits, so that a transaction that somebody left open holds up nobody:
-- only from there to its end does it hold the lock that orders the chain.
CREATE FUNCTION core.note_audit() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    a core.audit;
    last core.audit;
BEGIN
    IF TG_OP <> 'INSERT' THEN a.before := to_jsonb(OLD); END IF;
    IF TG_OP <> 'DELETE' THEN a.after := to_jsonb(NEW); END IF;
    IF a.before = a.after THEN RETURN NULL; END IF;
    IF TG_TABLE_NAME IN ('trunk', 'credential', 'change') THEN
        a.before := core.without_secrets(a.before);
        a.after := core.without_secrets(a.after);
    END IF;
    PERFORM pg_advisory_xact_lock(7612);
    SELECT * INTO last FROM core.audit x ORDER BY x.seq DESC LIMIT 1;
    a.seq := coalesce(last.seq, 0) + 1;
    a.at := clock_timestamp();
    a.actor := session_user;
    a.person := coalesce(left(current_setting('headgate.person', true), 128), '');
    a.action := lower(TG_OP);
    a.object := TG_TABLE_NAME || ' ' || (coalesce(a.after, a.before) ->> TG_ARGV[0]);
    a.prev := coalesce(last.hash, decode(repeat('00', 32), 'hex'));
    a.hash := core.audit_hash(a);
    INSERT INTO core.audit SELECT a.*;
    RETURN NULL;
END $$;

CREATE FUNCTION core.append_only() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is written to and never changed' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON core.audit FOR EACH ROW EXECUTE FUNCTION core.append_only();
CREATE TRIGGER append_only_all BEFORE TRUNCATE ON core.audit FOR EACH STATEMENT EXECUTE FUNCTION core.append_only();

-- ---- changes that need two people ----
CREATE TABLE core.policy (
    name    text PRIMARY KEY,
    enabled boolean NOT NULL DEFAULT false,
    help    text NOT NULL
);
INSERT INTO core.policy (name, help) VALUES
    ('two_person.route', 'routes, dial rules and trunks change when another person approves it'),
    ('two_person.number', 'numbers come, go and move when another person approves it'),
    ('two_person.os_user', 'who approves must also be another user of the operating system, as headgatectl says');

CREATE TABLE core.change (
    change_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    proposed_at     timestamptz NOT NULL DEFAULT now(),
    tbl             text NOT NULL CHECK (tbl IN ('route', 'dial_rule', 'trunk', 'number', 'policy')),
    op              text NOT NULL CHECK (op IN ('insert', 'update', 'delete')),
    before          jsonb,                                  -- the row as the proposer found it
    after           jsonb,
    proposer        text NOT NULL DEFAULT session_user,
    proposer_person text NOT NULL,
    state           text NOT NULL DEFAULT 'proposed' CHECK (state IN ('proposed', 'applying', 'approved', 'rejected')),
    decided_at      timestamptz,
    decider         text,
    decider_person  text,
    applied_xid     xid8                                    -- while it is applied: by this transaction and no other
);

CREATE FUNCTION core.change_key_column(tbl text) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$
    SELECT CASE tbl WHEN 'route' THEN 'route_id' WHEN 'dial_rule' THEN 'rule_id' WHEN 'trunk' THEN 'trunk_id'
                    WHEN 'number' THEN 'number' ELSE 'name' END
$$;

-- Arguments: the policy ('': that of the row itself, when it would be switched off) and a column whose value a new row has for
-- itself. With headgate.propose on the change is written down and not made; the session finds its number in headgate.proposed.
CREATE FUNCTION core.two_person() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    old_row jsonb;
    new_row jsonb;
    needs boolean;
    taken boolean;
    id bigint;
BEGIN
    IF TG_OP <> 'INSERT' THEN old_row := to_jsonb(OLD); END IF;
    IF TG_OP <> 'DELETE' THEN new_row := to_jsonb(NEW); END IF;
    IF TG_ARGV[0] = '' THEN
        needs := TG_OP <> 'INSERT' AND (old_row ->> 'enabled')::boolean AND new_row IS DISTINCT FROM old_row;
    ELSE
        SELECT p.enabled INTO needs FROM core.policy p WHERE p.name = TG_ARGV[0];
    END IF;
    IF coalesce(needs, true) AND NOT EXISTS (SELECT FROM core.change c WHERE c.state = 'applying'
            AND c.applied_xid = pg_current_xact_id() AND c.tbl = TG_TABLE_NAME) THEN
        IF coalesce(current_setting('headgate.propose', true), '') <> 'on' OR pg_trigger_depth() > 1 THEN
            RAISE EXCEPTION 'a % changes only when two people agree (headgatectl proposes and approves)',
                replace(TG_TABLE_NAME, '_', ' ') USING ERRCODE = 'insufficient_privilege';
        END IF;
        IF TG_OP = 'INSERT' THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM core.%I t WHERE t.%I = $1)', TG_TABLE_NAME, TG_ARGV[1])
                INTO taken USING new_row ->> TG_ARGV[1];
            IF taken THEN
                RAISE EXCEPTION '% ''%'' exists already', replace(TG_TABLE_NAME, '_', ' '), new_row ->> TG_ARGV[1]
                    USING ERRCODE = 'unique_violation';
            END IF;
        END IF;
        INSERT INTO core.change (tbl, op, before, after, proposer_person)
            VALUES (TG_TABLE_NAME, lower(TG_OP), old_row, new_row,
                    coalesce(left(current_setting('headgate.person', true), 128), ''))
            RETURNING change_id INTO id;
        PERFORM set_config('headgate.proposed', concat_ws(' ', nullif(current_setting('headgate.proposed', true), ''), id), false);
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION core.two_person_truncate() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM core.policy p WHERE p.enabled AND TG_ARGV[0] IN (p.name, '')) THEN
        RAISE EXCEPTION 'these rows change only when two people agree' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;

-- For core.approve_change() alone. The row must still be what the proposer saw: nobody approves what nobody proposed.
CREATE FUNCTION core.apply_change(c core.change) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    k text := core.change_key_column(c.tbl);
    now_row jsonb;
    cols text;
BEGIN
    IF c.op <> 'insert' THEN
        EXECUTE format('SELECT to_jsonb(t) FROM core.%I t WHERE t.%I::text = $1 FOR UPDATE', c.tbl, k)
            INTO now_row USING c.before ->> k;
        IF now_row IS DISTINCT FROM c.before THEN
            RAISE EXCEPTION 'the % is not what it was when this was proposed: reject the change and propose it again',
                replace(c.tbl, '_', ' ') USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
    END IF;
    IF c.op = 'delete' THEN
        EXECUTE format('DELETE FROM core.%I t WHERE t.%I::text = $1', c.tbl, k) USING c.before ->> k;
    ELSIF c.op = 'insert' THEN
        EXECUTE format('INSERT INTO core.%1$I OVERRIDING SYSTEM VALUE SELECT * FROM jsonb_populate_record(NULL::core.%1$I, $1)',
                       c.tbl) USING c.after;
    ELSE
        SELECT string_agg(quote_ident(attname), ', ') INTO cols FROM pg_attribute
            WHERE attrelid = ('core.' || quote_ident(c.tbl))::regclass AND attnum > 0 AND NOT attisdropped AND attidentity = '';
        EXECUTE format('UPDATE core.%1$I t SET (%3$s) = (SELECT %3$s FROM jsonb_populate_record(NULL::core.%1$I, $1)) '
                       'WHERE t.%2$I::text = $2', c.tbl, k, cols) USING c.after, c.before ->> k;
    END IF;
END $$;

CREATE FUNCTION core.decide(id bigint, OUT c core.change)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    SELECT * INTO c FROM core.change x WHERE x.change_id = id FOR UPDATE;
    IF c.change_id IS NULL THEN
        RAISE EXCEPTION 'no change % (change list shows them)', id USING ERRCODE = 'no_data_found';
    END IF;
    IF c.state <> 'proposed' THEN
        RAISE EXCEPTION 'change % was % already', id, c.state USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $$;

CREATE FUNCTION core.approve_change(id bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    c core.change := core.decide(id);
    person text := coalesce(left(current_setting('headgate.person', true), 128), '');
BEGIN
    IF c.proposer = session_user THEN
        RAISE EXCEPTION 'change % was proposed by this database role: another person must approve it', id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF (SELECT p.enabled FROM core.policy p WHERE p.name = 'two_person.os_user')
            AND (person = '' OR c.proposer_person = '' OR person = c.proposer_person) THEN
        RAISE EXCEPTION 'change % was proposed by this user of the operating system: another person must approve it', id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    UPDATE core.change x SET state = 'applying', applied_xid = pg_current_xact_id(), decided_at = now(), decider = session_user,
        decider_person = person WHERE x.change_id = id;
    PERFORM core.apply_change(c);
    UPDATE core.change x SET state = 'approved', applied_xid = NULL, before = core.without_secrets(x.before),
        after = core.without_secrets(x.after) WHERE x.change_id = id;
END $$;

-- Anybody may say no; the proposer takes it back with the same word.
CREATE FUNCTION core.reject_change(id bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM core.decide(id);
    UPDATE core.change x SET state = 'rejected', decided_at = now(), decider = session_user,
        decider_person = coalesce(left(current_setting('headgate.person', true), 128), ''),
        before = core.without_secrets(x.before), after = core.without_secrets(x.after) WHERE x.change_id = id;
END $$;

-- ---- which tables ----
DO $$
DECLARE
    t text[];
BEGIN
    FOREACH t SLICE 1 IN ARRAY ARRAY[
        ['account', 'account_id'], ['line', 'line_id'], ['number', 'number'], ['bti', 'bti_id'], ['route', 'route_id'],
        ['trunk', 'trunk_id'], ['dial_rule', 'rule_id'], ['credential', 'credential_id'], ['line_service', 'line_id'],
        ['policy', 'name']] LOOP
        EXECUTE format('CREATE CONSTRAINT TRIGGER note_audit AFTER INSERT OR UPDATE OR DELETE ON core.%I '
                       'DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION core.note_audit(%L)', t[1], t[2]);
        EXECUTE format('ALTER TABLE core.%I ENABLE ALWAYS TRIGGER note_audit', t[1]);
    END LOOP;
    FOREACH t SLICE 1 IN ARRAY ARRAY[
        ['route', 'two_person.route', 'name'], ['dial_rule', 'two_person.route', 'name'], ['trunk', 'two_person.route', 'name'],
        ['number', 'two_person.number', 'number'], ['policy', '', 'name']] LOOP
        EXECUTE format('CREATE TRIGGER a_two_person BEFORE INSERT OR UPDATE OR DELETE ON core.%I FOR EACH ROW '
                       'EXECUTE FUNCTION core.two_person(%L, %L)', t[1], t[2], t[3]);
        EXECUTE format('CREATE TRIGGER a_two_person_all BEFORE TRUNCATE ON core.%I FOR EACH STATEMENT '
                       'EXECUTE FUNCTION core.two_person_truncate(%L)', t[1], t[2]);
        EXECUTE format('ALTER TABLE core.%I ENABLE ALWAYS TRIGGER a_two_person', t[1]);
        EXECUTE format('ALTER TABLE core.%I ENABLE ALWAYS TRIGGER a_two_person_all', t[1]);
    END LOOP;
END $$;
-- Proposals and what became of them; the moment in between is none of the log's.
CREATE CONSTRAINT TRIGGER note_audit AFTER INSERT OR UPDATE ON core.change DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.state <> 'applying') EXECUTE FUNCTION core.note_audit('change_id');
ALTER TABLE core.change ENABLE ALWAYS TRIGGER note_audit;
ALTER TABLE core.audit ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_all;

-- ---- rights ----
GRANT SELECT ON core.audit, core.policy, core.change TO hg_admin;
GRANT UPDATE (enabled) ON core.policy TO hg_admin;
-- A trigger function that anybody may use on a table of his own would write for him what he likes.
REVOKE ALL ON FUNCTION core.note_change(), core.note_audit(), core.two_person(), core.two_person_truncate(), core.append_only(),
    core.apply_change(core.change), core.decide(bigint), core.approve_change(bigint), core.reject_change(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.approve_change(bigint), core.reject_change(bigint) TO hg_admin;
