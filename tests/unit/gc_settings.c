#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "gc/settings.h"

static char path[] = "/tmp/gc_settings.XXXXXX";

static enum err load(const char *yaml, struct gc_settings *s, struct gc_plan *p, char why[256],
                     struct conf **conf)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(yaml, f);
    fclose(f);
    *conf = NULL;
    memset(s, 0, sizeof *s);
    why[0] = 0;
    enum err e = conf_load(path, gc_fields, gc_fields_n, s, why, 256, conf);
    return e == E_OK ? gc_settings_check(s, p, why, 256) : e;
}

static void defaults_make_sense(void **state)
{
    (void)state;
    struct gc_settings s = {0};
    struct gc_plan p;
    struct conf *conf = NULL;
    char why[256];
    assert_int_equal(conf_load(NULL, gc_fields, gc_fields_n, &s, why, sizeof why, &conf), E_OK);
    assert_int_equal(gc_settings_check(&s, &p, why, sizeof why), E_OK);
    assert_int_equal(p.n_listen, 2);
    assert_int_equal(p.listen[1].proto, SIP_TCP);
    assert_int_equal(p.own.port, 5060);
    assert_int_equal(p.n_ps, 1);
    assert_int_equal(p.n_emergency, 0);
    assert_int_equal(p.dialplan.n_emergency, 2);
    assert_int_equal(p.dialplan.national_digits, 10);
    assert_true(view_eq(p.dialplan.provisioning, VIEW("611")));
    assert_int_equal(p.health.port, 9070);
    conf_free(conf);
}

static void a_full_file(void **state)
{
    (void)state;
    struct gc_settings s;
    struct gc_plan p;
    struct conf *conf = NULL;
    char why[256];
    enum err e = load("node:\n  name: gc-7\n  domain: headgate.test\n  workers: 3\n"
                      "sip:\n  listen: [\"tls:127.8.0.1:5061\", \"udp:[::1]:5060\"]\n"
                      "provisioning:\n  servers: [\"udp:127.8.0.2:5070\", \"tcp:127.8.0.3:5070\"]\n"
                      "emergency:\n  next_hops: [\"sip:127.8.0.9:5060\", "
                      "\"sip:[::1]:5070;transport=TCP\"]\n  codes: [\"911\"]\n"
                      "peers:\n  trusted: [\"127.8.0.9\", \"::1\"]\n"
                      "dialing:\n  area: \"212\"\n",
                      &s, &p, why, &conf);
    assert_string_equal(why, "");
    assert_int_equal(e, E_OK);
    assert_int_equal(s.workers, 3);
    assert_int_equal(p.listen[0].proto, SIP_TLS);
    assert_int_equal(p.own.port, 5061);
    assert_int_equal(p.n_ps, 2);
    assert_string_equal(p.ps[0].uri, "sip:127.8.0.2:5070");
    assert_string_equal(p.ps[1].uri, "sip:127.8.0.3:5070;transport=tcp");
    assert_int_equal(p.n_emergency, 2);
    assert_int_equal(p.emergency[1].proto, SIP_TCP);
    assert_string_equal(p.emergency[1].uri, "sip:[::1]:5070;transport=tcp");
    assert_int_equal(p.n_trusted, 2);
    assert_int_equal(p.trusted[1].family, 6);
    assert_true(view_eq(p.dialplan.area, VIEW("212")));
    conf_free(conf);
}

