/* URIs, name-addr and parameter lists. */
#include "signaling/sip_uri.h"

#include <string.h>

#include "base/net.h"

#define PARAMS_MAX 32

/* A set of ASCII octets; one test for each octet of every URI. */
struct octets {
    uint64_t low, high; /* 0..63, 64..127 */
};
#define BIT(c) ((uint64_t)1 << ((c)&63))

static const struct octets blanks = {BIT(' ') | BIT('\t') | BIT('\r') | BIT('\n'), 0};
static const struct octets separators = {BIT('-') | BIT('.') | BIT('(') | BIT(')'), 0};
static const struct octets never_in_uri = {BIT('"') | BIT('<') | BIT('>'), BIT('\\') | BIT('^') |
                                                                               BIT('`') | BIT('{') |
                                                                               BIT('|') | BIT('}')};
static const struct octets never_in_value = {BIT('"') | BIT('<') | BIT('>') | BIT(',') | BIT(';'),
                                             BIT('\\')};
static const struct octets reserved = {BIT(';') | BIT('/') | BIT('?') | BIT(':') | BIT('&') |
                                           BIT('=') | BIT('+') | BIT('$') | BIT(','),
                                       BIT('@')};

static bool among(int c, struct octets set)
{
    return c >= 0 && c < 128 && (((c < 64 ? set.low : set.high) >> (c & 63)) & 1) != 0;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool escapes_ok(struct view v, bool takes_nul)
{
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] == '%') {
            if (i + 2 >= v.n || hex_value(v.p[i + 1]) < 0 || hex_value(v.p[i + 2]) < 0 ||
                (!takes_nul && v.p[i + 1] == '0' && v.p[i + 2] == '0')) {
                return false;
            }
            i += 2;
        }
    }
    return true;
}

bool sip_escapes_ok(struct view v)
{
    return escapes_ok(v, false);
}

/* "x:::192.0.2.1", as the grammar of RFC 3261 has it by mistake (RFC 5118 section 4.10). */
static bool is_old_address(struct view host)
{
    char text[64];
    struct net_addr a;
    const char *three = memmem(host.p, host.n, ":::", 3);
    size_t at = three != NULL ? (size_t)(three - host.p) : 0, dot = 0;

    if (three == NULL || host.n >= sizeof text ||
        !view_find(view_sub(host, at, host.n), '.', &dot)) {
        return false;
    }
    memcpy(text, host.p, at);
    memcpy(text + at, host.p + at + 1, host.n - at - 1);
    return net_parse_ip(view_from(text, host.n - 1), &a) == E_OK;
}

bool sip_host_ok(struct view host, bool bracketed)
{
    struct net_addr a;

    if (host.n == 0 || host.n > 255) {
        return false;
    }
    if (bracketed) { /* numeric, and the address itself without brackets of its own */
        size_t colon = 0;
        return host.p[0] != '[' && view_find(host, ':', &colon) &&
               (net_parse_ip(host, &a) == E_OK || is_old_address(host));
    }
    for (size_t i = 0; i < host.n; i++) {
        unsigned char c = (unsigned char)host.p[i], l = c | 32;
        if (!is_digit(c) && !(l >= 'a' && l <= 'z') && c != '.' && c != '-' && c != '_') {
            return false;
        }
    }
    return true;
}

struct view sip_trim(struct view v)
{
    while (v.n > 0 && among(v.p[0], blanks)) {
        v = view_sub(v, 1, v.n);
    }
    while (v.n > 0 && among(v.p[v.n - 1], blanks)) {
        v.n--;
    }
    return v;
}

static enum err split_host(struct view hostport, struct sip_uri *u)
{
    struct cursor c = cursor_over(hostport);
    bool bracketed = false;
    uint64_t port = 0;
    enum err e = E_PARSE;
    size_t n = 0;

    if (cur_lit(&c, VIEW("[")) == E_OK) {
        bracketed = true;
        TRY(cur_until(&c, ']', &u->host));
    } else {
        while (n < hostport.n && hostport.p[n] != ':') {
            n++;
        }
        u->host = view_sub(hostport, 0, n);
        c.at += n;
    }
    TRY(sip_host_ok(u->host, bracketed) ? E_OK : FAIL(E_PARSE));
    if (!cur_done(&c)) {
        TRY(cur_lit(&c, VIEW(":")));
        TRY(cur_u64(&c, 65535, &port));
        TRY(cur_done(&c) && port != 0 ? E_OK : FAIL(E_PARSE));
        u->port = (uint16_t)port;
    }
    e = E_OK;
out:
    return e == E_RANGE ? E_PARSE : e;
}

/* The '@' behind userinfo. No grammar lets a second one stand in a URI. */
static bool find_at(struct view v, size_t *out)
{
    return view_find(v, '@', out) && memchr(v.p + *out + 1, '@', v.n - *out - 1) == NULL;
}

