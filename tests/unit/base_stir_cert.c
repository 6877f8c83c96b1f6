/* Certificates that sign PASSporTs: which chains hold, with what reason others do not, and for
 * which numbers a signer may speak. */
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
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "base/pki.h"
#include "base/stir_cert.h"
#include "base/stir_tn.h"

#define NOW          1700000000u
#define DAY          86400
#define OID_TN       "1.3.6.1.5.5.7.1.26"
#define OID_CLAIMS   "1.3.6.1.5.5.7.1.27"
#define OID_ENHANCED "1.3.6.1.5.5.7.1.33"

static struct {
    char dir[64], roots[96], crls[96], other[96];
    EVP_PKEY *key[5];
    X509 *root, *between, *rogue;
    struct stir_anchors *a;
} t;

enum { K_ROOT, K_BETWEEN, K_SIGNER, K_ROGUE, K_RSA };

struct spec { /* a signer's certificate unless it says otherwise */
    X509 *issuer;
    EVP_PKEY *issuer_key, *key;
    const char *basic, *usage;         /* NULL: not there */
    const char *oid[2], *extension[2]; /* hex */
    long from, until;                  /* days from NOW; both 0: -1 to 30 */
    bool bare;                         /* without key identifiers */
};

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = value ? X509V3_EXT_conf_nid(NULL, &ctx, nid, value) : NULL;
    assert_true(!value || (e && X509_add_ext(x, e, -1)));
    X509_EXTENSION_free(e);
}

static void extend_hex(X509 *x, const char *oid, const char *hex)
{
    uint8_t der[512];
    size_t n = strlen(hex) / 2;
    ASN1_OBJECT *o = OBJ_txt2obj(oid, 1);
    ASN1_OCTET_STRING *s = ASN1_OCTET_STRING_new();
    X509_EXTENSION *e = NULL;
    assert_int_equal(hex_get(view_of(hex), der, n), E_OK);
    assert_true(ASN1_OCTET_STRING_set(s, der, (int)n));
    e = X509_EXTENSION_create_by_OBJ(NULL, o, 0, s);
    assert_true(e && X509_add_ext(x, e, -1));
    X509_EXTENSION_free(e);
    ASN1_OCTET_STRING_free(s);
    ASN1_OBJECT_free(o);
}

static X509 *make(const char *name, const struct spec *s)
{
    static long serial = 1;
    time_t now = NOW;
    X509 *x = X509_new();
    X509 *issuer = s->issuer ? s->issuer : x;
    bool days = s->from || s->until;
    assert_true(X509_set_version(x, 2) && ASN1_INTEGER_set(X509_get_serialNumber(x), serial++) &&
                X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                                           (const unsigned char *)name, -1, -1, 0) &&
                X509_time_adj_ex(X509_getm_notBefore(x), (int)(days ? s->from : -1), 0, &now) &&
                X509_time_adj_ex(X509_getm_notAfter(x), (int)(days ? s->until : 30), 0, &now) &&
                X509_set_pubkey(x, s->key) &&
                X509_set_issuer_name(x, X509_get_subject_name(issuer)));
    extend(x, issuer, NID_basic_constraints, s->basic);
    extend(x, issuer, NID_key_usage, s->usage);
    if (!s->bare) {
        extend(x, issuer, NID_subject_key_identifier, "hash");
        extend(x, issuer, NID_authority_key_identifier, "keyid:always");
    }
    for (size_t i = 0; i < 2; i++) {
        if (s->oid[i]) {
            extend_hex(x, s->oid[i], s->extension[i]);
        }
    }
    assert_true(X509_sign(x, s->issuer_key ? s->issuer_key : s->key, EVP_sha256()) > 0);
    return x;
}

static struct spec ca(X509 *issuer, int issuer_key, int key)
{
    return (struct spec){.issuer = issuer,
                         .issuer_key = t.key[issuer_key],
                         .key = t.key[key],
                         .basic = "critical,CA:TRUE",
                         .usage = "critical,keyCertSign,cRLSign",
                         .from = -100,
                         .until = 100};
}

