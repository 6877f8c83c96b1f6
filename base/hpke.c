#include "base/hpke.h"

#include <string.h>

#include "base/secret.h"

#define KEM_ID   0x0010
#define KDF_ID   0x0001
#define INFO_MAX 192

/* RFC 9180 section 4: LabeledExtract and LabeledExpand differ between the KEM and the HPKE proper
 * only in the suite_id. */
struct suite {
    uint8_t id[10];
    size_t n;
};

static struct suite kem_suite(void)
{
    return (struct suite){{'K', 'E', 'M', KEM_ID >> 8, KEM_ID & 0xff}, 5};
}

static struct suite hpke_suite(enum hpke_aead aead)
{
    return (struct suite){{'H', 'P', 'K', 'E', KEM_ID >> 8, KEM_ID & 0xff, KDF_ID >> 8,
                           KDF_ID & 0xff, 0, (uint8_t)aead},
                          10};
}

/* The octets in front of ikm or info; returns how many. */
static size_t label_put(uint8_t *dst, const struct suite *s, const char *label)
{
    size_t n = strlen(label);
    memcpy(dst, "HPKE-v1", 7);
    memcpy(dst + 7, s->id, s->n);
    memcpy(dst + 7 + s->n, label, n);
    return 7 + s->n + n;
}

/* The hash's own HMAC over parts: labelled ikm is longer than a secret may be, so extraction of
 * octets of any length goes through an HMAC keyed with the salt. */
static enum err labeled_extract(const struct suite *s, const struct secret *salt, const char *label,
                                struct view ikm, struct secret *out)
{
    uint8_t head[48];
    uint8_t prk[SHA256_BYTES];
    struct hmac_key *k = NULL;
    enum err e = hmac_key_new(salt, &k);
    if (e == E_OK) {
        struct view parts[2] = {view_from(head, label_put(head, s, label)), ikm};
        e = hmac_parts(k, parts, 2, prk);
    }
    if (e == E_OK) {
        e = secret_set(out, prk, sizeof prk);
    }
    hmac_key_free(k);
    wipe(prk, sizeof prk);
    return e;
}

static enum err labeled_expand(const struct suite *s, const struct secret *prk, const char *label,
                               struct view info, size_t n, struct secret *out)
{
    uint8_t b[INFO_MAX + 48];
    if (info.n > INFO_MAX) {
        return FAIL(E_RANGE);
    }
    b[0] = (uint8_t)(n >> 8);
    b[1] = (uint8_t)n;
    size_t at = 2 + label_put(b + 2, s, label);
    memcpy(b + at, info.p, info.n);
    return hkdf_expand(prk, view_from(b, at + info.n), n, out);
}

/* DHKEM ExtractAndExpand. */
static enum err kem_secret(const struct secret *dh, const uint8_t *enc, const uint8_t *to,
                           struct secret *out)
{
    struct suite s = kem_suite();
    struct secret none = {0};
    struct secret prk = {0};
    uint8_t context[2 * P256_POINT_BYTES];
    enum err e = labeled_extract(&s, &none, "eae_prk", view_from(dh->b, dh->n), &prk);
    memcpy(context, enc, P256_POINT_BYTES);
    memcpy(context + P256_POINT_BYTES, to, P256_POINT_BYTES);
    if (e == E_OK) {
        e = labeled_expand(&s, &prk, "shared_secret", view_from(context, sizeof context), 32, out);
    }
    secret_wipe(&prk);
    return e;
}

static enum err key_schedule(enum hpke_aead aead, const struct secret *shared, struct view info,
                             struct secret *out_key, uint8_t nonce[GCM_NONCE_BYTES])
{
    struct suite s = hpke_suite(aead);
    struct secret none = {0};
    struct secret psk_id = {0};
    struct secret info_hash = {0};
    struct secret prk = {0};
    struct secret base = {0};
    uint8_t context[1 + 2 * SHA256_BYTES] = {0}; /* mode_base = 0 */
    struct view ctx = view_from(context, sizeof context);
    enum err e = E_OK;
    TRY(labeled_extract(&s, &none, "psk_id_hash", VIEW(""), &psk_id));
    TRY(labeled_extract(&s, &none, "info_hash", info, &info_hash));
    memcpy(context + 1, psk_id.b, SHA256_BYTES);
    memcpy(context + 1 + SHA256_BYTES, info_hash.b, SHA256_BYTES);
    TRY(labeled_extract(&s, shared, "secret", VIEW(""), &prk));
    TRY(labeled_expand(&s, &prk, "key", ctx, aead == HPKE_AES_128_GCM ? 16 : 32, out_key));
    TRY(labeled_expand(&s, &prk, "base_nonce", ctx, GCM_NONCE_BYTES, &base));
    memcpy(nonce, base.b, GCM_NONCE_BYTES);
out:
    secret_wipe(&prk);
    secret_wipe(&base);
    return e;
}

enum err hpke_seal_with(enum hpke_aead aead, const struct p256_key *ephemeral,
                        const uint8_t to[P256_POINT_BYTES], struct view info, struct view aad,
                        struct view pt, uint8_t out_enc[HPKE_ENC_BYTES], uint8_t *out_ct)
{
    struct secret dh = {0};
    struct secret shared = {0};
    struct secret key = {0};
    uint8_t nonce[GCM_NONCE_BYTES];
    enum err e = E_OK;
    TRY(p256_ecdh(&ephemeral->d, to, &dh));
    TRY(kem_secret(&dh, ephemeral->pub, to, &shared));
    TRY(key_schedule(aead, &shared, info, &key, nonce));
    TRY(gcm_seal(&key, nonce, aad, pt, out_ct));
    memcpy(out_enc, ephemeral->pub, HPKE_ENC_BYTES);
out:
    secret_wipe(&dh);
    secret_wipe(&shared);
    secret_wipe(&key);
    return e;
}

enum err hpke_seal(enum hpke_aead aead, const uint8_t to[P256_POINT_BYTES], struct view info,
                   struct view aad, struct view pt, uint8_t out_enc[HPKE_ENC_BYTES],
                   uint8_t *out_ct)
{
    struct p256_key ephemeral = {0};
    enum err e = p256_generate(&ephemeral);
    if (e == E_OK) {
        e = hpke_seal_with(aead, &ephemeral, to, info, aad, pt, out_enc, out_ct);
    }
    secret_wipe(&ephemeral.d);
    return e;
}

enum err hpke_open(enum hpke_aead aead, const struct p256_key *mine,
                   const uint8_t enc[HPKE_ENC_BYTES], struct view info, struct view aad,
                   struct view ct, uint8_t *out_pt)
{
    struct secret dh = {0};
    struct secret shared = {0};
    struct secret key = {0};
    uint8_t nonce[GCM_NONCE_BYTES];
    enum err e = E_OK;
    TRY(p256_ecdh(&mine->d, enc, &dh));
    TRY(kem_secret(&dh, enc, mine->pub, &shared));
    TRY(key_schedule(aead, &shared, info, &key, nonce));
    TRY(gcm_open(&key, nonce, aad, ct, out_pt));
out:
    secret_wipe(&dh);
    secret_wipe(&shared);
    secret_wipe(&key);
    return e;
}
