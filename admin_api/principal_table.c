#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "admin_api/principal_int.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/secret.h"

enum { HOUR_S = 3600 };
static const uint64_t HOUR_US = (uint64_t)HOUR_S * 1000000;

struct administrator {
    uint64_t id;
    char name[64], os_user[33], certificate[256];
    struct permissions may;
    bool is_security;
};

struct token {
    uint8_t hash[SHA256_BYTES];
    uint64_t id, expires_us;
    struct permissions scopes;
    bool is_scoped;
    uint32_t owner;             /* index of administrators */
    _Atomic uint64_t used_hour; /* since 1970: of last_used_at, or later */
    _Atomic bool is_used;       /* in an hour after it: to be told to the database */
};

struct principal_table {
    struct administrator *administrators; /* by id */
    struct token *tokens;                 /* by hash */
    size_t n_administrators, n_tokens;
};

enum {
    C_KIND,
    C_ID,
    C_NAME,
    C_WORDS,
    C_CUSTOM,
    C_OS_USER,
    C_CERTIFICATE,
    C_HASH,
    C_TIME,
    C_OWNER,
    C_USED
};

/* Administrators come before tokens, each by its key. */
const char principal_table_sql[] =
    "SELECT 1 AS kind, a.admin_id, a.name, array_to_string(a.roles, ' '), coalesce((SELECT "
    "string_agg(array_to_string(r.permissions, ' '), ' ') FROM core.role r WHERE r.name = ANY "
    "(a.roles)), ''), coalesce(a.os_user, ''), coalesce(a.certificate, ''), '\\x'::bytea AS hash, "
    "0::bigint, 0::bigint, 0::bigint FROM core.administrator a WHERE NOT a.disabled "
    "UNION ALL "
    "SELECT 2, t.token_id, '', array_to_string(t.scopes, ' '), '', '', '', t.hash, "
    "floor(extract(epoch FROM t.expires_at) * 1000000)::bigint, t.admin_id, "
    "coalesce(floor(extract(epoch FROM t.last_used_at) / 3600)::bigint, 0) FROM core.token t JOIN "
    "core.administrator a USING (admin_id) WHERE NOT a.disabled AND t.revoked_at IS NULL AND "
    "t.expires_at > now() "
    "ORDER BY 1, 8, 2";

/* ---- reading -----------------------------------------------------------------------------------
 */
static enum err read_administrator(const struct pg_result *r, size_t row, struct administrator *a)
{
    enum err e = E_OK;

    a->id = pg_u64(r, row, C_ID);
    roles_read(pg_text(r, row, C_WORDS), pg_text(r, row, C_CUSTOM), &a->may, &a->is_security);
    TRY(view_to_cstr(pg_text(r, row, C_NAME), a->name, sizeof a->name));
    TRY(view_to_cstr(pg_text(r, row, C_OS_USER), a->os_user, sizeof a->os_user));
    TRY(view_to_cstr(pg_text(r, row, C_CERTIFICATE), a->certificate, sizeof a->certificate));
out:
    return e;
}

static int by_id(const void *key, const void *row)
{
    uint64_t id = *(const uint64_t *)key, other = ((const struct administrator *)row)->id;

    return id < other ? -1 : id > other;
}

static struct administrator *find_id(const struct principal_table *t, uint64_t id)
{
    return t->n_administrators == 0 ? NULL
                                    : bsearch(&id, t->administrators, t->n_administrators,
                                              sizeof *t->administrators, by_id);
}

static enum err read_token(const struct pg_result *r, size_t row, const struct principal_table *t,
                           struct token *k)
{
    const struct administrator *owner = find_id(t, pg_u64(r, row, C_OWNER));
    struct view scopes = pg_text(r, row, C_WORDS);
    size_t n = 0;
    enum err e = owner != NULL ? E_OK : FAIL(E_STATE);

    TRY(e);
    TRY(pg_octets(r, row, C_HASH, k->hash, sizeof k->hash, &n));
    k->id = pg_u64(r, row, C_ID);
    k->expires_us = pg_u64(r, row, C_TIME);
    k->owner = (uint32_t)(owner - t->administrators);
    k->is_scoped = scopes.n > 0;
    (void)permissions_read(scopes, &k->scopes); /* a scope that we do not know opens nothing */
    atomic_init(&k->used_hour, pg_u64(r, row, C_USED));
    atomic_init(&k->is_used, false);
    e = n == sizeof k->hash ? E_OK : FAIL(E_PARSE);
out:
    return e;
}