static struct spec signer(void)
{
    return (struct spec){.issuer = t.between,
                         .issuer_key = t.key[K_BETWEEN],
                         .key = t.key[K_SIGNER],
                         .basic = "critical,CA:FALSE",
                         .usage = "critical,digitalSignature",
                         .oid = {OID_TN},
                         .extension = {"3008a006160431323334"}};
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
    char why[128];
    (void)state;
    strcpy(t.dir, "/tmp/stirXXXXXX");
    assert_non_null(mkdtemp(t.dir));
    snprintf(t.roots, sizeof t.roots, "%s/roots.pem", t.dir);
    snprintf(t.crls, sizeof t.crls, "%s/crls.pem", t.dir);
    snprintf(t.other, sizeof t.other, "%s/other.pem", t.dir);
    for (int i = 0; i < 5; i++) {
        t.key[i] = i == K_RSA ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
        assert_non_null(t.key[i]);
    }
    struct spec s = ca(NULL, K_ROOT, K_ROOT);
    t.root = make("root", &s);
    s = ca(NULL, K_ROGUE, K_ROGUE);
    t.rogue = make("root", &s); /* the same name */
    s = ca(t.root, K_ROOT, K_BETWEEN);
    t.between = make("between", &s);
    save(t.roots, t.root);
    return stir_anchors_load(t.roots, NULL, &t.a, why, sizeof why) == E_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    stir_anchors_free(t.a);
    for (int i = 0; i < 5; i++) {
        EVP_PKEY_free(t.key[i]);
    }
    X509_free(t.root);
    X509_free(t.between);
    X509_free(t.rogue);
    unlink(t.roots);
    unlink(t.crls);
    unlink(t.other);
    assert_int_equal(rmdir(t.dir), 0);
    return mem_live() == 0 ? 0 : -1;
}

/* Reads a chain; it stays with the caller. */
static enum err read_at(X509 *const *chain, size_t n, const struct stir_anchors *a, uint64_t at,
                        struct stir_cert **out, const char **why)
{
    BIO *text = BIO_new(BIO_s_mem());
    char *p = NULL;
    for (size_t i = 0; i < n; i++) {
        assert_true(PEM_write_bio_X509(text, chain[i]));
    }
    long len = BIO_get_mem_data(text, &p);
    enum err e = stir_cert_read(view_from(p, (size_t)len), a, at, out, why);
    BIO_free(text);
    return e;
}

static enum err check_with(const struct spec *s, const struct stir_anchors *a, const char **why)
{
    struct stir_cert *c = NULL;
    X509 *x = make("signer", s);
    enum err e = read_at((X509 *[]){x, t.between}, 2, a, NOW, &c, why);
    stir_cert_free(c);
    X509_free(x);
    return e;
}

#define REFUSED(s, reason)                                                                         \
    do {                                                                                           \
        const char *why_ = NULL;                                                                   \
        assert_int_equal(check_with(&(s), t.a, &why_), E_AUTH);                                    \
        assert_string_equal(why_, reason);                                                         \
    } while (0)

/* ---- chains ---- */

static void a_chain_that_holds(void **state)
{
    const char *why = NULL;
    struct stir_cert *c = NULL;
    struct spec s = signer();
    X509 *x = make("signer", &s);
    uint64_t from = 0, until = 0;
    uint8_t raw[EC_SIGNATURE_BYTES] = {0};
    (void)state;
    assert_int_equal(read_at((X509 *[]){x, t.between, t.root}, 3, t.a, NOW, &c, &why), E_OK);
    assert_string_equal(why, "");
    stir_cert_times(c, &from, &until);
    assert_int_equal(from, NOW - DAY);
    assert_int_equal(until, NOW + 30 * DAY);
    assert_string_equal(stir_cert_spc(c), "1234");
    assert_true(stir_cert_speaks_for(c, VIEW("12155550101")));
    assert_int_equal(ec_verify(stir_cert_key(c), VIEW("x"), raw), E_AUTH);
    stir_cert_free(c);
    /* any order behind the first, also with others among them */
    assert_int_equal(read_at((X509 *[]){x, t.rogue, t.root, t.between}, 4, t.a, NOW, &c, &why),
                     E_OK);
    stir_cert_free(c);
    /* key usage may be absent */
    s.usage = NULL;
    assert_int_equal(check_with(&s, t.a, &why), E_OK);
    X509_free(x);
}

