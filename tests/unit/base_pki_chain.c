/* Chains of every allowed length and one more, made here with the library itself, since pki_issue()
 * makes leaves only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/pki.h"

#define NOW     1700000000000000ull
#define CAS_MAX 5 /* root and up to four intermediates */

static struct {
    char dir[64], root_pem[96], ca_pem[96], leaf_pem[96];
    EVP_PKEY *key[CAS_MAX];
    X509 *ca[CAS_MAX];
    struct pki_root *root;
} t;

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
}

/* CA number i, signed by the one before it; `basic` are its basic constraints. */
static void make_ca(int i, const char *basic)
{
    char name[16];
    time_t from = (time_t)(NOW / 1000000u) - 3600;
    X509 *x = X509_new();
    X509 *issuer = i ? t.ca[i - 1] : x;
    X509_free(t.ca[i]);
    t.ca[i] = x;
    (void)snprintf(name, sizeof name, "ca %d", i);
    assert_true(X509_set_version(x, 2) && ASN1_INTEGER_set(X509_get_serialNumber(x), i + 1) &&
                X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                                           (const unsigned char *)name, -1, -1, 0) &&
                X509_time_adj_ex(X509_getm_notBefore(x), 0, 0, &from) &&
                X509_time_adj_ex(X509_getm_notAfter(x), 30, 0, &from) &&
                X509_set_pubkey(x, t.key[i]) &&
                X509_set_issuer_name(x, X509_get_subject_name(issuer)));
    extend(x, issuer, NID_basic_constraints, basic);
    extend(x, issuer, NID_key_usage, "critical,keyCertSign");
    extend(x, issuer, NID_subject_key_identifier, "hash");
    extend(x, issuer, NID_authority_key_identifier, "keyid:always");
    assert_true(X509_sign(x, t.key[i ? i - 1 : 0], EVP_sha256()) > 0);
}

static void save(const char *path, X509 *x)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, x), 1);
    assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
    (void)state;
    strcpy(t.dir, "/tmp/chainXXXXXX");
    assert_non_null(mkdtemp(t.dir));
    (void)snprintf(t.root_pem, sizeof t.root_pem, "%s/root.pem", t.dir);
    (void)snprintf(t.ca_pem, sizeof t.ca_pem, "%s/ca.pem", t.dir);
    (void)snprintf(t.leaf_pem, sizeof t.leaf_pem, "%s/leaf.pem", t.dir);
    for (int i = 0; i < CAS_MAX; i++) {
        t.key[i] = EVP_EC_gen("prime256v1");
        assert_non_null(t.key[i]);
        make_ca(i, "critical,CA:TRUE");
    }
    save(t.root_pem, t.ca[0]);
    return pki_root_load(t.root_pem, &t.root) == E_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    pki_root_free(t.root);
    for (int i = 0; i < CAS_MAX; i++) {
        X509_free(t.ca[i]);
        EVP_PKEY_free(t.key[i]);
    }
    unlink(t.root_pem);
    unlink(t.ca_pem);
    unlink(t.leaf_pem);
    rmdir(t.dir);
    return 0;
}

static void ca_key(int i, struct p256_key *out)
{
    BIGNUM *d = NULL;
    uint8_t b[32];
    struct secret s = {0};
    assert_int_equal(EVP_PKEY_get_bn_param(t.key[i], "priv", &d), 1);
    assert_int_equal(BN_bn2binpad(d, b, sizeof b), sizeof b);
    assert_int_equal(secret_set(&s, b, sizeof b), E_OK);
    assert_int_equal(p256_from_private(&s, out), E_OK);
    BN_free(d);
}

/* A leaf under `intermediates` of the CAs; with_root: the root is sent too. */
static enum err verify(int intermediates, bool with_root, char why[PKI_WHY_MAX])
{
    struct pki_subject s = {"ps", "ps.example", NOW - 3600000000ull, 3};
    struct p256_key signer;
    struct p256_key subject;
    static struct pki_chain chain;
    uint8_t *der[CAS_MAX] = {0};
    struct view v[CAS_MAX + 1];
    uint8_t pub[P256_POINT_BYTES];
    size_t n = 1;
    ca_key(intermediates, &signer);
    assert_int_equal(p256_generate(&subject), E_OK);
    save(t.ca_pem, t.ca[intermediates]);
    assert_int_equal(pki_issue(t.ca_pem, &signer, &s, PKI_PS, subject.pub, t.leaf_pem), E_OK);
    assert_int_equal(pki_chain_load(t.leaf_pem, &chain), E_OK);
    v[0] = chain.der[0];
    for (int i = intermediates; i >= (with_root ? 0 : 1); i--) {
        int len = i2d_X509(t.ca[i], &der[i]);
        assert_true(len > 0);
        v[n++] = view_from(der[i], (size_t)len);
    }
    enum err e = pki_verify(t.root, v, n, PKI_PS, "PS.example", NOW, pub, why);
    if (e == E_OK) {
        assert_memory_equal(pub, subject.pub, sizeof pub);
    }
    for (int i = 0; i < CAS_MAX; i++) {
        OPENSSL_free(der[i]);
    }
    return e;
}

static void up_to_three_intermediates(void **state)
{
    (void)state;
    char why[PKI_WHY_MAX];
    for (int n = 0; n <= 3; n++) {
        assert_int_equal(verify(n, false, why), E_OK);
        assert_int_equal(verify(n, true, why), E_OK);
    }
    assert_int_equal(verify(4, false, why), E_AUTH);
    assert_true(why[0] != '\0');
}

static void an_intermediate_must_be_a_ca(void **state)
{
    (void)state;
    char why[PKI_WHY_MAX];
    make_ca(1, "critical,CA:FALSE");
    assert_int_equal(verify(1, false, why), E_AUTH);
    make_ca(1, "critical,CA:TRUE,pathlen:0");
    make_ca(2, "critical,CA:TRUE");
    assert_int_equal(verify(1, false, why), E_OK);
    assert_int_equal(verify(2, false, why), E_AUTH);
    make_ca(1, "critical,CA:TRUE");
    make_ca(2, "critical,CA:TRUE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(up_to_three_intermediates),
        cmocka_unit_test(an_intermediate_must_be_a_ca),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
