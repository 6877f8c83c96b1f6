#include "provisioning/hello.h"

#include <string.h>

#define SUITES_MAX 8

enum err hello_random(wire_random_fn random, void *arg, void *dst, size_t n)
{
    return random ? random(arg, dst, n) : crypto_random(dst, n);
}

enum err hello_random_secret(wire_random_fn random, void *arg, struct secret *out, size_t n)
{
    if (!random) {
        return secret_random(out, n);
    }
    uint8_t b[SECRET_MAX];
    BUG_ON(n > sizeof b);
    enum err e = random(arg, b, n);
    if (e == E_OK) {
        e = secret_set(out, b, n);
    }
    wipe(b, sizeof b);
    return e;
}

enum err hello_random_key(wire_random_fn random, void *arg, struct p256_key *out)
{
    struct secret d = {0};
    enum err e = hello_random_secret(random, arg, &d, 32);
    if (e == E_OK) {
        e = p256_from_private(&d, out);
    }
    if (e == E_RANGE) { /* not below the group order: once in 2^32 */
        e = p256_generate(out);
    }
    secret_wipe(&d);
    return e;
}

bool is_environment(enum err e)
{
    return e == E_NOMEM || e == E_CRYPTO || e == E_IO || e == E_FULL || e == E_TIMEOUT;
}

void texts_put(struct wire_out *w, enum wire_field f, const struct enrol_texts *t)
{
    uint8_t b[ENROL_TEXTS_MAX * ENROL_TEXT_BYTES];
    size_t at = 0;
    for (size_t i = 0; i < t->n; i++) {
        size_t n = strnlen(t->v[i], ENROL_TEXT_BYTES - 1);
        b[at++] = (uint8_t)n;
        memcpy(b + at, t->v[i], n);
        at += n;
    }
    wire_put(w, f, b, at);
}

enum err texts_get(struct view *body, enum wire_field f, size_t max, struct enrol_texts *out)
{
    struct view v;
    struct view rest = *body;
    struct enrol_texts t = {0};
    enum err e = wire_get(&rest, f, 0, sizeof t.v, &v);
    if (e != E_OK) {
        return e;
    }
    while (v.n) {
        size_t n = (uint8_t)v.p[0];
        if (t.n >= max || n == 0 || n > v.n - 1) {
            return FAIL(E_PARSE);
        }
        if (view_to_cstr(view_sub(v, 1, n), t.v[t.n], ENROL_TEXT_BYTES) != E_OK) {
            return FAIL(E_PARSE);
        }
        t.n++;
        v = view_sub(v, 1 + n, v.n);
    }
    *out = t;
    *body = rest;
    return E_OK;
}

enum err hello_mode(struct view frame, enum wire_mode *out)
{
    uint8_t type = 0;
    uint64_t mode = 0;
    struct view body;
    enum err e = E_OK;
    TRY(wire_open(frame, &type, &body));
    if (type != WIRE_YO) {
        return FAIL(E_STATE);
    }
    TRY(wire_get_u(&body, WF_MODE, 1, &mode));
    if (mode != WIRE_MODE_ENROL && mode != WIRE_MODE_SESSION) {
        return FAIL(E_PARSE);
    }
    *out = (enum wire_mode)mode;
out:
    return e;
}

struct view hello_suites(bool only_256)
{
    static const uint8_t both[2] = {SUITE_256, SUITE_128};
    return view_from(both, only_256 ? 1 : sizeof both);
}

enum err hello_yo(struct channel *c, struct hello_bti *h, const char *call_id,
                  wire_random_fn random, void *arg, struct enrol_out *out)
{
    uint8_t nonce[NONCE_BYTES];
    struct wire_out w;
    enum err e = E_OK;
    if (h->suites.n == 0 || h->suites.n > SUITES_MAX) {
        return FAIL(E_RANGE);
    }
    TRY(hello_random(random, arg, nonce, sizeof nonce));
    TRY(hello_random_key(random, arg, &h->ephemeral));
    wire_begin(&w, out->b, sizeof out->b, WIRE_YO);
    wire_put_u(&w, WF_MODE, call_id ? WIRE_MODE_ENROL : WIRE_MODE_SESSION, 1);
    wire_put(&w, WF_SUITES, h->suites.p, h->suites.n);
    if (call_id) {
        wire_put(&w, WF_CALL_ID, call_id, strlen(call_id));
    }
    wire_put(&w, WF_RANDOM, nonce, sizeof nonce);
    wire_put(&w, WF_EPHEMERAL, h->ephemeral.pub, P256_POINT_BYTES);
    TRY(wire_end(&w));
    TRY(channel_add(c, view_from(out->b, w.n)));
    out->n = w.n;
out:
    return e;
}

/* { length(2) | DER } ... -> views. */
static enum err chain_read(struct view v, struct view der[PKI_CHAIN_MAX_CERTS], size_t *out_n)
{
    size_t n = 0;
    while (v.n) {
        if (v.n < 2 || n == PKI_CHAIN_MAX_CERTS) {
            return FAIL(E_PARSE);
        }
        size_t len = (size_t)(uint8_t)v.p[0] << 8 | (uint8_t)v.p[1];
        if (len == 0 || len > PKI_CERT_MAX_BYTES || len > v.n - 2) {
            return FAIL(E_PARSE);
        }
        der[n++] = view_sub(v, 2, len);
        v = view_sub(v, 2 + len, v.n);
    }
    *out_n = n;
    return n ? E_OK : FAIL(E_PARSE);
}

