/* provisioning/orders.h - work orders and long-term keys in the database: what is computed before
 * and after a query, without the query. Seed steps 309, 310.
 *
 * Sealing    kept(1) = 1 | nonce(12) | AES-256-GCM(64 octets) | tag(16) under the key-encryption
 *            key; AAD "headgate ltk v1" or "headgate k_u v1", then bti_id. Threads: pure. */
#ifndef PROVISIONING_ORDERS_H
#define PROVISIONING_ORDERS_H

#include "base/pg.h"
#include "provisioning/enrol_ps.h"
#include "provisioning/session_ps.h"

#define ORDER_DIGITS_MAX 32
#define SEALED_BYTES     (1 + GCM_NONCE_BYTES + 64 + GCM_TAG_BYTES)

#define SQL_ORDER_STATE "SELECT prov.order_state($1)"
#define SQL_ENROL                                                                                  \
    "SELECT outcome, line_id, numbers FROM prov.enrol($1, $2, $3::smallint, $4, $5, $6, $7, $8, "  \
    "$9)"
#define SQL_SESSION_ROW                                                                            \
    "SELECT k.kind, k.k_u, k.ltk_sealed, k.counter, b.revoked_at IS NOT NULL, b.line_id, "         \
    "l.barred OR a.barred FROM prov.bti_key k JOIN core.bti b USING (bti_id) JOIN core.line l "    \
    "USING (line_id) JOIN core.account a USING (account_id) WHERE k.bti_id = $1"
/* No row: another request with this counter or a later one was first, or the BTI was just revoked.
 */
#define SQL_SESSION_COUNTER                                                                        \
    "UPDATE prov.bti_key k SET counter = $2, last_session = now() FROM core.bti b WHERE "          \
    "k.bti_id = $1 AND b.bti_id = k.bti_id AND b.revoked_at IS NULL AND k.counter < $2 RETURNING " \
    "k.counter"

/* HMAC-SHA-256 of the digits under the work-order key. */
MUST_CHECK enum err order_digest(const struct secret *work_order_key, struct view digits,
                                 uint8_t out[SHA256_BYTES]);

struct enrol_params { /* of SQL_ENROL; wipe() when done */
    uint8_t digest[SHA256_BYTES], bti_id[BTI_ID_BYTES], mark[SHA256_BYTES];
    uint8_t k_u[SEALED_BYTES], ltk[SEALED_BYTES];
    size_t k_u_n;
    char kind[2], mac[18];
    char model[64], software[64];
    struct pg_param p[9]; /* views into this struct: do not copy it */
};
/* The bti_id follows from work order and K_U, so that the same enrolment run again has the same. */
MUST_CHECK enum err enrol_params(const struct secret *work_order_key, const struct secret *kek,
                                 const uint8_t digest[SHA256_BYTES], const struct user_key *u,
                                 const struct ltk *ltk, const struct bti_info *info,
                                 struct enrol_params *out);

enum enrol_outcome {
    ENROL_ENROLLED,
    ENROL_AGAIN,
    ENROL_UNKNOWN,
    ENROL_CANCELLED,
    ENROL_EXPIRED,
    ENROL_SPENT,
    ENROL_REVOKED
};
/* Reads the row of SQL_ENROL. E_PARSE when it is none. */
MUST_CHECK enum err enrol_result(const struct pg_result *r, enum enrol_outcome *out,
                                 struct enrol_texts *out_numbers);

/* Reads the row of SQL_SESSION_ROW; no row: known = false. E_AUTH: the stored keys do not open. */
MUST_CHECK enum err session_row_read(const struct secret *kek, const uint8_t bti_id[BTI_ID_BYTES],
                                     const struct pg_result *r, struct session_row *out,
                                     uint64_t *out_line);

#endif
