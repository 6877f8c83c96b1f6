/* Sessions that outlive a process. */
#include "bti/slot.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    T_KID = 1,
    T_KEYS = 2,
    T_NEXT = 3,
    T_TOP = 4,
    T_EXPIRES = 5,
    T_GATE = 10 /* and the three behind it */
};
enum { KEYS = 6, KEY = 32, GATES = 4 };

enum err session_encode(const struct session *s, uint8_t *body, size_t max, size_t *out_n)
{
    const struct secret *keys[KEYS] = {&s->keys.mac_up,   &s->keys.mac_down, &s->keys.enc_up,
                                       &s->keys.enc_down, &s->keys.tls_psk,  &s->keys.digest};
    struct field_out w = {.b = body, .max = max};
    uint8_t all[KEYS * KEY];

    field_put(&w, T_KID, s->kid, sizeof s->kid);
    for (size_t i = 0; i < KEYS; i++) {
        w.full = w.full || keys[i]->n != KEY;
        memcpy(all + i * KEY, keys[i]->b, KEY);
    }
    field_put(&w, T_KEYS, all, sizeof all);
    wipe(all, sizeof all);
    field_put_u64(&w, T_NEXT, s->next_seq);
    field_put_u64(&w, T_TOP, s->seen.top);
    field_put_u64(&w, T_EXPIRES, s->expires_us);
    for (size_t i = 0; i < s->gates.n && i < GATES; i++) {
        field_put(&w, (uint8_t)(T_GATE + i), s->gates.v[i], strlen(s->gates.v[i]));
    }
    if (w.full) {
        return FAIL(E_RANGE);
    }
    *out_n = w.n;
    return E_OK;
}

static enum err keys_decode(struct view *v, struct session_keys *k)
{
    struct secret *keys[KEYS] = {&k->mac_up,   &k->mac_down, &k->enc_up,
                                 &k->enc_down, &k->tls_psk,  &k->digest};
    struct view f;
    size_t key = KEY;
    enum err e = field_get(v, T_KEYS, KEYS * key, KEYS * key, &f);

    for (size_t i = 0; e == E_OK && i < KEYS; i++) {
        e = secret_set(keys[i], f.p + i * key, key);
    }
    return e;
}

static enum err gates_decode(struct view *v, struct enrol_texts *out)
{
    struct view f;
    enum err e = E_OK;

    while (v->n > 0 && out->n < GATES) {
        TRY(field_get(v, (uint8_t)(T_GATE + out->n), 1, ENROL_TEXT_BYTES - 1, &f));
        TRY(view_to_cstr(f, out->v[out->n], ENROL_TEXT_BYTES));
        out->n++;
    }
    if (v->n > 0 || out->n == 0) {
        e = FAIL(E_PARSE);
    }
out:
    return e;
}

enum err session_decode(struct view v, struct session **out)
{
    struct session_keys keys = {.mac_up = {.n = 0}};
    struct session *s = NULL;
    struct view kid;
    uint64_t top = 0;
    enum err e = E_OK;

    TRY(field_get(&v, T_KID, BTI_KID_BYTES, BTI_KID_BYTES, &kid));
    TRY(keys_decode(&v, &keys));
    TRY(session_new((const uint8_t *)kid.p, &keys, &s));
    TRY(field_get_u64(&v, T_NEXT, &s->next_seq));
    TRY(field_get_u64(&v, T_TOP, &top));
    TRY(field_get_u64(&v, T_EXPIRES, &s->expires_us));
    TRY(gates_decode(&v, &s->gates));
    if (s->next_seq == 0) {
        TRY(FAIL(E_PARSE));
    }
    replay_floor(&s->seen, top); /* whatever was in flight then is not taken any more */
    *out = s;
    s = NULL;
out:
    session_free(s);
    session_keys_wipe(&keys);
    return e;
}

static enum err slot_name(const struct store *s, unsigned n, char *out, size_t max)
{
    return (size_t)snprintf(out, max, "%s.session-%u", s->path, n) < max ? E_OK : FAIL(E_RANGE);
}

static enum err read_session(struct store *s, unsigned n, bool take, struct session **out)
{
    char name[4096];
    uint8_t *body = secret_alloc(KEYFILE_BODY_MAX);
    size_t len = 0;
    enum err e = body != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    TRY(slot_name(s, n, name, sizeof name));
    e = keyfile_read(name, KEYFILE_SESSION, &s->pass, body, &len);
    if (take && e != E_NOTFOUND && unlink(name) != 0) {
        e = FAIL(E_IO); /* what cannot be taken away could be taken twice */
    }
    TRY(e);
    TRY(session_decode(view_from(body, len), out));
out:
    secret_release(body, KEYFILE_BODY_MAX);
    return e;
}

enum err slot_take(struct store *s, uint64_t now_us, uint64_t min_left_us, struct slot *out_slot,
                   struct session **out)
{
    struct session *found = NULL;
    struct slot slot = {.n = 0, .lock = -1};
    enum err e = E_OK;

    *out = NULL;
    for (unsigned n = 1; n <= SLOTS && slot.n == 0; n++) {
        e = keyfile_lock(s->path, n, false, &slot.lock);
        if (e == E_OK) {
            slot.n = n;
        } else if (e != E_EXISTS) {
            return e;
        }
    }
    if (slot.n != 0 && read_session(s, slot.n, true, &found) == E_OK &&
        (found->expires_us <= now_us || found->expires_us - now_us < min_left_us)) {
        session_free(found);
        found = NULL;
    }
    *out_slot = slot;
    *out = found;
    return E_OK;
}

void slot_release(struct store *s, struct slot *slot, const struct session *session)
{
    char name[4096];
    uint8_t *body = NULL;
    size_t n = 0;

    if (slot->n == 0) {
        return;
    }
    body = session != NULL ? secret_alloc(KEYFILE_BODY_MAX) : NULL;
    if (body != NULL && slot_name(s, slot->n, name, sizeof name) == E_OK &&
        session_encode(session, body, KEYFILE_BODY_MAX, &n) == E_OK) {
        IGNORE(keyfile_write(name, KEYFILE_SESSION, &s->pass, view_from(body, n)),
               "without it the next run asks for a new session");
    }
    secret_release(body, KEYFILE_BODY_MAX);
    close(slot->lock);
    *slot = (struct slot){.n = 0};
}

void slot_forget_all(const struct store *s)
{
    char name[4096];

    for (unsigned n = 1; n <= SLOTS; n++) {
        if (slot_name(s, n, name, sizeof name) == E_OK) {
            unlink(name);
        }
    }
}

uint64_t slot_latest_expiry(struct store *s)
{
    uint64_t latest = 0;

    for (unsigned n = 1; n <= SLOTS; n++) {
        struct session *found = NULL;
        if (read_session(s, n, false, &found) == E_OK && found->expires_us > latest) {
            latest = found->expires_us;
        }
        session_free(found);
    }
    return latest;
}
