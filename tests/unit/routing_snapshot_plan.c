#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/log.h"
#include "base/mem.h"
#include "routing/plan_check.h"

#define N(a)   (sizeof(a) / sizeof *(a))
#define SEALED VIEW("0123456789abcdef0123456789abcdef")

struct plan { /* what operators typed, to copy and spoil */
    struct line lines[2];
    struct trunk trunks[3];
    struct route routes[3];
    struct dial_rule rules[4];
    struct credential credentials[3];
    struct emergency_mode modes[2];
};

static struct plan sound(void)
{
    struct plan p = {
        .lines = {{.line_id = 11, .priority = VIEW("ets.1 dsn.flash")}, {.line_id = 12}},
        .trunks =
            {{.trunk_id = 1,
              .name = VIEW("gw-a"),
              .host = VIEW("192.0.2.1"),
              .port = 5070,
              .proto = 1,
              .sources = VIEW("192.0.2.0/24 2001:db8::/32 198.51.100.7"),
              .form = NUMBER_NATIONAL,
              .strip = 1,
              .add = VIEW("9"),
              .default_number = VIEW("+12125550100"),
              .max_channels = 30,
              .max_cps = 5,
              .ping_s = 10,
              .auth_user = VIEW("hg"),
              .auth_sealed = SEALED,
              .stir_sign = true,
              .stir_verify = STIR_VERIFY_MARK},
             {.trunk_id = 2,
              .name = VIEW("peer"),
              .host = VIEW("gc.example.net"),
              .proto = 3,
              .auth = TRUNK_BY_NAME,
              .tls_name = VIEW("example.net"),
              .trusts_identity = true,
              .sends_identity = true,
              .may_transit = true,
              .priority = VIEW("wps.0"),
              .is_operator = true},
             {.trunk_id = 3, .name = VIEW("off"), .host = VIEW("2001:db8::9"), .disabled = true}},
        .routes = {{.route_id = 7,
                    .name = VIEW("gw"),
                    .kind = ROUTE_NEXT_HOP,
                    .prefix = VIEW("+1"),
                    .priority = 10,
                    .trunk_id = 1,
                    .weight = 3,
                    .max_channels = 8,
                    .when = {.days = 31, .from_min = 480, .to_min = 1080, .utc_offset_min = -300}},
                   {.route_id = 8,
                    .name = VIEW("hop"),
                    .kind = ROUTE_NEXT_HOP,
                    .prefix = VIEW("+1"),
                    .priority = 20,
                    .next_hop = VIEW("sip:192.0.2.9:5060;transport=tcp")},
                   {.route_id = 9,
                    .name = VIEW("star"),
                    .kind = ROUTE_NEXT_HOP,
                    .prefix = VIEW("*72"),
                    .priority = 10,
                    .trunk_id = 2}},
        .rules = {{.name = VIEW("any"), .prefix = VIEW(""), .rank = 9},
                  {.name = VIEW("late"), .prefix = VIEW("0"), .rank = 20},
                  {.name = VIEW("soon"),
                   .prefix = VIEW("0"),
                   .rank = 10,
                   .strip = 1,
                   .add = VIEW("+44"),
                   .min_digits = 10,
                   .max_digits = 11,
                   .blocked = true},
                  {.name = VIEW("abroad"), .prefix = VIEW("00"), .rank = 90, .is_feature = true}},
        .credentials = {{.credential_id = 5,
                         .line_id = 11,
                         .username = VIEW("alice"),
                         .algorithm = DIGEST_SHA256,
                         .ha1_sealed = SEALED},
                        {.credential_id = 6,
                         .line_id = 11,
                         .username = VIEW("alice"),
                         .algorithm = DIGEST_MD5,
                         .ha1_sealed = SEALED,
                         .disabled = true},
                        {.credential_id = 7,
                         .line_id = 12,
                         .username = VIEW("bob"),
                         .algorithm = DIGEST_SHA256,
                         .ha1_sealed = SEALED}},
        .modes = {{.mode_id = 4,
                   .declared_us = 1700000000000000,
                   .ends_us = 1700000600000000,
                   .scope = MODE_REGION,
                   .share = 20,
                   .prefixes = VIEW("+1212 +44"),
                   .exempt_lines = VIEW("11 12"),
                   .declared_by = VIEW("anna"),
                   .reason = VIEW("flood")},
                  {.mode_id = 5,
                   .ends_us = 1,
                   .scope = MODE_TRUNKS,
                   .share = 100,
                   .trunks = VIEW("1 3"),
                   .exempt_trunks = VIEW("2")}},
    };
    return p;
}