static bool has_bracket(struct view v)
{
    size_t at = 0;

    return view_find(v, '[', &at) || view_find(v, ']', &at);
}

/* Parameters inside a URI: as those of a header, but never quoted and with a few more octets. */
static bool uri_params_ok(struct view params)
{
    struct sip_param_item item, seen[PARAMS_MAX];
    size_t n = 0;

    if (params.n == 0 || params.p[params.n - 1] == ';') {
        return false;
    }
    while (sip_param_next(&params, &item)) {
        if (item.name.n == 0 || (item.has_value && item.value.n == 0) || n == PARAMS_MAX) {
            return false;
        }
        for (size_t i = 0; i < n; i++) {
            if (view_eq_nocase(seen[i].name, item.name)) {
                return false;
            }
        }
        seen[n++] = item;
    }
    return true;
}

static enum err parse_sip(struct view rest, struct sip_uri *u)
{
    size_t at = 0, cut = 0;
    struct view userinfo, hostport = rest;

    if (find_at(rest, &at)) {
        userinfo = view_sub(rest, 0, at);
        hostport = view_sub(rest, at + 1, rest.n);
        u->user = userinfo;
        if (view_find(userinfo, ':', &cut)) {
            u->user = view_sub(userinfo, 0, cut);
            u->password = view_sub(userinfo, cut + 1, userinfo.n);
        }
        if (u->user.n == 0 || has_bracket(userinfo)) {
            return FAIL(E_PARSE);
        }
    } else if (view_find(rest, '@', &at)) {
        return FAIL(E_PARSE);
    }
    if (view_find(hostport, '?', &cut)) {
        u->headers = view_sub(hostport, cut + 1, hostport.n);
        hostport = view_sub(hostport, 0, cut);
    }
    if (view_find(hostport, ';', &cut)) {
        u->params = view_sub(hostport, cut + 1, hostport.n);
        hostport = view_sub(hostport, 0, cut);
        if (!uri_params_ok(u->params)) {
            return FAIL(E_PARSE);
        }
    }
    return split_host(hostport, u);
}

/* RFC 3966 section 3: digits, visual separators, and what local numbers may hold. */
static enum err parse_tel(struct view rest, struct sip_uri *u)
{
    size_t cut = 0, digits = 0;

    u->user = rest;
    if (view_find(rest, ';', &cut)) {
        u->params = view_sub(rest, cut + 1, rest.n);
        u->user = view_sub(rest, 0, cut);
        if (!uri_params_ok(u->params)) {
            return FAIL(E_PARSE);
        }
    }
    for (size_t i = 0; i < u->user.n; i++) {
        char c = u->user.p[i];
        if (hex_value(c) >= 0 || c == '*' || c == '#' || c == '%') {
            digits++;
        } else if (!among(c, separators) && !(c == '+' && i == 0)) {
            return FAIL(E_PARSE);
        }
    }
    return digits > 0 ? E_OK : FAIL(E_PARSE);
}

static bool is_scheme(struct view text)
{
    size_t colon = 0;

    if (!view_find(text, ':', &colon) || colon == 0 || colon + 1 == text.n) {
        return false;
    }
    for (size_t i = 0; i < colon; i++) {
        unsigned char c = (unsigned char)text.p[i], l = c | 32;
        bool is_alpha = l >= 'a' && l <= 'z';
        if (!is_alpha && (i == 0 || (!is_digit(c) && c != '+' && c != '-' && c != '.'))) {
            return false;
        }
    }
    return true;
}

enum err sip_uri_parse(struct view text, struct sip_uri *out)
{
    struct sip_uri u = {.scheme = SIP_SCHEME_SIP};
    enum err e = E_PARSE;

    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c <= ' ' || c >= 0x7f || among(c, never_in_uri)) {
            return FAIL(E_PARSE);
        }
    }
    if (!escapes_ok(text, true)) {
        return FAIL(E_PARSE);
    }
    if (view_starts_nocase(text, VIEW("sip:"))) {
        e = parse_sip(view_sub(text, 4, text.n), &u);
    } else if (view_starts_nocase(text, VIEW("sips:"))) {
        u.scheme = SIP_SCHEME_SIPS;
        e = parse_sip(view_sub(text, 5, text.n), &u);
    } else if (view_starts_nocase(text, VIEW("tel:"))) {
        u.scheme = SIP_SCHEME_TEL;
        e = parse_tel(view_sub(text, 4, text.n), &u);
    } else if (view_starts_nocase(text, VIEW("urn:"))) {
        u.scheme = SIP_SCHEME_URN;
        u.user = view_sub(text, 4, text.n);
        e = u.user.n > 0 ? E_OK : FAIL(E_PARSE);
    } else {
        e = is_scheme(text) ? FAIL(E_NOTFOUND) : FAIL(E_PARSE);
    }
    u.has_nul = !sip_escapes_ok(text);
    if (u.has_nul && (sip_escapes_ok(u.user) || u.host.n == 0 || !sip_escapes_ok(u.password) ||
                      !sip_escapes_ok(u.params) || !sip_escapes_ok(u.headers))) {
        return FAIL(E_PARSE); /* anywhere but in the user part of a sip: URI */
    }
    if (e == E_OK) {
        *out = u;
    }
    return e;
}