enum err hello_offer_read(struct channel *c, struct hello_bti *h, const struct pki_root *root,
                          const char *ps_name, uint64_t now_us, struct view frame,
                          char why[PKI_WHY_MAX])
{
    struct view body;
    struct view nonce;
    struct view point;
    struct view hash;
    struct view chain;
    struct view der[PKI_CHAIN_MAX_CERTS];
    size_t certs = 0;
    uint64_t suite = 0;
    uint8_t type = 0;
    uint8_t want[SHA256_BYTES];
    enum err e = E_OK;
    why[0] = '\0';
    TRY(wire_open(frame, &type, &body));
    if (type != WIRE_OFFER) {
        return FAIL(E_STATE);
    }
    TRY(wire_get(&body, WF_RANDOM, NONCE_BYTES, NONCE_BYTES, &nonce));
    TRY(wire_get(&body, WF_EPHEMERAL, P256_POINT_BYTES, P256_POINT_BYTES, &point));
    TRY(wire_get(&body, WF_TRANSCRIPT, SHA256_BYTES, SHA256_BYTES, &hash));
    TRY(wire_get_u(&body, WF_SUITE, 1, &suite));
    TRY(wire_get(&body, WF_CHAIN, 1, WIRE_BODY_MAX, &chain));
    TRY(wire_finish(body));
    TRY(channel_hash(c, want));
    if (!bytes_eq(want, hash.p, sizeof want)) {
        return FAIL(E_REPLAY);
    }
    if ((suite != SUITE_256 && suite != SUITE_128) ||
        !view_find(h->suites, (char)suite, &(size_t){0})) {
        return FAIL(E_NOTFOUND);
    }
    TRY(chain_read(chain, der, &certs));
    e = pki_verify(root, der, certs, PKI_PS, ps_name, now_us, h->ps_pub, why);
    if (e != E_OK) {
        return is_environment(e) ? e : FAIL(E_DENIED);
    }
    TRY(p256_ecdh(&h->ephemeral.d, (const uint8_t *)point.p, &c->ecdh));
    secret_wipe(&h->ephemeral.d); /* forward secrecy begins here */
    c->suite = (enum wire_suite)suite;
    TRY(channel_add(c, frame));
out:
    return e;
}

static enum err suite_choose(struct view offered, enum wire_suite *out)
{
    for (size_t i = 0; i < offered.n; i++) {
        if (offered.p[i] == SUITE_128 || offered.p[i] == SUITE_256) {
            *out = (enum wire_suite)offered.p[i];
            return E_OK;
        }
    }
    return FAIL(E_NOTFOUND);
}

static enum err yo_read(struct channel *c, enum wire_mode mode, struct view yo, char *call_id,
                        uint8_t peer[P256_POINT_BYTES])
{
    struct view body;
    struct view v;
    uint8_t type = 0;
    uint64_t got = 0;
    enum err e = E_OK;
    TRY(wire_open(yo, &type, &body));
    if (type != WIRE_YO) {
        return FAIL(E_STATE);
    }
    TRY(wire_get_u(&body, WF_MODE, 1, &got));
    if (got != (uint64_t)mode) {
        return FAIL(E_PARSE);
    }
    TRY(wire_get(&body, WF_SUITES, 1, SUITES_MAX, &v));
    TRY(suite_choose(v, &c->suite));
    if (call_id) {
        TRY(wire_get(&body, WF_CALL_ID, 1, ENROL_TEXT_BYTES - 1, &v));
        TRY(view_to_cstr(v, call_id, ENROL_TEXT_BYTES));
    }
    TRY(wire_get(&body, WF_RANDOM, NONCE_BYTES, NONCE_BYTES, &v));
    TRY(wire_get(&body, WF_EPHEMERAL, P256_POINT_BYTES, P256_POINT_BYTES, &v));
    memcpy(peer, v.p, P256_POINT_BYTES);
    TRY(wire_finish(body));
out:
    return e == E_RANGE ? E_PARSE : e;
}

static void chain_put(struct wire_out *w, const struct pki_chain *chain)
{
    uint8_t b[PKI_CHAIN_MAX_CERTS * (2 + PKI_CERT_MAX_BYTES)];
    size_t at = 0;
    for (size_t i = 0; i < chain->n; i++) {
        struct view d = chain->der[i];
        b[at] = (uint8_t)(d.n >> 8);
        b[at + 1] = (uint8_t)d.n;
        memcpy(b + at + 2, d.p, d.n);
        at += 2 + d.n;
    }
    wire_put(w, WF_CHAIN, b, at);
}

enum err hello_offer(struct channel *c, const struct enrol_ps_cfg *cfg, enum wire_mode mode,
                     struct view yo, char *call_id, struct enrol_out *out)
{
    uint8_t peer[P256_POINT_BYTES];
    uint8_t nonce[NONCE_BYTES];
    uint8_t hash[SHA256_BYTES];
    struct p256_key ephemeral = {0};
    struct wire_out w;
    enum err e = E_OK;
    TRY(yo_read(c, mode, yo, call_id, peer));
    TRY(hello_random(cfg->random, cfg->random_arg, nonce, sizeof nonce));
    TRY(hello_random_key(cfg->random, cfg->random_arg, &ephemeral));
    TRY(p256_ecdh(&ephemeral.d, peer, &c->ecdh));
    TRY(channel_add(c, yo));
    TRY(channel_hash(c, hash));
    wire_begin(&w, out->b, sizeof out->b, WIRE_OFFER);
    wire_put(&w, WF_RANDOM, nonce, sizeof nonce);
    wire_put(&w, WF_EPHEMERAL, ephemeral.pub, P256_POINT_BYTES);
    wire_put(&w, WF_TRANSCRIPT, hash, sizeof hash);
    wire_put_u(&w, WF_SUITE, c->suite, 1);
    chain_put(&w, cfg->chain);
    TRY(wire_end(&w));
    TRY(channel_add(c, view_from(out->b, w.n)));
    out->n = w.n;
out:
    secret_wipe(&ephemeral.d);
    return e;
}