static struct snapshot_input input(const struct plan *p)
{
    return (struct snapshot_input){
        .change_seq = 1,
        .lines = p->lines,
        .n_lines = N(p->lines),
        .trunks = p->trunks,
        .n_trunks = N(p->trunks),
        .routes = p->routes,
        .n_routes = N(p->routes),
        .rules = p->rules,
        .n_rules = N(p->rules),
        .credentials = p->credentials,
        .n_credentials = N(p->credentials),
        .modes = p->modes,
        .n_modes = N(p->modes),
    };
}

static struct snapshot *build(const struct plan *p)
{
    char why[200] = "";
    struct snapshot *s = NULL;
    struct snapshot_input in = input(p);
    if (snapshot_build(&in, &s, why, sizeof why) != E_OK) {
        fail_msg("refused: %s", why);
    }
    return s;
}

static void check_trunks(const struct snapshot *s)
{
    assert_int_equal(snapshot_trunks(s), 3);
    const struct trunk *a = snapshot_trunk(s, 1);
    const struct trunk *b = snapshot_trunk_of_name(s, VIEW("peer"));
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_equal(snapshot_trunk_at(s, 0), a);
    assert_ptr_equal(snapshot_trunk(s, 2), b);
    assert_null(snapshot_trunk(s, 4));
    assert_null(snapshot_trunk_of_name(s, VIEW("gw")));
    assert_true(view_eq(a->name, VIEW("gw-a")) && view_eq(a->host, VIEW("192.0.2.1")));
    assert_true(a->port == 5070 && a->proto == 1 && a->auth == TRUNK_BY_ADDRESS);
    assert_true(view_eq(a->sources, VIEW("192.0.2.0/24 2001:db8::/32 198.51.100.7")));
    assert_true(a->form == NUMBER_NATIONAL && a->strip == 1 && view_eq(a->add, VIEW("9")));
    assert_true(view_eq(a->default_number, VIEW("+12125550100")));
    assert_true(a->max_channels == 30 && a->max_cps == 5 && a->ping_s == 10);
    assert_true(view_eq(a->auth_user, VIEW("hg")) && view_eq(a->auth_sealed, SEALED));
    assert_false(a->trusts_identity || a->sends_identity || a->may_transit || a->disabled);
    assert_true(b->auth == TRUNK_BY_NAME && view_eq(b->tls_name, VIEW("example.net")));
    assert_true(b->trusts_identity && b->sends_identity && b->may_transit && !b->disabled);
    assert_true(a->stir_sign && a->stir_verify == STIR_VERIFY_MARK);
    assert_true(!b->stir_sign && b->stir_verify == STIR_VERIFY_OFF);
    assert_true(snapshot_trunk(s, 3)->disabled);
    assert_true(!a->is_operator && a->priority.n == 0);
    assert_true(b->is_operator && view_eq(b->priority, VIEW("wps.0")));
}

static void check_modes(const struct snapshot *s)
{
    assert_int_equal(snapshot_modes(s), 2);
    const struct emergency_mode *a = snapshot_mode_at(s, 0), *b = snapshot_mode_at(s, 1);
    assert_true(a->mode_id == 4 && a->scope == MODE_REGION && a->share == 20);
    assert_true(a->declared_us == 1700000000000000 && a->ends_us == 1700000600000000);
    assert_true(view_eq(a->prefixes, VIEW("+1212 +44")) && view_eq(a->reason, VIEW("flood")));
    assert_true(view_eq(a->exempt_lines, VIEW("11 12")) && view_eq(a->declared_by, VIEW("anna")));
    assert_true(b->mode_id == 5 && b->scope == MODE_TRUNKS && b->share == 100 && b->ends_us == 1);
    assert_true(view_eq(b->trunks, VIEW("1 3")) && view_eq(b->exempt_trunks, VIEW("2")));
    assert_true(view_eq(snapshot_line(s, 11)->priority, VIEW("ets.1 dsn.flash")));
    assert_int_equal(snapshot_line(s, 12)->priority.n, 0);
}