static void chains_that_do_not(void **state)
{
    const char *why = NULL;
    struct stir_cert *c = NULL;
    struct spec s = signer();
    X509 *x = make("signer", &s);
    (void)state;
    assert_int_equal(read_at(&x, 1, t.a, NOW, &c, &why), E_AUTH);
    assert_string_equal(why, "unable to get local issuer certificate");
    s.issuer = t.rogue;
    s.issuer_key = t.key[K_ROGUE];
    REFUSED(s, "unable to get local issuer certificate");
    s = signer();
    s.issuer_key = t.key[K_ROGUE];
    REFUSED(s, "certificate signature failure");
    s = signer();
    s.from = -9, s.until = -1;
    REFUSED(s, "certificate has expired");
    s.from = 1, s.until = 9;
    REFUSED(s, "certificate is not yet valid");
    s = signer();
    s.key = t.key[K_RSA];
    REFUSED(s, "the signer's key is not of P-256");
    s = signer();
    s.usage = "critical,keyAgreement";
    REFUSED(s, "the signer's key is not for signatures");
    s = signer();
    s.usage = "critical,keyCertSign,digitalSignature";
    s.basic = "critical,CA:TRUE";
    REFUSED(s, "the signer is an authority");
    s = signer();
    s.bare = true;
    REFUSED(s, "Missing Authority Key Identifier");
    s = signer();
    s.oid[1] = OID_CLAIMS, s.extension[1] = "3000";
    REFUSED(s, "it constrains claims, which is not supported");
    s.oid[1] = OID_ENHANCED;
    REFUSED(s, "it constrains claims, which is not supported");
    s.oid[1] = OID_TN, s.extension[1] = s.extension[0];
    REFUSED(s, "a malformed list of numbers");
    s = signer();
    s.extension[0] = "3000";
    REFUSED(s, "a malformed list of numbers");
    X509_free(x);
}

static void a_signer_is_no_authority(void **state)
{
    struct spec s = signer();
    X509 *first = make("signer", &s);
    struct stir_cert *c = NULL;
    const char *why = NULL;
    (void)state;
    s.issuer = first;
    s.issuer_key = t.key[K_SIGNER];
    s.key = t.key[K_ROGUE];
    X509 *second = make("second", &s);
    assert_int_equal(read_at((X509 *[]){second, first, t.between}, 3, t.a, NOW, &c, &why), E_AUTH);
    X509_free(first);
    X509_free(second);
}

static void times_of_the_path(void **state)
{
    const char *why = NULL;
    struct stir_cert *c = NULL;
    struct spec s = signer();
    uint64_t from = 0, until = 0;
    (void)state;
    s.from = -200, s.until = 300;
    X509 *x = make("signer", &s);
    X509 *chain[] = {x, t.between};
    assert_int_equal(read_at(chain, 2, t.a, NOW, &c, &why), E_OK);
    stir_cert_times(c, &from, &until);
    assert_int_equal(from, NOW - 100 * DAY);
    assert_int_equal(until, NOW + 100 * DAY);
    stir_cert_free(c);
    assert_int_equal(read_at(chain, 2, t.a, NOW + 101 * DAY, &c, &why), E_AUTH);
    assert_int_equal(read_at(chain, 2, t.a, UINT64_MAX, &c, &why), E_AUTH);
    assert_int_equal(read_at(chain, 2, t.a, 0, &c, &why), E_AUTH);
    X509_free(x);
}

