/* Certificates and authorities that a test makes as it needs them. */
#ifndef TESTS_UNIT_CERTS_H
#define TESTS_UNIT_CERTS_H

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/view.h"

struct cert {
    EVP_PKEY *key;
    X509 *x;
};

struct cert_spec {
    const char *cn;      /* NULL: none */
    const char *san;     /* as in openssl.cnf: "DNS:a.example,URI:sip:a.example"; NULL: none */
    struct view raw_dns; /* a DNS name with whatever octets */
    const char *eku;     /* NULL: none */
    const struct cert *issuer; /* NULL: itself */
    int from_s, to_s;          /* from now; to 0: an hour */
    unsigned rsa_bits;         /* 0: P-256 */
    bool is_ca;
};

static void cert_extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *e = NULL;

    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
}

static void cert_raw_dns(X509 *x, struct view name)
{
    GENERAL_NAMES *all = sk_GENERAL_NAME_new_null();
    GENERAL_NAME *g = GENERAL_NAME_new();
    ASN1_IA5STRING *s = ASN1_IA5STRING_new();

    assert_int_equal(ASN1_STRING_set(s, name.p, (int)name.n), 1);
    GENERAL_NAME_set0_value(g, GEN_DNS, s);
    assert_true(sk_GENERAL_NAME_push(all, g) > 0);
    assert_int_equal(X509_add1_ext_i2d(x, NID_subject_alt_name, all, 0, X509V3_ADD_DEFAULT), 1);
    GENERAL_NAMES_free(all);
}

static struct cert cert_make(const struct cert_spec *s)
{
    static long serial = 1;
    struct cert c = {s->rsa_bits != 0 ? EVP_RSA_gen(s->rsa_bits) : EVP_EC_gen("P-256"), X509_new()};
    X509 *issuer = s->issuer != NULL ? s->issuer->x : c.x;
    EVP_PKEY *signer = s->issuer != NULL ? s->issuer->key : c.key;

    assert_true(c.key != NULL && c.x != NULL && X509_set_version(c.x, 2) == 1);
    ASN1_INTEGER_set(X509_get_serialNumber(c.x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(c.x), s->from_s - 60);
    X509_gmtime_adj(X509_getm_notAfter(c.x), s->to_s != 0 ? s->to_s : 3600);
    if (s->cn != NULL) {
        assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(c.x), "CN", MBSTRING_UTF8,
                                                    (const unsigned char *)s->cn, -1, -1, 0),
                         1);
    }
    X509_set_pubkey(c.x, c.key);
    X509_set_issuer_name(c.x, X509_get_subject_name(issuer));
    cert_extend(c.x, issuer, NID_basic_constraints, s->is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    if (s->san != NULL) {
        cert_extend(c.x, issuer, NID_subject_alt_name, s->san);
    }
    if (s->raw_dns.n > 0) {
        cert_raw_dns(c.x, s->raw_dns);
    }
    if (s->eku != NULL) {
        cert_extend(c.x, issuer, NID_ext_key_usage, s->eku);
    }
    assert_true(X509_sign(c.x, signer, EVP_sha256()) > 0);
    return c;
}

static void cert_free(struct cert *c)
{
    EVP_PKEY_free(c->key);
    X509_free(c->x);
}

/* What the caller gives back to OPENSSL_free(). */
static inline struct view cert_der(const struct cert *c)
{
    unsigned char *p = NULL;
    int n = i2d_X509(c->x, &p);

    assert_true(n > 0);
    return view_from(p, (size_t)n);
}

/* PEM files; either may be NULL. */
static inline void cert_write(const struct cert *c, const char *cert_path, const char *key_path)
{
    if (cert_path != NULL) {
        BIO *out = BIO_new_file(cert_path, "w");
        assert_true(out != NULL && PEM_write_bio_X509(out, c->x) == 1);
        BIO_free(out);
    }
    if (key_path != NULL) {
        BIO *out = BIO_new_file(key_path, "w");
        assert_true(out != NULL &&
                    PEM_write_bio_PrivateKey(out, c->key, NULL, NULL, 0, NULL, NULL) == 1);
        BIO_free(out);
        assert_int_equal(chmod(key_path, 0600), 0);
    }
}

#endif
