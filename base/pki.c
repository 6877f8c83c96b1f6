#include "base/pki.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define KEY_FILE_MAX 4096
#define NAME_MAX_DNS 256

#define OID_TN_AUTH_LIST "1.3.6.1.5.5.7.1.26" /* RFC 8226 section 9 */

/* 2.25.<UUID as a number> (ITU-T X.667): ours without asking a registry. */
static const char *const eku_oids[] = {
    [PKI_PS] = "2.25.180442957304862710548223910573384761.1",
    [PKI_GC] = "2.25.180442957304862710548223910573384761.2",
    [PKI_CODE] = "2.25.180442957304862710548223910573384761.3",
};

struct pki_root {
    X509_STORE *store;
};

static void say(char why[PKI_WHY_MAX], const char *text)
{
    (void)snprintf(why, PKI_WHY_MAX, "%s", text);
}

/* Why there is no further certificate: the end of the file, or one that cannot be read. */
static enum err pem_ended(size_t n)
{
    unsigned long why = ERR_peek_last_error();
    bool end = ERR_GET_LIB(why) == ERR_LIB_PEM && ERR_GET_REASON(why) == PEM_R_NO_START_LINE;
    return end && n > 0 ? E_OK : FAIL(E_PARSE);
}

static enum err root_read(BIO *in, struct pki_root **out)
{
    struct pki_root *r = mem_zalloc(sizeof *r);
    X509 *x = NULL;
    size_t n = 0;
    enum err e = r ? E_OK : FAIL(E_NOMEM);
    TRY(e);
    r->store = X509_STORE_new();
    if (!r->store) {
        e = FAIL(E_CRYPTO);
        goto out;
    }
    ERR_clear_error();
    while ((x = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL) {
        int ok = X509_STORE_add_cert(r->store, x);
        X509_free(x);
        if (!ok) {
            e = FAIL(E_CRYPTO);
            goto out;
        }
        n++;
    }
    TRY(pem_ended(n));
    *out = r;
    r = NULL;
out:
    ERR_clear_error();
    pki_root_free(r);
    return e;
}

enum err pki_root_load(const char *pem_path, struct pki_root **out)
{
    BIO *in = BIO_new_file(pem_path, "r");
    enum err e = in ? root_read(in, out) : FAIL(E_NOTFOUND);
    ERR_clear_error();
    BIO_free(in);
    return e;
}

enum err pki_root_parse(struct view pem, struct pki_root **out)
{
    BIO *in = pem.n <= INT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    enum err e = in ? root_read(in, out) : FAIL(E_NOMEM);
    BIO_free(in);
    return e;
}

void pki_root_free(struct pki_root *r)
{
    if (r) {
        X509_STORE_free(r->store);
        mem_free(r);
    }
}

static bool has_eku(X509 *x, enum pki_role role)
{
    EXTENDED_KEY_USAGE *eku = X509_get_ext_d2i(x, NID_ext_key_usage, NULL, NULL);
    ASN1_OBJECT *want = OBJ_txt2obj(eku_oids[role], 1);
    bool found = false;
    for (int i = 0; eku && want && i < sk_ASN1_OBJECT_num(eku); i++) {
        found = found || OBJ_cmp(sk_ASN1_OBJECT_value(eku, i), want) == 0;
    }
    ASN1_OBJECT_free(want);
    EXTENDED_KEY_USAGE_free(eku);
    return found;
}

/* Exact and case-insensitive: X509_check_host() would also take wildcards. */
static bool has_name(X509 *x, const char *dns_name)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    bool found = false;
    size_t want = strlen(dns_name);
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
        if (g->type == GEN_DNS && (size_t)ASN1_STRING_length(g->d.dNSName) == want) {
            const char *have = (const char *)ASN1_STRING_get0_data(g->d.dNSName);
            found = found || strncasecmp(have, dns_name, want) == 0;
        }
    }
    GENERAL_NAMES_free(names);
    return found;
}

