/* The officers' database: see li_store.h. */
#include "lawful_intercept/li_store.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/view.h"
#include "lawful_intercept/book.h"
#include "lawful_intercept/li_db.h"

enum {
    SEALED_HEAD = 1 + GCM_NONCE_BYTES,
    ITEM_MAX = 32 * 1024,
    COPY_MAX = 64 << 20,
    RETRY_MS = 1000,
    SILENT_MS = 4000,
    AAD_MAX = 64
};

struct li_store {
    pthread_mutex_t lock;
    char conninfo[1024], copy[512];
    struct secret *key;
    struct pg_sync *db;
    uint64_t version, retry_at_ms;
    json_t *items; /* all of them, as an array, for the copy */
    bool was_read;
};

static const char *const kinds[] = {[LI_ITEM_AGENCY] = "agency", [LI_ITEM_ORDER] = "order"};

/* ---- sealing -----------------------------------------------------------------------------------
 */
static enum err item_key(const struct li_store *s, struct secret *out)
{
    struct secret prk = {{0}, 0};
    enum err e = hkdf_extract(VIEW("headgate li v1"), view_from(s->key->b, s->key->n), &prk);

    TRY(e);
    TRY(hkdf_expand(&prk, VIEW("headgate li item v1"), 32, out));
out:
    secret_wipe(&prk);
    return e;
}

/* out: SEALED_HEAD + plain.n + GCM_TAG_BYTES octets. */
static enum err seal(const struct li_store *s, struct view aad, struct view plain, uint8_t *out)
{
    struct secret key = {{0}, 0};
    enum err e = item_key(s, &key);

    TRY(e);
    out[0] = 1;
    TRY(crypto_random(out + 1, GCM_NONCE_BYTES));
    TRY(gcm_seal(&key, out + 1, aad, plain, out + SEALED_HEAD));
out:
    secret_wipe(&key);
    return e;
}

static enum err unseal(const struct li_store *s, struct view aad, const uint8_t *sealed, size_t n,
                       char *out, size_t *out_n)
{
    struct secret key = {{0}, 0};
    enum err e = E_OK;

    if (n < SEALED_HEAD + GCM_TAG_BYTES || sealed[0] != 1) {
        return FAIL(E_PARSE);
    }
    TRY(item_key(s, &key));
    TRY(gcm_open(&key, sealed + 1, aad, view_from(sealed + SEALED_HEAD, n - SEALED_HEAD),
                 (uint8_t *)out));
    *out_n = n - SEALED_HEAD - GCM_TAG_BYTES;
out:
    secret_wipe(&key);
    return e;
}

/* A JSON value, sealed; mem_free() gives it back. */
static enum err seal_json(const struct li_store *s, const char *aad, const json_t *v, uint8_t **out,
                          size_t *out_n)
{
    char *text = json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS);
    uint8_t *sealed = NULL;
    size_t n = text != NULL ? strlen(text) : 0;
    enum err e = E_OK;

    if (text == NULL || n > ITEM_MAX) {
        TRY(FAIL(text == NULL ? E_NOMEM : E_RANGE));
    }
    sealed = mem_zalloc(SEALED_HEAD + n + GCM_TAG_BYTES);
    if (sealed == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    TRY(seal(s, view_of(aad), view_from(text, n), sealed));
    *out = sealed;
    *out_n = SEALED_HEAD + n + GCM_TAG_BYTES;
    sealed = NULL;
out:
    mem_free(sealed);
    if (text != NULL) {
        wipe(text, n);
    }
    mem_free(text);
    return e;
}

static enum err open_json(const struct li_store *s, const char *aad, const uint8_t *sealed,
                          size_t n, json_t **out)
{
    char *text = mem_zalloc(n + 1);
    size_t text_n = 0;
    enum err e = E_OK;

    if (text == NULL) {
        return FAIL(E_NOMEM);
    }
    TRY(unseal(s, view_of(aad), sealed, n, text, &text_n));
    *out = json_loadb(text, text_n, JSON_REJECT_DUPLICATES, NULL);
    e = *out != NULL ? E_OK : FAIL(E_PARSE);
out:
    wipe(text, n);
    mem_free(text);
    return e;
}

/* ---- the database ------------------------------------------------------------------------------
 */
static void hang_up(struct li_store *s)
{
    pg_sync_close(s->db);
    s->db = NULL;
    s->retry_at_ms = clock_mono_ms(clock_system()) + RETRY_MS;
}

