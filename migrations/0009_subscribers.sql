-- What the admin API needs for subscribers and records: feature profiles, lines that go, work orders in the audit log, and call
-- records found by line and number.

-- A set of services under a name. What a profile does not name (NULL) stays as it is on the lines that it is applied to.
CREATE TABLE core.feature_profile (
    profile_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name              text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 64),
    caller_id         boolean,
    private           boolean,
    rejects_anonymous boolean,
    forward_always    text CHECK (forward_always ~ '^(off|\+[1-9][0-9]{6,14})$'),
    forward_busy      text CHECK (forward_busy ~ '^(off|\+[1-9][0-9]{6,14})$'),
    forward_no_answer text CHECK (forward_no_answer ~ '^(off|\+[1-9][0-9]{6,14})$'),
    no_answer_s       smallint CHECK (no_answer_s BETWEEN 5 AND 120),
    created_at        timestamptz NOT NULL DEFAULT now()
);

-- A line goes with what only tells of its past: BTIs that were revoked, work orders that nobody can use any more. Whatever is
-- alive on it (numbers, credentials, BTIs, open work orders) holds it.
CREATE FUNCTION core.delete_line(line bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM core.line l WHERE l.line_id = line FOR UPDATE;
    IF EXISTS (SELECT FROM core.number n WHERE n.line_id = line)
            OR EXISTS (SELECT FROM core.credential k WHERE k.line_id = line) THEN
        RAISE EXCEPTION 'the line is in use' USING ERRCODE = 'foreign_key_violation';
    END IF;
    DELETE FROM core.bti b WHERE b.line_id = line AND b.revoked_at IS NOT NULL;
    DELETE FROM prov.work_order w WHERE w.line_id = line
        AND (w.cancelled_at IS NOT NULL OR w.spent_at IS NOT NULL OR w.expires_at <= now());
    DELETE FROM core.line l WHERE l.line_id = line;
END $$;
REVOKE ALL ON FUNCTION core.delete_line(bigint) FROM PUBLIC;

CREATE CONSTRAINT TRIGGER note_audit AFTER INSERT OR UPDATE OR DELETE ON core.feature_profile
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION core.note_audit('profile_id');
ALTER TABLE core.feature_profile ENABLE ALWAYS TRIGGER note_audit;
CREATE CONSTRAINT TRIGGER note_audit AFTER INSERT OR UPDATE OR DELETE ON prov.work_order
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION core.note_audit('work_order_id');
ALTER TABLE prov.work_order ENABLE ALWAYS TRIGGER note_audit;

CREATE INDEX order_line ON prov.work_order (line_id);
CREATE INDEX call_caller_line ON cdr.call (caller_line, started_at DESC) WHERE caller_line IS NOT NULL;
CREATE INDEX call_caller ON cdr.call (caller, started_at DESC);
CREATE INDEX call_called ON cdr.call (called, started_at DESC);
CREATE INDEX call_routed ON cdr.call (routed, started_at DESC);

GRANT SELECT, INSERT, UPDATE, DELETE ON core.feature_profile TO hg_api;
GRANT EXECUTE ON FUNCTION core.delete_line(bigint) TO hg_api;