static bool point_of(X509 *x, uint8_t out[P256_POINT_BYTES])
{
    EVP_PKEY *key = X509_get0_pubkey(x);
    char group[32] = "";
    size_t n = 0;
    return key && EVP_PKEY_get_group_name(key, group, sizeof group, &n) == 1 &&
           strcmp(group, "prime256v1") == 0 &&
           EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, out, P256_POINT_BYTES,
                                           &n) == 1 &&
           n == P256_POINT_BYTES && out[0] == 0x04;
}

static enum err path_check(const struct pki_root *root, X509 *leaf, STACK_OF(X509) * others,
                           uint64_t now_us, char why[PKI_WHY_MAX])
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    enum err e = E_CRYPTO;
    if (ctx && X509_STORE_CTX_init(ctx, root->store, leaf, others)) {
        X509_STORE_CTX_set_time(ctx, 0, (time_t)(now_us / 1000000u));
        /* The library counts intermediates alone. */
        X509_STORE_CTX_set_depth(ctx, PKI_CHAIN_MAX_CERTS - 2);
        /* The role's own EKU is looked at by has_eku(): OpenSSL knows only the public ones. */
        X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(ctx), 2);
        X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_X509_STRICT);
        e = X509_verify_cert(ctx) == 1 ? E_OK : E_AUTH;
        if (e != E_OK) {
            say(why, X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
        }
    }
    X509_STORE_CTX_free(ctx);
    return e == E_OK ? E_OK : FAIL(e);
}

static X509 *cert_from(struct view der)
{
    const unsigned char *p = (const unsigned char *)der.p;
    X509 *x = der.n <= PKI_CERT_MAX_BYTES ? d2i_X509(NULL, &p, (long)der.n) : NULL;
    if (x && p != (const unsigned char *)der.p + der.n) {
        X509_free(x); /* octets behind the certificate */
        x = NULL;
    }
    return x;
}

static enum err leaf_check(X509 *leaf, enum pki_role role, const char *dns_name,
                           uint8_t pub[P256_POINT_BYTES], char why[PKI_WHY_MAX])
{
    uint32_t need = role == PKI_PS ? KU_KEY_AGREEMENT : KU_DIGITAL_SIGNATURE;
    const char *text = NULL;
    if (!has_eku(leaf, role)) {
        text = "wrong extended key usage";
    } else if (X509_get_key_usage(leaf) == UINT32_MAX || !(X509_get_key_usage(leaf) & need)) {
        text = "wrong key usage";
    } else if (dns_name && !has_name(leaf, dns_name)) {
        text = "name mismatch";
    } else if (!point_of(leaf, pub)) {
        text = "not a P-256 key";
    }
    if (text) {
        say(why, text);
        return FAIL(E_AUTH);
    }
    return E_OK;
}

enum err pki_verify(const struct pki_root *root, const struct view *chain, size_t n,
                    enum pki_role role, const char *dns_name, uint64_t now_us,
                    uint8_t out_pub[P256_POINT_BYTES], char why[PKI_WHY_MAX])
{
    X509 *leaf = NULL;
    STACK_OF(X509) *others = sk_X509_new_null();
    uint8_t pub[P256_POINT_BYTES];
    enum err e = others ? E_OK : FAIL(E_NOMEM);
    why[0] = '\0';
    TRY(e);
    for (size_t i = 0; i < n; i++) {
        X509 *x = i < PKI_CHAIN_MAX_CERTS ? cert_from(chain[i]) : NULL;
        if (x && i == 0) {
            leaf = x;
        } else if (!x || !sk_X509_push(others, x)) {
            X509_free(x);
            say(why, "malformed certificate");
            e = FAIL(E_AUTH);
            goto out;
        }
    }
    if (!leaf) {
        say(why, "no certificate");
        e = FAIL(E_AUTH);
        goto out;
    }
    TRY(path_check(root, leaf, others, now_us, why));
    TRY(leaf_check(leaf, role, dns_name, pub, why));
    memcpy(out_pub, pub, sizeof pub);
out:
    ERR_clear_error();
    X509_free(leaf);
    sk_X509_pop_free(others, X509_free);
    return e;
}

