/* Certificates, keys and authorities of files, for TLS contexts. */
#include "base/tls_cred.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/secret.h"
#include "base/tls_int.h"

#define KEY_FILE_MAX  16384
#define CHAIN_MAX     8
#define CA_MAX        256
#define SECONDS_A_DAY 86400

struct tls_cred {
    unsigned n_chain; /* [0] is ours */
    X509 *chain[CHAIN_MAX];
    EVP_PKEY *key;
    X509_STORE *store; /* NULL: no authorities */
    STACK_OF(X509_NAME) * names;
    uint64_t expires_us;
};

static bool is_given(const char *path)
{
    return path != NULL && path[0] != 0;
}

__attribute__((format(printf, 3, 4))) static enum err say(char why[TLS_WHY_MAX], enum err e,
                                                          const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(why, TLS_WHY_MAX, fmt, args);
    va_end(args);
    ERR_clear_error();
    return FAIL(e);
}

/* Whether the last certificate of the file was read: the end, not one that is broken. */
static bool is_at_end(void)
{
    unsigned long last = ERR_peek_last_error();

    return ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
}

/* Hands each certificate of the file to take(), which owns it then. */
static enum err each_certificate(const char *path, bool (*take)(struct tls_cred *c, X509 *x),
                                 struct tls_cred *c, char why[TLS_WHY_MAX])
{
    BIO *in = BIO_new_file(path, "r");
    X509 *x = NULL;
    unsigned n = 0;
    enum err e = E_OK;

    if (in == NULL) {
        return say(why, E_NOTFOUND, "%s: cannot be read", path);
    }
    ERR_clear_error();
    while (e == E_OK && (x = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL) {
        n++;
        if (!take(c, x)) {
            e = say(why, E_RANGE, "%s: certificate %u cannot be used", path, n);
        }
    }
    if (e == E_OK && (n == 0 || !is_at_end())) {
        e = say(why, E_PARSE, "%s: %s", path,
                n == 0 ? "holds no certificate (PEM)" : "one of its certificates is broken");
    }
    ERR_clear_error();
    BIO_free(in);
    return e;
}

static uint64_t end_of(const X509 *x)
{
    int days = 0, seconds = 0;
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    bool ok = epoch != NULL && ASN1_TIME_diff(&days, &seconds, epoch, X509_get0_notAfter(x)) == 1;
    int64_t s = ok ? (int64_t)days * SECONDS_A_DAY + seconds : 0;

    ASN1_TIME_free(epoch);
    return s > 0 ? (uint64_t)s * 1000000u : 1; /* broken: it has ended */
}

static bool take_own(struct tls_cred *c, X509 *x)
{
    uint64_t end = end_of(x);

    if (c->n_chain == CHAIN_MAX) {
        X509_free(x);
        return false;
    }
    c->chain[c->n_chain++] = x;
    c->expires_us = c->expires_us == 0 || end < c->expires_us ? end : c->expires_us;
    return true;
}

static bool take_ca(struct tls_cred *c, X509 *x)
{
    X509_NAME *name = X509_NAME_dup(X509_get_subject_name(x));
    bool ok = name != NULL && sk_X509_NAME_num(c->names) < CA_MAX && X509_check_ca(x) != 0 &&
              X509_STORE_add_cert(c->store, x) == 1 && sk_X509_NAME_push(c->names, name) > 0;

    if (!ok) {
        X509_NAME_free(name);
    }
    X509_free(x);
    return ok;
}

static enum err load_key(const char *path, struct tls_cred *c, char why[TLS_WHY_MAX])
{
    char *pem = secret_alloc(KEY_FILE_MAX);
    BIO *in = NULL;
    size_t n = 0;
    enum err e = pem != NULL ? secret_file_read(path, false, pem, KEY_FILE_MAX, &n) : E_NOMEM;

