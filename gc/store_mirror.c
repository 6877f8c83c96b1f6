/* What gate controllers tell each other through Redis, sealed. Every process seals under a key of
 * its own, derived from the cluster key and a random salt, so that counters can be nonces. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "gc/store_int.h"

#define VERSION     2
#define SALT_BYTES  16
#define COUNT_BYTES 8
#define HEAD_BYTES  (1 + SALT_BYTES + COUNT_BYTES)
#define KEY_BYTES   32
#define OTHERS      8 /* keys of other nodes that are kept ready */
#define LABEL       "headgate mirror v1"
_Static_assert(HEAD_BYTES + GCM_TAG_BYTES == MIRROR_SEAL_EXTRA, "as the header says");

struct salted {
    uint8_t salt[SALT_BYTES];
    struct secret key; /* n 0: free */
};

struct mirror {
    struct secret prk;
    struct salted own, other[OTHERS];
    size_t next_other;
    uint64_t count;
    char node[32];
};

static enum err derive(const struct mirror *m, struct salted *k)
{
    uint8_t info[sizeof LABEL - 1 + SALT_BYTES];

    memcpy(info, LABEL, sizeof LABEL - 1);
    memcpy(info + sizeof LABEL - 1, k->salt, SALT_BYTES);
    return hkdf_expand(&m->prk, view_from(info, sizeof info), KEY_BYTES, &k->key);
}

enum err mirror_new(const struct secret *cluster_key, const char *node, struct mirror **out)
{
    struct mirror *m = secret_alloc(sizeof *m);
    enum err e = m != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    TRY(view_to_cstr(view_of(node), m->node, sizeof m->node));
    TRY(hkdf_extract(VIEW(LABEL), view_from(cluster_key->b, cluster_key->n), &m->prk));
    TRY(crypto_random(m->own.salt, SALT_BYTES));
    TRY(derive(m, &m->own));
    *out = m;
    m = NULL;
out:
    mirror_free(m);
    return e;
}

void mirror_free(struct mirror *m)
{
    secret_release(m, sizeof *m);
}

/* ---- sealing -----------------------------------------------------------------------------------
 */
static struct view aad_make(struct view what, struct view place, uint8_t dst[160])
{
    int n =
        snprintf((char *)dst, 160, LABEL " %.*s %.*s", (int)what.n, what.p, (int)place.n, place.p);

    BUG_ON(n <= 0 || n >= 160);
    return view_from(dst, (size_t)n);
}

static void nonce_make(const uint8_t *count, uint8_t nonce[GCM_NONCE_BYTES])
{
    memset(nonce, 0, GCM_NONCE_BYTES);
    memcpy(nonce + GCM_NONCE_BYTES - COUNT_BYTES, count, COUNT_BYTES);
}

enum err mirror_seal(struct mirror *m, struct view what, struct view place, struct view plain,
                     uint8_t *dst, size_t max, size_t *out_n)
{
    uint8_t aad[160], nonce[GCM_NONCE_BYTES];
    enum err e = E_OK;

    if (plain.n + MIRROR_SEAL_EXTRA > max) {
        return FAIL(E_RANGE);
    }
    m->count++;
    dst[0] = VERSION;
    memcpy(dst + 1, m->own.salt, SALT_BYTES);
    for (size_t i = 0; i < COUNT_BYTES; i++) {
        dst[1 + SALT_BYTES + i] = (uint8_t)(m->count >> (56 - 8 * i));
    }
    nonce_make(dst + 1 + SALT_BYTES, nonce);
    TRY(gcm_seal(&m->own.key, nonce, aad_make(what, place, aad), plain, dst + HEAD_BYTES));
    *out_n = plain.n + MIRROR_SEAL_EXTRA;
out:
    return e;
}

static enum err key_of(struct mirror *m, const uint8_t *salt, const struct secret **out)
{
    struct salted *k = NULL;
    enum err e = E_OK;

    if (memcmp(salt, m->own.salt, SALT_BYTES) == 0) {
        *out = &m->own.key;
        return E_OK;
    }
    for (size_t i = 0; i < OTHERS; i++) {
        if (m->other[i].key.n != 0 && memcmp(m->other[i].salt, salt, SALT_BYTES) == 0) {
            *out = &m->other[i].key;
            return E_OK;
        }
    }
    k = &m->other[m->next_other++ % OTHERS];
    secret_wipe(&k->key);
    memcpy(k->salt, salt, SALT_BYTES);
    TRY(derive(m, k));
    *out = &k->key;
out:
    return e;
}

enum err mirror_open(struct mirror *m, struct view what, struct view place, struct view sealed,
                     uint8_t *dst, size_t max, size_t *out_n)
{
    const uint8_t *b = (const uint8_t *)sealed.p;
    const struct secret *key = NULL;
    uint8_t aad[160], nonce[GCM_NONCE_BYTES];
    enum err e = E_OK;

    if (sealed.n < MIRROR_SEAL_EXTRA || sealed.n - MIRROR_SEAL_EXTRA > max || b[0] != VERSION) {
        return FAIL(E_PARSE);
    }
    TRY(key_of(m, b + 1, &key));
    nonce_make(b + 1 + SALT_BYTES, nonce);
    TRY(gcm_open(key, nonce, aad_make(what, place, aad), view_sub(sealed, HEAD_BYTES, sealed.n),
                 dst));
    *out_n = sealed.n - MIRROR_SEAL_EXTRA;
out:
    return e;
}

/* ---- the plain texts: fields one after the other, big-endian -----------------------------------
 */
struct writer {
    uint8_t *p;
    size_t n;
};

static void put_octets(struct writer *w, const void *p, size_t n)
{
    BUG_ON(w->n + n > MIRROR_TEXT_MAX);
    memcpy(w->p + w->n, p, n);
    w->n += n;
}

