/* Proofs of the load generator's parties. */
#include "bench/load_proof.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static void must(enum err e, const char *what)
{
    if (e != E_OK) {
        fprintf(stderr, "load: %s: %s (%s)\n", what, err_text(e), err_where());
        exit(1);
    }
}

/* ---- parties -----------------------------------------------------------------------------------
 */
static void take_key(const char *hex, struct hmac_key **out)
{
    struct secret s = {.n = 32};

    must(hex_get(view_of(hex), s.b, 32), "a session's key");
    must(hmac_key_new(&s, out), "key");
    secret_wipe(&s);
}

bool party_read(FILE *f, enum proof_scheme scheme, const char *domain, uint64_t first_seq,
                struct party *out)
{
    char kid[64], up[80], down[80];
    struct party p = {.scheme = scheme, .domain = domain, .seq = first_seq};

    switch (scheme) {
    case PROOF_NONE:
        if (fscanf(f, "%31s", p.number) != 1) {
            return false;
        }
        break;
    case PROOF_DIGEST:
        if (fscanf(f, "%31s %64s", p.number, p.ha1) != 2) {
            return false;
        }
        break;
    case PROOF_BTI_MAC:
        if (fscanf(f, "%31s %63s %79s %79s", p.number, kid, up, down) != 4) {
            return false;
        }
        must(hex_get(view_of(kid), p.kid, sizeof p.kid), "kid");
        take_key(up, &p.up);
        take_key(down, &p.down);
        break;
    }
    *out = p;
    return true;
}

/* ---- out ---------------------------------------------------------------------------------------
 */
/* Puts a header line before the empty line that ends the head; returns where it begins. */
static size_t insert(const char *line, size_t line_n, char *b, size_t *n)
{
    const char *end = memmem(b, *n, "\r\n\r\n", 4);
    size_t at = 0;

    if (end == NULL || *n + line_n > PARTY_MESSAGE_MAX) {
        must(FAIL(E_RANGE), "a message outgrew its buffer");
        return 0;
    }
    at = (size_t)(end - b) + 2;
    memmove(b + at + line_n, b + at, *n - at);
    memcpy(b + at, line, line_n);
    *n += line_n;
    return at;
}

static size_t mac(struct party *p, const char *header, bool with_scheme, char *b, size_t n)
{
    char value[BTI_MAC_VALUE_MAX], line[BTI_MAC_VALUE_MAX + 64];
    size_t value_n = bti_mac_format(with_scheme, p->kid, ++p->seq, value);
    size_t line_n = (size_t)snprintf(line, sizeof line, "%s: %s\r\n", header, value);
    size_t at = insert(line, line_n, b, &n);

    must(bti_mac_fill(p->up, b, n, at + strlen(header) + 2 + value_n - BTI_MAC_DIGITS), "seal");
    return n;
}

static void hash_text(const char *text, int n, char out[2 * SHA256_BYTES + 1])
{
    uint8_t h[SHA256_BYTES];

    must(sha256(view_from(text, (size_t)n), h), "digest");
    hex_put(h, sizeof h, out);
}

static size_t digest(struct party *p, const char *header, const char *method, const char *uri,
                     char *b, size_t n)
{
    char text[1024], ha2[2 * SHA256_BYTES + 1], response[2 * SHA256_BYTES + 1];
    int text_n = snprintf(text, sizeof text, "%s:%s", method, uri);

    if (p->nonce[0] == 0) {
        return n; /* the challenge that follows gives one */
    }
    hash_text(text, text_n, ha2);
    p->nc++;
    text_n = snprintf(text, sizeof text, "%s:%s:%08" PRIx32 ":c0ffee01:auth:%s", p->ha1, p->nonce,
                      p->nc, ha2);
    hash_text(text, text_n, response);
    text_n = snprintf(text, sizeof text,
                      "%s: Digest username=\"%s\", realm=\"%s\", nonce=\"%s\", uri=\"%s\", "
                      "algorithm=SHA-256, response=\"%s\", qop=auth, nc=%08" PRIx32
                      ", cnonce=\"c0ffee01\"\r\n",
                      header, p->number, p->domain, p->nonce, uri, response, p->nc);
    if (text_n >= (int)sizeof text) {
        must(FAIL(E_RANGE), "credentials");
    }
    (void)insert(text, (size_t)text_n, b, &n);
    return n;
}

size_t party_prove(struct party *p, bool is_register, const char *method, const char *uri, char *b,
                   size_t n)
{
    const char *header = is_register ? "Authorization" : "Proxy-Authorization";

    switch (p->scheme) {
    case PROOF_NONE:
        break;
    case PROOF_BTI_MAC:
        return mac(p, header, true, b, n);
    case PROOF_DIGEST:
        return digest(p, header, method, uri, b, n);
    }
    return n;
}

size_t party_prove_response(struct party *p, char *b, size_t n)
{
    return p->scheme == PROOF_BTI_MAC ? mac(p, "Authentication-Info", false, b, n) : n;
}

/* ---- in ----------------------------------------------------------------------------------------
 */
bool party_verify(const struct party *p, const struct sip_msg *m)
{
    enum sip_hdr_id id = m->is_request ? SIP_H_AUTHORIZATION : SIP_H_AUTHENTICATION_INFO;
    struct bti_mac mac;

    return p->scheme != PROOF_BTI_MAC ||
           (bti_mac_parse(sip_header_value(m, id), m->is_request, &mac) == E_OK &&
            memcmp(mac.kid, p->kid, sizeof mac.kid) == 0 &&
            bti_mac_verify(p->down, m->raw, mac.digits) == E_OK);
}

/* The one with SHA-256, when there are several. */
static struct view challenge_of(const struct sip_msg *m)
{
    enum sip_hdr_id id = m->status == 401 ? SIP_H_WWW_AUTHENTICATE : SIP_H_PROXY_AUTHENTICATE;
    const struct sip_hdr *h = sip_header(m, id, 0);

    while (h != NULL && memmem(h->value.p, h->value.n, "SHA-256", 7) == NULL) {
        h = sip_header(m, id, sip_header_index(m, h) + 1);
    }
    return h != NULL ? h->value : VIEW("");
}

bool party_challenged(struct party *p, const struct sip_msg *m)
{
    static const char before[] = " nonce=\"";
    struct view v = challenge_of(m);
    const char *at = v.n > 0 ? memmem(v.p, v.n, before, sizeof before - 1) : NULL;
    size_t end = 0;
    char nonce[sizeof p->nonce];

    if (p->scheme != PROOF_DIGEST || (m->status != 401 && m->status != 407) || at == NULL) {
        return false;
    }
    at += sizeof before - 1;
    v = view_from(at, (size_t)(v.p + v.n - at));
    if (!view_find(v, '"', &end) ||
        view_to_cstr(view_sub(v, 0, end), nonce, sizeof nonce) != E_OK ||
        strcmp(nonce, p->nonce) == 0) {
        return false;
    }
    memcpy(p->nonce, nonce, sizeof nonce);
    p->nc = 0;
    return true;
}