static enum err reach(struct li_store *s)
{
    char why[256] = "";
    enum err e = E_OK;

    if (s->db != NULL) {
        return E_OK;
    }
    if (clock_mono_ms(clock_system()) < s->retry_at_ms) {
        return FAIL(E_IO);
    }
    e = li_db_open(s->conninfo, SILENT_MS, &s->db, why, sizeof why);
    if (e != E_OK) {
        s->db = NULL;
        LOG(LV_WARN, "store.down", KV("why", (const char *)why));
        hang_up(s);
        return FAIL(E_IO);
    }
    LOG(LV_INFO, "store.up", KV("database", "li"));
    return E_OK;
}

/* One statement; a connection that failed is given up. */
static enum err query(struct li_store *s, const char *sql, const struct pg_param *p, size_t n,
                      struct pg_result **out)
{
    struct pg_result *r = NULL;
    enum err e = pg_sync_query(s->db, sql, p, n, &r);

    if (e == E_EXISTS || e == E_OK) {
        *out = r;
        return e;
    }
    LOG(LV_ERROR, "store.query_failed", KV("sqlstate", r != NULL ? pg_sqlstate(r) : ""), KV_ERR(e));
    pg_result_free(r);
    hang_up(s);
    return FAIL(E_IO);
}

static enum err run(struct li_store *s, const char *sql, const struct pg_param *p, size_t n)
{
    struct pg_result *r = NULL;
    enum err e = query(s, sql, p, n, &r);

    pg_result_free(r);
    return e;
}

/* ---- items -------------------------------------------------------------------------------------
 */
static void item_aad(enum li_kind kind, uint64_t id, char out[AAD_MAX])
{
    snprintf(out, AAD_MAX, "%s:%llu", kinds[kind], (unsigned long long)id);
}

/* Takes item over; another one of that kind and id gives way. */
static enum err keep(struct li_store *s, enum li_kind kind, json_t *item)
{
    json_t *row = json_pack("{s:s,s:o}", "kind", kinds[kind], "item", item);
    json_int_t id = json_integer_value(json_object_get(item, kinds[kind]));

    if (row == NULL) {
        return FAIL(E_NOMEM);
    }
    for (size_t i = json_array_size(s->items); i > 0; i--) {
        const json_t *old = json_array_get(s->items, i - 1);
        if (strcmp(json_string_value(json_object_get(old, "kind")), kinds[kind]) == 0 &&
            json_integer_value(json_object_get(json_object_get(old, "item"), kinds[kind])) == id) {
            IGNORE(json_array_remove(s->items, i - 1) == 0 ? E_OK : E_STATE, "it is there");
        }
    }
    return json_array_append_new(s->items, row) == 0 ? E_OK : FAIL(E_NOMEM);
}

static bool kind_of(struct view text, enum li_kind *out)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (view_eq(text, view_of(kinds[i]))) {
            *out = (enum li_kind)i;
            return true;
        }
    }
    return false;
}

static enum err take_row(struct li_store *s, const struct pg_result *r, size_t row, li_item_fn *fn,
                         void *arg)
{
    uint8_t *sealed = mem_zalloc(ITEM_MAX + 64);
    uint64_t id = pg_u64(r, row, 1);
    enum li_kind kind = LI_ITEM_AGENCY;
    json_t *item = NULL;
    char aad[AAD_MAX];
    size_t n = 0;
    enum err e = E_OK;

    if (sealed == NULL) {
        return FAIL(E_NOMEM);
    }
    if (!kind_of(pg_text(r, row, 0), &kind)) {
        TRY(FAIL(E_PARSE));
    }
    item_aad(kind, id, aad);
    TRY(pg_octets(r, row, 3, sealed, ITEM_MAX + 64, &n));
    TRY(open_json(s, aad, sealed, n, &item));
    TRY(fn(arg, kind, item));
    e = keep(s, kind, item); /* takes it over */
    item = NULL;
out:
    if (e != E_OK) {
        LOG(LV_ERROR, "store.item_refused", KV("id", id), KV_ERR(e));
    }
    json_decref(item);
    mem_free(sealed);
    return e;
}

/* ---- the copy ----------------------------------------------------------------------------------
 */
