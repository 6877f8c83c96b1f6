/* URLs and addresses that certificates may come from. */
#include "gc/stir_net.h"

#include <string.h>

/* IANA's registries of special-purpose addresses (RFC 6890 and what was added since), and
 * multicast. Of IPv6 only 2000::/3 is anybody's at all: the rows are what is not within it. */
static const struct {
    uint8_t family, bits;
    uint8_t ip[6];
} special[] = {
    {4, 8, {0}},                       /* this network */
    {4, 8, {10}},                      /* private */
    {4, 10, {100, 64}},                /* shared, behind a carrier's NAT */
    {4, 8, {127}},                     /* loopback */
    {4, 16, {169, 254}},               /* link-local; where clouds keep their secrets */
    {4, 12, {172, 16}},                /* private */
    {4, 24, {192, 0, 0}},              /* protocol assignments */
    {4, 24, {192, 0, 2}},              /* documentation */
    {4, 24, {192, 88, 99}},            /* 6to4 relays */
    {4, 16, {192, 168}},               /* private */
    {4, 15, {198, 18}},                /* benchmarks */
    {4, 24, {198, 51, 100}},           /* documentation */
    {4, 24, {203, 0, 113}},            /* documentation */
    {4, 3, {224}},                     /* multicast, reserved, broadcast */
    {6, 23, {0x20, 0x01}},             /* protocol assignments: Teredo, ORCHID, benchmarks */
    {6, 32, {0x20, 0x01, 0x0d, 0xb8}}, /* documentation */
    {6, 16, {0x20, 0x02}},             /* 6to4: IPv4 in disguise */
    {6, 20, {0x3f, 0xff}},             /* documentation */
};

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    uint8_t mask = (uint8_t)(0xff << (8 - rest));

    return memcmp(a, b, whole) == 0 && (rest == 0 || ((a[whole] ^ b[whole]) & mask) == 0);
}

enum err stir_net_parse(struct view text, struct stir_net *out)
{
    struct stir_net n = {.bits = 0};
    size_t slash = text.n;
    uint64_t bits = 0;
    bool has_bits = view_find(text, '/', &slash);
    enum err e = E_OK;

    TRY(net_parse_ip(view_sub(text, 0, has_bits ? slash : text.n), &n.net));
    bits = n.net.family == 6 ? 128 : 32;
    if (has_bits) {
        TRY(view_to_u64(view_sub(text, slash + 1, text.n), bits, &bits));
    }
    n.bits = (uint8_t)bits;
    *out = n;
out:
    return e == E_OK ? E_OK : FAIL(E_PARSE);
}

static bool is_public(const struct net_addr *a)
{
    if (a->family != 4 && (a->family != 6 || (a->ip[0] & 0xe0) != 0x20)) {
        return false;
    }
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++) {
        uint8_t net[16] = {0};
        memcpy(net, special[i].ip, sizeof special[i].ip);
        if (special[i].family == a->family && same_bits(a->ip, net, special[i].bits)) {
            return false;
        }
    }
    return true;
}

static bool is_allowed_port(const struct stir_rules *rules, uint64_t port)
{
    for (unsigned i = 0; i < rules->n_ports; i++) {
        if (rules->ports[i] == port) {
            return true;
        }
    }
    return false;
}

bool stir_may_connect(const struct stir_rules *rules, const struct net_addr *to)
{
    if (!is_allowed_port(rules, to->port)) {
        return false;
    }
    for (unsigned i = 0; i < rules->n_nets; i++) {
        const struct stir_net *n = &rules->nets[i];
        if (n->net.family == to->family && same_bits(to->ip, n->net.ip, n->bits)) {
            return true;
        }
    }
    return is_public(to);
}

/* Port of "host", "host:8443", "[2001:db8::1]:8443"; 0: no such thing. */
static uint64_t port_of(struct view authority)
{
    uint64_t port = STIR_HTTPS_PORT;
    size_t at = 0;
    struct view rest = authority;

    if (authority.n > 0 && authority.p[0] == '[') {
        if (!view_find(authority, ']', &at)) {
            return 0;
        }
        rest = view_sub(authority, at + 1, authority.n);
        if (rest.n == 0) {
            return port;
        }
        at = 0;
    } else if (!view_find(authority, ':', &at)) {
        return authority.n > 0 ? port : 0;
    }
    if (rest.p[at] != ':' || (rest.p == authority.p && at == 0) ||
        view_to_u64(view_sub(rest, at + 1, rest.n), 65535, &port) != E_OK) {
        return 0;
    }
    return port;
}

bool stir_url_ok(const struct stir_rules *rules, struct view url, const char **why)
{
    struct view authority;
    size_t at = 0, end = 0;

    *why = NULL;
    if (url.n >= STIR_URL_MAX) {
        *why = "URL is too long";
        return false;
    }
    for (size_t i = 0; i < url.n; i++) {
        unsigned char c = (unsigned char)url.p[i];
        if (c <= ' ' || c >= 0x7f || c == '\\' || c == '"' || c == '<' || c == '>' || c == '#') {
            *why = "URL has an octet that no URL of a certificate has";
            return false;
        }
    }
    if (!view_starts_nocase(url, VIEW("https://"))) {
        *why = "URL is not https";
        return false;
    }
    authority = view_sub(url, 8, url.n);
    for (end = 0; end < authority.n && authority.p[end] != '/' && authority.p[end] != '?'; end++) {
    }
    authority = view_sub(authority, 0, end);
    if (view_find(authority, '@', &at)) {
        *why = "URL names a user";
    } else if (port_of(authority) == 0) {
        *why = "URL has no host or port";
    } else if (!is_allowed_port(rules, port_of(authority))) {
        *why = "URL's port is not one of stir.fetch_ports";
    }
    return *why == NULL;
}
