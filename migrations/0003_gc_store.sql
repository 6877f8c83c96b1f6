-- What the gate controllers' store needs to follow a million lines: one index for each way it looks rows up.
CREATE INDEX number_line ON core.number (line_id);
CREATE INDEX line_account ON core.line (account_id);
CREATE INDEX change_xid ON core.change_log (xid);

-- TRUNCATE would let one gate controller throw away rows that another has not moved on yet.
REVOKE TRUNCATE ON cdr.incoming FROM hg_gc;
CREATE INDEX incoming_node ON cdr.incoming (node);

-- A number that moves to another line changes both.
CREATE FUNCTION core.change_key(tbl text, r jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$
    SELECT CASE tbl WHEN 'account' THEN r ->> 'account_id'
                    WHEN 'line'    THEN r ->> 'line_id'
                    WHEN 'number'  THEN r ->> 'line_id'
                    WHEN 'bti'     THEN encode((r ->> 'bti_id')::bytea, 'hex')
                    ELSE '*' END
$$;
CREATE OR REPLACE FUNCTION core.note_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    k text;
    was text;
BEGIN
    IF TG_OP <> 'INSERT' THEN was := core.change_key(TG_TABLE_NAME, to_jsonb(OLD)); END IF;
    IF TG_OP <> 'DELETE' THEN k := core.change_key(TG_TABLE_NAME, to_jsonb(NEW)); END IF;
    FOR k IN SELECT DISTINCT u FROM unnest(ARRAY[k, was]) AS u WHERE u IS NOT NULL LOOP
        INSERT INTO core.change_log (tbl, key) VALUES (TG_TABLE_NAME, k);
        PERFORM pg_notify('hg_change', TG_TABLE_NAME || ':' || k);
    END LOOP;
    RETURN NULL;
END $$;
