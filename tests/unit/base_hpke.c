/* RFC 9180 appendix A.3.1 (base mode, P-256, HKDF-SHA256, AES-128-GCM), sequence number 0. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/hpke.h"

static size_t get(const char *hex, uint8_t *out)
{
    size_t n = strlen(hex) / 2;
    assert_int_equal(hex_get(view_of(hex), out, n), E_OK);
    return n;
}

static void key(const char *hex, struct p256_key *out)
{
    uint8_t d[32];
    struct secret s = {0};
    assert_int_equal(get(hex, d), sizeof d);
    assert_int_equal(secret_set(&s, d, sizeof d), E_OK);
    assert_int_equal(p256_from_private(&s, out), E_OK);
}

static void published_vector(void **state)
{
    (void)state;
    struct p256_key e = {0};
    struct p256_key r = {0};
    uint8_t info[64], aad[64], pt[64], ct[96], enc[65], want_enc[65], got[96];
    key("4995788ef4b9d6132b249ce59a77281493eb39af373d236a1fe415cb0c2d7beb", &e);
    key("f3ce7fdae57e1a310d87f1ebbde6f328be0a99cdbcadf4d6589cf29de4b8ffd2", &r);
    struct view vi = view_from(info, get("4f6465206f6e2061204772656369616e2055726e", info));
    struct view va = view_from(aad, get("436f756e742d30", aad));
    struct view vp =
        view_from(pt, get("4265617574792069732074727574682c20747275746820626561757479", pt));
    size_t n = get("5ad590bb8baa577f8619db35a36311226a896e7342a6d836d8b7bcd2f20b6c7f9076ac232e3ab25"
                   "23f39513434",
                   ct);
    get("04a92719c6195d5085104f469a8b9814d5838ff72b60501e2c4466e5e67b325ac98536d7b61a1af4b78e5b7f95"
        "1c0900be863c403ce65c9bfcb9382657222d18c4",
        want_enc);
    assert_int_equal(hpke_seal_with(HPKE_AES_128_GCM, &e, r.pub, vi, va, vp, enc, got), E_OK);
    assert_memory_equal(enc, want_enc, sizeof enc);
    assert_int_equal(n, vp.n + GCM_TAG_BYTES);
    assert_memory_equal(got, ct, n);
    assert_int_equal(hpke_open(HPKE_AES_128_GCM, &r, enc, vi, va, view_from(ct, n), got), E_OK);
    assert_memory_equal(got, pt, vp.n);
    ct[0] ^= 1;
    assert_int_equal(hpke_open(HPKE_AES_128_GCM, &r, enc, vi, va, view_from(ct, n), got), E_AUTH);
    enc[1] ^= 1;
    assert_int_equal(hpke_open(HPKE_AES_128_GCM, &r, enc, vi, va, view_from(ct, n), got), E_PARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(published_vector)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