enum err pki_chain_load(const char *pem_path, struct pki_chain *out)
{
    BIO *in = BIO_new_file(pem_path, "r");
    X509 *x = NULL;
    size_t at = 0;
    enum err e = in ? E_OK : FAIL(E_NOTFOUND);
    memset(out, 0, sizeof *out);
    ERR_clear_error();
    while (e == E_OK && (x = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL) {
        unsigned char *p = out->buf + at;
        int n = i2d_X509(x, NULL);
        if (n <= 0 || n > PKI_CERT_MAX_BYTES || out->n == PKI_CHAIN_MAX_CERTS ||
            i2d_X509(x, &p) != n) {
            e = FAIL(E_RANGE);
        } else {
            out->der[out->n++] = view_from(out->buf + at, (size_t)n);
            at += (size_t)n;
        }
        X509_free(x);
    }
    if (e == E_OK) {
        e = pem_ended(out->n);
    }
    ERR_clear_error();
    BIO_free(in);
    return e;
}

/* ---- keys ---- */

static enum err scalar_of(EVP_PKEY *key, struct p256_key *out)
{
    BIGNUM *d = NULL;
    uint8_t b[32];
    char group[32] = "";
    size_t n = 0;
    struct secret s = {0};
    enum err e = E_PARSE;
    if (EVP_PKEY_get_group_name(key, group, sizeof group, &n) == 1 &&
        strcmp(group, "prime256v1") == 0 &&
        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &d) == 1 &&
        BN_bn2binpad(d, b, sizeof b) == sizeof b) {
        e = secret_set(&s, b, sizeof b);
    }
    if (e == E_OK) {
        e = p256_from_private(&s, out);
    }
    BN_clear_free(d);
    secret_wipe(&s);
    wipe(b, sizeof b);
    return e == E_OK ? E_OK : FAIL(e);
}

enum err pki_key_load(const char *pem_path, struct p256_key *out)
{
    char pem[KEY_FILE_MAX];
    size_t n = 0;
    enum err e = secret_file_read(pem_path, false, pem, sizeof pem, &n);
    if (e != E_OK) {
        return e;
    }
    BIO *in = BIO_new_mem_buf(pem, (int)n);
    /* An empty pass phrase, never a prompt on a terminal. */
    EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, (void *)(uintptr_t) "") : NULL;
    e = key ? scalar_of(key, out) : FAIL(E_PARSE);
    ERR_clear_error();
    EVP_PKEY_free(key);
    BIO_free(in);
    wipe(pem, sizeof pem);
    return e;
}

static EVP_PKEY *pkey_make(const uint8_t pub[P256_POINT_BYTES], const struct secret *d)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    BIGNUM *x = d ? BN_bin2bn(d->b, (int)d->n, NULL) : NULL;
    bool ok =
        ctx && bld && (!d || x) &&
        OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) &&
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, pub, P256_POINT_BYTES) &&
        (!d || OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, x));
    OSSL_PARAM *params = ok ? OSSL_PARAM_BLD_to_param(bld) : NULL;
    ok = params && EVP_PKEY_fromdata_init(ctx) > 0 &&
         EVP_PKEY_fromdata(ctx, &key, d ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params) > 0;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    BN_clear_free(x);
    EVP_PKEY_CTX_free(ctx);
    return ok ? key : NULL;
}

enum err pki_key_save(const char *pem_path, const struct p256_key *k)
{
    int fd = open(pem_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return FAIL(errno == EEXIST ? E_EXISTS : E_IO);
    }
    EVP_PKEY *key = pkey_make(k->pub, &k->d);
    BIO *out = BIO_new_fd(fd, BIO_NOCLOSE);
    bool ok = key && out && PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) &&
              BIO_flush(out) == 1 && fsync(fd) == 0;
    BIO_free(out);
    EVP_PKEY_free(key);
    if (close(fd) != 0 || !ok) {
        (void)unlink(pem_path);
        return FAIL(E_IO);
    }
    return E_OK;
}