static void texts(void **state)
{
    static char big[STIR_PEM_MAX + 1];
    static const struct {
        const char *text;
        enum err e;
        const char *why;
    } of[] = {
        {"", E_PARSE, "nothing"},
        {"hello", E_PARSE, "no certificate in PEM"},
        {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", E_PARSE,
         "no certificate in PEM"},
        {"-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,"
         "00112233445566778899AABBCCDDEEFF\n\nAAAA\n-----END CERTIFICATE-----\n",
         E_PARSE, "no certificate in PEM"},
    };
    const char *why = NULL;
    struct stir_cert *c = NULL;
    struct spec s = signer();
    X509 *x = make("signer", &s);
    X509 *many[9] = {x,         t.between, t.between, t.between, t.between,
                     t.between, t.between, t.between, t.between};
    (void)state;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        assert_int_equal(stir_cert_read(view_of(of[i].text), t.a, NOW, &c, &why), of[i].e);
        assert_string_equal(why, of[i].why);
    }
    memset(big, '\n', sizeof big);
    assert_int_equal(stir_cert_read(view_from(big, sizeof big), t.a, NOW, &c, &why), E_RANGE);
    assert_int_equal(stir_cert_read(view_from(big, sizeof big - 1), t.a, NOW, &c, &why), E_PARSE);
    assert_int_equal(read_at(many, 8, t.a, NOW, &c, &why), E_OK);
    stir_cert_free(c);
    c = NULL;
    assert_int_equal(read_at(many, 9, t.a, NOW, &c, &why), E_RANGE);
    assert_string_equal(why, "more than 8 certificates");
    for (long nth = 0;; nth++) { /* without memory */
        mem_fail_at(nth);
        enum err e = read_at(many, 2, t.a, NOW, &c, &why);
        if (!mem_failed()) {
            assert_int_equal(e, E_OK);
            break;
        }
        assert_int_equal(e, E_NOMEM);
    }
    mem_fail_at(-1);
    stir_cert_free(c);
    X509_free(x);
}

/* ---- revocation ---- */

static void crl_write(X509 *issuer, EVP_PKEY *key, X509 *revoked, long days, const char *mode)
{
    X509_CRL *l = X509_CRL_new();
    X509_REVOKED *r = X509_REVOKED_new();
    ASN1_TIME *at = ASN1_TIME_set(NULL, (time_t)NOW - DAY);
    ASN1_TIME *next = ASN1_TIME_set(NULL, (time_t)NOW + days * DAY);
    FILE *f = fopen(t.crls, mode);
    assert_true(X509_CRL_set_version(l, 1) &&
                X509_CRL_set_issuer_name(l, X509_get_subject_name(issuer)) &&
                X509_CRL_set1_lastUpdate(l, at) && X509_CRL_set1_nextUpdate(l, next));
    if (revoked) {
        assert_true(X509_REVOKED_set_serialNumber(r, X509_get_serialNumber(revoked)) &&
                    X509_REVOKED_set_revocationDate(r, at) && X509_CRL_add0_revoked(l, r));
        r = NULL;
    }
    assert_true(X509_CRL_sign(l, key, EVP_sha256()) > 0);
    assert_true(f && PEM_write_X509_CRL(f, l) == 1 && fclose(f) == 0);
    X509_REVOKED_free(r);
    ASN1_TIME_free(at);
    ASN1_TIME_free(next);
    X509_CRL_free(l);
}

/* A list of another authority about certificates of `about`. */
static void indirect_write(X509 *issuer, EVP_PKEY *key, X509 *revoked, X509 *about, long days,
                           int unknown)
{
    X509_CRL *l = X509_CRL_new();
    X509_REVOKED *r = X509_REVOKED_new();
    ISSUING_DIST_POINT *p = ISSUING_DIST_POINT_new();
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_TIME *at = ASN1_TIME_set(NULL, (time_t)NOW - DAY);
    ASN1_TIME *next = ASN1_TIME_set(NULL, (time_t)NOW + days * DAY);
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    FILE *f = fopen(t.crls, "w");
    p->indirectCRL = 0xff;
    GENERAL_NAME_set0_value(name, GEN_DIRNAME, X509_NAME_dup(X509_get_subject_name(about)));
    assert_true(sk_GENERAL_NAME_push(names, name) > 0 && ASN1_INTEGER_set(number, 1));
    assert_true(X509_CRL_set_version(l, 1) &&
                X509_CRL_set_issuer_name(l, X509_get_subject_name(issuer)) &&
                X509_CRL_set1_lastUpdate(l, at) && X509_CRL_set1_nextUpdate(l, next) &&
                X509_CRL_add1_ext_i2d(l, NID_issuing_distribution_point, p, 1, 0) &&
                X509_CRL_add1_ext_i2d(l, NID_crl_number, number, unknown, 0) &&
                X509_REVOKED_set_serialNumber(r, X509_get_serialNumber(revoked)) &&
                X509_REVOKED_set_revocationDate(r, at) &&
                X509_REVOKED_add1_ext_i2d(r, NID_certificate_issuer, names, 1, 0) &&
                X509_CRL_add0_revoked(l, r) && X509_CRL_sign(l, key, EVP_sha256()) > 0);
    assert_true(f && PEM_write_X509_CRL(f, l) == 1 && fclose(f) == 0);
    GENERAL_NAMES_free(names);
    ISSUING_DIST_POINT_free(p);
    ASN1_INTEGER_free(number);
    ASN1_TIME_free(at);
    ASN1_TIME_free(next);
    X509_CRL_free(l);
}