static enum err write_copy(struct li_store *s)
{
    char temp[sizeof s->copy + 8];
    uint8_t *sealed = NULL;
    char *text = json_dumps(s->items, JSON_COMPACT);
    size_t n = text != NULL ? strlen(text) : 0;
    ssize_t done = 0;
    enum err e = E_OK;
    int fd = -1;

    sealed = text != NULL ? mem_zalloc(SEALED_HEAD + n + GCM_TAG_BYTES) : NULL;
    if (sealed == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    TRY(seal(s, VIEW("copy"), view_from(text, n), sealed));
    snprintf(temp, sizeof temp, "%s.new", s->copy);
    fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    done = fd >= 0 ? write(fd, sealed, SEALED_HEAD + n + GCM_TAG_BYTES) : -1;
    if (done != (ssize_t)(SEALED_HEAD + n + GCM_TAG_BYTES) || fsync(fd) != 0 ||
        rename(temp, s->copy) != 0) {
        TRY(FAIL(E_IO));
    }
out:
    if (fd >= 0) {
        close(fd);
    }
    if (text != NULL) {
        wipe(text, n);
    }
    mem_free(text);
    mem_free(sealed);
    return e;
}

static enum err read_octets(const char *path, uint8_t **out, size_t *out_n)
{
    struct stat st;
    uint8_t *p = NULL;
    enum err e = E_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size <= 0 || st.st_size > COPY_MAX) {
        TRY(FAIL(E_NOTFOUND));
    }
    p = mem_zalloc((size_t)st.st_size);
    if (p == NULL || read(fd, p, (size_t)st.st_size) != st.st_size) {
        TRY(FAIL(E_IO));
    }
    *out = p;
    *out_n = (size_t)st.st_size;
    p = NULL;
out:
    if (fd >= 0) {
        close(fd);
    }
    mem_free(p);
    return e;
}

static enum err read_copy(struct li_store *s, li_item_fn *fn, void *arg)
{
    uint8_t *octets = NULL;
    json_t *all = NULL;
    size_t n = 0, i = 0;
    json_t *row = NULL;
    enum err e = read_octets(s->copy, &octets, &n);

    TRY(e);
    TRY(open_json(s, "copy", octets, n, &all));
    json_array_foreach(all, i, row)
    {
        enum li_kind kind = LI_ITEM_AGENCY;
        const char *text = json_string_value(json_object_get(row, "kind"));
        if (text == NULL || !kind_of(view_of(text), &kind)) {
            TRY(FAIL(E_PARSE));
        }
        TRY(fn(arg, kind, json_object_get(row, "item")));
    }
    LOG(LV_WARN, "store.from_copy", KV("items", json_array_size(all)));
out:
    json_decref(all);
    mem_free(octets);
    return e;
}

/* ---- reading -----------------------------------------------------------------------------------
 */
static enum err read_news(struct li_store *s, li_item_fn *fn, void *arg, size_t *n)
{
    char since[24];
    struct pg_param p[1];
    struct pg_result *r = NULL;
    enum err e = reach(s);

    TRY(e);
    snprintf(since, sizeof since, "%llu", (unsigned long long)s->version);
    p[0] = PG_TEXT(view_of(since));
    TRY(query(s,
              "SELECT kind, id, version, sealed FROM item WHERE version > $1::bigint "
              "ORDER BY version LIMIT 10000",
              p, 1, &r));
    *n = pg_rows(r);
    for (size_t i = 0; i < *n; i++) {
        IGNORE(take_row(s, r, i, fn, arg), "logged; the others go on");
        s->version = pg_u64(r, i, 2);
    }
out:
    pg_result_free(r);
    return e;
}

enum err li_store_read(struct li_store *s, li_item_fn *fn, void *arg, bool *from_copy)
{
    size_t n = 0;
    enum err e = E_OK;

    pthread_mutex_lock(&s->lock);
    *from_copy = false;
    e = read_news(s, fn, arg, &n);
    if (e == E_OK && n > 0) {
        enum err copied = write_copy(s);
        if (copied != E_OK) {
            LOG(LV_ERROR, "store.copy_failed", KV_ERR(copied));
        }
    } else if (e == E_IO && !s->was_read) {
        e = read_copy(s, fn, arg);
        *from_copy = e == E_OK;
    }
    s->was_read = s->was_read || e == E_OK;
    pthread_mutex_unlock(&s->lock);
    return e;
}

/* ---- writing -----------------------------------------------------------------------------------
 */