enum err pki_public_load(const char *pem_path, uint8_t out[P256_POINT_BYTES])
{
    char pem[KEY_FILE_MAX], group[32] = "";
    size_t n = 0;
    enum err e = secret_file_read(pem_path, true, pem, sizeof pem, &n);
    if (e != E_OK) {
        return e;
    }
    BIO *in = BIO_new_mem_buf(pem, (int)n);
    EVP_PKEY *key = in ? PEM_read_bio_PUBKEY(in, NULL, NULL, NULL) : NULL;
    bool ok = key && EVP_PKEY_get_group_name(key, group, sizeof group, &n) == 1 &&
              strcmp(group, "prime256v1") == 0 &&
              EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, out, P256_POINT_BYTES,
                                              &n) == 1 &&
              n == P256_POINT_BYTES;
    e = ok ? p256_check_point(out) : FAIL(E_PARSE);
    ERR_clear_error();
    EVP_PKEY_free(key);
    BIO_free(in);
    return e;
}

enum err pki_public_save(const char *pem_path, const uint8_t pub[P256_POINT_BYTES])
{
    int fd = open(pem_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
        return FAIL(errno == EEXIST ? E_EXISTS : E_IO);
    }
    EVP_PKEY *key = pkey_make(pub, NULL);
    BIO *out = BIO_new_fd(fd, BIO_NOCLOSE);
    bool ok = key && out && PEM_write_bio_PUBKEY(out, key) && BIO_flush(out) == 1 && fsync(fd) == 0;
    BIO_free(out);
    EVP_PKEY_free(key);
    if (close(fd) != 0 || !ok) {
        (void)unlink(pem_path);
        return FAIL(E_IO);
    }
    return E_OK;
}

/* ---- issuing ---- */

static bool extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = ext && X509_add_ext(x, ext, -1);
    X509_EXTENSION_free(ext);
    return ok;
}

static bool fill(X509 *x, const struct pki_subject *s, EVP_PKEY *pub)
{
    uint8_t serial[16];
    time_t from = (time_t)(s->not_before_us / 1000000u);
    BIGNUM *n = NULL;
    bool ok = crypto_random(serial, sizeof serial) == E_OK;
    serial[0] &= 0x7f; /* RFC 5280 section 4.1.2.2: positive */
    n = ok ? BN_bin2bn(serial, sizeof serial, NULL) : NULL;
    ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) && X509_set_version(x, 2) &&
         X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                                    (const unsigned char *)s->common_name, -1, -1, 0) &&
         X509_time_adj_ex(X509_getm_notBefore(x), 0, 0, &from) &&
         X509_time_adj_ex(X509_getm_notAfter(x), (int)s->days, 0, &from) && X509_set_pubkey(x, pub);
    BN_free(n);
    return ok;
}

static enum err cert_write(X509 *x, const char *path)
{
    BIO *out = BIO_new_file(path, "w");
    bool ok = out && PEM_write_bio_X509(out, x) && BIO_flush(out) == 1;
    BIO_free(out);
    return ok ? E_OK : FAIL(E_IO);
}

