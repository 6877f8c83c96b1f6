/* RFC 5922: which SIP domains a certificate speaks for. */
#include "base/tls_names.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

typedef void found_fn(void *arg, struct view name);

/* Letters, digits, '-', '_' and '.': a NUL, a '*' or a character of UTF-8 makes it no name. */
static bool is_host_name(struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        char c = v.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && c != '-' && c != '_' && c != '.') {
            return false;
        }
    }
    return v.n > 0 && v.n < TLS_NAME_MAX && v.p[0] != '.' && v.p[0] != '-';
}

/* "sip:example.com:5061;lr" -> "example.com"; empty: another scheme, or somebody's address. */
static struct view host_of(struct view uri)
{
    struct view host = {0};
    size_t n = 0;

    if (!view_starts_nocase(uri, VIEW("sip:"))) {
        return host;
    }
    host = view_sub(uri, 4, uri.n);
    for (size_t i = 0; i < host.n; i++) {
        if (host.p[i] == '@') {
            return VIEW("");
        }
    }
    while (n < host.n && host.p[n] != ':' && host.p[n] != ';' && host.p[n] != '?') {
        n++;
    }
    return view_sub(host, 0, n);
}

static struct view text_of(const ASN1_STRING *s)
{
    int n = s != NULL ? ASN1_STRING_length(s) : 0;

    return n > 0 ? view_from(ASN1_STRING_get0_data(s), (size_t)n) : VIEW("");
}

static unsigned each_alternative(const GENERAL_NAMES *all, int type, found_fn *found, void *arg)
{
    unsigned n = 0;

    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);
        struct view name = {0};
        if (g->type != type) {
            continue;
        }
        name = type == GEN_URI ? host_of(text_of(g->d.uniformResourceIdentifier))
                               : text_of(g->d.dNSName);
        if (is_host_name(name)) {
            n++;
            found(arg, name);
        }
    }
    return n;
}

static void common_name(const X509 *x, found_fn *found, void *arg)
{
    const X509_NAME *subject = X509_get_subject_name(x);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    struct view name = {0};

    if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) {
        return; /* none, or nobody can say which of them */
    }
    name = text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (is_host_name(name)) {
        found(arg, name);
    }
}

static enum err each_name(struct view der, found_fn *found, void *arg)
{
    const unsigned char *p = (const unsigned char *)der.p;
    X509 *x = der.n > 0 && der.n <= LONG_MAX ? d2i_X509(NULL, &p, (long)der.n) : NULL;
    GENERAL_NAMES *all = NULL;
    int state = 0;

    if (x == NULL || p != (const unsigned char *)der.p + der.n) {
        X509_free(x);
        ERR_clear_error();
        return FAIL(E_PARSE);
    }
    all = X509_get_ext_d2i(x, NID_subject_alt_name, &state, NULL);
    if (all != NULL) {
        if (each_alternative(all, GEN_URI, found, arg) == 0) {
            (void)each_alternative(all, GEN_DNS, found, arg);
        }
    } else if (state == -1) { /* not there; else it is broken or there twice, and names nobody */
        common_name(x, found, arg);
    }
    GENERAL_NAMES_free(all);
    X509_free(x);
    ERR_clear_error();
    return E_OK;
}

/* ---- for others ------------------------------------------------------------------------------ */
bool tls_names_have(const struct tls_names *names, struct view name)
{
    for (unsigned i = 0; i < names->n; i++) {
        if (view_eq_nocase(view_of(names->v[i]), name)) {
            return true;
        }
    }
    return false;
}

enum err tls_names_add(struct tls_names *to, struct view name)
{
    if (!is_host_name(name)) {
        return FAIL(E_RANGE);
    }
    if (tls_names_have(to, name)) {
        return E_OK;
    }
    if (to->n == TLS_NAMES_MAX) {
        return FAIL(E_FULL);
    }
    memcpy(to->v[to->n], name.p, name.n);
    to->v[to->n][name.n] = 0;
    to->n++;
    return E_OK;
}

static void collect(void *arg, struct view name)
{
    IGNORE(tls_names_add(arg, name), "the first ones are kept");
}

enum err tls_names_of(struct view der, struct tls_names *out)
{
    struct tls_names found = {.n = 0};
    enum err e = each_name(der, collect, &found);

    if (e == E_OK) {
        *out = found;
    }
    return e;
}

struct search {
    const struct tls_names *wanted;
    bool found;
};

static void compare(void *arg, struct view name)
{
    struct search *s = arg;

    s->found = s->found || tls_names_have(s->wanted, name);
}

bool tls_names_match(struct view der, const struct tls_names *wanted)
{
    struct search s = {.wanted = wanted};

    return each_name(der, compare, &s) == E_OK && s.found;
}