/* Within a transaction that has the lock: the next link of the chain. */
static enum err add_event(struct li_store *s, const char *who, const char *action,
                          const char *object)
{
    json_t *v = json_pack("{s:s,s:s,s:s}", "who", who, "action", action, "object", object);
    struct pg_result *r = NULL;
    struct pg_param p[2];
    uint8_t *sealed = NULL;
    char seq[24], aad[AAD_MAX];
    size_t n = 0;
    enum err e = v != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    TRY(query(s, "SELECT coalesce(max(seq), 0) + 1 FROM event", NULL, 0, &r));
    snprintf(seq, sizeof seq, "%llu", (unsigned long long)pg_u64(r, 0, 0));
    snprintf(aad, sizeof aad, "event:%s", seq);
    TRY(seal_json(s, aad, v, &sealed, &n));
    p[0] = PG_TEXT(view_of(seq));
    p[1] = PG_BYTES(view_from(sealed, n));
    TRY(run(s, "SELECT add_event($1::bigint, $2)", p, 2));
out:
    pg_result_free(r);
    mem_free(sealed);
    json_decref(v);
    return e;
}

/* Within a transaction that has the lock: whether the item is still what somebody began with. */
static enum err check_was(struct li_store *s, const char *aad, const struct pg_param key[2],
                          const json_t *was)
{
    uint8_t *sealed = mem_zalloc(ITEM_MAX + 64);
    struct pg_result *r = NULL;
    json_t *now = NULL;
    size_t n = 0;
    enum err e = sealed != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    TRY(query(s, "SELECT sealed FROM item WHERE kind = $1 AND id = $2::bigint", key, 2, &r));
    TRY(pg_rows(r) == 1 ? E_OK : FAIL(E_EXISTS));
    TRY(pg_octets(r, 0, 0, sealed, ITEM_MAX + 64, &n));
    TRY(open_json(s, aad, sealed, n, &now));
    e = json_equal(now, was) ? E_OK : FAIL(E_EXISTS);
out:
    json_decref(now);
    pg_result_free(r);
    mem_free(sealed);
    return e;
}

static enum err put_item(struct li_store *s, enum li_kind kind, uint64_t id, const json_t *item,
                         const json_t *was)
{
    struct pg_param p[3];
    uint8_t *sealed = NULL;
    char number[24], aad[AAD_MAX];
    size_t n = 0;
    enum err e = E_OK;

    item_aad(kind, id, aad);
    snprintf(number, sizeof number, "%llu", (unsigned long long)id);
    p[0] = PG_TEXT(view_of(kinds[kind]));
    p[1] = PG_TEXT(view_of(number));
    TRY(was != NULL ? check_was(s, aad, p, was) : E_OK);
    TRY(seal_json(s, aad, item, &sealed, &n));
    p[2] = PG_BYTES(view_from(sealed, n));
    e = run(s,
            was == NULL ? "INSERT INTO item (kind, id, sealed) VALUES ($1, $2::bigint, $3)"
                        : "UPDATE item SET sealed = $3, version = nextval('item_version') "
                          "WHERE kind = $1 AND id = $2::bigint",
            p, 3);
out:
    mem_free(sealed);
    return e;
}

static enum err begin(struct li_store *s)
{
    enum err e = reach(s);

    TRY(e);
    TRY(run(s, "BEGIN", NULL, 0));
    TRY(run(s, "SELECT pg_advisory_xact_lock(7613)", NULL, 0));
out:
    return e;
}

/* COMMIT when all went well, else ROLLBACK. */
static enum err finish(struct li_store *s, enum err e)
{
    if (s->db == NULL) {
        return e;
    }
    if (e == E_OK) { /* whose answer is lost may have been done all the same */
        return run(s, "COMMIT", NULL, 0) == E_OK ? E_OK : FAIL(E_TIMEOUT);
    }
    IGNORE(run(s, "ROLLBACK", NULL, 0), "a lost connection rolls back as well");
    return e;
}

enum err li_store_write(struct li_store *s, enum li_kind kind, uint64_t id, const json_t *item,
                        const json_t *was, const char *who, const char *action)
{
    char object[AAD_MAX];
    enum err e = E_OK;

    item_aad(kind, id, object);
    pthread_mutex_lock(&s->lock);
    TRY(begin(s));
    TRY(put_item(s, kind, id, item, was));
    TRY(add_event(s, who, action, object));
out:
    e = finish(s, e);
    pthread_mutex_unlock(&s->lock);
    return e;
}

