/* The key store. */
#include "bti/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/net.h"

enum {
    T_KIND = 1,
    T_KEY = 2,
    T_MAC = 3,
    T_LTK = 10,
    T_COUNTER = 11,
    T_AHEAD = 12,
    T_BTI_ID = 13,
    T_NUMBERS = 14,
    T_GATES = 15,
    T_SERVERS = 16,
    T_DOMAIN = 17,
    T_PS_NAME = 18,
    T_ROOT = 19
};

enum { LTK_PART = 16, TEXTS_BYTES = ENROL_TEXTS_MAX * ENROL_TEXT_BYTES };

/* ---- bodies ------------------------------------------------------------------------------------
 */
static void texts_encode(struct field_out *w, uint8_t tag, const struct enrol_texts *t)
{
    uint8_t b[TEXTS_BYTES];
    size_t n = 0;

    for (size_t i = 0; i < t->n; i++) {
        size_t len = strnlen(t->v[i], ENROL_TEXT_BYTES - 1);
        b[n++] = (uint8_t)len;
        memcpy(b + n, t->v[i], len);
        n += len;
    }
    field_put(w, tag, b, n);
}

static enum err texts_decode(struct view *v, uint8_t tag, size_t min, size_t max,
                             struct enrol_texts *out)
{
    struct enrol_texts t = {.n = 0};
    struct view f;
    enum err e = field_get(v, tag, 0, TEXTS_BYTES, &f);

    TRY(e);
    while (f.n > 0) {
        size_t len = (uint8_t)f.p[0];
        if (len > f.n - 1 || t.n == max) {
            return FAIL(E_PARSE);
        }
        for (size_t i = 1; i <= len; i++) { /* numbers and addresses: shown, so printable */
            if (f.p[i] < 0x21 || f.p[i] > 0x7e) {
                return FAIL(E_PARSE);
            }
        }
        TRY(view_to_cstr(view_sub(f, 1, len), t.v[t.n], ENROL_TEXT_BYTES));
        t.n++;
        f = view_sub(f, 1 + len, f.n);
    }
    if (t.n < min) {
        return FAIL(E_PARSE);
    }
    *out = t;
out:
    return e;
}

static void ltk_encode(struct field_out *w, const struct ltk *l)
{
    const struct secret *parts[4] = {&l->enc_up, &l->mac_up, &l->enc_down, &l->mac_down};
    uint8_t b[4 * LTK_PART];

    for (size_t i = 0; i < 4; i++) {
        w->full = w->full || parts[i]->n != LTK_PART;
        memcpy(b + i * LTK_PART, parts[i]->b, LTK_PART);
    }
    field_put(w, T_LTK, b, sizeof b);
    wipe(b, sizeof b);
}

static enum err ltk_decode(struct view *v, struct ltk *l)
{
    struct secret *parts[4] = {&l->enc_up, &l->mac_up, &l->enc_down, &l->mac_down};
    struct view f;
    size_t part = LTK_PART, all = 4 * part;
    enum err e = E_OK;

    TRY(field_get(v, T_LTK, all, all, &f));
    for (size_t i = 0; i < 4; i++) {
        TRY(secret_set(parts[i], f.p + i * part, part));
    }
out:
    return e;
}