static void check_routes_and_rules(const struct snapshot *s)
{
    const struct route *r[4];
    const struct dial_rule *d[8];
    assert_int_equal(snapshot_routes(s, ROUTE_NEXT_HOP, VIEW("+12125550101"), r, 4), 2);
    assert_true(r[0]->route_id == 7 && r[0]->trunk_id == 1 && r[0]->weight == 3);
    assert_true(r[0]->max_channels == 8 && r[0]->when.days == 31);
    assert_true(r[0]->when.from_min == 480 && r[0]->when.to_min == 1080);
    assert_int_equal(r[0]->when.utc_offset_min, -300);
    assert_true(r[1]->trunk_id == 0 && view_eq(r[1]->name, VIEW("hop")));
    assert_int_equal(snapshot_routes(s, ROUTE_NEXT_HOP, VIEW("*7212125550101"), r, 4), 1);
    assert_int_equal(snapshot_all_routes(s), 3);
    const char *const names[] = {"abroad", "soon", "late", "any"};
    assert_int_equal(snapshot_rules(s, VIEW("0044207"), d, 8), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_true(view_eq(d[i]->name, view_of(names[i])));
    }
    assert_true(d[0]->is_feature && !d[0]->blocked && d[1]->blocked && d[1]->strip == 1);
    assert_true(view_eq(d[1]->add, VIEW("+44")) && d[1]->min_digits == 10);
    assert_true(d[1]->max_digits == 11 && d[1]->rank == 10);
    assert_int_equal(snapshot_rules(s, VIEW("0044207"), d, 2), 2);
    assert_int_equal(snapshot_rules(s, VIEW("911"), d, 8), 1);
    assert_int_equal(snapshot_rules(s, VIEW(""), d, 8), 1);
}

static void check_credentials(const struct snapshot *s)
{
    const struct credential *c = snapshot_credential(s, VIEW("alice"), DIGEST_SHA256);
    assert_true(c && c->credential_id == 5 && c->line_id == 11 && !c->disabled);
    assert_true(view_eq(c->username, VIEW("alice")) && view_eq(c->ha1_sealed, SEALED));
    c = snapshot_credential(s, VIEW("alice"), DIGEST_MD5);
    assert_true(c && c->credential_id == 6 && c->disabled && c->algorithm == DIGEST_MD5);
    assert_null(snapshot_credential(s, VIEW("bob"), DIGEST_MD5));
    assert_null(snapshot_credential(s, VIEW("ALICE"), DIGEST_SHA256));
    assert_null(snapshot_credential(s, VIEW(""), DIGEST_SHA256));
    char longest[200];
    memset(longest, 'a', sizeof longest);
    assert_null(snapshot_credential(s, view_from(longest, sizeof longest), DIGEST_SHA256));
}

static void check_all(const struct snapshot *s)
{
    check_trunks(s);
    check_routes_and_rules(s);
    check_credentials(s);
    check_modes(s);
    assert_int_equal(snapshot_left_out(s), 0);
}

static void lookups(void **state)
{
    (void)state;
    struct plan p = sound();
    struct snapshot *s = build(&p);
    memset(&p, 0x55, sizeof p); /* nothing of the input is kept */
    check_all(s);
    snapshot_free(s);
}

static void file(void **state)
{
    (void)state;
    char dir[] = "/tmp/hg-plan-XXXXXX", path[64];
    struct plan p = sound();
    struct snapshot *s = build(&p), *t = NULL;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/snapshot", dir);
    assert_int_equal(snapshot_save(s, path), E_OK);
    snapshot_free(s);
    assert_int_equal(snapshot_load(path, &t), E_OK);
    check_all(t);
    snapshot_free(t);
    FILE *f = fopen(path, "r+b"); /* one of the first version, and whole */
    uint8_t b[8192];
    assert_non_null(f);
    size_t n = fread(b, 1, sizeof b, f);
    assert_in_range(n, 100, sizeof b - 1);
    b[7] = 1;
    assert_int_equal(sha256(view_from(b, n - SHA256_BYTES), b + n - SHA256_BYTES), E_OK);
    rewind(f);
    assert_int_equal(fwrite(b, 1, n, f), n);
    fclose(f);
    t = NULL;
    assert_int_equal(snapshot_load(path, &t), E_PARSE);
    assert_null(t);
    unlink(path);
    assert_int_equal(rmdir(dir), 0);
}

/* ---- what makes no sense is left out, named, and nothing else suffers ---- */

static size_t slurp(FILE *f, char *to, size_t max)
{
    rewind(f);
    size_t n = fread(to, 1, max - 1, f);
    to[n] = 0;
    return n;
}