    if (e == E_OK) {
        in = BIO_new_mem_buf(pem, (int)n);
        /* An empty pass phrase, never a prompt on a terminal. */
        c->key =
            in != NULL ? PEM_read_bio_PrivateKey(in, NULL, NULL, (void *)(uintptr_t) "") : NULL;
        e = c->key != NULL ? E_OK : say(why, E_PARSE, "%s: holds no private key (PEM)", path);
    } else {
        e = say(why, e, "%s: %s", path,
                e == E_DENIED ? "others may read it: its mode must be 0600" : err_text(e));
    }
    BIO_free(in);
    secret_release(pem, KEY_FILE_MAX);
    ERR_clear_error();
    return e;
}

static enum err load_own(const struct tls_files *f, struct tls_cred *c, char why[TLS_WHY_MAX])
{
    enum err e = E_OK;

    if (!is_given(f->certificate) && !is_given(f->key)) {
        return E_OK;
    }
    if (!is_given(f->certificate) || !is_given(f->key)) {
        return say(why, E_RANGE, "%s: there is no %s for it",
                   is_given(f->key) ? f->key : f->certificate,
                   is_given(f->key) ? "certificate" : "key");
    }
    TRY(each_certificate(f->certificate, take_own, c, why));
    TRY(load_key(f->key, c, why));
    if (X509_check_private_key(c->chain[0], c->key) != 1) {
        return say(why, E_RANGE, "%s: is not the key of %s", f->key, f->certificate);
    }
out:
    return e;
}

static enum err load_ca(const struct tls_files *f, struct tls_cred *c, char why[TLS_WHY_MAX])
{
    if (!is_given(f->ca)) {
        return E_OK;
    }
    c->store = X509_STORE_new();
    c->names = sk_X509_NAME_new_null();
    if (c->store == NULL || c->names == NULL) {
        return say(why, E_NOMEM, "%s: no memory", f->ca);
    }
    return each_certificate(f->ca, take_ca, c, why);
}

/* The library's own judgement (its security level) comes now, not with the first handshake. */
static enum err try_out(const struct tls_files *f, const struct tls_cred *c, char why[TLS_WHY_MAX])
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    bool ok = ctx != NULL && tls_cred_apply(c, ctx, true);

    SSL_CTX_free(ctx);
    ERR_clear_error();
    return ok ? E_OK
              : say(why, E_CRYPTO, "%s: too weak, or not for TLS",
                    is_given(f->certificate) ? f->certificate : f->ca);
}

enum err tls_cred_load(const struct tls_files *f, struct tls_cred **out, char why[TLS_WHY_MAX])
{
    struct tls_cred *c = mem_zalloc(sizeof *c);
    enum err e = E_OK;

    if (c == NULL) {
        return say(why, E_NOMEM, "no memory");
    }
    TRY(load_own(f, c, why));
    TRY(load_ca(f, c, why));
    TRY(try_out(f, c, why));
    *out = c;
    c = NULL; /* moved */
out:
    tls_cred_free(c);
    return e;
}

void tls_cred_free(struct tls_cred *c)
{
    if (c == NULL) {
        return;
    }
    for (unsigned i = 0; i < c->n_chain; i++) {
        X509_free(c->chain[i]);
    }
    EVP_PKEY_free(c->key);
    X509_STORE_free(c->store);
    sk_X509_NAME_pop_free(c->names, X509_NAME_free);
    mem_free(c);
}

bool tls_cred_has_certificate(const struct tls_cred *c)
{
    return c->n_chain > 0;
}

bool tls_cred_has_ca(const struct tls_cred *c)
{
    return c->store != NULL;
}

uint64_t tls_cred_expires_us(const struct tls_cred *c)
{
    return c->expires_us;
}

bool tls_cred_apply(const struct tls_cred *c, SSL_CTX *to, bool is_server)
{
    bool ok = true;

    if (c->n_chain > 0) {
        ok = SSL_CTX_use_certificate(to, c->chain[0]) == 1 &&
             SSL_CTX_use_PrivateKey(to, c->key) == 1;
        for (unsigned i = 1; ok && i < c->n_chain; i++) {
            ok = SSL_CTX_add1_chain_cert(to, c->chain[i]) == 1;
        }
    }
    if (ok && c->store != NULL) {
        STACK_OF(X509_NAME) *names = is_server ? SSL_dup_CA_list(c->names) : NULL;
        ok = SSL_CTX_set1_verify_cert_store(to, c->store) == 1 && (names != NULL || !is_server);
        SSL_CTX_set_client_CA_list(to, names); /* takes it over */
    }
    return ok;
}
