/* The audit log: shown, and verified outside of the database and of headgate-admin
 * (docs/admin-api.md, "Audit"): chain of hashes, head, checkpoints. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "admin_api/checkpoint.h"
#include "admin_api/ctl_api.h"
#include "admin_api/ctl_diff.h"
#include "admin_api/ctl_opts.h"
#include "base/crypto.h"
#include "base/ec_sign.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/secret.h"

#define HEX_BYTES    (2 * SHA256_BYTES)
#define VERIFY_USAGE "audit verify [--head SEQ:HASH] [--public-key FILE]"

enum { ROWS_AT_ONCE = 500, KEY_MAX = 4096 };

struct chain {
    uint64_t seq; /* of the last row that is sound */
    char hash[HEX_BYTES + 1];
    uint64_t want_seq; /* of --head; 0: none */
    char want_hash[HEX_BYTES + 1];
    json_t *checkpoints; /* by row */
    size_t n_met;        /* checkpoints whose row came by */
};

static const char *text_of(const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));

    return text != NULL ? text : "";
}

static uint64_t number_of(const json_t *o, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(o, name));

    return n > 0 ? (uint64_t)n : 0;
}

/* ---- showing -----------------------------------------------------------------------------------
 */
/* Of an update only what became different. */
static void change(const json_t *item, const json_t *value, char *out, size_t max)
{
    (void)value;
    ctl_diff(json_object_get(item, "before"), json_object_get(item, "after"), ", ", false, out,
             max);
}

int ctl_audit_list(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {{.name = "seq"},
                                                {.name = "at"},
                                                {.name = "actor"},
                                                {.name = "person"},
                                                {.name = "action"},
                                                {.name = "object"},
                                                {.name = "change", .form = change},
                                                {.name = "request", .from = "request_id"},
                                                {0}};
    static const char *const filters[][2] = {{"--object", "object"}, {"--person", "person"},
                                             {"--action", "action"}, {"--request", "request_id"},
                                             {"--since", "since"},   {"--until", "until"}};
    char path[CTL_PATH_MAX] = "/audit";
    uint32_t limit = 50;
    struct opts o = {.a = a};

    opt_number(&o, "--limit", 1000000, &limit);
    for (size_t i = 0; o.rc == CTL_OK && i < sizeof filters / sizeof *filters; i++) {
        o.rc = ctl_query_add(path, filters[i][1], ctl_option(a, filters[i][0]));
    }
    opt_end(&o, 0,
            "audit list [--object 'TABLE KEY'] [--person NAME] [--action WORD] [--request ID] "
            "[--since TIME] [--until TIME] [--limit N]");
    return o.rc == CTL_OK ? ctl_list(c, path, limit, columns) : o.rc;
}

int ctl_audit_key(struct ctl *c, struct ctl_args *a)
{
    const char *file = ctl_option(a, "--file"), *pem = NULL;
    json_t *key = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 0, "audit key [--file FILE]");
    if (o.rc == CTL_OK) {
        o.rc = ctl_get(c, "/audit-key", &key);
    }
    if (o.rc != CTL_OK) {
        return o.rc;
    }
    pem = text_of(key, "public_key");
    if (file != NULL && proc_write_file(file, 0644, pem, strlen(pem)) != E_OK) {
        o.rc = ctl_fail(CTL_BROKEN, "%s: cannot be written", file);
    } else if (c->json) {
        ctl_print_json(stdout, key);
    } else if (file == NULL) {
        fputs(pem, stdout);
    }
    json_decref(key);
    return o.rc;
}

/* ---- the chain ---------------------------------------------------------------------------------
 */
/* A field is its octets, counted: "5:hello,"; null is "-,". */
static enum err add_field(struct sha256_ctx *h, const json_t *row, const char *name)
{
    const json_t *value = json_object_get(row, name);
    char head[32], number[24];
    struct view v = view_from(json_string_value(value), json_string_length(value));
    enum err e = E_OK;

