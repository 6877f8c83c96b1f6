/* The audit log: shown, and verified outside of the database (docs/operations.md, "Audit log"). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "admin_api/ctl_opts.h"
#include "base/crypto.h"

#define ROWS_AT_ONCE 2000
#define HEX_BYTES    (2 * SHA256_BYTES)
#define TEXT(n)      TEXT_(n)
#define TEXT_(n)     #n

#define TIME(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"

/* Of an update only what became different. */
#define SQL_LIST                                                                                   \
    "SELECT seq, " TIME(                                                                           \
        "at") ", actor, person, action, object, CASE action "                                      \
              "WHEN 'update' THEN (SELECT string_agg(format('%s: %s -> %s', b.key, b.value, "      \
              "after -> b.key), "                                                                  \
              "', ' ORDER BY b.key) FROM jsonb_each(before) b WHERE b.value IS DISTINCT FROM "     \
              "after -> b.key) "                                                                   \
              "ELSE coalesce(after, before)::text END FROM core.audit "                            \
              "WHERE $1 = '' OR object = $1 ORDER BY seq DESC LIMIT $2"

/* What is hashed, in this order (the request's id when there is one), and then the hash itself. */
#define FIELDS 10
enum { FIELD_PREV = 8, FIELD_REQUEST = 9, FIELD_HASH = 10 };
#define SQL_VERIFY                                                                                 \
    "SELECT seq, " TIME("at") ", actor, person, action, object, before::text, after::text, "       \
                              "encode(prev, 'hex'), request, encode(hash, 'hex') FROM core.audit " \
                              "WHERE seq > $1 ORDER BY seq LIMIT " TEXT(ROWS_AT_ONCE)

struct chain {
    uint64_t seq; /* of the last row that is sound */
    char hash[HEX_BYTES + 1];
    uint64_t want_seq; /* of --head; 0: none */
    char want_hash[HEX_BYTES + 1];
};

int ctl_audit_list(struct ctl *c, struct ctl_args *a)
{
    uint32_t limit = 50;
    char n[OPT_TEXT_MAX];
    struct view object = VIEW("");
    struct pg_result *r = NULL;
    struct opts o = {.a = a};

    opt_number(&o, "--limit", 1000000, &limit);
    opt_text(&o, "--object", &object);
    opt_end(&o, 0, "audit list [--object 'TABLE KEY'] [--limit N]");
    if (o.rc == CTL_OK) {
        o.rc =
            ctl_query(c, SQL_LIST,
                      (const struct pg_param[]){PG_TEXT(object), opt_uint_param(limit, n)}, 2, &r);
    }
    if (o.rc == CTL_OK) {
        o.rc = ctl_show(c, r,
                        (const char *const[]){"seq", "at", "actor", "person", "action", "object",
                                              "change", NULL});
    }
    pg_result_free(r);
    return o.rc;
}

/* ---- verifying ---- */

/* A field is its octets, counted: "5:hello,"; NULL is "-,". */
static enum err add_field(struct sha256_ctx *h, const struct pg_result *r, size_t row, size_t col)
{
    struct view v = pg_text(r, row, col);
    char head[24];
    int n = snprintf(head, sizeof head, "%zu:", v.n);
    enum err e = E_OK;

    if (pg_is_null(r, row, col)) {
        return sha256_add(h, VIEW("-,"));
    }
    TRY(sha256_add(h, view_from(head, (size_t)n)));
    TRY(sha256_add(h, v));
    TRY(sha256_add(h, VIEW(",")));
out:
    return e;
}

static enum err hash_row(const struct pg_result *r, size_t row, char hex[HEX_BYTES + 1])
{
    struct sha256_ctx *h = NULL;
    uint8_t digest[SHA256_BYTES];
    enum err e = sha256_new(&h);

    TRY(e);
    for (size_t i = 0; i < FIELDS; i++) {
        if (i != FIELD_REQUEST || !pg_is_null(r, row, i)) {
            TRY(add_field(h, r, row, i));
        }
    }
    TRY(sha256_peek(h, digest));
    hex_put(digest, sizeof digest, hex);
    hex[HEX_BYTES] = 0;
out:
    sha256_free(h);
    return e;
}