enum err li_store_note(struct li_store *s, const char *who, const char *action, const char *object)
{
    enum err e = E_OK;

    pthread_mutex_lock(&s->lock);
    TRY(begin(s));
    TRY(add_event(s, who, action, object));
out:
    e = finish(s, e);
    pthread_mutex_unlock(&s->lock);
    return e;
}

/* ---- events ------------------------------------------------------------------------------------
 */
static enum err event_of(struct li_store *s, const struct pg_result *r, size_t row, json_t *all)
{
    uint8_t *sealed = mem_zalloc(ITEM_MAX + 64);
    json_t *v = NULL;
    char aad[AAD_MAX], at[40], hash[65];
    size_t n = 0;
    enum err e = sealed != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    snprintf(aad, sizeof aad, "event:%llu", (unsigned long long)pg_u64(r, row, 0));
    TRY(pg_octets(r, row, 2, sealed, ITEM_MAX + 64, &n));
    TRY(open_json(s, aad, sealed, n, &v));
    TRY(view_to_cstr(pg_text(r, row, 1), at, sizeof at));
    TRY(view_to_cstr(pg_text(r, row, 4), hash, sizeof hash));
    if (json_object_set_new(v, "seq", json_integer((json_int_t)pg_u64(r, row, 0))) != 0 ||
        json_object_set_new(v, "hash", json_string(hash)) != 0 ||
        json_object_set_new(v, "at", json_string(at)) != 0 || json_array_append(all, v) != 0) {
        TRY(FAIL(E_NOMEM));
    }
out:
    json_decref(v);
    mem_free(sealed);
    return e;
}

enum err li_store_events(struct li_store *s, uint64_t after, unsigned limit, json_t **out,
                         bool *sound)
{
    json_t *all = json_array();
    char from[24], most[24];
    struct pg_param p[2];
    struct pg_result *r = NULL;
    enum err e = E_OK;

    pthread_mutex_lock(&s->lock);
    *sound = true;
    snprintf(from, sizeof from, "%llu", (unsigned long long)after);
    snprintf(most, sizeof most, "%u", limit);
    p[0] = PG_TEXT(view_of(from));
    p[1] = PG_TEXT(view_of(most));
    TRY(all != NULL ? reach(s) : FAIL(E_NOMEM));
    TRY(query(s,
              "SELECT seq, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), "
              "sealed, hash = event_hash(seq, at, sealed, prev) AND prev = coalesce((SELECT b.hash "
              "FROM event b WHERE b.seq = e.seq - 1), decode(repeat('00', 32), 'hex')), "
              "encode(hash, 'hex') FROM event e WHERE seq > $1::bigint ORDER BY seq LIMIT $2::int",
              p, 2, &r));
    for (size_t i = 0; i < pg_rows(r); i++) {
        *sound = *sound && pg_bool(r, i, 3);
        if (event_of(s, r, i, all) != E_OK) {
            *sound = false;
        }
    }
    *out = all;
    all = NULL;
out:
    pg_result_free(r);
    pthread_mutex_unlock(&s->lock);
    json_decref(all);
    return e;
}

/* ---- life --------------------------------------------------------------------------------------
 */
bool li_store_is_up(struct li_store *s)
{
    bool up = false;

    pthread_mutex_lock(&s->lock);
    up = s->db != NULL;
    pthread_mutex_unlock(&s->lock);
    return up;
}

enum err li_store_open(const struct li_store_cfg *cfg, struct li_store **out)
{
    struct li_store *s = mem_zalloc(sizeof *s);
    enum err e = E_OK;

    if (s == NULL) {
        return FAIL(E_NOMEM);
    }
    pthread_mutex_init(&s->lock, NULL);
    TRY(view_to_cstr(view_of(cfg->conninfo), s->conninfo, sizeof s->conninfo));
    TRY(view_to_cstr(view_of(cfg->copy), s->copy, sizeof s->copy));
    s->items = json_array();
    s->key = secret_alloc(sizeof *s->key);
    if (s->key == NULL || s->items == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    TRY(secret_set(s->key, cfg->key->b, cfg->key->n));
    *out = s;
    s = NULL;
out:
    li_store_close(s);
    return e;
}

void li_store_close(struct li_store *s)
{
    if (s == NULL) {
        return;
    }
    pg_sync_close(s->db);
    json_decref(s->items);
    secret_release(s->key, sizeof *s->key);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}