static enum err with_crls(X509 *x, const char **why)
{
    struct stir_anchors *a = NULL;
    struct stir_cert *c = NULL;
    char file_why[160];
    assert_int_equal(stir_anchors_load(t.roots, t.crls, &a, file_why, sizeof file_why), E_OK);
    enum err e = read_at((X509 *[]){x, t.between}, 2, a, NOW, &c, why);
    stir_cert_free(c);
    stir_anchors_free(a);
    return e;
}

static void revocation(void **state)
{
    const char *why = NULL;
    struct spec s = signer();
    X509 *x = make("signer", &s);
    X509 *another = make("another", &s);
    (void)state;
    crl_write(t.between, t.key[K_BETWEEN], another, 7, "w");
    assert_int_equal(with_crls(x, &why), E_OK);
    assert_int_equal(with_crls(another, &why), E_AUTH);
    assert_string_equal(why, "certificate revoked");
    crl_write(t.root, t.key[K_ROOT], NULL, 7, "w"); /* the issuer's own list is not there */
    assert_int_equal(with_crls(x, &why), E_AUTH);
    assert_string_equal(why, "unable to get certificate CRL");
    crl_write(t.between, t.key[K_BETWEEN], NULL, 7, "a"); /* now it is, as the second */
    assert_int_equal(with_crls(x, &why), E_OK);
    crl_write(t.between, t.key[K_BETWEEN], NULL, 0, "w");
    assert_int_equal(with_crls(x, &why), E_AUTH);
    assert_string_equal(why, "CRL has expired");
    crl_write(t.between, t.key[K_ROGUE], NULL, 7, "w"); /* signed by somebody else */
    assert_int_equal(with_crls(x, &why), E_AUTH);
    assert_string_equal(why, "CRL signature failure");
    X509_free(x);
    X509_free(another);
}

/* A policy authority with a root of its own lists certificates of every issuer (SHAKEN). */
static void revocation_by_a_policy_authority(void **state)
{
    const char *why = NULL;
    struct spec s = ca(NULL, K_ROGUE, K_ROGUE);
    X509 *pa = make("policy authority", &s);
    struct stir_anchors *a = NULL;
    char file_why[160];
    s = signer();
    X509 *x = make("signer", &s);
    X509 *another = make("another", &s);
    (void)state;
    indirect_write(pa, t.key[K_ROGUE], another, t.between, 7, 0); /* not yet among the roots */
    assert_int_equal(stir_anchors_load(t.roots, t.crls, &a, file_why, sizeof file_why), E_PARSE);
    assert_non_null(strstr(file_why, "crls.pem: an indirect revocation list that no root has"));
    FILE *f = fopen(t.roots, "a");
    assert_true(f && PEM_write_X509(f, pa) == 1 && fclose(f) == 0);
    assert_int_equal(with_crls(x, &why), E_OK);
    assert_int_equal(with_crls(another, &why), E_AUTH);
    assert_string_equal(why, "certificate revoked");
    indirect_write(pa, t.key[K_ROGUE], another, t.root, 7, 0); /* that number of another issuer */
    assert_int_equal(with_crls(another, &why), E_OK);
    indirect_write(pa, t.key[K_ROGUE], t.between, t.root, 7, 0); /* the authority above */
    assert_int_equal(with_crls(x, &why), E_AUTH);
    assert_string_equal(why, "certificate revoked");
    indirect_write(pa, t.key[K_ROGUE], another, t.between, 0, 0);
    assert_int_equal(with_crls(x, &why), E_AUTH);
    assert_string_equal(why, "an indirect revocation list is not current");
    indirect_write(pa, t.key[K_SIGNER], another, t.between, 7, 0);
    assert_int_equal(stir_anchors_load(t.roots, t.crls, &a, file_why, sizeof file_why), E_PARSE);
    indirect_write(pa, t.key[K_ROGUE], another, t.between, 7, 1); /* critical, and not known */
    assert_int_equal(stir_anchors_load(t.roots, t.crls, &a, file_why, sizeof file_why), E_PARSE);
    assert_null(a);
    save(t.roots, t.root);
    X509_free(pa);
    X509_free(x);
    X509_free(another);
}

