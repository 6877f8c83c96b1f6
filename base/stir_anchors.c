#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/stir_int.h"

#define LAST_SECOND 253402300799u /* of the year 9999 */

bool stir_pem_ended(size_t n)
{
    unsigned long why = ERR_peek_last_error();
    return n > 0 && ERR_GET_LIB(why) == ERR_LIB_PEM && ERR_GET_REASON(why) == PEM_R_NO_START_LINE;
}

time_t stir_time(uint64_t at_s)
{
    return (time_t)(at_s < LAST_SECOND ? at_s : LAST_SECOND);
}

/* Adds what the file has next. E_OK without out_added: it has no more. */
typedef enum err add_fn(BIO *in, struct stir_anchors *to, bool *out_added);

static enum err add_root(BIO *in, struct stir_anchors *to, bool *out_added)
{
    X509 *x = PEM_read_bio_X509(in, NULL, NULL, (void *)(uintptr_t) "");
    *out_added = x != NULL;
    if (!x) {
        return E_OK;
    }
    bool ok = X509_STORE_add_cert(to->store, x) == 1 && sk_X509_push(to->roots, x) > 0;
    if (!ok) {
        X509_free(x);
    }
    return ok ? E_OK : FAIL(E_CRYPTO);
}

/* RFC 5280 section 5.2.5: a list that names certificates of other issuers. */
static bool is_indirect(const X509_CRL *l)
{
    ISSUING_DIST_POINT *p = X509_CRL_get_ext_d2i(l, NID_issuing_distribution_point, NULL, NULL);
    bool yes = p && p->indirectCRL > 0;
    ISSUING_DIST_POINT_free(p);
    return yes;
}

/* RFC 5280 section 5.2: a list with a critical extension that one does not know says nothing. */
static bool is_understood(const X509_CRL *l)
{
    for (int i = 0; i < X509_CRL_get_ext_count(l); i++) {
        X509_EXTENSION *x = X509_CRL_get_ext(l, i);
        if (X509_EXTENSION_get_critical(x) &&
            OBJ_obj2nid(X509_EXTENSION_get_object(x)) != NID_issuing_distribution_point) {
            return false;
        }
    }
    return true;
}

static bool is_signed_by(X509_CRL *l, X509 *x)
{
    uint32_t usage = X509_get_key_usage(x);
    return X509_NAME_cmp(X509_CRL_get_issuer(l), X509_get_subject_name(x)) == 0 &&
           (usage == UINT32_MAX || (usage & KU_CRL_SIGN)) &&
           X509_CRL_verify(l, X509_get0_pubkey(x)) == 1;
}

/* OpenSSL takes an indirect list only when it leads to the anchor of the certificate that it is
 * about; the list of a policy authority (SHAKEN) is about everybody's. So these are kept here. */
static enum err add_indirect(X509_CRL *l, struct stir_anchors *to)
{
    for (int i = 0; is_understood(l) && i < sk_X509_num(to->roots); i++) {
        if (is_signed_by(l, sk_X509_value(to->roots, i))) {
            return X509_CRL_up_ref(l) == 1 && sk_X509_CRL_push(to->pa, l) > 0 ? E_OK
                                                                              : FAIL(E_CRYPTO);
        }
    }
    return FAIL(E_AUTH);
}

static enum err add_crl(BIO *in, struct stir_anchors *to, bool *out_added)
{
    X509_CRL *l = PEM_read_bio_X509_CRL(in, NULL, NULL, (void *)(uintptr_t) "");
    enum err e = E_OK;
    *out_added = l != NULL;
    if (l && is_indirect(l)) {
        e = add_indirect(l, to);
    } else if (l) {
        to->by_issuer = true;
        e = X509_STORE_add_crl(to->store, l) == 1 ? E_OK : FAIL(E_CRYPTO);
    }
    X509_CRL_free(l);
    return e;
}

static enum err add_file(const char *path, const char *what, struct stir_anchors *to, add_fn *add,
                         char *why, size_t why_bytes)
{
    ERR_clear_error();
    errno = 0;
    BIO *in = BIO_new_file(path, "r");
    enum err e = E_OK;
    bool added = true;
    size_t n = 0;
    if (!in) {
        e = errno == ENOENT ? E_NOTFOUND : E_IO;
    }
    ERR_clear_error();
    while (e == E_OK && added) {
        e = add(in, to, &added);
        n += added;
    }
    if (e == E_OK && !stir_pem_ended(n)) {
        e = E_PARSE;
    }
    ERR_clear_error();
    BIO_free(in);
    if (e != E_OK) {
        (void)snprintf(why, why_bytes, "%s: %s", path,
                       e == E_PARSE ? what
                       : e == E_AUTH
                           ? "an indirect revocation list that no root has signed, or one of "
                             "unknown kind"
                           : err_text(e));
        return e == E_AUTH ? FAIL(E_PARSE) : FAIL(e);
    }
    return E_OK;
}

enum err stir_anchors_load(const char *roots, const char *crls, struct stir_anchors **out,
                           char *why, size_t why_bytes)
{
    struct stir_anchors *a = mem_zalloc(sizeof *a);
    enum err e = a ? E_OK : FAIL(E_NOMEM);
    (void)snprintf(why, why_bytes, "%s", "out of memory");
    TRY(e);
    a->store = X509_STORE_new();
    a->roots = sk_X509_new_null();
    a->pa = sk_X509_CRL_new_null();
    TRY(a->store && a->roots && a->pa ? E_OK : FAIL(E_NOMEM));
    TRY(add_file(roots, "no certificates in PEM", a, add_root, why, why_bytes));
    if (crls && *crls) {
        TRY(add_file(crls, "no revocation lists in PEM", a, add_crl, why, why_bytes));
    }
    (void)snprintf(why, why_bytes, "%s", "");
    *out = a;
    a = NULL;
out:
    stir_anchors_free(a);
    return e;
}

void stir_anchors_free(struct stir_anchors *a)
{
    if (a) {
        X509_STORE_free(a->store);
        sk_X509_pop_free(a->roots, X509_free);
        sk_X509_CRL_pop_free(a->pa, X509_CRL_free);
        mem_free(a);
    }
}

static bool is_current(const X509_CRL *l, time_t at)
{
    const ASN1_TIME *from = X509_CRL_get0_lastUpdate(l), *until = X509_CRL_get0_nextUpdate(l);
    return from && until && X509_cmp_time(from, &at) < 0 && X509_cmp_time(until, &at) > 0;
}

enum err stir_not_listed(const struct stir_anchors *a, STACK_OF(X509) * path, uint64_t at_s,
                         const char **why)
{
    for (int i = 0; i < sk_X509_CRL_num(a->pa); i++) {
        X509_CRL *l = sk_X509_CRL_value(a->pa, i);
        if (!is_current(l, stir_time(at_s))) {
            *why = "an indirect revocation list is not current";
            return FAIL(E_AUTH);
        }
        for (int k = 0; k + 1 < sk_X509_num(path); k++) {
            X509_REVOKED *entry = NULL;
            if (X509_CRL_get0_by_cert(l, &entry, sk_X509_value(path, k)) == 1) {
                *why = "certificate revoked";
                return FAIL(E_AUTH);
            }
        }
    }
    return E_OK;
}