enum err pki_make_root(const struct pki_subject *s, const struct p256_key *key,
                       const char *out_pem_path)
{
    X509 *x = X509_new();
    EVP_PKEY *k = pkey_make(key->pub, &key->d);
    bool ok = x && k && fill(x, s, k) && X509_set_issuer_name(x, X509_get_subject_name(x)) &&
              extend(x, x, NID_basic_constraints, "critical,CA:TRUE") &&
              extend(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") &&
              extend(x, x, NID_subject_key_identifier, "hash") &&
              extend(x, x, NID_authority_key_identifier, "keyid:always") &&
              X509_sign(x, k, EVP_sha256()) > 0;
    enum err e = ok ? cert_write(x, out_pem_path) : FAIL(E_CRYPTO);
    X509_free(x);
    EVP_PKEY_free(k);
    return e;
}

static X509 *cert_load(const char *path)
{
    BIO *in = BIO_new_file(path, "r");
    X509 *x = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    BIO_free(in);
    return x;
}

/* RFC 8226 section 9: not critical. */
static bool extend_raw(X509 *x, const char *oid, struct view der)
{
    ASN1_OBJECT *o = OBJ_txt2obj(oid, 1);
    ASN1_OCTET_STRING *s = ASN1_OCTET_STRING_new();
    bool ok = o && s && ASN1_OCTET_STRING_set(s, (const unsigned char *)der.p, (int)der.n);
    X509_EXTENSION *ext = ok ? X509_EXTENSION_create_by_OBJ(NULL, o, 0, s) : NULL;
    ok = ext && X509_add_ext(x, ext, -1);
    X509_EXTENSION_free(ext);
    ASN1_OCTET_STRING_free(s);
    ASN1_OBJECT_free(o);
    return ok;
}

struct issue {                     /* what certificates differ in */
    const char *usage, *eku, *san; /* eku, san: NULL for none */
    struct view numbers;           /* DER of a TN Authorization List; empty: none */
};

static enum err issue(const char *ca_pem_path, const struct p256_key *ca_key,
                      const struct pki_subject *s, const struct issue *i,
                      const uint8_t subject_pub[P256_POINT_BYTES], const char *out_pem_path)
{
    X509 *ca = cert_load(ca_pem_path);
    if (!ca) {
        return FAIL(E_NOTFOUND);
    }
    X509 *x = X509_new();
    EVP_PKEY *signer = pkey_make(ca_key->pub, &ca_key->d);
    EVP_PKEY *pub = pkey_make(subject_pub, NULL);
    bool ok = x && signer && pub && fill(x, s, pub) &&
              X509_set_issuer_name(x, X509_get_subject_name(ca)) &&
              X509_check_private_key(ca, signer) == 1 &&
              extend(x, ca, NID_basic_constraints, "critical,CA:FALSE") &&
              extend(x, ca, NID_key_usage, i->usage) &&
              (!i->eku || extend(x, ca, NID_ext_key_usage, i->eku)) &&
              extend(x, ca, NID_subject_key_identifier, "hash") &&
              extend(x, ca, NID_authority_key_identifier, "keyid:always") &&
              (!i->san || extend(x, ca, NID_subject_alt_name, i->san)) &&
              (i->numbers.n == 0 || extend_raw(x, OID_TN_AUTH_LIST, i->numbers)) &&
              X509_sign(x, signer, EVP_sha256()) > 0;
    enum err e = ok ? cert_write(x, out_pem_path) : FAIL(E_CRYPTO);
    ERR_clear_error();
    EVP_PKEY_free(pub);
    EVP_PKEY_free(signer);
    X509_free(x);
    X509_free(ca);
    return e;
}

enum err pki_issue(const char *ca_pem_path, const struct p256_key *ca_key,
                   const struct pki_subject *s, enum pki_role role,
                   const uint8_t subject_pub[P256_POINT_BYTES], const char *out_pem_path)
{
    char san[NAME_MAX_DNS + 8], eku[128];
    struct issue i = {.usage = role == PKI_PS   ? "critical,keyAgreement"
                               : role == PKI_GC ? "critical,digitalSignature,keyAgreement"
                                                : "critical,digitalSignature",
                      .eku = eku,
                      .san = s->dns_name ? san : NULL};
    /* A comma would start another name. */
    if (s->dns_name &&
        (strlen(s->dns_name) >= NAME_MAX_DNS || strpbrk(s->dns_name, ", \t\r\n:;*"))) {
        return FAIL(E_PARSE);
    }
    (void)snprintf(san, sizeof san, "DNS:%s", s->dns_name ? s->dns_name : "");
    /* Gate controllers also speak TLS to each other with this certificate. */
    (void)snprintf(eku, sizeof eku, "%s%s", eku_oids[role],
                   role == PKI_GC ? ",serverAuth,clientAuth" : "");
    return issue(ca_pem_path, ca_key, s, &i, subject_pub, out_pem_path);
}

enum err pki_issue_stir(const char *ca_pem_path, const struct p256_key *ca_key,
                        const struct pki_subject *s, const struct stir_tn *numbers,
                        const uint8_t subject_pub[P256_POINT_BYTES], const char *out_pem_path)
{
    uint8_t der[64];
    struct issue i = {.usage = "critical,digitalSignature"};
    i.numbers = view_from(der, stir_tn_write(numbers, der));
    if (i.numbers.n == 0) {
        return FAIL(E_PARSE);
    }
    return issue(ca_pem_path, ca_key, s, &i, subject_pub, out_pem_path);
}
