#include "provisioning/keys.h"

#include <stdio.h>
#include <string.h>

enum err channel_init(struct channel *c)
{
    memset(c, 0, sizeof *c);
    return sha256_new(&c->transcript);
}

void channel_wipe(struct channel *c)
{
    sha256_free(c->transcript);
    wipe(c, sizeof *c);
}

enum err channel_add(struct channel *c, struct view frame)
{
    return sha256_add(c->transcript, frame);
}

enum err channel_hash(const struct channel *c, uint8_t out[SHA256_BYTES])
{
    return sha256_peek(c->transcript, out);
}

size_t suite_key_bytes(enum wire_suite s)
{
    return s == SUITE_128 ? 16 : 32;
}

enum err keys_extract(const uint8_t salt[SHA256_BYTES], const struct secret *a,
                      const struct secret *b, struct secret *out_prk)
{
    uint8_t ikm[2 * SECRET_MAX];
    memcpy(ikm, a->b, a->n);
    memcpy(ikm + a->n, b->b, b->n);
    enum err e = hkdf_extract(view_from(salt, SHA256_BYTES), view_from(ikm, a->n + b->n), out_prk);
    wipe(ikm, sizeof ikm);
    return e;
}

enum err keys_expand(const struct secret *prk, const char *label, size_t n, struct secret *out)
{
    char info[64];
    int m = snprintf(info, sizeof info, "headgate v1 %s", label);
    BUG_ON(m < 0 || (size_t)m >= sizeof info);
    return hkdf_expand(prk, view_from(info, (size_t)m), n, out);
}

enum err keys_way(const struct secret *prk, const char *label, enum wire_suite s,
                  struct aead_way *out)
{
    char text[48];
    struct aead_way w = {0};
    struct secret iv = {0};
    enum err e = E_OK;
    (void)snprintf(text, sizeof text, "%s key", label);
    TRY(keys_expand(prk, text, suite_key_bytes(s), &w.key));
    (void)snprintf(text, sizeof text, "%s iv", label);
    TRY(keys_expand(prk, text, GCM_NONCE_BYTES, &iv));
    memcpy(w.iv, iv.b, sizeof w.iv);
    *out = w;
out:
    wipe(&w, sizeof w);
    secret_wipe(&iv);
    return e;
}

enum err keys_channel(struct channel *c, const struct secret *sk, const uint8_t hash[SHA256_BYTES])
{
    struct secret prk = {0};
    enum err e = E_OK;
    TRY(keys_extract(hash, sk, &c->ecdh, &prk));
    TRY(keys_way(&prk, "sk up", c->suite, &c->way[WAY_UP]));
    TRY(keys_way(&prk, "sk down", c->suite, &c->way[WAY_DOWN]));
    c->keyed = true;
out:
    secret_wipe(&prk);
    return e;
}

struct part {
    const char *label;
    size_t n;
    struct secret *to;
};

static enum err expand_all(const struct channel *c, const struct secret *from,
                           const uint8_t hash[SHA256_BYTES], const struct part *parts, size_t n)
{
    struct secret prk = {0};
    enum err e = keys_extract(hash, from, &c->ecdh, &prk);
    for (size_t i = 0; e == E_OK && i < n; i++) {
        e = keys_expand(&prk, parts[i].label, parts[i].n, parts[i].to);
    }
    secret_wipe(&prk);
    return e;
}

enum err keys_audio(const struct channel *c, const struct secret *ak,
                    const uint8_t hash[SHA256_BYTES], struct audio_keys *out)
{
    const struct part parts[] = {{"audio up key", 32, &out->up_key},
                                 {"audio up salt", 12, &out->up_salt},
                                 {"audio down key", 32, &out->down_key},
                                 {"audio down salt", 12, &out->down_salt}};
    return expand_all(c, ak, hash, parts, sizeof parts / sizeof *parts);
}

enum err keys_ltk(const struct channel *c, const struct secret *sk,
                  const uint8_t hash[SHA256_BYTES], struct ltk *out)
{
    const struct part parts[] = {{"ltk enc up", 16, &out->enc_up},
                                 {"ltk mac up", 16, &out->mac_up},
                                 {"ltk enc down", 16, &out->enc_down},
                                 {"ltk mac down", 16, &out->mac_down}};
    return expand_all(c, sk, hash, parts, sizeof parts / sizeof *parts);
}

enum err keys_session(const struct channel *c, const struct secret *session_secret,
                      const uint8_t hash[SHA256_BYTES], struct session_keys *out)
{
    const struct part parts[] = {
        {"session mac up", 32, &out->mac_up},   {"session mac down", 32, &out->mac_down},
        {"session enc up", 32, &out->enc_up},   {"session enc down", 32, &out->enc_down},
        {"session tls psk", 32, &out->tls_psk}, {"session digest", 32, &out->digest}};
    return expand_all(c, session_secret, hash, parts, sizeof parts / sizeof *parts);
}

void audio_keys_wipe(struct audio_keys *k)
{
    wipe(k, sizeof *k);
}

void ltk_wipe(struct ltk *k)
{
    wipe(k, sizeof *k);
}

void session_keys_wipe(struct session_keys *k)
{
    wipe(k, sizeof *k);
}

/* ---- sealed frames ---- */

#define AAD_BYTES (SHA256_BYTES + 2)
#define TEXT_MAX  127

static void nonce_make(const struct aead_way *w, uint8_t out[GCM_NONCE_BYTES])
{
    memcpy(out, w->iv, GCM_NONCE_BYTES);
    for (size_t i = 0; i < 8; i++) {
        out[GCM_NONCE_BYTES - 1 - i] ^= (uint8_t)(w->count >> (8 * i));
    }
}