enum err principal_table_read(const struct pg_result *r, struct principal_table **out)
{
    size_t rows = pg_rows(r), n = 0;
    struct principal_table *t = mem_zalloc(sizeof *t);
    enum err e = t != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    while (n < rows && pg_u64(r, n, C_KIND) == 1) {
        n++;
    }
    TRY(n <= ADMINISTRATORS_MAX && rows - n <= TOKENS_MAX ? E_OK : FAIL(E_FULL));
    t->administrators = mem_zalloc_array(n + 1, sizeof *t->administrators);
    t->tokens = mem_zalloc_array(rows - n + 1, sizeof *t->tokens);
    TRY(t->administrators != NULL && t->tokens != NULL ? E_OK : FAIL(E_NOMEM));
    for (; t->n_administrators < n; t->n_administrators++) {
        TRY(read_administrator(r, t->n_administrators, &t->administrators[t->n_administrators]));
    }
    for (; t->n_tokens < rows - n; t->n_tokens++) {
        TRY(read_token(r, n + t->n_tokens, t, &t->tokens[t->n_tokens]));
    }
    *out = t;
    t = NULL;
out:
    principal_table_free(t);
    return e;
}

void principal_table_free(struct principal_table *t)
{
    if (t != NULL) {
        mem_free(t->administrators);
        mem_free(t->tokens);
        mem_free(t);
    }
}

/* ---- finding -----------------------------------------------------------------------------------
 */
static void put(const struct administrator *a, const char *how, struct principal *out)
{
    *out = (struct principal){
        .admin_id = a->id, .how = how, .may = a->may, .grants_all = a->is_security};
    memcpy(out->name, a->name, sizeof a->name);
}

static int by_hash(const void *key, const void *row)
{
    return memcmp(key, ((const struct token *)row)->hash, SHA256_BYTES);
}

/* How long this takes tells something of hashes, which tells nothing of tokens. */
bool principal_by_token(struct principal_table *t, const uint8_t hash[SHA256_BYTES],
                        uint64_t now_us, struct principal *out)
{
    struct token *k =
        t->n_tokens == 0 ? NULL : bsearch(hash, t->tokens, t->n_tokens, sizeof *t->tokens, by_hash);
    uint64_t hour = now_us / HOUR_US;

    if (k == NULL || !bytes_eq(k->hash, hash, SHA256_BYTES) || now_us >= k->expires_us) {
        return false;
    }
    put(&t->administrators[k->owner], "token", out);
    out->token_id = k->id;
    if (k->is_scoped) {
        permissions_cut(&out->may, &k->scopes);
        permissions_add(&out->may, PERMISSION_SELF);
        out->grants_all = false;
    }
    if (atomic_load(&k->used_hour) < hour) {
        atomic_store(&k->used_hour, hour);
        atomic_store(&k->is_used, true);
    }
    return true;
}

bool principal_by_certificate(const struct principal_table *t, const char *name,
                              struct principal *out)
{
    for (size_t i = 0; name[0] != 0 && i < t->n_administrators; i++) {
        if (strcmp(t->administrators[i].certificate, name) == 0) {
            put(&t->administrators[i], "certificate", out);
            return true;
        }
    }
    return false;
}

bool principal_by_os_user(const struct principal_table *t, const char *user, struct principal *out)
{
    for (size_t i = 0; user[0] != 0 && i < t->n_administrators; i++) {
        if (strcmp(t->administrators[i].os_user, user) == 0) {
            put(&t->administrators[i], "peer", out);
            return true;
        }
    }
    return false;
}

bool principal_by_id(const struct principal_table *t, uint64_t admin_id, struct principal *out)
{
    const struct administrator *a = find_id(t, admin_id);

    if (a != NULL) {
        put(a, "", out);
    }
    return a != NULL;
}

bool principal_any(const struct principal_table *t, uint64_t but, const struct permissions *need)
{
    for (size_t i = 0; i < t->n_administrators; i++) {
        if (t->administrators[i].id != but && permissions_cover(&t->administrators[i].may, need)) {
            return true;
        }
    }
    return false;
}

size_t principal_tokens_used(struct principal_table *t, uint64_t *ids, size_t max)
{
    size_t n = 0;

    for (size_t i = 0; n < max && i < t->n_tokens; i++) {
        if (atomic_exchange(&t->tokens[i].is_used, false)) {
            ids[n++] = t->tokens[i].id;
        }
    }
    return n;
}