static void left_out(const struct plan *p, size_t n, const char *row, const char *why)
{
    char log[8192];
    FILE *f = tmpfile();
    assert_non_null(f);
    log_set_fd(fileno(f));
    struct snapshot *s = build(p);
    log_set_fd(STDERR_FILENO);
    (void)slurp(f, log, sizeof log);
    fclose(f);
    if (snapshot_left_out(s) != n || !strstr(log, "snapshot.row_left_out") || !strstr(log, row) ||
        !strstr(log, why)) {
        fail_msg("%zu left out, not %zu; %s, %s not in: %s", snapshot_left_out(s), n, row, why,
                 log);
    }
    assert_non_null(snapshot_line(s, 11));
    assert_non_null(snapshot_trunk(s, 3));
    assert_non_null(snapshot_credential(s, VIEW("bob"), DIGEST_SHA256));
    snapshot_free(s);
}

#define SPOILED(change, n, row, why)                                                               \
    do {                                                                                           \
        struct plan p = sound();                                                                   \
        p.change;                                                                                  \
        left_out(&p, n, "\"row\":\"" row "\"", "\"why\":\"" why);                                  \
    } while (0)

static void bad_trunks(void **state)
{
    (void)state;
    const struct view hosts[] = {
        VIEW(""),           VIEW("a b"),         VIEW("gw..net"),   VIEW(".net"),
        VIEW("192.0.2"),    VIEW("192.0.2.256"), VIEW("[::1]"),     VIEW("1:2"),
        VIEW("gw\r\nX: y"), VIEW("sip:gw.net"),  VIEW("gw.net;lr"), VIEW("\xc3\xa9.net"),
    };
    for (size_t i = 0; i < N(hosts); i++) { /* its route goes with it */
        SPOILED(trunks[1].host = hosts[i], 2, "peer", "host: neither");
    }
    const struct view sources[] = {
        VIEW("192.0.2.0/33"),
        VIEW("::/129"),
        VIEW("gw.example.net"),
        VIEW("1.2.3.4,5.6.7.8"),
        VIEW("1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4 1.1.1.5 1.1.1.6 1.1.1.7 1.1.1.8 1.1.1.9 1.1.1.10 "
             "1.1.1.11 1.1.1.12 1.1.1.13 1.1.1.14 1.1.1.15 1.1.1.16 1.1.1.17"),
    };
    for (size_t i = 0; i < N(sources); i++) {
        SPOILED(trunks[1].sources = sources[i], 2, "peer", "sources: not");
    }
    SPOILED(trunks[1].name = VIEW("a b"), 2, "a b", "name: not 1 to 63");
    SPOILED(trunks[1].name = VIEW(".x"), 2, ".x", "name: not 1 to 63");
    SPOILED(trunks[1].name = VIEW("gw-a"), 2, "gw-a", "name, trunk_id: twice");
    SPOILED(trunks[1].trunk_id = 1, 2, "peer", "name, trunk_id: twice");
    SPOILED(trunks[1].trunk_id = 0, 2, "peer", "trunk_id: zero");
    SPOILED(trunks[1].proto = 4, 2, "peer", "transport: unknown");
    SPOILED(trunks[1].proto = 1, 2, "peer", "transport: a certificate needs tls");
    SPOILED(trunks[1].auth = (enum trunk_auth)2, 2, "peer", "auth: unknown");
    SPOILED(trunks[1].tls_name = VIEW("*.net"), 2, "peer", "tls_name: no domain name");
    SPOILED(trunks[1].form = (enum number_form)3, 2, "peer", "number_form: unknown");
    SPOILED(trunks[1].stir_verify = 3, 2, "peer", "stir_verify: unknown");
    SPOILED(trunks[1].priority = VIEW("ets"), 2, "peer", "priority: no list");
    SPOILED(trunks[1].strip = 16, 2, "peer", "strip: more");
    SPOILED(trunks[1].add = VIEW("9a"), 2, "peer", "add_digits: not");
    SPOILED(trunks[1].add = VIEW("1234567890123456"), 2, "peer", "add_digits: not");
    SPOILED(trunks[1].default_number = VIEW("12125550100"), 2, "peer", "default_number: not E.164");
    SPOILED(trunks[1].ping_s = 3601, 2, "peer", "ping_s: more");
    SPOILED(trunks[1].auth_user = VIEW("a\"b"), 2, "peer", "auth_user: not");
}

