/* What strangers say beside SIP messages. The first octet picks: 0 to 3 a DNS server's answer to a
 * question for A, AAAA, SRV, NAPTR; 4 the value of an Authorization header with Digest. */
#include <string.h>

#include "authz/digest.h"
#include "base/dns.h"

static void answer_of(enum dns_type type, struct view v)
{
    struct dns_answer a = {.n = DNS_RECORDS_MAX + 1};
    enum err e = dns_read((const uint8_t *)v.p, v.n, type, &a);

    BUG_ON(e != E_OK && e != E_PARSE && e != E_NOTFOUND && e != E_IO);
    if (e != E_OK) {
        return;
    }
    BUG_ON(a.n > DNS_RECORDS_MAX || a.ttl_s > 7 * 86400 || (a.n == 0) != (a.alias[0] != 0));
    BUG_ON(a.alias[0] != 0 && !dns_name_ok(view_of(a.alias)));
    for (unsigned i = 0; i < a.n; i++) {
        const struct dns_record *r = &a.r[i];
        BUG_ON(memchr(r->name, 0, sizeof r->name) == NULL ||
               memchr(r->flags, 0, sizeof r->flags) == NULL ||
               memchr(r->service, 0, sizeof r->service) == NULL);
        BUG_ON(r->name[0] != 0 && !dns_name_ok(view_of(r->name)));
        BUG_ON(type == DNS_A && r->ip.family != 4);
        BUG_ON(type == DNS_AAAA && r->ip.family != 6);
    }
}

static void is_part(struct view part, struct view whole)
{
    BUG_ON(part.n > 0 && (part.p < whole.p || part.p + part.n > whole.p + whole.n));
}

/* What is read is part of what was sent, and can be computed over. */
static void credentials_of(struct view v)
{
    struct digest_auth a;
    struct digest_request r = {.method = VIEW("INVITE"), .body = v};
    struct secret ha1 = {0};
    char response[DIGEST_HEX_MAX];

    (void)digest_is(v);
    if (digest_parse(v, &a) != E_OK) {
        return;
    }
    const struct view parts[] = {a.username, a.realm,  a.nonce,  a.uri,
                                 a.response, a.cnonce, a.opaque, a.nc_text};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        is_part(parts[i], v);
    }
    BUG_ON(!digest_is(v) || a.uri.n > DIGEST_URI_MAX);
    BUG_ON(digest_ha1(a.hash, a.username, a.realm, VIEW("secret"), &ha1) != E_OK);
    BUG_ON(digest_response(&a, &ha1, &r, response) != E_OK);
    BUG_ON(digest_check(&a, &ha1, &r) == E_OK && !view_eq_nocase(a.response, view_of(response)));
    secret_wipe(&ha1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] % 5 < 4) {
        answer_of((enum dns_type)(data[0] % 5), view_from(data + 1, size - 1));
    } else if (size > 0) {
        credentials_of(view_from(data + 1, size - 1));
    }
    return 0;
}