    if (json_is_integer(value)) {
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        v = view_of(number);
    } else if (!json_is_string(value)) {
        return sha256_add(h, VIEW("-,"));
    }
    snprintf(head, sizeof head, "%zu:", v.n);
    TRY(sha256_add(h, view_of(head)));
    TRY(sha256_add(h, v));
    TRY(sha256_add(h, VIEW(",")));
out:
    return e;
}

static enum err hash_row(const json_t *row, char hex[HEX_BYTES + 1])
{
    static const char *const fields[] = {"seq",    "at",     "actor", "person", "action",
                                         "object", "before", "after", "prev"};
    struct sha256_ctx *h = NULL;
    uint8_t digest[SHA256_BYTES];
    enum err e = sha256_new(&h);

    TRY(e);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        TRY(add_field(h, row, fields[i]));
    }
    if (json_is_string(json_object_get(row, "request_id"))) {
        TRY(add_field(h, row, "request_id")); /* rows without one are as they were before */
    }
    TRY(sha256_peek(h, digest));
    hex_put(digest, sizeof digest, hex);
    hex[HEX_BYTES] = 0;
out:
    sha256_free(h);
    return e;
}

/* What is wrong with the row that should follow; NULL: nothing, and the chain is one longer. */
static const char *fault_of(struct chain *k, const json_t *row)
{
    char hex[HEX_BYTES + 1];
    uint64_t seq = number_of(row, "seq");
    const json_t *signed_row = json_array_get(k->checkpoints, k->n_met);

    if (hash_row(row, hex) != E_OK) {
        return "cannot be hashed here: no memory";
    }
    if (seq != k->seq + 1) {
        return "follows a gap: rows before it are missing";
    }
    if (strcmp(text_of(row, "prev"), k->hash) != 0) {
        return "does not continue the row before it";
    }
    if (strcmp(text_of(row, "hash"), hex) != 0) {
        return "was altered: its text does not give its hash";
    }
    if (seq == k->want_seq && strcmp(hex, k->want_hash) != 0) {
        return "is another one than --head says: the log was written anew";
    }
    if (signed_row != NULL && number_of(signed_row, "seq") == seq) {
        if (strcmp(text_of(signed_row, "hash"), hex) != 0) {
            return "is another one than its checkpoint says: the log was written anew";
        }
        k->n_met++;
    }
    k->seq = seq;
    memcpy(k->hash, hex, sizeof hex);
    return NULL;
}

static int verify_rows(struct chain *k, const json_t *rows)
{
    size_t i = 0;
    json_t *row = NULL;

    json_array_foreach(rows, i, row)
    {
        const char *fault = fault_of(k, row);
        if (fault != NULL) {
            return ctl_fail(CTL_REFUSED, "audit row %" PRIu64 " %s", number_of(row, "seq"), fault);
        }
    }
    return CTL_OK;
}

static int verify_all(struct ctl *c, struct chain *k)
{
    size_t n = ROWS_AT_ONCE;
    const json_t *next = NULL;
    int rc = CTL_OK;

    while (rc == CTL_OK && n == ROWS_AT_ONCE) {
        char path[CTL_PATH_MAX] = "/audit-chain", after[24];
        json_t *rows = NULL;
        snprintf(after, sizeof after, "%" PRIu64, k->seq);
        rc = ctl_query_add(path, "after", after);
        if (rc == CTL_OK) {
            rc = ctl_get_all(c, path, ROWS_AT_ONCE, &rows);
        }
        if (rc == CTL_OK) {
            n = json_array_size(rows);
            rc = verify_rows(k, rows);
        }
        json_decref(rows);
    }
    if (rc == CTL_OK && k->seq < k->want_seq) {
        rc =
            ctl_fail(CTL_REFUSED, "the audit log ends at row %" PRIu64 ", --head says row %" PRIu64,
                     k->seq, k->want_seq);
    }
    next = json_array_get(k->checkpoints, k->n_met);
    if (rc == CTL_OK && next != NULL) {
        rc = ctl_fail(CTL_REFUSED,
                      "the audit log ends at row %" PRIu64 ", a checkpoint says row %" PRIu64,
                      k->seq, number_of(next, "seq"));
    }
    return rc;
}