/* Each names the setting that is wrong, and nothing else. */
static void what_makes_no_sense(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *why;
    } rows[] = {
        {"node:\n  name: \"\"\n", "node.name"},
        {"node:\n  name: \"a b\"\n", "node.name"},
        {"node:\n  name: \"0123456789abcdefg\"\n", "node.name"},
        {"node:\n  domain: \"x y\"\n", "node.domain"},
        {"node:\n  domain: \".x\"\n", "node.domain"},
        {"log:\n  level: loud\n", "log.level"},
        {"sip:\n  listen: [\"udp:0.0.0.0:5060\"]\n", "sip.listen"},
        {"sip:\n  listen: [\"udp:[::]:5060\"]\n", "sip.listen"},
        {"sip:\n  listen: [\"sctp:127.0.0.1:5060\"]\n", "sip.listen"},
        {"sip:\n  listen: [\"udp:localhost:5060\"]\n", "sip.listen"},
        {"sip:\n  listen: [\"udp:127.0.0.1:5060\", \"udp:127.0.0.1:5060\"]\n", "sip.listen"},
        {"sip:\n  listen: [\"tcp:127.0.0.1:5061\", \"tls:127.0.0.1:5061\"]\n", "sip.listen"},
        {"sip:\n  listen: []\n", "sip.listen"},
        {"health:\n  listen: \"192.0.2.1:9070\"\n", "health.listen"},
        {"health:\n  listen: \"x\"\n", "health.listen"},
        {"redis:\n  address: \"redis.example:6379\"\n", "redis.address"},
        {"redis:\n  user: \"gc\"\n", "redis.user"},
        {"database:\n  conninfo: \"\"\n", "database.conninfo"},
        {"provisioning:\n  servers: [\"tls:127.0.0.1:5070\"]\n", "provisioning.servers"},
        {"provisioning:\n  servers: [\"udp:ps.example:5070\"]\n", "provisioning.servers"},
        {"provisioning:\n  code: \"6x1\"\n", "provisioning.code"},
        {"emergency:\n  next_hops: [\"sip:psap.example\"]\n", "emergency.next_hops"},
        {"emergency:\n  next_hops: [\"sip:911@127.0.0.1\"]\n", "emergency.next_hops"},
        {"emergency:\n  codes: [\"611\"]\n", "emergency.codes"},
        {"emergency:\n  codes: [\"9\"]\n", "emergency.codes"},
        {"peers:\n  trusted: [\"127.0.0.1:5060\"]\n", "peers.trusted"},
        {"peers:\n  trusted: [\"0.0.0.0\"]\n", "peers.trusted"},
        {"dialing:\n  country_code: \"+1\"\n", "dialing.country_code"},
        {"dialing:\n  national_digits: 14\n  country_code: \"999\"\n", "dialing.national_digits"},
        {"dialing:\n  area: \"2125550101\"\n", "dialing.area"},
        {"registration:\n  expires_default: 10\n", "registration.expires_default"},
        {"registration:\n  expires_default: 7200\n", "registration.expires_default"},
        {"calls:\n  session_expires: 80\n", "calls.session_expires"},
        {"state:\n  snapshot: \"/tmp/x\"\n  spill: \"/tmp/x\"\n", "state.spill"},
        {"sip:\n  lisen: [\"x\"]\n", ":2:3: no setting sip.lisen"},
        {"limits:\n  calls: 0\n", ":2:10: limits.calls"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct gc_settings s;
        struct gc_plan p;
        struct conf *conf = NULL;
        char why[256];
        enum err e = load(rows[i].yaml, &s, &p, why, &conf);
        if (e == E_OK || strstr(why, rows[i].why) == NULL) {
            fail_msg("row %zu (%s): %d '%s'", i, rows[i].why, (int)e, why);
        }
        conf_free(conf);
    }
}

