/* Vectors of the second implementation: key schedule, HPKE, certificate chains. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/hpke.h"
#include "base/pki.h"
#include "tests/unit/vectors.h"

static struct vectors v;

/* Every member of out but prk is a key: its label is the name with spaces for _. */
static void hkdf(void **state)
{
    (void)state;
    vectors_load(&v, "hkdf");
    VECTORS_EACH(&v)
    {
        uint8_t ikm[64];
        struct secret prk;
        const char *key = NULL;
        json_t *value = NULL;
        struct view t = vector_octets(&v, v.in, "t");
        memcpy(ikm, vector_fixed(&v, v.in, "s", 32), 32);
        memcpy(ikm + 32, vector_fixed(&v, v.in, "z", 32), 32);
        assert_int_equal(hkdf_extract(t, view_from(ikm, sizeof ikm), &prk), E_OK);
        vector_same_secret(&v, "prk", &prk);
        json_object_foreach(v.out, key, value)
        {
            char info[64];
            struct secret k;
            int n = snprintf(info, sizeof info, "headgate v1 %s", key);
            for (char *c = info; *c; c++) {
                *c = *c == '_' ? ' ' : *c;
            }
            if (strcmp(key, "prk") != 0) {
                assert_int_equal(hkdf_expand(&prk, view_from(info, (size_t)n),
                                             strlen(json_string_value(value)) / 2, &k),
                                 E_OK);
                vector_same_secret(&v, key, &k);
            }
        }
    }
    vectors_free(&v);
}

static void key_of(const char *name, struct p256_key *out)
{
    struct secret d;
    vector_secret(&v, v.in, name, &d);
    assert_int_equal(p256_from_private(&d, out), E_OK);
}

static void hpke(void **state)
{
    (void)state;
    vectors_load(&v, "hpke");
    VECTORS_EACH(&v)
    {
        struct p256_key e = {0};
        struct p256_key r = {0};
        uint8_t enc[HPKE_ENC_BYTES];
        uint8_t ct[512];
        uint8_t pt[512];
        enum hpke_aead aead = (enum hpke_aead)vector_u64(&v, v.in, "aead");
        struct view info = vector_octets(&v, v.in, "info");
        struct view aad = vector_octets(&v, v.in, "aad");
        struct view plain = vector_octets(&v, v.in, "pt");
        key_of("ephemeral_d", &e);
        key_of("recipient_d", &r);
        assert_true(plain.n + GCM_TAG_BYTES <= sizeof ct);
        assert_int_equal(hpke_seal_with(aead, &e, r.pub, info, aad, plain, enc, ct), E_OK);
        vector_same(&v, "enc", enc, sizeof enc);
        vector_same(&v, "ct", ct, plain.n + GCM_TAG_BYTES);
        struct view sealed = view_from(ct, plain.n + GCM_TAG_BYTES);
        assert_int_equal(hpke_open(aead, &r, enc, info, aad, sealed, pt), E_OK);
        assert_memory_equal(pt, plain.p, plain.n);
        ct[0] ^= 1;
        assert_int_equal(hpke_open(aead, &r, enc, info, aad, sealed, pt), E_AUTH);
    }
    vectors_free(&v);
}

static void certificates(void **state)
{
    (void)state;
    vectors_load(&v, "certificate");
    VECTORS_EACH(&v)
    {
        struct pki_root *root = NULL;
        struct view der[16];
        uint8_t pub[P256_POINT_BYTES];
        char why[PKI_WHY_MAX];
        json_t *chain = vector_get(&v, v.in, "chain");
        const char *name = vector_text(&v, v.in, "ps_name");
        size_t n = json_array_size(chain);
        bool ok = json_is_true(vector_get(&v, v.out, "ok"));
        assert_true(n <= sizeof der / sizeof *der);
        for (size_t i = 0; i < n; i++) {
            der[i] = vector_hex(&v, json_string_value(json_array_get(chain, i)));
        }
        assert_int_equal(pki_root_parse(view_of(vector_text(&v, v.in, "root_pem")), &root), E_OK);
        enum err e = pki_verify(root, der, n, PKI_PS, name[0] ? name : NULL,
                                vector_u64(&v, v.in, "now_us"), pub, why);
        if (e != (ok ? E_OK : E_AUTH) || ok != (why[0] == '\0')) {
            fail_msg("%s: %s, %s", v.name, err_name(e), why);
        }
        if (ok) {
            vector_same(&v, "point", pub, sizeof pub);
        }
        pki_root_free(root);
    }
    vectors_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hkdf),
        cmocka_unit_test(hpke),
        cmocka_unit_test(certificates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