enum err store_encode(const struct store_data *d, bool pending, uint8_t *body, size_t max,
                      size_t *out_n)
{
    struct field_out w = {.b = body, .max = max};
    const struct secret *key = d->kind == KEY_P256 ? &d->k_u.d : &d->shared;

    field_put(&w, T_KIND, &(uint8_t){(uint8_t)d->kind}, 1);
    field_put(&w, T_KEY, key->b, key->n);
    field_put(&w, T_MAC, d->mac, sizeof d->mac);
    if (!pending) {
        ltk_encode(&w, &d->ltk);
        field_put_u64(&w, T_COUNTER, d->counter);
        field_put_u64(&w, T_AHEAD, (uint64_t)d->ahead_us);
        field_put(&w, T_BTI_ID, d->ack.bti_id, BTI_ID_BYTES);
        texts_encode(&w, T_NUMBERS, &d->ack.numbers);
        texts_encode(&w, T_GATES, &d->ack.gates);
        texts_encode(&w, T_SERVERS, &d->ack.servers);
        field_put(&w, T_DOMAIN, d->domain, strnlen(d->domain, sizeof d->domain - 1));
        field_put(&w, T_PS_NAME, d->ps_name, strnlen(d->ps_name, sizeof d->ps_name - 1));
        field_put(&w, T_ROOT, d->root, d->root_n);
    }
    if (w.full) {
        return FAIL(E_RANGE);
    }
    *out_n = w.n;
    return E_OK;
}

static enum err key_decode(struct view *v, struct store_data *d)
{
    struct view f;
    enum err e = E_OK;

    TRY(field_get(v, T_KIND, 1, 1, &f));
    d->kind = f.p[0] == KEY_P256 ? KEY_P256 : KEY_SYMMETRIC;
    if (d->kind != (enum wire_key_kind)(uint8_t)f.p[0]) {
        return FAIL(E_PARSE);
    }
    if (d->kind == KEY_P256) {
        struct secret scalar = {.n = 0};
        TRY(field_get_secret(v, T_KEY, 32, &scalar));
        e = p256_from_private(&scalar, &d->k_u);
        secret_wipe(&scalar);
        TRY(e == E_OK || e == E_NOMEM ? e : FAIL(E_PARSE));
    } else {
        TRY(field_get_secret(v, T_KEY, SECRET_MAX, &d->shared));
    }
    TRY(field_get(v, T_MAC, sizeof d->mac, sizeof d->mac, &f));
    memcpy(d->mac, f.p, sizeof d->mac);
out:
    return e;
}

static enum err name_decode(struct view *v, uint8_t tag, size_t min, char out[STORE_NAME_MAX])
{
    struct view f;
    enum err e = field_get(v, tag, min, STORE_NAME_MAX - 1, &f);

    for (size_t i = 0; e == E_OK && i < f.n; i++) {
        if (f.p[i] < 0x21 || f.p[i] > 0x7e) {
            e = FAIL(E_PARSE);
        }
    }
    return e == E_OK ? view_to_cstr(f, out, STORE_NAME_MAX) : e;
}

static enum err enrolled_decode(struct view *v, struct store_data *d)
{
    struct view f;
    uint64_t ahead = 0;
    enum err e = E_OK;

    TRY(ltk_decode(v, &d->ltk));
    TRY(field_get_u64(v, T_COUNTER, &d->counter));
    TRY(field_get_u64(v, T_AHEAD, &ahead));
    d->ahead_us = (int64_t)ahead;
    TRY(field_get(v, T_BTI_ID, BTI_ID_BYTES, BTI_ID_BYTES, &f));
    memcpy(d->ack.bti_id, f.p, BTI_ID_BYTES);
    TRY(texts_decode(v, T_NUMBERS, 0, 8, &d->ack.numbers));
    TRY(texts_decode(v, T_GATES, 1, 4, &d->ack.gates));
    TRY(texts_decode(v, T_SERVERS, 0, 4, &d->ack.servers));
    TRY(name_decode(v, T_DOMAIN, 1, d->domain));
    TRY(name_decode(v, T_PS_NAME, 0, d->ps_name));
    TRY(field_get(v, T_ROOT, 1, sizeof d->root, &f));
    memcpy(d->root, f.p, f.n);
    d->root_n = f.n;
out:
    return e;
}

enum err store_decode(struct view body, bool pending, struct store_data *out)
{
    struct store_data *d = secret_alloc(sizeof *d);
    enum err e = d != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    TRY(key_decode(&body, d));
    if (!pending) {
        TRY(enrolled_decode(&body, d));
    }
    if (body.n != 0) {
        TRY(FAIL(E_PARSE));
    }
    *out = *d;
out:
    secret_release(d, sizeof *d);
    return e;
}