static void next_hops(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        enum sip_proto proto;
        uint16_t port;
    } rows[] = {
        {"sip:192.0.2.9", true, SIP_UDP, 5060},
        {"sip:192.0.2.9:5080", true, SIP_UDP, 5080},
        {"SIP:192.0.2.9;transport=udp", true, SIP_UDP, 5060},
        {"sip:[2001:db8::9]:5062;transport=tcp", true, SIP_TCP, 5062},
        {"udp:192.0.2.9:5060", true, SIP_UDP, 5060},
        {"tcp:192.0.2.9", true, SIP_TCP, 5060},
        {"tls:192.0.2.9:5061", false, SIP_UDP, 0},
        {"sips:192.0.2.9", false, SIP_UDP, 0},
        {"sip:192.0.2.9;transport=tls", false, SIP_UDP, 0},
        {"sip:192.0.2.9;maddr=192.0.2.8", false, SIP_UDP, 0},
        {"sip:192.0.2.9?Subject=x", false, SIP_UDP, 0},
        {"sip:a@192.0.2.9", false, SIP_UDP, 0},
        {"sip:0.0.0.0", false, SIP_UDP, 0},
        {"udp:192.0.2.9:0", false, SIP_UDP, 0},
        {"tel:911", false, SIP_UDP, 0},
        {"192.0.2.9", false, SIP_UDP, 0},
        {"", false, SIP_UDP, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct gc_next_hop h = {.uri = "untouched"};
        enum err e = gc_next_hop_parse(view_of(rows[i].text), &h);
        if ((e == E_OK) != rows[i].good) {
            fail_msg("'%s': %s", rows[i].text, err_name(e));
        }
        if (rows[i].good) {
            assert_int_equal(h.proto, rows[i].proto);
            assert_int_equal(h.address.port, rows[i].port);
        } else {
            assert_int_equal(e, E_PARSE);
            assert_string_equal(h.uri, "untouched");
        }
    }
}

static char told[256];

static void restart(void *arg, const char *name)
{
    (void)arg;
    strcat(told, name);
    strcat(told, " ");
}

static void reloading(void **state)
{
    (void)state;
    struct gc_settings a, b, now;
    struct gc_plan p;
    struct conf *ca = NULL, *cb = NULL;
    char why[256];
    assert_int_equal(load("node:\n  name: one\n", &a, &p, why, &ca), E_OK);
    assert_int_equal(
        load("node:\n  name: one\nlimits:\n  drain: 5s\nlog:\n  level: debug\n", &b, &p, why, &cb),
        E_OK);
    told[0] = 0;
    gc_reload(&a, &b, &now, restart, NULL);
    assert_string_equal(told, "");
    assert_int_equal(now.drain_ms, 5000);
    assert_string_equal(now.log_level, "debug");
    conf_free(cb);
    assert_int_equal(load("node:\n  name: two\nlimits:\n  calls: 7\n  sessions: 77\n"
                          "emergency:\n  codes: [\"911\"]\n  next_hops: [\"udp:192.0.2.1:5060\"]\n"
                          "sip:\n  listen: [\"tls:[::1]:5061\"]\n  t1: 600ms\n"
                          "peers:\n  trusted: [\"192.0.2.7\"]\n"
                          "tls:\n  certificate: c.pem\n  key: k.pem\n",
                          &b, &p, why, &cb),
                     E_OK);
    gc_reload(&a, &b, &now, restart, NULL);
    assert_string_equal(told, "node.name sip.t1 emergency.codes limits.sessions ");
    assert_string_equal(now.node_name, "one");
    assert_int_equal(now.t1_ms, 500);
    assert_int_equal(now.emergency_codes.n, 2);
    assert_int_equal(now.max_calls, 7);
    assert_int_equal(now.max_sessions, 200000);
    assert_string_equal(now.emergency_next_hops.v[0], "udp:192.0.2.1:5060");
    assert_string_equal(now.sip_listen.v[0], "tls:[::1]:5061");
    assert_string_equal(now.trusted_peers.v[0], "192.0.2.7");
    assert_true(strstr(now.tls_certificate, "/c.pem") != NULL); /* beside the file */
    conf_free(cb);
    conf_free(ca);
}

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd >= 0 ? close(fd) : -1;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_make_sense), cmocka_unit_test(a_full_file),
        cmocka_unit_test(what_makes_no_sense), cmocka_unit_test(next_hops),
        cmocka_unit_test(reloading),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