/* ---- checkpoints -------------------------------------------------------------------------------
 */
int ctl_public_key(const char *path, struct ec_public **out)
{
    char pem[KEY_MAX];
    size_t n = 0;
    enum err e = secret_file_read(path, true, pem, sizeof pem, &n);

    if (e == E_OK) {
        e = ec_public_read(view_from(pem, n), out);
    }
    return e == E_OK ? CTL_OK
                     : ctl_fail(CTL_USAGE, "%s: %s", path,
                                e == E_PARSE ? "no P-256 public key in PEM" : err_text(e));
}

static bool is_signed(const json_t *row, const struct ec_public *key)
{
    char text[CHECKPOINT_TEXT_MAX];
    uint8_t signature[EC_SIGNATURE_BYTES];
    size_t n =
        checkpoint_text(text, number_of(row, "seq"), text_of(row, "hash"), text_of(row, "at"));

    return hex_get(view_of(text_of(row, "signature")), signature, sizeof signature) == E_OK &&
           ec_verify(key, view_from(text, n), signature) == E_OK;
}

static int verify_signatures(const json_t *rows, const char *path)
{
    struct ec_public *key = NULL;
    size_t i = 0;
    json_t *row = NULL;
    int rc = ctl_public_key(path, &key);

    if (rc == CTL_OK && json_array_size(rows) == 0) {
        rc = ctl_fail(CTL_REFUSED, "there is no checkpoint that %s could have signed", path);
    }
    json_array_foreach(rows, i, row)
    {
        if (rc == CTL_OK && !is_signed(row, key)) {
            rc = ctl_fail(CTL_REFUSED,
                          "the checkpoint of audit row %" PRIu64 " is not signed by %s (it names "
                          "key %.16s)",
                          number_of(row, "seq"), path, text_of(row, "key_id"));
        }
    }
    ec_public_free(key);
    return rc;
}

/* "17:0123...": what an earlier verify said. */
static int take_head(struct opts *o, struct chain *k)
{
    struct view v = VIEW("");
    size_t colon = 0;

    opt_text(o, "--head", &v);
    opt_end(o, 0, VERIFY_USAGE);
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

static void say(const struct ctl *c, const struct chain *k, const char *key)
{
    const struct ctl_column columns[] = {
        {.name = "rows"}, {.name = "head"}, {.name = "checkpoints"}, {.name = "signatures"}, {0}};
    char head[32 + HEX_BYTES];
    json_t *said = NULL;

    snprintf(head, sizeof head, "%" PRIu64 ":%s", k->seq, k->hash);
    said = json_pack("{s:I,s:s,s:I,s:s}", "rows", (json_int_t)k->seq, "head", head, "checkpoints",
                     (json_int_t)k->n_met, "signatures",
                     key != NULL ? "good" : "not looked at (--public-key)");
    ctl_print_item(stdout, said, columns, c->json);
    json_decref(said);
}

int ctl_audit_verify(struct ctl *c, struct ctl_args *a)
{
    const char *key = ctl_option(a, "--public-key");
    struct chain k = {.seq = 0};
    struct opts o = {.a = a};
    int rc = take_head(&o, &k);

    memset(k.hash, '0', HEX_BYTES);
    if (rc == CTL_OK) {
        rc = ctl_get_all(c, "/audit-checkpoints", 0, &k.checkpoints);
    }
    if (rc == CTL_OK && key != NULL) {
        rc = verify_signatures(k.checkpoints, key);
    }
    if (rc == CTL_OK) {
        rc = verify_all(c, &k);
    }
    if (rc == CTL_OK) {
        say(c, &k, key);
    }
    json_decref(k.checkpoints);
    return rc;
}