static void put_uint(struct writer *w, uint64_t v, size_t octets)
{
    uint8_t b[8];

    for (size_t i = 0; i < octets; i++) {
        b[i] = (uint8_t)(v >> (8 * (octets - 1 - i)));
    }
    put_octets(w, b, octets);
}

static void put_text(struct writer *w, const char *text, size_t bytes)
{
    size_t n = strnlen(text, bytes);

    put_uint(w, n, 2);
    put_octets(w, text, n);
}

static void put_address(struct writer *w, const struct net_addr *a)
{
    put_uint(w, a->family, 1);
    put_uint(w, a->port, 2);
    put_octets(w, a->ip, sizeof a->ip);
}

struct reader {
    const uint8_t *p;
    size_t n;
    bool bad;
};

static void get_octets(struct reader *r, void *dst, size_t n)
{
    if (r->bad || n > r->n) {
        r->bad = true;
        return;
    }
    memcpy(dst, r->p, n);
    r->p += n;
    r->n -= n;
}

static uint64_t get_uint(struct reader *r, size_t octets)
{
    uint8_t b[8] = {0};
    uint64_t v = 0;

    get_octets(r, b, octets);
    for (size_t i = 0; i < octets; i++) {
        v = v << 8 | b[i];
    }
    return v;
}

static void get_text(struct reader *r, char *dst, size_t bytes)
{
    size_t n = (size_t)get_uint(r, 2);

    if (r->bad || n >= bytes || n > r->n || memchr(r->p, 0, n) != NULL) {
        r->bad = true;
        return;
    }
    get_octets(r, dst, n);
    dst[n] = 0;
}

static void get_address(struct reader *r, struct net_addr *a)
{
    a->family = (uint8_t)get_uint(r, 1);
    a->port = (uint16_t)get_uint(r, 2);
    get_octets(r, a->ip, sizeof a->ip);
    r->bad = r->bad || (a->family != 0 && a->family != 4 && a->family != 6);
}

size_t mirror_binding_write(const struct mirror_binding *b, uint8_t dst[MIRROR_TEXT_MAX])
{
    struct writer w = {.p = dst};

    put_text(&w, b->node, sizeof b->node);
    put_address(&w, &b->sip_address);
    put_uint(&w, b->removed, 1);
    put_uint(&w, b->b.line_id, 8);
    put_uint(&w, b->b.has_kid, 1);
    put_octets(&w, b->b.kid, sizeof b->b.kid);
    put_octets(&w, b->b.bti_id, sizeof b->b.bti_id);
    put_uint(&w, b->b.is_phone, 1);
    put_uint(&w, b->b.credential, 8);
    put_text(&w, b->b.username, sizeof b->b.username);
    put_uint(&w, b->b.algorithm, 1);
    put_uint(&w, b->b.q, 2);
    put_text(&w, b->b.contact, sizeof b->b.contact);
    put_text(&w, b->b.call_id, sizeof b->b.call_id);
    put_uint(&w, b->b.cseq, 4);
    put_uint(&w, b->b.expires_us, 8);
    put_uint(&w, b->b.proto, 1);
    put_address(&w, &b->b.remote);
    put_address(&w, &b->b.local);
    return w.n;
}

enum err mirror_binding_read(struct view octets, struct mirror_binding *out)
{
    struct reader r = {.p = (const uint8_t *)octets.p, .n = octets.n};
    struct mirror_binding b = {.removed = false};

    get_text(&r, b.node, sizeof b.node);
    get_address(&r, &b.sip_address);
    b.removed = get_uint(&r, 1) == 1;
    b.b.line_id = get_uint(&r, 8);
    b.b.has_kid = get_uint(&r, 1) == 1;
    get_octets(&r, b.b.kid, sizeof b.b.kid);
    get_octets(&r, b.b.bti_id, sizeof b.b.bti_id);
    b.b.is_phone = get_uint(&r, 1) == 1;
    b.b.credential = get_uint(&r, 8);
    get_text(&r, b.b.username, sizeof b.b.username);
    b.b.algorithm = (uint8_t)get_uint(&r, 1);
    b.b.q = (uint16_t)get_uint(&r, 2);
    get_text(&r, b.b.contact, sizeof b.b.contact);
    get_text(&r, b.b.call_id, sizeof b.b.call_id);
    b.b.cseq = (uint32_t)get_uint(&r, 4);
    b.b.expires_us = get_uint(&r, 8);
    b.b.proto = (uint8_t)get_uint(&r, 1);
    get_address(&r, &b.b.remote);
    get_address(&r, &b.b.local);
    if (r.bad || r.n != 0 || b.sip_address.family == 0 || b.b.line_id == 0) {
        return FAIL(E_PARSE);
    }
    b.b.via_node = b.sip_address;
    *out = b;
    return E_OK;
}

size_t mirror_marks_write(const struct mirror_marks *m, uint8_t dst[MIRROR_TEXT_MAX])
{
    struct writer w = {.p = dst};

    put_text(&w, m->node, sizeof m->node);
    put_octets(&w, m->kid, sizeof m->kid);
    put_uint(&w, m->sent, 8);
    put_uint(&w, m->seen, 8);
    return w.n;
}

enum err mirror_marks_read(struct view octets, struct mirror_marks *out)
{
    struct reader r = {.p = (const uint8_t *)octets.p, .n = octets.n};
    struct mirror_marks m = {.sent = 0};

    get_text(&r, m.node, sizeof m.node);
    get_octets(&r, m.kid, sizeof m.kid);
    m.sent = get_uint(&r, 8);
    m.seen = get_uint(&r, 8);
    if (r.bad || r.n != 0) {
        return FAIL(E_PARSE);
    }
    *out = m;
    return E_OK;
}