bool sip_param_next(struct view *rest, struct sip_param_item *out)
{
    size_t end = 0, eq = 0;
    bool quoted = false;
    struct view one;

    if (rest->p == NULL || rest->n == 0) {
        return false;
    }
    while (end < rest->n && (quoted || rest->p[end] != ';')) {
        if (quoted && rest->p[end] == '\\') {
            end++;
        } else if (rest->p[end] == '"') {
            quoted = !quoted;
        }
        end++;
    }
    one = sip_trim(view_sub(*rest, 0, end));
    *rest = end < rest->n ? view_sub(*rest, end + 1, rest->n) : view_sub(*rest, rest->n, 0);
    out->has_value = view_find(one, '=', &eq);
    if (!out->has_value) {
        eq = one.n;
    }
    out->name = sip_trim(view_sub(one, 0, eq));
    out->value = sip_trim(view_sub(one, eq + 1, one.n));
    return true;
}

bool sip_param(struct view params, struct view name, struct view *out_value)
{
    struct sip_param_item item;

    while (sip_param_next(&params, &item)) {
        if (view_eq_nocase(item.name, name)) {
            *out_value = item.value;
            return true;
        }
    }
    return false;
}

static bool is_token(struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        if (!is_token_char((unsigned char)v.p[i])) {
            return false;
        }
    }
    return v.n > 0;
}

/* A whole quoted string, or octets that end nothing. */
static bool is_param_value(struct view v)
{
    if (v.n > 0 && v.p[0] == '"') {
        for (size_t i = 1; i < v.n; i++) {
            if (v.p[i] == '\\') {
                i++;
            } else if (v.p[i] == '"') {
                return i + 1 == v.n;
            }
        }
        return false;
    }
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        if (c <= ' ' || c >= 0x7f || among(c, never_in_value)) {
            return false;
        }
    }
    return v.n > 0;
}

bool sip_params_ok(struct view params)
{
    struct view rest = params, names[PARAMS_MAX];
    struct sip_param_item item;
    size_t n = 0;
    bool more = params.n > 0 && params.p[params.n - 1] == ';'; /* an empty one at the end */

    while (sip_param_next(&rest, &item)) {
        if (n == PARAMS_MAX || !is_token(item.name) ||
            (item.has_value && !is_param_value(item.value))) {
            return false;
        }
        for (size_t i = 0; i < n; i++) {
            if (view_eq_nocase(names[i], item.name)) {
                return false;
            }
        }
        names[n++] = item.name;
    }
    return !more;
}

/* The octet at *i of v with its escape undone; *i moves behind it. */
static int octet(struct view v, size_t *i, bool *escaped)
{
    char c = v.p[(*i)++];

    *escaped = c == '%';
    if (*escaped) {
        int hi = *i + 1 < v.n ? hex_value(v.p[*i]) : -1;
        int lo = *i + 1 < v.n ? hex_value(v.p[*i + 1]) : -1;
        *i += 2;
        return hi < 0 || lo < 0 ? -1 : hi * 16 + lo;
    }
    return (unsigned char)c;
}

enum err sip_uri_digits(const struct sip_uri *u, char *dst, size_t dst_bytes)
{
    size_t n = 0;

    for (size_t i = 0; i < u->user.n;) {
        bool escaped = false;
        int c = octet(u->user, &i, &escaped);
        if (c < ' ' || c > 0x7e || (escaped && c == ';')) {
            return FAIL(E_PARSE); /* an escaped ';' ends nothing, and no number holds one */
        }
        if (c == ';') {
            break; /* telephone-subscriber parameters inside a SIP URI's user */
        }
        if (u->scheme != SIP_SCHEME_URN && (c == ' ' || among(c, separators))) {
            continue;
        }
        if (n + 1 >= dst_bytes) {
            return FAIL(E_RANGE);
        }
        dst[n++] = (char)c;
    }
    if (dst_bytes == 0) {
        return FAIL(E_RANGE);
    }
    dst[n] = 0;
    return E_OK;
}

bool sip_uri_phone_context(const struct sip_uri *u, struct view *out)
{
    struct view params = u->params;
    size_t semicolon = u->user.n;

    if (u->scheme == SIP_SCHEME_URN) {
        return false;
    }
    if (u->scheme != SIP_SCHEME_TEL) {
        (void)view_find(u->user, ';', &semicolon);
        params = view_sub(u->user, semicolon + 1, u->user.n);
    }
    return sip_param(params, VIEW("phone-context"), out);
}