/* ---- files -------------------------------------------------------------------------------------
 */
enum err store_new(const char *path, const char *passphrase_file_or_null, struct store **out)
{
    struct store *s = secret_alloc(sizeof *s);
    enum err e = s != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    s->path = path;
    if (passphrase_file_or_null != NULL) {
        TRY(passphrase_load(passphrase_file_or_null, &s->pass));
    }
    *out = s;
    s = NULL;
out:
    secret_release(s, sizeof *s);
    return e;
}

void store_free(struct store *s)
{
    secret_release(s, sizeof *s);
}

static enum err pending_name(const struct store *s, char *out, size_t max)
{
    return (size_t)snprintf(out, max, "%s.pending", s->path) < max ? E_OK : FAIL(E_RANGE);
}

static enum err load(struct store *s, const char *path, bool pending)
{
    uint8_t *body = secret_alloc(KEYFILE_BODY_MAX);
    size_t n = 0;
    enum err e = body != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    TRY(keyfile_read(path, pending ? KEYFILE_PENDING : KEYFILE_STORE, &s->pass, body, &n));
    TRY(store_decode(view_from(body, n), pending, &s->d));
out:
    secret_release(body, KEYFILE_BODY_MAX);
    return e;
}

static enum err save(struct store *s, const char *path, bool pending)
{
    uint8_t *body = secret_alloc(KEYFILE_BODY_MAX);
    size_t n = 0;
    enum err e = body != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    TRY(store_encode(&s->d, pending, body, KEYFILE_BODY_MAX, &n));
    TRY(keyfile_write(path, pending ? KEYFILE_PENDING : KEYFILE_STORE, &s->pass,
                      view_from(body, n)));
out:
    secret_release(body, KEYFILE_BODY_MAX);
    return e;
}

enum err store_load(struct store *s)
{
    return load(s, s->path, false);
}

enum err store_save(struct store *s)
{
    return save(s, s->path, false);
}

enum err store_load_pending(struct store *s)
{
    char name[4096];
    enum err e = pending_name(s, name, sizeof name);

    return e == E_OK ? load(s, name, true) : e;
}

enum err store_save_pending(struct store *s)
{
    char name[4096];
    enum err e = pending_name(s, name, sizeof name);

    return e == E_OK ? save(s, name, true) : e;
}

void store_forget_pending(struct store *s)
{
    char name[4096];

    if (pending_name(s, name, sizeof name) == E_OK) {
        unlink(name);
    }
}

enum err store_next_counter(struct store *s, uint64_t at_least, int64_t ahead_us, uint64_t *out)
{
    uint64_t next = 0;
    int lock = -1;
    enum err e = E_OK;

    TRY(keyfile_lock(s->path, 0, true, &lock));
    TRY(store_load(s));
    next = s->d.counter > at_least ? s->d.counter : at_least;
    if (next >= INT64_MAX) { /* the provisioning server counts no further */
        TRY(FAIL(E_RANGE));
    }
    s->d.counter = next + 1;
    s->d.ahead_us = ahead_us;
    TRY(store_save(s));
    *out = next + 1;
out:
    if (lock >= 0) {
        close(lock);
    }
    return e;
}

const char *store_trouble(enum err e)
{
    switch ((int)e) {
    case E_NOTFOUND:
        return "there is no such file: this BTI is not enrolled (bti enroll)";
    case E_DENIED:
        return "it must be a plain file that only its owner can read (chmod 600)";
    case E_PARSE:
        return "it is damaged or no key store";
    case E_AUTH:
        return "the passphrase is wrong, or the file was altered";
    case E_STATE:
        return "it is sealed: --passphrase-file FILE is needed";
    default:
        return err_text(e);
    }
}
