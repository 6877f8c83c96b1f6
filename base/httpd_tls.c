/* Certificates of ours and of the peer. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/httpd_int.h"
#include "base/mem.h"
#include "base/secret.h"

#define PRIORITY     "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE"
#define KEY_FILE_MAX 16384

static bool is_given(const char *path)
{
    return path != NULL && path[0] != 0;
}

__attribute__((format(printf, 4, 5))) static enum err say(char *why, size_t why_bytes, enum err e,
                                                          const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(why, why_bytes, fmt, args);
    va_end(args);
    return FAIL(e);
}

static enum err load_pair(struct httpd_cred *c, const struct httpd_tls *files, char *why,
                          size_t why_bytes)
{
    unsigned char key[KEY_FILE_MAX + 1];
    gnutls_datum_t certificate = {NULL, 0};
    size_t n = 0;
    int rc = gnutls_load_file(files->certificate, &certificate);
    enum err e = E_OK;

    if (rc < 0) {
        return say(why, why_bytes, E_IO, "%s: cannot be read", files->certificate);
    }
    e = secret_file_read(files->key, false, key, sizeof key - 1, &n);
    if (e != E_OK) {
        e = say(why, why_bytes, E_IO, "%s: %s%s", files->key, err_text(e),
                e == E_DENIED ? " (a private key is a file of mode 0600)" : "");
    } else {
        gnutls_datum_t k = {key, (unsigned)n};
        rc = gnutls_certificate_set_x509_key_mem(c->x, &certificate, &k, GNUTLS_X509_FMT_PEM);
        if (rc < 0) {
            e = say(why, why_bytes, E_IO, "%s and %s: %s", files->certificate, files->key,
                    gnutls_strerror(rc));
        }
    }
    wipe(key, sizeof key);
    gnutls_free(certificate.data);
    return e;
}

/* GnuTLS goes by a list that has run out as if it were the newest: whoever was revoked since could
 * come in as soon as somebody keeps the next list from us. */
static enum err load_lists(struct httpd_cred *c, const char *path, char *why, size_t why_bytes)
{
    gnutls_datum_t pem = {NULL, 0};
    gnutls_x509_crl_t *lists = NULL;
    unsigned n = 0;
    int rc = gnutls_load_file(path, &pem);

    if (rc >= 0) {
        rc = gnutls_x509_crl_list_import2(&lists, &n, &pem, GNUTLS_X509_FMT_PEM, 0);
    }
    gnutls_free(pem.data);
    for (unsigned i = 0; rc >= 0 && i < n; i++) {
        time_t until = gnutls_x509_crl_get_next_update(lists[i]);
        if (until != (time_t)-1 && (c->lists_until == 0 || until < c->lists_until)) {
            c->lists_until = until;
        }
    }
    if (rc >= 0 && n > 0) {
        rc = gnutls_certificate_set_x509_crl(c->x, lists, (int)n);
    }
    for (unsigned i = 0; lists != NULL && i < n; i++) {
        gnutls_x509_crl_deinit(lists[i]);
    }
    gnutls_free(lists);
    if (rc < 0 || n == 0) {
        return say(why, why_bytes, E_IO, "%s: %s", path,
                   rc < 0 ? gnutls_strerror(rc) : "holds no revocation list (PEM)");
    }
    return E_OK;
}

static enum err load_authorities(struct httpd_cred *c, const struct httpd_tls *files, char *why,
                                 size_t why_bytes)
{
    int n = 0;

    if (!is_given(files->client_ca)) {
        return is_given(files->client_crl)
                   ? say(why, why_bytes, E_IO, "%s: a revocation list without authorities",
                         files->client_crl)
                   : E_OK;
    }
    n = gnutls_certificate_set_x509_trust_file(c->x, files->client_ca, GNUTLS_X509_FMT_PEM);
    if (n <= 0) {
        return say(why, why_bytes, E_IO, "%s: %s", files->client_ca,
                   n < 0 ? gnutls_strerror(n) : "holds no certificate (PEM)");
    }
    c->asks = true;
    return is_given(files->client_crl) ? load_lists(c, files->client_crl, why, why_bytes) : E_OK;
}