static uint16_t real_port(const struct sip_uri *u)
{
    return u->port != 0 ? u->port : u->scheme == SIP_SCHEME_SIPS ? 5061 : 5060;
}

static size_t skip_separators(struct view v, size_t i, bool is_tel)
{
    while (is_tel && i < v.n && among(v.p[i], separators)) {
        i++;
    }
    return i;
}

/* An escape equals the octet itself, unless that octet means something (RFC 3261 section 19.1.4).
 */
static bool same_user(struct view a, struct view b, bool is_tel)
{
    size_t i = skip_separators(a, 0, is_tel), k = skip_separators(b, 0, is_tel);

    while (i < a.n && k < b.n) {
        bool ea = false, eb = false;
        int x = octet(a, &i, &ea), y = octet(b, &k, &eb);
        if (x < 0 || x != y || (ea != eb && among(x, reserved))) {
            return false;
        }
        i = skip_separators(a, i, is_tel);
        k = skip_separators(b, k, is_tel);
    }
    return i >= a.n && k >= b.n;
}

bool sip_uri_same(const struct sip_uri *a, const struct sip_uri *b)
{
    return a->scheme == b->scheme && same_user(a->user, b->user, a->scheme == SIP_SCHEME_TEL) &&
           view_eq_nocase(a->host, b->host) && real_port(a) == real_port(b);
}

/* Behind the display name: '<' URI '>' params */
static enum err parse_angle(struct view rest, struct sip_name_addr *a)
{
    struct cursor c = cursor_over(rest);
    enum err e = E_PARSE;
    struct view behind;

    TRY(cur_lit(&c, VIEW("<")));
    TRY(cur_until(&c, '>', &a->uri_text));
    behind = sip_trim(cur_rest(&c));
    if (behind.n > 0) {
        a->params = view_sub(behind, 1, behind.n);
        TRY(behind.p[0] == ';' && a->params.n > 0 ? E_OK : FAIL(E_PARSE));
    }
    e = sip_uri_parse(a->uri_text, &a->uri);
out:
    return e;
}

static enum err quoted_display(struct view element, struct sip_name_addr *a, struct view *rest)
{
    for (size_t i = 1; i < element.n; i++) {
        if (element.p[i] == '\\') {
            i++;
        } else if (element.p[i] == '"') {
            a->display = view_sub(element, 1, i - 1);
            *rest = sip_trim(view_sub(element, i + 1, element.n));
            return E_OK;
        }
    }
    return FAIL(E_PARSE);
}

/* Unquoted: tokens and blanks. Anything else is read as something else by somebody. */
static bool is_plain_display(struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        if (!is_token_char((unsigned char)v.p[i]) && !among(v.p[i], blanks)) {
            return false;
        }
    }
    return true;
}

/* addr-spec: parameters behind ';' are the header's, and no ',' or '?' (RFC 3261 section 20). */
static enum err parse_bare(struct view rest, struct sip_name_addr *a)
{
    size_t at = 0;

    a->uri_text = rest;
    if (view_find(rest, ';', &at)) {
        a->uri_text = sip_trim(view_sub(rest, 0, at));
        a->params = view_sub(rest, at + 1, rest.n);
        if (a->params.n == 0) {
            return FAIL(E_PARSE);
        }
    }
    if (view_find(a->uri_text, '?', &at) || view_find(a->uri_text, ',', &at)) {
        return FAIL(E_PARSE);
    }
    return sip_uri_parse(a->uri_text, &a->uri);
}

enum err sip_name_addr_parse(struct view element, struct sip_name_addr *out)
{
    struct sip_name_addr a = {.is_star = false};
    struct view rest = sip_trim(element);
    size_t angle = 0;
    enum err e = E_PARSE;

    if (view_eq(rest, VIEW("*"))) {
        a.is_star = true;
        *out = a;
        return E_OK;
    }
    if (rest.n > 0 && rest.p[0] == '"') {
        TRY(quoted_display(rest, &a, &rest));
        e = parse_angle(rest, &a);
    } else if (view_find(rest, '<', &angle)) {
        a.display = sip_trim(view_sub(rest, 0, angle));
        TRY(is_plain_display(a.display) ? E_OK : FAIL(E_PARSE));
        e = parse_angle(view_sub(rest, angle, rest.n), &a);
    } else {
        e = parse_bare(rest, &a);
    }
    if ((e == E_OK || e == E_NOTFOUND) && !sip_params_ok(a.params)) {
        e = FAIL(E_PARSE);
    }
    if (e == E_OK || e == E_NOTFOUND) {
        *out = a;
    }
out:
    return e;
}