static void files(void **state)
{
    struct stir_anchors *a = NULL;
    char why[160];
    FILE *f = fopen(t.other, "w");
    (void)state;
    assert_true(f && fputs("no PEM\n", f) > 0 && fclose(f) == 0);
    assert_int_equal(stir_anchors_load("/nowhere/roots.pem", NULL, &a, why, sizeof why),
                     E_NOTFOUND);
    assert_string_equal(why, "/nowhere/roots.pem: no such object");
    assert_int_equal(stir_anchors_load(t.other, "", &a, why, sizeof why), E_PARSE);
    assert_non_null(strstr(why, "other.pem: no certificates in PEM"));
    assert_int_equal(stir_anchors_load(t.roots, t.other, &a, why, sizeof why), E_PARSE);
    assert_non_null(strstr(why, "other.pem: no revocation lists in PEM"));
    assert_int_equal(stir_anchors_load(t.roots, t.roots, &a, why, sizeof why), E_PARSE);
    mem_fail_at(0);
    assert_int_equal(stir_anchors_load(t.roots, NULL, &a, why, sizeof why), E_NOMEM);
    mem_fail_at(-1);
    assert_null(a);
    stir_anchors_free(NULL);
    stir_cert_free(NULL);
}

/* ---- numbers ---- */

static bool hex_list(const char *hex, struct stir_tn_list *out)
{
    uint8_t der[256];
    size_t n = strlen(hex) / 2;
    assert_int_equal(hex_get(view_of(hex), der, n), E_OK);
    return stir_tn_read(view_from(der, n), 8, out) == E_OK;
}

static void lists(void **state)
{
    static const struct {
        const char *hex, *yes, *no; /* yes NULL: malformed */
    } of[] = {
        {"3008a006160431323334", "12155550101", ""},
        {"300fa20d160b3132313535353530313031", "12155550101", "12155550102"},
        {"3007a20516032a3639", "*69", "69"},
        /* 12155550100, 100 of them */
        {"3014a1123010160b3132313535353530313030020164", "12155550199", "12155550200"},
        {"3014a1123010160b3132313535353530313030020164", "12155550100", "12155550099"},
        {"3014a1123010160b3132313535353530313030020164", "12155550101", "2155550101"},
        {"3014a1123010160b3132313535353530313030020164", "12155550101", "*2155550101"},
        /* one more element behind the count */
        {"3017a1153013160b31323135353535303130300201640101ff", "12155550150", "911"},
        /* count 1, 0, -1, with a leading zero, 10 + 91 */
        {"3014a1123010160b3132313535353530313030020101", NULL, NULL},
        {"3014a1123010160b3132313535353530313030020100", NULL, NULL},
        {"3014a1123010160b31323135353535303130300201ff", NULL, NULL},
        {"3015a1133011160b313231353535353031303002020064", NULL, NULL},
        {"300ba10930071602313002015b", NULL, NULL},
        {"300ba10930071602313002015a", "99", "100"},
        {"300ba109300716022a3102010a", NULL, NULL}, /* a range from *1 on */
        {"3000", NULL, NULL},
        {"", NULL, NULL},
        {"3008a00616043132333400", NULL, NULL},                       /* octets behind it */
        {"3008a306160431323334", NULL, NULL},                         /* no [3] */
        {"3006800431323334", NULL, NULL},                             /* IMPLICIT */
        {"3008a0060c0431323334", NULL, NULL},                         /* UTF8String */
        {"300aa0081604313233340500", NULL, NULL},                     /* two in one tag */
        {"308108a006160431323334", NULL, NULL},                       /* length in two octets */
        {"3080a0061604313233340000", NULL, NULL},                     /* indefinite */
        {"3009a006160431323334", NULL, NULL},                         /* cut */
        {"3004a0021600", NULL, NULL},                                 /* empty code */
        {"3014a212161031323334353637383930313233343536", NULL, NULL}, /* 16 digits */
        {"3006a20416026131", NULL, NULL},                             /* a letter */
    };
    struct stir_tn_list l;
    (void)state;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        bool good = hex_list(of[i].hex, &l);
        if (good != (of[i].yes != NULL)) {
            fail_msg("%s: %d", of[i].hex, good);
        }
        if (good) {
            assert_true(stir_tn_has(&l, view_of(of[i].yes)));
            assert_false(stir_tn_has(&l, view_of(of[i].no)));
            stir_tn_free(&l);
        }
    }
}