static void bad_modes_and_priorities(void **state)
{
    (void)state;
    static const char *const bad[] = {"ets",    "ets.",   ".1",          "a.b.c",  "ets.1  wps.1",
                                      " ets.1", "ets.1 ", "ets.1,wps.1", "ets .1", "ets.1\n"};
    for (size_t i = 0; i < N(bad); i++) { /* the line stays, entitled to nothing */
        struct plan p = sound();
        p.lines[0].priority = view_of(bad[i]);
        left_out(&p, 1, "\"row\":\"\"", "priority: no list");
        assert_false(plan_priority(p.lines[0].priority));
    }
    SPOILED(modes[0].mode_id = 0, 1, "", "id: zero");
    SPOILED(modes[0].scope = (enum mode_scope)3, 1, "", "scope: unknown");
    SPOILED(modes[0].share = 101, 1, "", "share: more than 100");
    SPOILED(modes[0].prefixes = VIEW("+1,+2"), 1, "", "prefixes, trunks");
    SPOILED(modes[0].exempt_lines = VIEW("+1"), 1, "", "prefixes, trunks");
}

static void bad_routes(void **state)
{
    (void)state;
    const struct view prefixes[] = {
        VIEW(""),
        VIEW("+1x"),
        VIEW("x"),
        VIEW("1+"),
        VIEW("+*"),
        VIEW("urn:service:counseling"),
        VIEW("urn:service:sos \n"),
        VIEW("12345678901234567"),
        VIEW("+1234567890123456"),
    };
    for (size_t i = 0; i < N(prefixes); i++) {
        SPOILED(routes[1].prefix = prefixes[i], 1, "hop", "prefix: none of");
    }
    const struct view hops[] = {
        VIEW("sip:"),
        VIEW("192.0.2.1"),
        VIEW("http://192.0.2.1"),
        VIEW("sip:gw.example.net:5060"),
        VIEW("sip:192.0.2.1:0"),
        VIEW("sip:0.0.0.0:5060"),
        VIEW("sip:[::]:5060"),
        VIEW("sip:192.0.2.1 "),
        VIEW("sip:192.0.2.1\r\nX: y"),
        VIEW("sip:192.0.2.1;transport=tls"),
        VIEW("sip:user@192.0.2.1"),
    };
    for (size_t i = 0; i < N(hops); i++) {
        SPOILED(routes[1].next_hop = hops[i], 1, "hop", "next_hop: not sip");
    }
    SPOILED(routes[1].next_hop = VIEW(""), 1, "hop", "next_hop: exactly one");
    SPOILED(routes[1].trunk_id = 1, 1, "hop", "next_hop: exactly one");
    SPOILED(routes[0].trunk_id = 44, 1, "gw", "trunk_id: no such trunk");
    SPOILED(routes[0].kind = (enum route_kind)2, 1, "gw", "kind: unknown");
    SPOILED(routes[0].weight = 65536, 1, "gw", "weight: more");
    SPOILED(routes[0].when.days = 128, 1, "gw", "days");
    SPOILED(routes[0].when.from_min = 1440, 1, "gw", "days");
    SPOILED(routes[0].when.to_min = 1440, 1, "gw", "days");
    SPOILED(routes[0].when.utc_offset_min = 841, 1, "gw", "days");
    SPOILED(routes[0].when.utc_offset_min = -841, 1, "gw", "days");
}

static void bad_rules_and_credentials(void **state)
{
    (void)state;
    SPOILED(rules[1].prefix = VIEW("0x"), 1, "late", "prefix: not");
    SPOILED(rules[1].prefix = VIEW("0+"), 1, "late", "prefix: not");
    SPOILED(rules[1].prefix = VIEW("12345678901234567"), 1, "late", "prefix: not");
    SPOILED(rules[1].min_digits = 5, 1, "late", "min_digits, max_digits: not rising");
    SPOILED(rules[1].max_digits = 33, 1, "late", "min_digits, max_digits: not rising");
    SPOILED(rules[1].rank = 65536, 1, "late", "rank: more");
    SPOILED(rules[1].strip = 17, 1, "late", "strip: more");
    SPOILED(rules[1].add = VIEW("4+4"), 1, "late", "add_digits: not");
    SPOILED(rules[1].name = VIEW(""), 1, "", "name: empty");
    SPOILED(credentials[0].credential_id = 0, 1, "alice", "credential_id: zero");
    SPOILED(credentials[0].line_id = 99, 1, "alice", "line_id: no such line");
    SPOILED(credentials[0].username = VIEW("a@b"), 1, "a@b", "username: not");
    SPOILED(credentials[0].username = VIEW("bob"), 1, "bob", "username, algorithm: twice");
    SPOILED(credentials[0].ha1_sealed = VIEW("short"), 1, "alice", "ha1_sealed: not");
    SPOILED(credentials[0].algorithm = (enum digest_algorithm)2, 1, "alice", "algorithm: unknown");
}

