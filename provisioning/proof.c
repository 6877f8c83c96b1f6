#include "provisioning/proof.h"

#include <string.h>

void out_reset(struct enrol_out *out)
{
    out->event = 0;
    out->ended = false;
    out->n = 0;
}

void fields_begin(struct wire_out *w, uint8_t *buf, size_t max)
{
    *w = (struct wire_out){.b = buf, .max = max};
}

enum err fields_send(struct channel *c, enum way way, enum wire_type type, struct wire_out *w,
                     struct enrol_out *out)
{
    enum err e = w->full ? FAIL(E_RANGE) : E_OK;
    if (e == E_OK) {
        e = channel_seal(c, way, type, view_from(w->b, w->n), out->b, sizeof out->b, &out->n);
    }
    wipe(w->b, w->max);
    return e;
}

static enum err wrap_way(const struct channel *c, const struct secret *k,
                         const uint8_t hash[SHA256_BYTES], struct aead_way *out)
{
    struct secret prk = {0};
    enum err e = keys_extract(hash, k, &c->ecdh, &prk);
    if (e == E_OK) {
        e = keys_way(&prk, "wrap", c->suite, out);
    }
    secret_wipe(&prk);
    return e;
}

enum err wrap_seal(const struct channel *c, const struct secret *k,
                   const uint8_t hash[SHA256_BYTES], struct view pt, uint8_t *out)
{
    struct aead_way w = {0};
    enum err e = wrap_way(c, k, hash, &w);
    if (e == E_OK) {
        e = aead_seal(&w, hash, WIRE_KEYS, pt, out);
    }
    wipe(&w, sizeof w);
    return e;
}

enum err wrap_open(const struct channel *c, const struct secret *k,
                   const uint8_t hash[SHA256_BYTES], struct view ct, uint8_t *out)
{
    struct aead_way w = {0};
    enum err e = wrap_way(c, k, hash, &w);
    if (e == E_OK) {
        e = aead_open(&w, hash, WIRE_KEYS, ct, out);
    }
    wipe(&w, sizeof w);
    return e;
}

#define MESSAGE_MAX (sizeof PROOF_LABEL + SHA256_BYTES + 2 * NONCE_BYTES + P256_POINT_BYTES)

static struct view message(const struct user_key *u, const uint8_t *hash, const uint8_t *n1,
                           const uint8_t *n2, uint8_t b[MESSAGE_MAX])
{
    struct wire_out w;
    fields_begin(&w, b, MESSAGE_MAX);
    wire_raw(&w, PROOF_LABEL, sizeof PROOF_LABEL - 1);
    wire_raw(&w, hash, SHA256_BYTES);
    wire_raw(&w, n1, NONCE_BYTES);
    wire_raw(&w, n2, NONCE_BYTES);
    if (u->kind == KEY_P256) {
        wire_raw(&w, u->pub, sizeof u->pub);
    }
    return view_from(b, w.n);
}

enum err possession_make(const struct user_key *u, const struct secret *d,
                         const uint8_t hash[SHA256_BYTES], const uint8_t *n1, const uint8_t *n2,
                         uint8_t out[P256_SIG_BYTES], size_t *out_n)
{
    uint8_t b[MESSAGE_MAX];
    struct view m = message(u, hash, n1, n2, b);
    *out_n = u->kind == KEY_P256 ? P256_SIG_BYTES : SHA256_BYTES;
    return u->kind == KEY_P256 ? p256_sign(d, m, out) : hmac_sha256(&u->shared, m, out);
}

enum err possession_check(const struct user_key *u, const uint8_t hash[SHA256_BYTES],
                          const uint8_t *n1, const uint8_t *n2, struct view proof)
{
    uint8_t b[MESSAGE_MAX];
    uint8_t mac[SHA256_BYTES];
    struct view m = message(u, hash, n1, n2, b);
    if (proof.n != (u->kind == KEY_P256 ? (size_t)P256_SIG_BYTES : (size_t)SHA256_BYTES)) {
        return FAIL(E_PARSE);
    }
    if (u->kind == KEY_P256) {
        return p256_verify(u->pub, m, (const uint8_t *)proof.p);
    }
    enum err e = hmac_sha256(&u->shared, m, mac);
    if (e == E_OK && !bytes_eq(mac, proof.p, sizeof mac)) {
        e = FAIL(E_AUTH);
    }
    return e;
}

enum err request_message(const uint8_t hash[SHA256_BYTES], struct view fields, uint8_t *buf,
                         size_t max, struct view *out)
{
    struct wire_out w;
    fields_begin(&w, buf, max);
    wire_raw(&w, REQUEST_LABEL, sizeof REQUEST_LABEL - 1);
    wire_raw(&w, hash, SHA256_BYTES);
    wire_raw(&w, fields.p, fields.n);
    if (w.full) {
        return FAIL(E_RANGE);
    }
    *out = view_from(buf, w.n);
    return E_OK;
}
