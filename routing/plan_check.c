/* Checks of typed rows: each names its column first. */
#include "routing/plan_check.h"

#include <string.h>

#include "base/net.h"

#define SEALED_MAX     256
#define USER_MAX       64
#define HOST_MAX       253
#define CHANNELS_MAX   0x7fffffffu /* the database's integer */
#define DAY_MINUTES    1440u
#define UTC_OFFSET_MAX 840
#define PRIORITY_MAX   200
#define MODE_LIST_MAX  8192
#define MODE_TEXT_MAX  4096

/* ---- characters ---- */

static bool only(struct view v, const char *more, bool letters)
{
    for (size_t i = 0; i < v.n; i++) {
        char c = v.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_digit((unsigned char)c) && !(letters && letter) && (c == 0 || !strchr(more, c))) {
            return false;
        }
    }
    return true;
}

static struct view after_plus(struct view v)
{
    return v.n > 0 && v.p[0] == '+' ? view_sub(v, 1, v.n) : v;
}

bool plan_e164(struct view v)
{
    return v.n >= 8 && v.n <= SNAPSHOT_NUMBER_MAX && v.p[0] == '+' && v.p[1] != '0' &&
           only(after_plus(v), "", false);
}

bool plan_priority(struct view v)
{
    bool dot = false, any = false;

    if (v.n > PRIORITY_MAX || !only(v, "-!%*_+`'~. ", true)) {
        return false;
    }
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] == '.' ? dot || !any : v.p[i] == ' ' && (!dot || !any)) {
            return false;
        }
        dot = v.p[i] == '.' || (dot && v.p[i] != ' ');
        any = v.p[i] != '.' && v.p[i] != ' ';
    }
    return v.n == 0 || (dot && any);
}

/* ---- addresses ---- */

bool plan_next_hop(struct view v)
{
    struct net_addr a;
    size_t semi = 0;

    if (v.n > SNAPSHOT_NEXT_HOP_MAX || !view_starts_nocase(v, VIEW("sip:"))) {
        return false;
    }
    v = view_sub(v, 4, v.n);
    if (view_find(v, ';', &semi)) {
        struct view rest = view_sub(v, semi, v.n);
        if (!view_eq_nocase(rest, VIEW(";transport=udp")) &&
            !view_eq_nocase(rest, VIEW(";transport=tcp"))) {
            return false;
        }
        v = view_sub(v, 0, semi);
    }
    if (net_parse(v, 5060, &a) != E_OK || a.port == 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof a.ip; i++) {
        if (a.ip[i] != 0) {
            return true;
        }
    }
    return false; /* the wildcard is nobody */
}

enum err plan_source(struct view *list, uint8_t *out_family, uint8_t out_ip[16], unsigned *out_bits)
{
    struct view rest = view_trim(*list), one;
    struct net_addr a;
    size_t end = 0;
    uint64_t bits = 0;

    if (rest.n == 0) {
        return FAIL(E_NOTFOUND);
    }
    one = view_find(rest, ' ', &end) ? view_sub(rest, 0, end) : rest;
    rest = view_sub(rest, one.n, rest.n);
    bool has_bits = view_find(one, '/', &end);
    struct view address = has_bits ? view_sub(one, 0, end) : one;
    if (net_parse_ip(address, &a) != E_OK) {
        return FAIL(E_PARSE);
    }
    bits = a.family == 4 ? 32 : 128;
    if (has_bits && view_to_u64(view_sub(one, end + 1, one.n), bits, &bits) != E_OK) {
        return FAIL(E_PARSE);
    }
    *list = rest;
    *out_family = a.family;
    memcpy(out_ip, a.ip, sizeof a.ip);
    *out_bits = (unsigned)bits;
    return E_OK;
}

static bool sources_ok(struct view list)
{
    uint8_t family = 0, ip[16];
    unsigned bits = 0;
    enum err e = E_OK;

    for (unsigned n = 0; n <= TRUNK_SOURCES_MAX; n++) {
        e = plan_source(&list, &family, ip, &bits);
        if (e != E_OK) {
            return e == E_NOTFOUND;
        }
    }
    return false;
}