/* ---- overlays ---- */

static struct snapshot *overlay(const struct snapshot *base, const struct snapshot_delta *d,
                                enum err want)
{
    char why[200] = "";
    struct snapshot *s = NULL;
    enum err e = snapshot_overlay(base, d, &s, why, sizeof why);
    if (e != want) {
        fail_msg("%s: %s", err_name(e), why);
    }
    return s;
}

static void overlay_of_lines(void **state)
{
    (void)state;
    struct plan p = sound();
    struct snapshot *base = build(&p);
    const struct line line = {.line_id = 11};
    struct credential c = p.credentials[0];
    const uint64_t masked = 11;
    struct snapshot_delta d = {
        .rows = {.lines = &line, .n_lines = 1, .credentials = &c, .n_credentials = 1},
        .masked_lines = &masked,
        .n_masked_lines = 1};
    c.credential_id = 50;
    struct snapshot *s = overlay(base, &d, E_OK);
    check_trunks(s); /* those below */
    check_routes_and_rules(s);
    assert_int_equal(snapshot_credential(s, VIEW("alice"), DIGEST_SHA256)->credential_id, 50);
    assert_null(snapshot_credential(s, VIEW("alice"), DIGEST_MD5)); /* the line has it no more */
    assert_int_equal(snapshot_credential(s, VIEW("bob"), DIGEST_SHA256)->credential_id, 7);
    snapshot_free(s);
    c.username = VIEW("bob"); /* taken from a line that was not read again */
    assert_null(overlay(base, &d, E_EXISTS));
    snapshot_free(base);
}

static void overlay_of_the_plan(void **state)
{
    (void)state;
    struct plan p = sound();
    struct snapshot *base = build(&p);
    const struct route *r[4];
    const struct dial_rule *rule[4];
    struct snapshot_delta d = {.rows = {.trunks = p.trunks + 1,
                                        .n_trunks = 2,
                                        .rules = p.rules,
                                        .n_rules = 1,
                                        .routes = p.routes,
                                        .n_routes = 3},
                               .has_plan = true};
    struct snapshot *s = overlay(base, &d, E_OK);
    assert_int_equal(snapshot_trunks(s), 2);
    assert_null(snapshot_trunk(s, 1));
    assert_non_null(snapshot_trunk(s, 2));
    assert_int_equal(snapshot_left_out(s), 1); /* the route of the trunk that went */
    assert_int_equal(snapshot_routes(s, ROUTE_NEXT_HOP, VIEW("+1212"), r, 4), 1);
    assert_int_equal(snapshot_rules(s, VIEW("0044"), rule, 4), 1);
    assert_int_equal(snapshot_credential(s, VIEW("bob"), DIGEST_SHA256)->credential_id, 7);
    assert_non_null(snapshot_line(s, 12));
    snapshot_free(s);
    snapshot_free(base);
}

static void out_of_memory(void **state)
{
    (void)state;
    struct plan p = sound();
    struct snapshot_input in = input(&p);
    size_t before = mem_live();
    for (long nth = 0;; nth++) {
        struct snapshot *s = NULL;
        mem_fail_at(nth);
        enum err e = snapshot_build(&in, &s, NULL, 0);
        bool failed = mem_failed();
        mem_fail_at(-1);
        snapshot_free(s);
        assert_int_equal(mem_live(), before);
        assert_int_equal(e, failed ? E_NOMEM : E_OK);
        if (!failed) {
            assert_true(nth > 10);
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookups),          cmocka_unit_test(file),
        cmocka_unit_test(bad_trunks),       cmocka_unit_test(bad_modes_and_priorities),
        cmocka_unit_test(bad_routes),       cmocka_unit_test(bad_rules_and_credentials),
        cmocka_unit_test(overlay_of_lines), cmocka_unit_test(overlay_of_the_plan),
        cmocka_unit_test(out_of_memory),
    };
    log_init("test", LV_ERROR);
    log_limit(0, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
