#include "base/stir_cert.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "base/ec_sign_int.h"
#include "base/mem.h"
#include "base/stir_int.h"
#include "base/stir_tn.h"

#define OID_TN_AUTH_LIST    "1.3.6.1.5.5.7.1.26"
#define OID_CLAIMS          "1.3.6.1.5.5.7.1.27" /* RFC 8226 section 8 */
#define OID_CLAIMS_ENHANCED "1.3.6.1.5.5.7.1.33" /* RFC 9118 */

struct stir_cert {
    struct ec_public *key;
    struct stir_tn_list numbers;
    uint64_t from, until;
};

/* ---- a chain ---- */

static enum err refuse(const char **why, const char *text, enum err e)
{
    *why = text;
    return FAIL(e);
}

/* Whether the one extension of that kind is there; twice is malformed. */
static enum err extension_of(X509 *x, const char *oid, struct view *out)
{
    ASN1_OBJECT *o = OBJ_txt2obj(oid, 1);
    int at = o ? X509_get_ext_by_OBJ(x, o, -1) : -1;
    bool twice = at >= 0 && X509_get_ext_by_OBJ(x, o, at) >= 0;
    bool made = o != NULL;
    ASN1_OBJECT_free(o);
    if (!made || twice) {
        return FAIL(made ? E_PARSE : E_NOMEM);
    }
    *out = (struct view){0};
    if (at >= 0) {
        const ASN1_OCTET_STRING *s = X509_EXTENSION_get_data(X509_get_ext(x, at));
        *out = view_from(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
        return out->n > 0 ? E_OK : FAIL(E_PARSE);
    }
    return E_OK;
}

/* An empty list: there is no such extension. */
static enum err numbers_of(X509 *x, struct stir_tn_list *out)
{
    struct view der = {0};
    enum err e = extension_of(x, OID_TN_AUTH_LIST, &der);
    *out = (struct stir_tn_list){0};
    return e == E_OK && der.n > 0 ? stir_tn_read(der, STIR_TN_ENTRIES_MAX, out) : e;
}

static bool seconds_of(const ASN1_TIME *t, uint64_t *out)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(t, &tm) != 1) {
        return false;
    }
    time_t at = timegm(&tm);
    *out = at > 0 ? (uint64_t)at : 0;
    return true;
}

/* Certificates of the text, the signer's first. */
static enum err chain_of(struct view pem, STACK_OF(X509) * to, const char **why)
{
    BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *x = NULL;
    enum err e = in ? E_OK : FAIL(E_NOMEM);
    ERR_clear_error();
    /* An empty pass phrase: what comes from elsewhere must not make anybody ask for one. */
    while (e == E_OK && (x = PEM_read_bio_X509(in, NULL, NULL, (void *)(uintptr_t) "")) != NULL) {
        if (sk_X509_num(to) == STIR_CHAIN_MAX) {
            e = refuse(why, "more than 8 certificates", E_RANGE);
        } else if (!sk_X509_push(to, x)) {
            e = FAIL(E_NOMEM);
        }
        if (e != E_OK) {
            X509_free(x);
        }
    }
    if (e == E_OK && !stir_pem_ended((size_t)sk_X509_num(to))) {
        e = refuse(why, "no certificate in PEM", E_PARSE);
    }
    BIO_free(in);
    return e;
}

static enum err path_of(const struct stir_anchors *a, STACK_OF(X509) * chain, uint64_t at_s,
                        STACK_OF(X509) * *out_path, const char **why)
{
    X509_STORE_CTX *c = X509_STORE_CTX_new();
    enum err e = E_CRYPTO;
    if (c && X509_STORE_CTX_init(c, a->store, sk_X509_value(chain, 0), chain)) {
        X509_STORE_CTX_set_time(c, 0, stir_time(at_s));
        X509_STORE_CTX_set_depth(c, STIR_CHAIN_MAX - 2); /* the library counts intermediates */
        X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(c), 2);
        X509_STORE_CTX_set_flags(c, X509_V_FLAG_X509_STRICT |
                                        (a->by_issuer ? (unsigned long)X509_V_FLAG_CRL_CHECK : 0));
        e = X509_verify_cert(c) == 1 ? E_OK : E_AUTH;
        if (e != E_OK) {
            *why = X509_verify_cert_error_string(X509_STORE_CTX_get_error(c));
        } else if ((*out_path = X509_STORE_CTX_get1_chain(c)) == NULL) {
            e = E_NOMEM;
        }
    }
    X509_STORE_CTX_free(c);
    return e == E_OK ? E_OK : FAIL(e);
}