static void lists_in_lists(void **state)
{
    struct stir_tn all[] = {
        {STIR_SPC, "1234", 0},
        {STIR_RANGE, "12125551000", 1000},
        {STIR_RANGE, "12125551500", 100},
        {STIR_RANGE, "12125551900", 101},
        {STIR_ONE, "12125551824", 0},
        {STIR_SPC, "5678", 0},
        {STIR_ONE, "*69", 0},
    };
    static const struct {
        unsigned outer, inner;
        bool held;
    } of[] = {{1, 2, true}, {1, 4, true},  {1, 3, false}, {2, 1, false}, {2, 4, false},
              {4, 4, true}, {4, 1, false}, {0, 0, true},  {0, 5, false}, {0, 1, true},
              {0, 6, true}, {1, 0, false}, {1, 6, false}, {6, 6, true},  {1, 1, true}};
    (void)state;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        struct stir_tn_list outer = {&all[of[i].outer], 1}, inner = {&all[of[i].inner], 1};
        assert_int_equal(stir_tn_holds(&outer, &inner), of[i].held);
    }
    struct stir_tn_list two = {all + 1, 2}, none = {0};
    assert_true(stir_tn_holds(&two, &none));
    assert_false(stir_tn_holds(&none, &two));
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) { /* written and read */
        uint8_t der[64];
        struct stir_tn_list l;
        size_t n = stir_tn_write(&all[i], der);
        assert_int_equal(stir_tn_read(view_from(der, n), 1, &l), E_OK);
        assert_memory_equal(l.v, &all[i], sizeof all[i]);
        stir_tn_free(&l);
    }
    struct stir_tn bad[] = {{STIR_SPC, "", 0},      {STIR_SPC, "12 34", 0},
                            {STIR_RANGE, "10", 91}, {STIR_RANGE, "10", 1},
                            {STIR_ONE, "+1", 0},    {STIR_ONE, "1234567890123456", 0}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t der[64];
        assert_int_equal(stir_tn_write(&bad[i], der), 0);
    }
    uint64_t counts[] = {2, 127, 128, 255, 256, 32767, 32768, 99999999999999};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct stir_tn one = {STIR_RANGE, "100000000000000", counts[i]};
        struct stir_tn_list l;
        uint8_t der[64];
        size_t n = stir_tn_write(&one, der);
        assert_int_equal(stir_tn_read(view_from(der, n), 1, &l), E_OK);
        assert_int_equal(l.v[0].count, counts[i]);
        assert_int_equal(stir_tn_read(view_from(der, n), 0, &l), E_RANGE);
        mem_free(l.v);
    }
}