static void aad_make(const uint8_t hash[SHA256_BYTES], uint8_t type, uint8_t out[AAD_BYTES])
{
    memcpy(out, hash, SHA256_BYTES);
    out[SHA256_BYTES] = WIRE_VERSION;
    out[SHA256_BYTES + 1] = type;
}

enum err aead_seal(struct aead_way *w, const uint8_t hash[SHA256_BYTES], uint8_t type,
                   struct view pt, uint8_t *out)
{
    uint8_t nonce[GCM_NONCE_BYTES];
    uint8_t aad[AAD_BYTES];
    nonce_make(w, nonce);
    aad_make(hash, type, aad);
    enum err e = gcm_seal(&w->key, nonce, view_from(aad, sizeof aad), pt, out);
    if (e == E_OK) {
        w->count++;
    }
    return e;
}

enum err aead_open(struct aead_way *w, const uint8_t hash[SHA256_BYTES], uint8_t type,
                   struct view ct, uint8_t *out)
{
    uint8_t nonce[GCM_NONCE_BYTES];
    uint8_t aad[AAD_BYTES];
    nonce_make(w, nonce);
    aad_make(hash, type, aad);
    enum err e = gcm_open(&w->key, nonce, view_from(aad, sizeof aad), ct, out);
    if (e == E_OK) {
        w->count++;
    }
    return e;
}

enum err channel_seal(struct channel *c, enum way w, enum wire_type type, struct view fields,
                      uint8_t *frame, size_t max, size_t *out_n)
{
    uint8_t hash[SHA256_BYTES];
    size_t body = fields.n + GCM_TAG_BYTES;
    enum err e = E_OK;
    if (!c->keyed) {
        return FAIL(E_STATE);
    }
    if (body > WIRE_BODY_MAX || WIRE_HEAD + body > max) {
        return FAIL(E_RANGE);
    }
    TRY(channel_hash(c, hash));
    TRY(aead_seal(&c->way[w], hash, (uint8_t)type, fields, frame + WIRE_HEAD));
    frame[0] = WIRE_VERSION;
    frame[1] = (uint8_t)type;
    frame[2] = (uint8_t)(body >> 8);
    frame[3] = (uint8_t)body;
    TRY(channel_add(c, view_from(frame, WIRE_HEAD + body)));
    *out_n = WIRE_HEAD + body;
out:
    return e;
}

enum err channel_open(struct channel *c, enum way w, struct view frame, uint8_t *pt, size_t *out_n)
{
    uint8_t hash[SHA256_BYTES];
    uint8_t type = 0;
    struct view body;
    enum err e = E_OK;
    if (!c->keyed) {
        return FAIL(E_STATE);
    }
    TRY(wire_open(frame, &type, &body));
    TRY(channel_hash(c, hash));
    TRY(aead_open(&c->way[w], hash, type, body, pt));
    TRY(channel_add(c, frame));
    *out_n = body.n - GCM_TAG_BYTES;
out:
    return e;
}

enum err channel_error(struct channel *c, enum way w, uint16_t code, uint8_t *frame, size_t max,
                       size_t *out_n)
{
    uint8_t plain[64];
    struct wire_out o;
    enum err e = E_OK;
    wire_begin(&o, plain, sizeof plain, WIRE_ERROR);
    wire_put_u(&o, WF_CODE, code, 2);
    TRY(wire_end(&o));
    if (c->keyed) {
        struct view fields = view_from(plain + WIRE_HEAD, o.n - WIRE_HEAD);
        return channel_seal(c, w, WIRE_ERROR_SEALED, fields, frame, max, out_n);
    }
    if (o.n > max) {
        return FAIL(E_RANGE);
    }
    memcpy(frame, plain, o.n);
    *out_n = o.n;
out:
    return e;
}

enum err channel_error_read(struct channel *c, enum way w, struct view frame, uint16_t *out_code)
{
    uint8_t type = 0;
    uint8_t pt[256];
    size_t n = 0;
    uint64_t code = 0;
    struct view body;
    struct view text;
    enum err e = E_OK;
    TRY(wire_open(frame, &type, &body));
    if (body.n > sizeof pt) {
        return FAIL(E_PARSE);
    }
    if (c->keyed != (type == WIRE_ERROR_SEALED)) {
        return FAIL(E_AUTH);
    }
    if (c->keyed) {
        TRY(channel_open(c, w, frame, pt, &n));
        body = view_from(pt, n);
    }
    TRY(wire_get_u(&body, WF_CODE, 2, &code));
    if (wire_next_is(body, WF_TEXT)) {
        TRY(wire_get(&body, WF_TEXT, 0, TEXT_MAX, &text));
    }
    TRY(wire_finish(body));
    /* "ok" is no error: a program that looks only at the code must not take it for success. */
    *out_code = code == CODE_OK ? CODE_MALFORMED : (uint16_t)code;
out:
    return e;
}

uint16_t code_of(enum err e)
{
    switch ((int)e) {
    case E_OK:
        return CODE_OK;
    case E_PARSE:
        return CODE_MALFORMED;
    case E_STATE:
        return CODE_ORDER;
    case E_RANGE:
        return CODE_TOO_LONG;
    case E_DENIED:
        return CODE_CRITICAL;
    case E_AUTH:
        return CODE_CRYPTO;
    case E_REPLAY:
        return CODE_TRANSCRIPT;
    case E_NOTFOUND:
        return CODE_SUITE;
    default:
        return CODE_INTERNAL;
    }
}
