-- The admin API: its role, administrators, roles and tokens; refusals, effects and signed checkpoints in the audit log; two
-- people who are principals of the API.
--
-- headgate-admin is role hg_api, and speaks for the principal that it names in headgate.person (and headgate.request: the
-- request's id), for each transaction anew: SELECT set_config('headgate.person', 'anna', true). Who may be hg_api may be
-- everybody; nothing but headgate-admin is. "os:NAME" is a user of the machine who needs no row of core.administrator.

-- ---- the audit log: what was refused, and what changed no row ----
ALTER TABLE core.audit
    ADD COLUMN request text CHECK (length(request) BETWEEN 1 AND 64),
    DROP CONSTRAINT audit_action_check,
    ADD CONSTRAINT audit_action_check CHECK (action IN ('insert', 'update', 'delete', 'refuse', 'effect'));
CREATE INDEX audit_at ON core.audit (at);

-- The request is hashed when there is one, so that rows of before keep their hash. Fields are counted: no other row gives the
-- same text.
CREATE OR REPLACE FUNCTION core.audit_hash(a core.audit) RETURNS bytea
    LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(convert_to(core.audit_field(a.seq::text)
        || core.audit_field(to_char(a.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
        || core.audit_field(a.actor) || core.audit_field(a.person) || core.audit_field(a.action) || core.audit_field(a.object)
        || core.audit_field(a.before::text) || core.audit_field(a.after::text) || core.audit_field(encode(a.prev, 'hex'))
        || CASE WHEN a.request IS NULL THEN '' ELSE core.audit_field(a.request) END, 'UTF8'))
$$;

-- The one place where the chain grows: action, object, before, after are given, person and request when they are none of the
-- session's. Holds the lock that orders the chain until the transaction ends.
CREATE FUNCTION core.audit_append(a core.audit) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    last core.audit;
BEGIN
    PERFORM pg_advisory_xact_lock(7612);
    SELECT * INTO last FROM core.audit x ORDER BY x.seq DESC LIMIT 1;
    a.seq := coalesce(last.seq, 0) + 1;
    a.at := clock_timestamp();
    a.actor := session_user;
    a.person := left(coalesce(a.person, current_setting('headgate.person', true), ''), 128);
    a.request := nullif(left(coalesce(a.request, current_setting('headgate.request', true), ''), 64), '');
    a.prev := coalesce(last.hash, decode(repeat('00', 32), 'hex'));
    a.hash := core.audit_hash(a);
    INSERT INTO core.audit SELECT a.*;
    RETURN a.seq;
END $$;

-- What of a token must not be told is its hash.
CREATE OR REPLACE FUNCTION core.without_secrets_of_row(r jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$
    SELECT jsonb_object_agg(key, CASE WHEN key IN ('auth_sealed', 'ha1_sealed', 'hash', 'digest', 'spent_k_u') AND value NOT IN ('null', '"\\x"')
        THEN to_jsonb('sha256:' || left(encode(sha256(convert_to(value #>> '{}', 'UTF8')), 'hex'), 16)) ELSE value END)
    FROM jsonb_each(r)
$$;

CREATE OR REPLACE FUNCTION core.note_audit() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    a core.audit;
BEGIN
    IF TG_OP <> 'INSERT' THEN a.before := to_jsonb(OLD); END IF;
    IF TG_OP <> 'DELETE' THEN a.after := to_jsonb(NEW); END IF;
    IF a.before = a.after THEN RETURN NULL; END IF;
    IF TG_TABLE_NAME IN ('trunk', 'credential', 'change', 'token', 'work_order') THEN
        a.before := core.without_secrets(a.before);
        a.after := core.without_secrets(a.after);
    END IF;
    a.action := lower(TG_OP);
    a.object := TG_TABLE_NAME || ' ' || (coalesce(a.after, a.before) ->> TG_ARGV[0]);
    PERFORM core.audit_append(a);
    RETURN NULL;
END $$;

-- Something was refused: a transaction of its own, because the one that was refused leaves nothing behind.
CREATE FUNCTION core.note_refusal(person text, request text, object text, detail jsonb) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    a core.audit;
BEGIN
    IF octet_length(detail::text) > 4096 THEN
        RAISE EXCEPTION 'too much detail for the audit log' USING ERRCODE = 'string_data_right_truncation';
    END IF;
    a.action := 'refuse';
    a.object := left(note_refusal.object, 200);
    a.person := coalesce(note_refusal.person, '');
    a.request := coalesce(note_refusal.request, '');
    a.after := detail;
    RETURN core.audit_append(a);
END $$;

-- Something happens outside of the database, such as the end of a call. Written when the transaction commits, like changes of
-- rows, so that who still waits for a row does not hold the chain; the row here is gone then.
CREATE TABLE core.effect (
    effect_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    object    text NOT NULL CHECK (length(object) BETWEEN 1 AND 200),
    detail    jsonb CHECK (octet_length(detail::text) <= 65536)
);
CREATE FUNCTION core.note_effect(object text, detail jsonb) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO core.effect (object, detail) VALUES (left($1, 200), $2)
$$;
CREATE FUNCTION core.effect_to_audit() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    a core.audit;
BEGIN
    a.action := 'effect';
    a.object := NEW.object;
    a.after := NEW.detail;
    PERFORM core.audit_append(a);
    DELETE FROM core.effect e WHERE e.effect_id = NEW.effect_id;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER effect_to_audit AFTER INSERT ON core.effect DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION core.effect_to_audit();
ALTER TABLE core.effect ENABLE ALWAYS TRIGGER effect_to_audit;

-- "The log had row seq with this hash at this time", signed by the key of keys.audit, which the database never sees: who writes
-- the log anew cannot sign the new one (docs/admin-api.md, "Audit").
CREATE TABLE core.audit_checkpoint (
    seq       bigint PRIMARY KEY,
    hash      bytea NOT NULL CHECK (length(hash) = 32),
    at        timestamptz NOT NULL,
    key_id    text NOT NULL CHECK (key_id ~ '^[0-9a-f]{16}$'),
    signature bytea NOT NULL CHECK (length(signature) = 64)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON core.audit_checkpoint
    FOR EACH ROW EXECUTE FUNCTION core.append_only();
CREATE TRIGGER append_only_all BEFORE TRUNCATE ON core.audit_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION core.append_only();
ALTER TABLE core.audit_checkpoint ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_all;

-- ---- administrators, roles, tokens ----
-- Permissions of the built-in roles are the program's (admin_api/principal_rules.c); roles here stand beside them.
CREATE TABLE core.role (
    name        text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_-]{0,62}$' AND name NOT IN
                ('viewer', 'support', 'provisioner', 'operator', 'emergency', 'security', 'auditor')),
    help        text NOT NULL DEFAULT '' CHECK (length(help) <= 200),
    permissions text[] NOT NULL CHECK (cardinality(permissions) <= 128 AND array_position(permissions, NULL) IS NULL AND
                array_to_string(permissions, ' ') ~ '^([a-z]+(\.[a-z]+)?( [a-z]+(\.[a-z]+)?)*)?$'),
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- A name is for good: who proposed a change must not come back under another one to approve it.
CREATE TABLE core.administrator (
    admin_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE CHECK (name ~ '^[a-z][a-z0-9._-]{0,62}$'),
    roles       text[] NOT NULL DEFAULT '{}' CHECK (cardinality(roles) <= 16 AND array_position(roles, NULL) IS NULL),
    os_user     text UNIQUE CHECK (os_user ~ '^[a-z_][a-z0-9_-]{0,31}$' AND os_user <> 'root'),
    certificate text UNIQUE CHECK (certificate ~ '^[!-~][ -~]{0,253}$'),
    disabled    boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE core.token (
    token_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    admin_id     bigint NOT NULL REFERENCES core.administrator ON DELETE CASCADE,
    name         text NOT NULL DEFAULT '' CHECK (length(name) <= 64),
    hash         bytea NOT NULL UNIQUE CHECK (length(hash) = 32),   -- SHA-256 of the token's text, which nobody keeps
    prefix       text NOT NULL UNIQUE CHECK (length(prefix) BETWEEN 8 AND 16), -- of the text, for people
    scopes       text[] NOT NULL DEFAULT '{}' CHECK (cardinality(scopes) <= 128 AND array_position(scopes, NULL) IS NULL AND
                 array_to_string(scopes, ' ') ~ '^([a-z]+(\.[a-z]+)?( [a-z]+(\.[a-z]+)?)*)?$'), -- none: all that its owner may
    made_with    bigint REFERENCES core.token ON DELETE SET NULL,   -- the token that asked for this one, and takes it along
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    last_used_at timestamptz,                                       -- the hour of it
    revoked_at   timestamptz,
    CHECK (expires_at > created_at AND expires_at <= created_at + interval '400 days')
);
CREATE INDEX token_admin ON core.token (admin_id);
CREATE INDEX token_made_with ON core.token (made_with) WHERE made_with IS NOT NULL;

CREATE FUNCTION core.check_roles() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    unknown text;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.name <> OLD.name THEN
        RAISE EXCEPTION 'the name of an administrator is for good' USING ERRCODE = 'check_violation',
            CONSTRAINT = 'administrator_name_for_good', COLUMN = 'name';
    END IF;
    PERFORM FROM core.role r WHERE r.name = ANY (NEW.roles) FOR KEY SHARE;
    SELECT u INTO unknown FROM unnest(NEW.roles) AS u WHERE u NOT IN
        ('viewer', 'support', 'provisioner', 'operator', 'emergency', 'security', 'auditor')
        AND NOT EXISTS (SELECT FROM core.role r WHERE r.name = u) LIMIT 1;
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION 'no role ''%''', unknown USING ERRCODE = 'foreign_key_violation',
            CONSTRAINT = 'administrator_roles', COLUMN = 'roles';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_roles BEFORE INSERT OR UPDATE ON core.administrator
    FOR EACH ROW EXECUTE FUNCTION core.check_roles();

-- headgate-admin goes by what it read of tokens and administrators a moment ago. Locks make who revokes, or disables, wait for a
-- token that is on its way, and find it then; or the token finds what they did.
CREATE FUNCTION core.check_token() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM core.administrator a WHERE a.admin_id = NEW.admin_id AND NOT a.disabled FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such administrator, or he is disabled' USING ERRCODE = 'foreign_key_violation',
            CONSTRAINT = 'token_admin_id_fkey', COLUMN = 'admin_id';
    END IF;
    PERFORM FROM core.token m WHERE m.token_id = NEW.made_with AND m.revoked_at IS NULL FOR SHARE;
    IF NOT FOUND AND NEW.made_with IS NOT NULL THEN
        RAISE EXCEPTION 'the token that asks for this one is revoked' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_token BEFORE INSERT ON core.token FOR EACH ROW EXECUTE FUNCTION core.check_token();

CREATE FUNCTION core.holds_admins_write(roles text[]) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'security' = ANY (roles)
        OR EXISTS (SELECT FROM core.role r WHERE r.name = ANY (roles) AND 'admins.write' = ANY (r.permissions))
$$;

-- Somebody must be left who can give rights. The lock lets two who take the last two away at the same time see each other.
CREATE FUNCTION core.keep_an_administrator() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7613);
    IF TG_TABLE_NAME = 'role' THEN
        IF TG_OP = 'DELETE' AND EXISTS (SELECT FROM core.administrator a WHERE OLD.name = ANY (a.roles)) THEN
            RAISE EXCEPTION 'administrators have this role' USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'role_in_use';
        END IF;
        IF 'admins.write' <> ALL (OLD.permissions) OR NOT EXISTS (SELECT FROM core.administrator a
                WHERE NOT a.disabled AND OLD.name = ANY (a.roles)) THEN
            RETURN NULL;
        END IF;
    ELSIF OLD.disabled OR NOT core.holds_admins_write(OLD.roles) THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM core.administrator a WHERE NOT a.disabled AND core.holds_admins_write(a.roles)) THEN
        RAISE EXCEPTION 'nobody would be left who may change administrators (admins.write)'
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'last_administrator';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER keep_an_administrator AFTER UPDATE OR DELETE ON core.administrator
    FOR EACH ROW EXECUTE FUNCTION core.keep_an_administrator();
CREATE TRIGGER keep_an_administrator AFTER UPDATE OR DELETE ON core.role
    FOR EACH ROW EXECUTE FUNCTION core.keep_an_administrator();

-- Disabled is for good as far as tokens go: who comes back gets new ones. A token takes along those that were made with it.
CREATE FUNCTION core.end_tokens() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_TABLE_NAME = 'administrator' THEN
        UPDATE core.token t SET revoked_at = now() WHERE t.admin_id = NEW.admin_id AND t.revoked_at IS NULL;
    ELSE
        UPDATE core.token t SET revoked_at = now() WHERE t.made_with = NEW.token_id AND t.revoked_at IS NULL;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER end_tokens AFTER UPDATE ON core.administrator
    FOR EACH ROW WHEN (NEW.disabled AND NOT OLD.disabled) EXECUTE FUNCTION core.end_tokens();
CREATE TRIGGER end_tokens AFTER UPDATE ON core.token
    FOR EACH ROW WHEN (NEW.revoked_at IS NOT NULL AND OLD.revoked_at IS NULL) EXECUTE FUNCTION core.end_tokens();

-- "Look again", for every headgate-admin.
CREATE FUNCTION core.note_principals() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('hg_principals', '');
    RETURN NULL;
END $$;
CREATE TRIGGER note_principals AFTER INSERT OR UPDATE OR DELETE ON core.administrator
    FOR EACH STATEMENT EXECUTE FUNCTION core.note_principals();
CREATE TRIGGER note_principals AFTER INSERT OR UPDATE OR DELETE ON core.role
    FOR EACH STATEMENT EXECUTE FUNCTION core.note_principals();
CREATE TRIGGER note_principals AFTER INSERT OR DELETE OR UPDATE OF admin_id, hash, scopes, expires_at, revoked_at ON core.token
    FOR EACH STATEMENT EXECUTE FUNCTION core.note_principals();

CREATE CONSTRAINT TRIGGER note_audit AFTER INSERT OR UPDATE OR DELETE ON core.administrator
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION core.note_audit('name');
CREATE CONSTRAINT TRIGGER note_audit AFTER INSERT OR UPDATE OR DELETE ON core.role
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION core.note_audit('name');
CREATE CONSTRAINT TRIGGER note_audit AFTER INSERT OR DELETE OR UPDATE OF admin_id, name, hash, prefix, scopes, expires_at, revoked_at
    ON core.token DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION core.note_audit('token_id');
ALTER TABLE core.administrator ENABLE ALWAYS TRIGGER note_audit;
ALTER TABLE core.role ENABLE ALWAYS TRIGGER note_audit;
ALTER TABLE core.token ENABLE ALWAYS TRIGGER note_audit;

-- The first answer to a request that may come twice. An answer with a secret in it has no place here.
CREATE TABLE core.idempotency (
    principal    text NOT NULL CHECK (length(principal) BETWEEN 1 AND 128),
    key          text NOT NULL CHECK (length(key) BETWEEN 1 AND 128),
    operation    text NOT NULL,                             -- method and path
    request_hash bytea NOT NULL CHECK (length(request_hash) = 32),
    status       smallint,                                  -- NULL: under way
    location     text NOT NULL DEFAULT '',
    answer       text,
    at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (principal, key)
);
CREATE INDEX idempotency_at ON core.idempotency (at);
CREATE FUNCTION core.purge_idempotency() RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH d AS (DELETE FROM core.idempotency WHERE at < now() - interval '1 day' RETURNING 1) SELECT count(*) FROM d
$$;

-- ---- two people ----
INSERT INTO core.policy (name, help) VALUES
    ('two_person.preemption', 'calls are preempted when another person approves it'),
    ('two_person.admin', 'rights are given, and policies change, when another person approves it');

ALTER TABLE core.change
    DROP CONSTRAINT change_tbl_check,
    ADD CONSTRAINT change_tbl_check CHECK (tbl IN ('route', 'dial_rule', 'trunk', 'number', 'policy', 'administrator', 'role',
                                                   'token'));
CREATE OR REPLACE FUNCTION core.change_key_column(tbl text) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$
    SELECT CASE tbl WHEN 'route' THEN 'route_id' WHEN 'dial_rule' THEN 'rule_id' WHEN 'trunk' THEN 'trunk_id'
                    WHEN 'number' THEN 'number' WHEN 'administrator' THEN 'admin_id' WHEN 'token' THEN 'token_id' ELSE 'name' END
$$;

-- Who stands behind a session: a database role, or the principal for whom hg_api speaks. Users of the machine are one party,
-- because root is each of them. '': nobody.
CREATE FUNCTION core.party(role text, person text) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$
    SELECT CASE WHEN role <> 'hg_api' THEN role WHEN person LIKE 'os:%' THEN 'os:' ELSE coalesce(person, '') END
$$;

-- As in 0006; with two_person.admin on, a policy is switched on by two as well.
CREATE OR REPLACE FUNCTION core.two_person() RETURNS trigger
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
        needs := TG_OP <> 'INSERT' AND new_row IS DISTINCT FROM old_row AND ((old_row ->> 'enabled')::boolean
            OR EXISTS (SELECT FROM core.policy p WHERE p.name = 'two_person.admin' AND p.enabled));
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

CREATE OR REPLACE FUNCTION core.approve_change(id bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    c core.change := core.decide(id);
    person text := coalesce(left(current_setting('headgate.person', true), 128), '');
    me text := core.party(session_user, person);
    proposer text := core.party(c.proposer, c.proposer_person);
BEGIN
    IF c.proposer = session_user AND session_user <> 'hg_api' THEN
        RAISE EXCEPTION 'change % was proposed by this database role: another person must approve it', id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF me = '' OR proposer = '' OR me = proposer THEN
        RAISE EXCEPTION 'change % was proposed by the same person: another person must approve it', id
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

-- Who proposed a change takes it back, without the right to decide about others'. False: somebody else proposed it.
CREATE FUNCTION core.withdraw_change(id bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    c core.change := core.decide(id);
    me text := core.party(session_user, coalesce(left(current_setting('headgate.person', true), 128), ''));
BEGIN
    IF me = '' OR me <> core.party(c.proposer, c.proposer_person) THEN RETURN false; END IF;
    PERFORM core.reject_change(id);
    RETURN true;
END $$;

-- A token for somebody else lets its maker be that person, the second one too.
CREATE FUNCTION core.is_of_another(admin bigint) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT NOT EXISTS (SELECT FROM core.administrator a WHERE a.admin_id = admin AND session_user = 'hg_api'
                       AND a.name = current_setting('headgate.person', true))
$$;
CREATE TRIGGER a_two_person_insert BEFORE INSERT ON core.administrator
    FOR EACH ROW EXECUTE FUNCTION core.two_person('two_person.admin', 'name');
-- One person alone can lock somebody out; letting him in again, or in by another door, takes two.
CREATE TRIGGER a_two_person_update BEFORE UPDATE ON core.administrator FOR EACH ROW
    WHEN (OLD.roles IS DISTINCT FROM NEW.roles OR OLD.os_user IS DISTINCT FROM NEW.os_user
          OR OLD.certificate IS DISTINCT FROM NEW.certificate OR OLD.disabled AND NOT NEW.disabled)
    EXECUTE FUNCTION core.two_person('two_person.admin', 'name');
CREATE TRIGGER a_two_person BEFORE INSERT OR UPDATE ON core.role
    FOR EACH ROW EXECUTE FUNCTION core.two_person('two_person.admin', 'name');
CREATE TRIGGER a_two_person BEFORE INSERT ON core.token FOR EACH ROW WHEN (core.is_of_another(NEW.admin_id))
    EXECUTE FUNCTION core.two_person('two_person.admin', 'prefix');
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['administrator', 'role', 'token'] LOOP
        EXECUTE format('CREATE TRIGGER a_two_person_all BEFORE TRUNCATE ON core.%I FOR EACH STATEMENT '
                       'EXECUTE FUNCTION core.two_person_truncate(''two_person.admin'')', t);
        EXECUTE format('ALTER TABLE core.%I ENABLE ALWAYS TRIGGER a_two_person_all', t);
    END LOOP;
END $$;
ALTER TABLE core.administrator ENABLE ALWAYS TRIGGER a_two_person_insert, ENABLE ALWAYS TRIGGER a_two_person_update;
ALTER TABLE core.role ENABLE ALWAYS TRIGGER a_two_person;
ALTER TABLE core.token ENABLE ALWAYS TRIGGER a_two_person;

-- ---- rights: what headgate-admin does, and no more; neither traces nor keys of BTIs, sealed or not ----
GRANT USAGE ON SCHEMA core, prov, cdr TO hg_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON core.account, core.line, core.number, core.route, core.dial_rule, core.line_service
    TO hg_api;
-- What is sealed here is written, never read. A column that a later migration adds needs its SELECT there.
GRANT INSERT, UPDATE, DELETE,
      SELECT (trunk_id, name, host, port, transport, auth, tls_name, sources, trusts_identity, sends_identity, may_transit,
              disabled, number_form, strip, add_digits, default_number, max_channels, max_cps, ping_s, auth_user, stir_sign,
              stir_verify) ON core.trunk TO hg_api;
GRANT INSERT, UPDATE, DELETE, SELECT (credential_id, line_id, username, algorithm, disabled, created_at)
    ON core.credential TO hg_api;
GRANT SELECT ON core.bti, core.change_log TO hg_api;
GRANT UPDATE (revoked_at) ON core.bti TO hg_api;
GRANT SELECT (work_order_id, hint, line_id, expires_at, created_at, spent_at, spent_by, cancelled_at),
      INSERT (digest, hint, line_id, expires_at), UPDATE (cancelled_at) ON prov.work_order TO hg_api;
GRANT SELECT ON cdr.call TO hg_api;
GRANT SELECT ON core.audit, core.policy, core.change TO hg_api;
GRANT UPDATE (enabled) ON core.policy TO hg_api;
GRANT SELECT, INSERT ON core.audit_checkpoint TO hg_api;
GRANT SELECT, DELETE, INSERT (name, help, permissions), UPDATE (help, permissions) ON core.role TO hg_api;
GRANT SELECT, DELETE, INSERT (name, roles, os_user, certificate, disabled), UPDATE (roles, os_user, certificate, disabled)
    ON core.administrator TO hg_api;
GRANT SELECT, INSERT (admin_id, name, hash, prefix, scopes, made_with, expires_at), UPDATE (last_used_at, revoked_at)
    ON core.token TO hg_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON core.idempotency TO hg_api;
-- Who works on the database by himself sees who the administrators are; he cannot make himself one.
GRANT SELECT ON core.administrator, core.role, core.audit_checkpoint TO hg_admin;

REVOKE ALL ON FUNCTION core.audit_append(core.audit), core.note_refusal(text, text, text, jsonb), core.note_effect(text, jsonb),
    core.effect_to_audit(), core.check_roles(), core.check_token(), core.keep_an_administrator(), core.end_tokens(), core.note_principals(),
    core.purge_idempotency(), core.withdraw_change(bigint), core.is_of_another(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.note_refusal(text, text, text, jsonb), core.note_effect(text, jsonb), core.purge_idempotency(),
    core.approve_change(bigint), core.reject_change(bigint), core.withdraw_change(bigint), core.is_of_another(bigint) TO hg_api;
