-- Priority of lines and trunks (RFC 4412), calls that an administrator ended, and emergency mode.

-- "ets.1 dsn.flash": of each namespace the highest r-value that the sender may ask for; in lower case, each namespace once.
CREATE FUNCTION core.priority_ok(t text) RETURNS boolean
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $f$
    SELECT t = '' OR (length(t) <= 200 AND (
        SELECT count(*) <= 8 AND count(*) = count(DISTINCT split_part(u, '.', 1))
               AND bool_and(u ~ $r$^[a-z0-9!%*_+`'~-]{1,19}[.][a-z0-9!%*_+`'~-]{1,19}$$r$)
        FROM unnest(string_to_array(t, ' ')) AS u))
$f$;
ALTER TABLE core.line ADD COLUMN priority text NOT NULL DEFAULT '' CHECK (core.priority_ok(priority));
ALTER TABLE core.trunk
    ADD COLUMN priority    text NOT NULL DEFAULT '' CHECK (core.priority_ok(priority)),
    ADD COLUMN is_operator boolean NOT NULL DEFAULT false;  -- may verify busy lines and break into calls (RFC 5503 section 6)

ALTER TABLE cdr.call
    ADD COLUMN priority     text NOT NULL DEFAULT '',       -- r-value that was granted; empty: routine
    ADD COLUMN preempted_by text NOT NULL DEFAULT '';       -- what ended it: "call ID" or "preemption ID"; empty: nothing did
ALTER TABLE cdr.incoming
    ADD COLUMN priority     text NOT NULL DEFAULT '',
    ADD COLUMN preempted_by text NOT NULL DEFAULT '';

-- ---- calls that an administrator ends ----
-- Written before the gate controllers are asked, so that nothing ends without a row.
CREATE TABLE core.preemption (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT now(),
    by          text NOT NULL CHECK (length("by") BETWEEN 1 AND 128),
    reason      text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    scope       text NOT NULL CHECK (scope IN ('call', 'number', 'trunk', 'region')),
    what        text NOT NULL DEFAULT '' CHECK (length(what) <= 127),       -- call id, E.164 number, name of a trunk
    prefixes    text[] NOT NULL DEFAULT '{}' CHECK (cardinality(prefixes) <= 16),
    max         integer NOT NULL DEFAULT 0 CHECK (max BETWEEN 0 AND 1000000), -- on each node; 0: all
    below       text NOT NULL DEFAULT '' CHECK (core.priority_ok(below) AND below NOT LIKE '% %'), -- r-value; empty: all ranks
    dry_run     boolean NOT NULL DEFAULT false,
    state       text NOT NULL DEFAULT 'approved' CHECK (state IN ('proposed', 'approved', 'done', 'rejected')),
    approved_by text NOT NULL DEFAULT '' CHECK (length(approved_by) <= 128),
    decided_at  timestamptz,
    results     jsonb NOT NULL DEFAULT '[]',
    request_id  text NOT NULL DEFAULT '' CHECK (length(request_id) <= 128),
    CHECK ((scope = 'region') = (cardinality(prefixes) > 0)),
    CHECK ((scope = 'region') = (what = '')),
    CHECK (array_to_string(prefixes, ' ', '-') ~ '^([+][0-9]{1,15}( [+][0-9]{1,15})*)?$'),
    CHECK (approved_by <> by)                               -- nobody approves what he asked for
);
CREATE INDEX preemption_at ON core.preemption (at);

-- The order of states, whoever writes: a proposal is decided by somebody else, and what was decided stays so. Who asks and who
-- approves is the session's person, if it says one.
CREATE FUNCTION core.guard_preemption() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    needs_two boolean;
    person text := coalesce(left(current_setting('headgate.person', true), 128), '');
BEGIN
    SELECT p.enabled AND NOT NEW.dry_run INTO needs_two FROM core.policy p WHERE p.name = 'two_person.preemption';
    IF TG_OP = 'INSERT' THEN
        IF person <> '' THEN NEW."by" := person; END IF;
        IF NEW.state NOT IN ('proposed', 'approved') OR NEW.approved_by <> '' THEN
            RAISE EXCEPTION 'a preemption begins proposed, or approved by nobody' USING ERRCODE = 'check_violation';
        END IF;
        IF coalesce(needs_two, true) AND NEW.state <> 'proposed' THEN
            RAISE EXCEPTION 'a call is preempted only when two people agree' USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN NEW;
    END IF;
    IF to_jsonb(NEW) - ARRAY['state', 'approved_by', 'results'] IS DISTINCT FROM
       to_jsonb(OLD) - ARRAY['state', 'approved_by', 'results'] THEN
        RAISE EXCEPTION 'what a preemption asks for does not change' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF OLD.state = 'proposed' AND NEW.state IN ('approved', 'rejected') THEN
        IF NEW.state = 'approved' AND person <> '' THEN NEW.approved_by := person; END IF;
        IF NEW.state = 'approved' AND core.party('hg_api', NEW.approved_by) IN ('', core.party('hg_api', NEW."by")) THEN
            RAISE EXCEPTION 'preemption % was proposed by %: another person must approve it', NEW.id, NEW."by"
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        NEW.decided_at := now();
    ELSIF NEW.approved_by <> OLD.approved_by
            OR NOT (NEW.state = OLD.state OR (OLD.state = 'approved' AND NEW.state = 'done')) THEN
        RAISE EXCEPTION 'preemption % was % already', OLD.id, OLD.state USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER a_guard BEFORE INSERT OR UPDATE ON core.preemption FOR EACH ROW EXECUTE FUNCTION core.guard_preemption();
ALTER TABLE core.preemption ENABLE ALWAYS TRIGGER a_guard;

-- ---- emergency mode ----
-- While one is in force, calls without priority get a share of limits.calls and of the trunks' channels. A gate controller keeps
-- it in its snapshot and ends it by its own clock.
CREATE TABLE core.emergency_mode (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    declared_by   text NOT NULL CHECK (length(declared_by) BETWEEN 1 AND 128),
    declared_at   timestamptz NOT NULL DEFAULT now(),
    ends_at       timestamptz NOT NULL,
    reason        text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    scope         text NOT NULL CHECK (scope IN ('all', 'region', 'trunks')),
    prefixes      text[] NOT NULL DEFAULT '{}' CHECK (cardinality(prefixes) <= 16),  -- region: of either number
    trunks        bigint[] NOT NULL DEFAULT '{}' CHECK (cardinality(trunks) <= 64),  -- trunk_id
    share         integer NOT NULL CHECK (share BETWEEN 0 AND 100),                  -- percent
    exempt_lines  bigint[] NOT NULL DEFAULT '{}' CHECK (cardinality(exempt_lines) <= 256),
    exempt_trunks bigint[] NOT NULL DEFAULT '{}' CHECK (cardinality(exempt_trunks) <= 64),
    ended_at      timestamptz,
    ended_by      text NOT NULL DEFAULT '' CHECK (length(ended_by) <= 128),
    CHECK ((scope = 'region') = (cardinality(prefixes) > 0)),
    CHECK ((scope = 'trunks') = (cardinality(trunks) > 0)),
    CHECK (array_to_string(prefixes, ' ', '-') ~ '^([+][0-9]{1,15}( [+][0-9]{1,15})*)?$'),
    CHECK (array_position(trunks, NULL) IS NULL AND array_position(exempt_lines, NULL) IS NULL
           AND array_position(exempt_trunks, NULL) IS NULL),
    CHECK (ends_at > declared_at AND ends_at <= declared_at + interval '31 days'),
    CHECK ((ended_at IS NULL) = (ended_by = ''))
);
CREATE INDEX emergency_mode_ends ON core.emergency_mode (ends_at) WHERE ended_at IS NULL;

-- Only its end may come sooner or later, and what has ended is over. A gate controller holds 16.
CREATE FUNCTION core.guard_emergency_mode() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM pg_advisory_xact_lock(7614);
        IF (SELECT count(*) >= 16 FROM core.emergency_mode m WHERE m.ended_at IS NULL AND m.ends_at > now()) THEN
            RAISE EXCEPTION '16 emergency modes are in force already: end one first'
                USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
        RETURN NEW;
    END IF;
    IF to_jsonb(NEW) - ARRAY['ends_at', 'ended_at', 'ended_by'] IS DISTINCT FROM
       to_jsonb(OLD) - ARRAY['ends_at', 'ended_at', 'ended_by'] THEN
        RAISE EXCEPTION 'only the end of an emergency mode can change' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF OLD.ended_at IS NOT NULL OR OLD.ends_at <= now() THEN
        RAISE EXCEPTION 'emergency mode % is over', OLD.id USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER a_guard BEFORE INSERT OR UPDATE ON core.emergency_mode FOR EACH ROW EXECUTE FUNCTION core.guard_emergency_mode();
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON core.emergency_mode
    FOR EACH ROW EXECUTE FUNCTION core.note_change();
ALTER TABLE core.emergency_mode ENABLE ALWAYS TRIGGER a_guard;

-- ---- audit and rights ----
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['preemption', 'emergency_mode'] LOOP
        EXECUTE format('CREATE CONSTRAINT TRIGGER note_audit AFTER INSERT OR UPDATE OR DELETE ON core.%I '
                       'DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION core.note_audit(''id'')', t);
        EXECUTE format('ALTER TABLE core.%I ENABLE ALWAYS TRIGGER note_audit', t);
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION core.guard_preemption(), core.guard_emergency_mode() FROM PUBLIC;
GRANT SELECT ON core.emergency_mode TO hg_gc;
GRANT SELECT ON core.preemption, core.emergency_mode TO hg_admin;
GRANT SELECT (priority, is_operator) ON core.trunk TO hg_api;
GRANT SELECT, INSERT ON core.preemption, core.emergency_mode TO hg_api;
GRANT UPDATE (state, approved_by, results) ON core.preemption TO hg_api;
GRANT UPDATE (ends_at, ended_at, ended_by) ON core.emergency_mode TO hg_api;