/* What is wrong with the row that should follow; NULL: nothing, and the chain is one longer. */
static const char *fault_of(struct chain *k, const struct pg_result *r, size_t row)
{
    char hex[HEX_BYTES + 1];
    uint64_t seq = pg_u64(r, row, 0);

    if (hash_row(r, row, hex) != E_OK) {
        return "cannot be hashed here: no memory";
    }
    if (seq != k->seq + 1) {
        return "follows a gap: rows before it are missing";
    }
    if (!view_eq(pg_text(r, row, FIELD_PREV), view_of(k->hash))) {
        return "does not continue the row before it";
    }
    if (!view_eq(pg_text(r, row, FIELD_HASH), view_of(hex))) {
        return "was altered: its text does not give its hash";
    }
    if (seq == k->want_seq && strcmp(hex, k->want_hash) != 0) {
        return "is another one than --head says: the log was written anew";
    }
    k->seq = seq;
    memcpy(k->hash, hex, sizeof hex);
    return NULL;
}

static int verify_rows(struct chain *k, const struct pg_result *r)
{
    for (size_t i = 0; i < pg_rows(r); i++) {
        const char *fault = fault_of(k, r, i);
        if (fault != NULL) {
            return ctl_fail(CTL_REFUSED, "audit row %" PRIu64 " %s", pg_u64(r, i, 0), fault);
        }
    }
    return CTL_OK;
}

/* "17:0123...": what an earlier verify said. */
static int take_head(struct opts *o, struct chain *k)
{
    struct view v = VIEW("");
    size_t colon = 0;

    opt_text(o, "--head", &v);
    opt_end(o, 0, "audit verify [--head SEQ:HASH]");
    if (o->rc != CTL_OK || v.n == 0) {
        return o->rc;
    }
    if (!view_find(v, ':', &colon) ||
        view_to_u64(view_sub(v, 0, colon), INT64_MAX, &k->want_seq) != E_OK || k->want_seq == 0 ||
        v.n - colon - 1 != HEX_BYTES ||
        view_to_cstr(view_sub(v, colon + 1, v.n), k->want_hash, sizeof k->want_hash) != E_OK) {
        return ctl_fail(CTL_USAGE, "--head takes what an earlier audit verify said, SEQ:HASH");
    }
    return CTL_OK;
}

static int verify_all(struct ctl *c, struct chain *k)
{
    size_t rows = ROWS_AT_ONCE;
    int rc = CTL_OK;

    while (rc == CTL_OK && rows == ROWS_AT_ONCE) {
        char after[OPT_TEXT_MAX];
        struct pg_result *r = NULL;
        const struct pg_param p = opt_uint_param(k->seq, after);
        rc = ctl_query(c, SQL_VERIFY, &p, 1, &r);
        if (rc == CTL_OK) {
            rows = pg_rows(r);
            rc = verify_rows(k, r);
        }
        pg_result_free(r);
    }
    if (rc == CTL_OK && k->seq < k->want_seq) {
        rc =
            ctl_fail(CTL_REFUSED, "the audit log ends at row %" PRIu64 ", --head says row %" PRIu64,
                     k->seq, k->want_seq);
    }
    return rc;
}

int ctl_audit_verify(struct ctl *c, struct ctl_args *a)
{
    struct chain k = {.seq = 0};
    struct opts o = {.a = a};
    char rows[OPT_TEXT_MAX], head[OPT_TEXT_MAX + HEX_BYTES + 2];
    int rc = take_head(&o, &k);

    memset(k.hash, '0', HEX_BYTES);
    if (rc == CTL_OK) {
        rc = verify_all(c, &k);
    }
    if (rc == CTL_OK) {
        snprintf(rows, sizeof rows, "%" PRIu64, k.seq);
        snprintf(head, sizeof head, "%" PRIu64 ":%s", k.seq, k.hash);
        ctl_say(c, (const char *const[]){"rows", rows, "head", head, NULL});
    }
    return rc;
}