enum err httpd_cred_new(const struct httpd_tls *files, struct httpd_cred **out, char *why,
                        size_t why_bytes)
{
    struct httpd_cred *c = mem_zalloc(sizeof *c);
    enum err e = E_OK;

    if (c == NULL || gnutls_certificate_allocate_credentials(&c->x) < 0 ||
        gnutls_priority_init(&c->priority, PRIORITY, NULL) < 0) {
        httpd_cred_free(c);
        return say(why, why_bytes, E_NOMEM, "%s", err_text(E_NOMEM));
    }
    c->refs = 1;
    TRY(load_pair(c, files, why, why_bytes));
    TRY(load_authorities(c, files, why, why_bytes));
    *out = c;
    c = NULL;
out:
    httpd_cred_free(c);
    return e;
}

void httpd_cred_free(struct httpd_cred *c)
{
    if (c != NULL) {
        if (c->x != NULL) {
            gnutls_certificate_free_credentials(c->x);
        }
        if (c->priority != NULL) {
            gnutls_priority_deinit(c->priority);
        }
        mem_free(c);
    }
}

/* ---- the peer's --------------------------------------------------------------------------------
 */
void httpd_chain_of(gnutls_session_t tls, struct httpd_chain *out)
{
    unsigned n = 0;
    const gnutls_datum_t *der = gnutls_certificate_get_peers(tls, &n);

    *out = (struct httpd_chain){0};
    if (der == NULL || n > HTTPD_PEER_CHAIN_MAX) {
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        gnutls_x509_crt_t crt = NULL;
        if (gnutls_x509_crt_init(&crt) < 0) {
            break;
        }
        if (gnutls_x509_crt_import(crt, &der[i], GNUTLS_X509_FMT_DER) < 0) {
            gnutls_x509_crt_deinit(crt);
            break;
        }
        out->crt[out->n++] = crt;
    }
    if (out->n < n) {
        httpd_chain_free(out);
    }
}

void httpd_chain_free(struct httpd_chain *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        gnutls_x509_crt_deinit(c->crt[i]);
    }
    c->n = 0;
}

static bool is_name(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (text[i] <= 0x20 || text[i] > 0x7e) {
            return false;
        }
    }
    return n > 0;
}

/* The common name if there is one and no other; else the first DNS name or mail address. A name
 * with a space, a NUL or another alphabet in it is none. */
static bool name_of(gnutls_x509_crt_t crt, char name[HTTPD_NAME_MAX])
{
    char other[HTTPD_NAME_MAX];
    size_t n = HTTPD_NAME_MAX, other_n = sizeof other;
    int rc = gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &n);

    if (rc >= 0 && is_name(name, n) &&
        gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 1, 0, other, &other_n) ==
            GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE) {
        name[n] = 0;
        return true;
    }
    for (unsigned i = 0;; i++) {
        n = HTTPD_NAME_MAX - 1;
        rc = gnutls_x509_crt_get_subject_alt_name(crt, i, name, &n, NULL);
        if (rc == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE || rc == GNUTLS_E_SHORT_MEMORY_BUFFER) {
            name[0] = 0;
            return false;
        }
        if ((rc == GNUTLS_SAN_DNSNAME || rc == GNUTLS_SAN_RFC822NAME) && is_name(name, n)) {
            name[n] = 0;
            return true;
        }
    }
}

bool httpd_chain_name(const struct httpd_chain *c, const struct httpd_cred *cred,
                      char name[HTTPD_NAME_MAX])
{
    gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                     .data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT};
    gnutls_x509_trust_list_t list = NULL;
    gnutls_x509_crt_t crt[HTTPD_PEER_CHAIN_MAX];
    unsigned status = ~0u;

    if (c->n == 0 || cred == NULL || !cred->asks ||
        (cred->lists_until != 0 && time(NULL) > cred->lists_until)) {
        return false;
    }
    memcpy(crt, c->crt, sizeof crt);
    gnutls_certificate_get_trust_list(cred->x, &list);
    if (gnutls_x509_trust_list_verify_crt2(list, crt, c->n, &purpose, 1, 0, &status, NULL) < 0 ||
        status != 0) {
        return false;
    }
    return name_of(c->crt[0], name);
}