/* What a signer's certificate has to be beside well issued. */
static enum err signer_check(X509 *x, const char **why)
{
    static const char *const constraints[] = {OID_CLAIMS, OID_CLAIMS_ENHANCED};
    uint32_t usage = X509_get_key_usage(x);
    if (X509_check_ca(x) != 0) {
        return refuse(why, "the signer is an authority", E_AUTH);
    }
    if (usage != UINT32_MAX && !(usage & KU_DIGITAL_SIGNATURE)) {
        return refuse(why, "the signer's key is not for signatures", E_AUTH);
    }
    for (size_t i = 0; i < sizeof constraints / sizeof *constraints; i++) {
        struct view der = {0};
        if (extension_of(x, constraints[i], &der) != E_OK || der.n > 0) {
            return refuse(why, "it constrains claims, which is not supported", E_AUTH);
        }
    }
    return E_OK;
}

/* Times and numbers of every certificate on the path bound the signer's. */
static enum err bound_by(X509 *x, struct stir_cert *c, bool is_signer, const char **why)
{
    struct stir_tn_list l = {0};
    uint64_t from = 0, until = 0;
    enum err e = numbers_of(x, &l);
    if (e != E_OK) {
        return e == E_NOMEM ? e : refuse(why, "a malformed list of numbers", E_AUTH);
    }
    if (!seconds_of(X509_get0_notBefore(x), &from) || !seconds_of(X509_get0_notAfter(x), &until)) {
        e = refuse(why, "malformed times", E_AUTH);
    } else if (is_signer) {
        c->numbers = l;
        l = (struct stir_tn_list){0};
    } else if (l.n > 0 && !stir_tn_holds(&l, &c->numbers)) {
        e = refuse(why, "numbers beyond those of its issuer", E_AUTH);
    }
    stir_tn_free(&l);
    c->from = is_signer || from > c->from ? from : c->from;
    c->until = is_signer || until < c->until ? until : c->until;
    return e;
}

static enum err read_chain(STACK_OF(X509) * chain, const struct stir_anchors *a, uint64_t at_s,
                           struct stir_cert *c, const char **why)
{
    X509 *signer = sk_X509_value(chain, 0);
    STACK_OF(X509) *path = NULL;
    enum err e = path_of(a, chain, at_s, &path, why);
    TRY(e);
    TRY(signer_check(signer, why));
    TRY(stir_not_listed(a, path, at_s, why));
    for (int i = 0; i < sk_X509_num(path); i++) {
        TRY(bound_by(sk_X509_value(path, i), c, i == 0, why));
    }
    e = ec_public_of(X509_get0_pubkey(signer), &c->key);
    if (e == E_PARSE) {
        e = refuse(why, "the signer's key is not of P-256", E_AUTH);
    }
out:
    sk_X509_pop_free(path, X509_free);
    return e;
}

enum err stir_cert_read(struct view pem, const struct stir_anchors *a, uint64_t at_s,
                        struct stir_cert **out, const char **why)
{
    struct stir_cert *c = NULL;
    STACK_OF(X509) *chain = NULL;
    enum err e = E_OK;
    *why = "out of memory";
    if (pem.n == 0 || pem.n > STIR_PEM_MAX) {
        return refuse(why, pem.n ? "more than 64 KiB" : "nothing", pem.n ? E_RANGE : E_PARSE);
    }
    c = mem_zalloc(sizeof *c);
    chain = sk_X509_new_null();
    TRY(c && chain ? E_OK : FAIL(E_NOMEM));
    TRY(chain_of(pem, chain, why));
    TRY(read_chain(chain, a, at_s, c, why));
    *why = "";
    *out = c;
    c = NULL;
out:
    ERR_clear_error();
    sk_X509_pop_free(chain, X509_free);
    stir_cert_free(c);
    return e;
}

void stir_cert_free(struct stir_cert *c)
{
    if (c) {
        ec_public_free(c->key);
        stir_tn_free(&c->numbers);
        mem_free(c);
    }
}

const struct ec_public *stir_cert_key(const struct stir_cert *c)
{
    return c->key;
}

void stir_cert_times(const struct stir_cert *c, uint64_t *out_from, uint64_t *out_until)
{
    *out_from = c->from;
    *out_until = c->until;
}

bool stir_cert_speaks_for(const struct stir_cert *c, struct view tn)
{
    return stir_tn_has(&c->numbers, tn);
}

const char *stir_cert_spc(const struct stir_cert *c)
{
    for (size_t i = 0; i < c->numbers.n; i++) {
        if (c->numbers.v[i].kind == STIR_SPC) {
            return c->numbers.v[i].text;
        }
    }
    return "";
}
