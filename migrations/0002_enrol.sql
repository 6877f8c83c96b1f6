-- Enrolment in one statement: the work order spent, the BTI stored, the subscriber bound, or nothing of it.

-- K_U is a P-256 point (kind 1), or 512 random bits sealed under the provisioning server's key-encryption key (kind 2).
ALTER TABLE prov.bti_key ADD COLUMN kind smallint NOT NULL DEFAULT 1 CHECK (kind IN (1, 2));
ALTER TABLE prov.bti_key DROP CONSTRAINT bti_key_k_u_check;
ALTER TABLE prov.bti_key ADD CONSTRAINT bti_key_k_u_check CHECK (length(k_u) = CASE kind WHEN 1 THEN 65 ELSE 93 END);
COMMENT ON COLUMN prov.work_order.spent_k_u IS 'HMAC-SHA-256 of K_U under the work-order key';

-- Outcomes: enrolled; again (the same K_U ran the same order again within a day: a BTI that missed the last frame; its new
-- long-term key replaces the old one); unknown, cancelled, expired, spent, revoked: nothing was changed.
-- A line may have several BTIs: an older one stays until somebody revokes it.
CREATE FUNCTION prov.enrol(p_digest bytea, p_bti bytea, p_kind smallint, p_k_u bytea, p_k_u_mark bytea, p_ltk bytea,
                           p_mac text, p_model text, p_software text,
                           OUT outcome text, OUT line_id bigint, OUT numbers text)
    LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog AS $$
DECLARE
    o prov.work_order;
BEGIN
    SELECT * INTO o FROM prov.work_order w WHERE w.digest = p_digest FOR UPDATE;
    IF NOT FOUND THEN
        outcome := 'unknown';
        RETURN;
    END IF;
    line_id := o.line_id;
    SELECT coalesce(string_agg(t.number, ',' ORDER BY t.is_primary DESC, t.number), '') INTO numbers
        FROM (SELECT n.number, n.is_primary FROM core.number n WHERE n.line_id = o.line_id
              ORDER BY n.is_primary DESC, n.number LIMIT 8) t;
    IF o.cancelled_at IS NOT NULL THEN
        outcome := 'cancelled';
    ELSIF o.spent_at IS NOT NULL THEN
        IF o.spent_k_u IS DISTINCT FROM p_k_u_mark OR o.spent_by IS DISTINCT FROM p_bti
           OR o.spent_at < now() - interval '1 day' THEN
            outcome := 'spent';
        ELSIF EXISTS (SELECT FROM core.bti b WHERE b.bti_id = p_bti AND b.revoked_at IS NOT NULL) THEN
            outcome := 'revoked';
        ELSE
            UPDATE prov.bti_key k SET k_u = p_k_u, ltk_sealed = p_ltk WHERE k.bti_id = p_bti;
            outcome := 'again';
        END IF;
    ELSIF o.expires_at <= now() THEN
        outcome := 'expired';
    ELSE
        INSERT INTO core.bti (bti_id, line_id, mac_address, model, software)
            VALUES (p_bti, o.line_id, p_mac, p_model, p_software);
        INSERT INTO prov.bti_key (bti_id, kind, k_u, ltk_sealed) VALUES (p_bti, p_kind, p_k_u, p_ltk);
        UPDATE prov.work_order w SET spent_at = now(), spent_by = p_bti, spent_k_u = p_k_u_mark
            WHERE w.work_order_id = o.work_order_id;
        outcome := 'enrolled';
    END IF;
END $$;
REVOKE ALL ON FUNCTION prov.enrol FROM PUBLIC;
GRANT EXECUTE ON FUNCTION prov.enrol TO hg_prov;

-- What the voice prompt may say of a number that was keyed in: open, unknown, cancelled, expired, spent. An order that was
-- spent within the last day counts as open: prov.enrol() then knows whether it is the same BTI again.
CREATE FUNCTION prov.order_state(p_digest bytea) RETURNS text
    LANGUAGE sql STABLE SECURITY INVOKER SET search_path = pg_catalog AS $$
    SELECT coalesce((SELECT CASE
        WHEN w.cancelled_at IS NOT NULL THEN 'cancelled'
        WHEN w.spent_at >= now() - interval '1 day' THEN 'open'
        WHEN w.spent_at IS NOT NULL THEN 'spent'
        WHEN w.expires_at <= now() THEN 'expired'
        ELSE 'open' END FROM prov.work_order w WHERE w.digest = p_digest), 'unknown')
$$;
REVOKE ALL ON FUNCTION prov.order_state FROM PUBLIC;
GRANT EXECUTE ON FUNCTION prov.order_state TO hg_prov;
