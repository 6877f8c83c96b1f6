#include "authz/session_blob.h"

#include <string.h>

#define BLOB_VERSION 1
#define KEY_BYTES    32
#define KEYS         6
#define PLAIN_BYTES  (BTI_ID_BYTES + 3 * 8 + KEYS * KEY_BYTES)
#define BLOB_BYTES   (1 + GCM_NONCE_BYTES + PLAIN_BYTES + GCM_TAG_BYTES)
#define AAD_TEXT     "headgate session v1"
#define AAD_BYTES    (sizeof AAD_TEXT - 1 + BTI_KID_BYTES)

_Static_assert(BLOB_BYTES <= SESSION_BLOB_MAX, "callers' buffers");

static void aad_make(const uint8_t kid[BTI_KID_BYTES], uint8_t out[AAD_BYTES])
{
    memcpy(out, AAD_TEXT, sizeof AAD_TEXT - 1);
    memcpy(out + sizeof AAD_TEXT - 1, kid, BTI_KID_BYTES);
}

static uint8_t *put_u64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++) {
        p[i] = (uint8_t)(v >> (56 - 8 * i));
    }
    return p + 8;
}

static uint64_t get_u64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

enum err session_blob_seal(const struct secret *cluster_key, const struct session_record *r,
                           uint8_t *dst, size_t max, size_t *out_n)
{
    const struct secret *keys[KEYS] = {&r->keys.mac_up,   &r->keys.mac_down, &r->keys.enc_up,
                                       &r->keys.enc_down, &r->keys.tls_psk,  &r->keys.digest};
    uint8_t plain[PLAIN_BYTES];
    uint8_t aad[AAD_BYTES];
    uint8_t blob[BLOB_BYTES] = {BLOB_VERSION};
    enum err e = E_OK;
    if (max < BLOB_BYTES || cluster_key->n != KEY_BYTES) {
        return FAIL(E_RANGE);
    }
    memcpy(plain, r->bti_id, BTI_ID_BYTES);
    uint8_t *p = put_u64(plain + BTI_ID_BYTES, r->line_id);
    p = put_u64(p, r->created_us);
    p = put_u64(p, r->expires_us);
    for (size_t i = 0; i < KEYS; i++, p += KEY_BYTES) {
        if (keys[i]->n != KEY_BYTES) {
            e = FAIL(E_RANGE);
            goto out;
        }
        memcpy(p, keys[i]->b, KEY_BYTES);
    }
    aad_make(r->kid, aad);
    TRY(crypto_random(blob + 1, GCM_NONCE_BYTES));
    TRY(gcm_seal(cluster_key, blob + 1, view_from(aad, sizeof aad), view_from(plain, sizeof plain),
                 blob + 1 + GCM_NONCE_BYTES));
    memcpy(dst, blob, BLOB_BYTES);
    *out_n = BLOB_BYTES;
out:
    wipe(plain, sizeof plain);
    return e;
}

enum err session_blob_open(const struct secret *cluster_key, const uint8_t kid[BTI_KID_BYTES],
                           struct view blob, struct session_record *out)
{
    uint8_t plain[PLAIN_BYTES];
    uint8_t aad[AAD_BYTES];
    struct session_record r = {0};
    struct secret *keys[KEYS] = {&r.keys.mac_up,   &r.keys.mac_down, &r.keys.enc_up,
                                 &r.keys.enc_down, &r.keys.tls_psk,  &r.keys.digest};
    enum err e = E_OK;
    if (cluster_key->n != KEY_BYTES) { /* 16 octets would be taken as AES-128 */
        return FAIL(E_RANGE);
    }
    if (blob.n != BLOB_BYTES || blob.p[0] != BLOB_VERSION) {
        return FAIL(E_PARSE);
    }
    const uint8_t *b = (const uint8_t *)blob.p;
    aad_make(kid, aad);
    TRY(gcm_open(cluster_key, b + 1, view_from(aad, sizeof aad),
                 view_sub(blob, 1 + GCM_NONCE_BYTES, blob.n), plain));
    memcpy(r.kid, kid, BTI_KID_BYTES);
    memcpy(r.bti_id, plain, BTI_ID_BYTES);
    const uint8_t *p = plain + BTI_ID_BYTES;
    r.line_id = get_u64(p);
    r.created_us = get_u64(p + 8);
    r.expires_us = get_u64(p + 16);
    p += 24;
    for (size_t i = 0; i < KEYS; i++, p += KEY_BYTES) {
        TRY(secret_set(keys[i], p, KEY_BYTES));
    }
    *out = r;
out:
    session_record_wipe(&r);
    wipe(plain, sizeof plain);
    return e;
}

void session_record_wipe(struct session_record *r)
{
    wipe(r, sizeof *r);
}
