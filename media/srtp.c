#include "media/srtp.h"

#include <pthread.h>
#include <srtp2/srtp.h>
#include <string.h>

#include "base/mem.h"

enum { WINDOW_PACKETS = 1024, SSRCS_MAX = 8 };

struct srtp_way {
    srtp_t ctx;
    uint32_t ssrc[SSRCS_MAX]; /* that verified: the library keeps state for each, for ever */
    unsigned ssrcs;
};

static const struct {
    const char *name;
    size_t key_bytes;
    void (*policy)(srtp_crypto_policy_t *);
} SUITES[] = {
    [SRTP_AEAD_AES_256_GCM] = {"AEAD_AES_256_GCM", 44, srtp_crypto_policy_set_aes_gcm_256_16_auth},
    [SRTP_AES_CM_128_HMAC_SHA1_80] = {"AES_CM_128_HMAC_SHA1_80", 30,
                                      srtp_crypto_policy_set_rtp_default},
};
enum { SUITE_COUNT = sizeof SUITES / sizeof SUITES[0] };

const char *srtp_suite_name(enum srtp_suite s)
{
    return SUITES[s].name;
}

enum err srtp_suite_of(struct view name, enum srtp_suite *out)
{
    for (unsigned i = 0; i < SUITE_COUNT; i++) {
        if (view_eq_nocase(name, view_of(SUITES[i].name))) {
            *out = (enum srtp_suite)i;
            return E_OK;
        }
    }
    return FAIL(E_NOTFOUND);
}

size_t srtp_key_bytes(enum srtp_suite s)
{
    return SUITES[s].key_bytes;
}

static void start_library(void)
{
    BUG_ON(srtp_init() != srtp_err_status_ok); /* its self test: a broken build, not an input */
}

enum err srtp_way_new(enum srtp_suite s, enum srtp_use use, const struct secret *key,
                      struct srtp_way **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT; /* the library has one state for the process */
    uint8_t copy[SECRET_MAX];
    srtp_policy_t policy;
    struct srtp_way *w = NULL;
    srtp_err_status_t status;

    if (key->n != SUITES[s].key_bytes) {
        return FAIL(E_RANGE);
    }
    pthread_once(&once, start_library);
    w = mem_zalloc(sizeof *w);
    if (w == NULL) {
        return FAIL(E_NOMEM);
    }
    memset(&policy, 0, sizeof policy);
    memcpy(copy, key->b, key->n); /* the library wants a pointer that is not const */
    SUITES[s].policy(&policy.rtp);
    SUITES[s].policy(&policy.rtcp);
    policy.ssrc.type = use == SRTP_SEND ? ssrc_any_outbound : ssrc_any_inbound;
    policy.key = copy;
    policy.window_size = WINDOW_PACKETS;
    status = srtp_create(&w->ctx, &policy);
    wipe(copy, sizeof copy);
    if (status != srtp_err_status_ok) {
        mem_free(w);
        return FAIL(E_CRYPTO);
    }
    *out = w;
    return E_OK;
}

void srtp_way_free(struct srtp_way *w)
{
    if (w != NULL) {
        srtp_dealloc(w->ctx); /* zeroes the keys it held */
        mem_free(w);
    }
}

enum err srtp_seal(struct srtp_way *w, uint8_t *packet, size_t *n, size_t max)
{
    int len = (int)*n;

    if (max < SRTP_TRAILER_MAX || *n > max - SRTP_TRAILER_MAX || *n > INT32_MAX / 2) {
        return FAIL(E_RANGE);
    }
    if (srtp_protect(w->ctx, packet, &len) != srtp_err_status_ok) {
        return FAIL(E_CRYPTO);
    }
    *n = (size_t)len;
    return E_OK;
}

static enum err err_of(srtp_err_status_t s)
{
    if (s == srtp_err_status_ok) {
        return E_OK;
    }
    if (s == srtp_err_status_auth_fail || s == srtp_err_status_cipher_fail) {
        return FAIL(E_AUTH);
    }
    if (s == srtp_err_status_replay_fail || s == srtp_err_status_replay_old) {
        return FAIL(E_REPLAY);
    }
    return FAIL(s == srtp_err_status_alloc_fail ? E_NOMEM : E_PARSE);
}

/* Walks the header as far as the library will, which trusts its lengths more than we do. */
static bool header_fits(const uint8_t *p, size_t n)
{
    size_t at = 12;

    if (n < at || n > INT32_MAX / 2 || (p[0] & 0xc0) != 0x80) {
        return false;
    }
    at += 4 * (size_t)(p[0] & 0x0f);
    if ((p[0] & 0x10) != 0) {
        if (at + 4 > n) {
            return false;
        }
        at += 4 + 4 * ((size_t)p[at + 2] << 8 | p[at + 3]);
    }
    return at + 10 <= n; /* the shortest tag */
}

static bool is_known(const struct srtp_way *w, uint32_t ssrc)
{
    for (unsigned i = 0; i < w->ssrcs; i++) {
        if (w->ssrc[i] == ssrc) {
            return true;
        }
    }
    return false;
}

enum err srtp_open(struct srtp_way *w, uint8_t *packet, size_t *n)
{
    int len = (int)*n;
    uint32_t ssrc = 0;
    bool known = false;
    enum err e = E_OK;

    if (!header_fits(packet, *n)) {
        return FAIL(E_PARSE);
    }
    memcpy(&ssrc, packet + 8, sizeof ssrc);
    known = is_known(w, ssrc);
    if (!known && w->ssrcs == SSRCS_MAX) {
        return FAIL(E_FULL);
    }
    e = err_of(srtp_unprotect(w->ctx, packet, &len));
    if (e == E_OK) {
        *n = (size_t)len;
        if (!known) {
            w->ssrc[w->ssrcs++] = ssrc;
        }
    }
    return e;
}