/* A numeric address without brackets, or a name of labels. */
static bool host_ok(struct view v)
{
    struct net_addr a;

    if (v.n == 0 || v.n > HOST_MAX || !only(v, ".:_-", true)) {
        return false;
    }
    if (view_find(v, ':', &(size_t){0}) || only(v, ".", false)) {
        return net_parse_ip(v, &a) == E_OK;
    }
    size_t label = 0;
    for (size_t i = 0; i < v.n; i++) {
        label = v.p[i] == '.' ? 0 : label + 1;
        if (label > 63 || (v.p[i] == '.' && (i == 0 || v.p[i - 1] == '.'))) {
            return false;
        }
    }
    return true;
}

static bool is_name(struct view v)
{
    return v.n > 0 && v.n <= TRUNK_NAME_MAX && only(v, "._-", true) && v.p[0] != '.' &&
           v.p[0] != '_' && v.p[0] != '-';
}

/* ---- rows ---- */

static const char *trunk_number_fault(const struct trunk *t)
{
    if (t->form != NUMBER_E164 && t->form != NUMBER_BARE && t->form != NUMBER_NATIONAL) {
        return "number_form: unknown";
    }
    if (t->strip > 15) {
        return "strip: more than 15";
    }
    if (t->add.n > 15 || !only(t->add, "*#+", false)) {
        return "add_digits: not up to 15 of 0-9 * # +";
    }
    if (t->default_number.n > 0 && !plan_e164(t->default_number)) {
        return "default_number: not E.164";
    }
    return NULL;
}

const char *trunk_fault(const struct trunk *t)
{
    if (t->trunk_id == 0) {
        return "trunk_id: zero";
    }
    if (!is_name(t->name)) {
        return "name: not 1 to 63 of A-Z a-z 0-9 . _ - with a letter or digit first";
    }
    if (!host_ok(t->host)) {
        return "host: neither a numeric address nor a domain name";
    }
    if (t->proto > 3) {
        return "transport: unknown";
    }
    if (t->auth != TRUNK_BY_ADDRESS && t->auth != TRUNK_BY_NAME) {
        return "auth: unknown";
    }
    if (t->auth == TRUNK_BY_NAME && t->proto != 0 && t->proto != 3) {
        return "transport: a certificate needs tls";
    }
    if (t->tls_name.n > HOST_MAX || !only(t->tls_name, "._-", true)) {
        return "tls_name: no domain name";
    }
    if (!sources_ok(t->sources)) {
        return "sources: not up to 16 networks";
    }
    if (t->max_channels > CHANNELS_MAX || t->max_cps > CHANNELS_MAX) {
        return "max_channels, max_cps: too large";
    }
    if (t->ping_s > 3600) {
        return "ping_s: more than 3600";
    }
    if (t->auth_user.n > USER_MAX || !only(t->auth_user, "._~+-", true)) {
        return "auth_user: not up to 64 of A-Z a-z 0-9 . _ ~ + -";
    }
    if (t->stir_verify > STIR_VERIFY_REJECT) {
        return "stir_verify: unknown";
    }
    if (t->auth_sealed.n > SEALED_MAX) {
        return "auth_sealed: more than 256 octets";
    }
    if (!plan_priority(t->priority)) {
        return "priority: no list of r-values";
    }
    return trunk_number_fault(t);
}

static bool route_prefix_ok(struct view v)
{
    if (v.n == 0 || v.n > SNAPSHOT_PREFIX_MAX) {
        return false;
    }
    if (view_starts(v, VIEW("urn:service:sos"))) {
        return only(v, ".:-", true);
    }
    return v.p[0] == '+' ? v.n <= SNAPSHOT_NUMBER_MAX && only(after_plus(v), "", false)
                         : v.n <= 16 && only(v, "*#", false);
}