static void a_provider_s_authority_bounds_its_delegates(void **state)
{
    const char *why = NULL;
    struct stir_cert *c = NULL;
    struct spec s = ca(t.root, K_ROOT, K_BETWEEN);
    (void)state;
    s.oid[0] = OID_TN, s.extension[0] = "3014a1123010160b3132313535353530313030020164";
    X509 *between = make("between", &s);
    s = signer();
    s.issuer = between;
    s.extension[0] = "300fa20d160b3132313535353530313031"; /* 12155550101 */
    X509 *x = make("signer", &s);
    assert_int_equal(read_at((X509 *[]){x, between}, 2, t.a, NOW, &c, &why), E_OK);
    assert_true(stir_cert_speaks_for(c, VIEW("12155550101")));
    assert_false(stir_cert_speaks_for(c, VIEW("12155550102")));
    assert_string_equal(stir_cert_spc(c), "");
    stir_cert_free(c);
    X509_free(x);
    s.extension[0] = "300fa20d160b3132313535353530323031"; /* 12155550201 */
    x = make("signer", &s);
    assert_int_equal(read_at((X509 *[]){x, between}, 2, t.a, NOW, &c, &why), E_AUTH);
    assert_string_equal(why, "numbers beyond those of its issuer");
    X509_free(x);
    s.oid[0] = NULL; /* none at all: a signer for nobody */
    x = make("signer", &s);
    assert_int_equal(read_at((X509 *[]){x, between}, 2, t.a, NOW, &c, &why), E_OK);
    assert_false(stir_cert_speaks_for(c, VIEW("12155550101")));
    stir_cert_free(c);
    X509_free(x);
    X509_free(between);
}

/* ---- as headgatectl issues them ---- */

static void issued_here(void **state)
{
    struct p256_key root, key;
    struct pki_subject s = {"Root", NULL, (uint64_t)NOW * 1000000u, 30};
    struct stir_tn spc = {STIR_SPC, "709J", 0}, bad = {STIR_SPC, "", 0};
    struct stir_anchors *a = NULL;
    struct stir_cert *c = NULL;
    static struct pki_chain chain;
    const char *why = NULL;
    char file_why[160], pem[8192];
    (void)state;
    assert_int_equal(p256_generate(&root), E_OK);
    assert_int_equal(p256_generate(&key), E_OK);
    assert_int_equal(pki_make_root(&s, &root, t.other), E_OK);
    assert_int_equal(stir_anchors_load(t.other, NULL, &a, file_why, sizeof file_why), E_OK);
    s.common_name = "sp.example.net";
    assert_int_equal(pki_issue_stir(t.other, &root, &s, &bad, key.pub, t.crls), E_PARSE);
    assert_int_equal(pki_issue_stir(t.other, &root, &s, &spc, key.pub, t.crls), E_OK);
    assert_int_equal(pki_chain_load(t.crls, &chain), E_OK);
    FILE *f = fopen(t.crls, "r");
    size_t n = f ? fread(pem, 1, sizeof pem, f) : 0;
    assert_true(f && fclose(f) == 0);
    assert_int_equal(stir_cert_read(view_from(pem, n), a, NOW + 60, &c, &why), E_OK);
    assert_string_equal(stir_cert_spc(c), "709J");
    uint8_t signature[EC_SIGNATURE_BYTES];
    assert_int_equal(p256_sign(&key.d, VIEW("octets"), signature), E_OK);
    assert_int_equal(ec_verify(stir_cert_key(c), VIEW("octets"), signature), E_OK);
    assert_int_equal(ec_verify(stir_cert_key(c), VIEW("octet"), signature), E_AUTH);
    stir_cert_free(c);
    stir_anchors_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_that_holds),
        cmocka_unit_test(chains_that_do_not),
        cmocka_unit_test(a_signer_is_no_authority),
        cmocka_unit_test(times_of_the_path),
        cmocka_unit_test(texts),
        cmocka_unit_test(revocation),
        cmocka_unit_test(revocation_by_a_policy_authority),
        cmocka_unit_test(files),
        cmocka_unit_test(lists),
        cmocka_unit_test(lists_in_lists),
        cmocka_unit_test(a_provider_s_authority_bounds_its_delegates),
        cmocka_unit_test(issued_here),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