const char *route_fault(const struct route *r)
{
    if (r->kind != ROUTE_NEXT_HOP && r->kind != ROUTE_EMERGENCY) {
        return "kind: unknown";
    }
    if (!route_prefix_ok(r->prefix)) {
        return "prefix: none of +digits, keys (0-9 * #), urn:service:sos";
    }
    if ((r->trunk_id == 0) == (r->next_hop.n == 0)) {
        return "next_hop: exactly one of next hop and trunk";
    }
    if (r->trunk_id == 0 && !plan_next_hop(r->next_hop)) {
        return "next_hop: not sip:ip:port[;transport=udp|tcp] (a host name needs a trunk)";
    }
    if (r->weight > 65535) {
        return "weight: more than 65535";
    }
    if (r->max_channels > CHANNELS_MAX) {
        return "max_channels: too large";
    }
    if (r->when.days > 127 || r->when.from_min >= DAY_MINUTES || r->when.to_min >= DAY_MINUTES ||
        r->when.utc_offset_min > UTC_OFFSET_MAX || r->when.utc_offset_min < -UTC_OFFSET_MAX) {
        return "days, from_min, to_min, utc_offset_min: out of range";
    }
    return NULL;
}

const char *rule_fault(const struct dial_rule *r)
{
    if (r->name.n == 0) {
        return "name: empty";
    }
    if (after_plus(r->prefix).n > 16 || !only(after_plus(r->prefix), "*#", false)) {
        return "prefix: not up to 16 keys of 0-9 * # with an optional + first";
    }
    if (r->min_digits > 32 || r->max_digits > 32 || r->max_digits < r->min_digits) {
        return "min_digits, max_digits: not rising or more than 32";
    }
    if (r->rank > 65535) {
        return "rank: more than 65535";
    }
    if (r->strip > 16) {
        return "strip: more than 16";
    }
    if (after_plus(r->add).n > 15 || !only(after_plus(r->add), "*#", false)) {
        return "add_digits: not up to 15 keys of 0-9 * # with an optional + first";
    }
    return NULL;
}

const char *service_fault(const struct line *l)
{
    static const char *const faults[FORWARDS] = {
        [FORWARD_ALWAYS] = "forward_always: not E.164",
        [FORWARD_BUSY] = "forward_busy: not E.164",
        [FORWARD_NO_ANSWER] = "forward_no_answer: not E.164",
    };

    for (size_t i = 0; i < FORWARDS; i++) {
        if (l->forward[i].n > 0 && !plan_e164(l->forward[i])) {
            return faults[i];
        }
    }
    if (l->no_answer_s != 0 &&
        (l->no_answer_s < NO_ANSWER_MIN_S || l->no_answer_s > NO_ANSWER_MAX_S)) {
        return "no_answer_s: not 5 to 120";
    }
    if ((l->services & ~LINE_SERVICES) != 0) {
        return "services: unknown";
    }
    if (!plan_priority(l->priority)) {
        return "priority: no list of r-values";
    }
    return NULL;
}

static bool mode_list_ok(struct view v, const char *more)
{
    return v.n <= MODE_LIST_MAX && only(v, more, false);
}

const char *mode_fault(const struct emergency_mode *m)
{
    if (m->mode_id == 0) {
        return "id: zero";
    }
    if (m->scope != MODE_ALL && m->scope != MODE_REGION && m->scope != MODE_TRUNKS) {
        return "scope: unknown";
    }
    if (m->share > 100) {
        return "share: more than 100";
    }
    if (!mode_list_ok(m->prefixes, "+ ") || !mode_list_ok(m->trunks, " ") ||
        !mode_list_ok(m->exempt_lines, " ") || !mode_list_ok(m->exempt_trunks, " ")) {
        return "prefixes, trunks, exempt_lines, exempt_trunks: no lists of numbers";
    }
    if (m->declared_by.n > MODE_TEXT_MAX || m->reason.n > MODE_TEXT_MAX) {
        return "declared_by, reason: too long";
    }
    return NULL;
}

const char *credential_fault(const struct credential *c)
{
    if (c->credential_id == 0) {
        return "credential_id: zero";
    }
    if (c->username.n == 0 || c->username.n > USER_MAX || !only(c->username, "._~+-", true)) {
        return "username: not 1 to 64 of A-Z a-z 0-9 . _ ~ + -";
    }
    if (c->algorithm != DIGEST_SHA256 && c->algorithm != DIGEST_MD5) {
        return "algorithm: unknown";
    }
    if (c->ha1_sealed.n < 16 || c->ha1_sealed.n > SEALED_MAX) {
        return "ha1_sealed: not 16 to 256 octets";
    }
    return NULL;
}
