/* The command line, and what is printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "bti/options.h"
#include "bti/phone.h"
#include "bti/say.h"

#define MAX_WORDS 24

static enum err parse(const char *line, struct options *o, char *why)
{
    static char text[512];
    static char name[] = "bti";
    char *argv[MAX_WORDS] = {name}, *rest = text;
    int argc = 1;
    snprintf(text, sizeof text, "%s", line);
    for (char *w = strtok_r(text, " ", &rest); w; w = strtok_r(NULL, " ", &rest)) {
        assert_true(argc < MAX_WORDS);
        argv[argc++] = w;
    }
    return options_parse(argc, argv, o, why);
}

static struct options good(const char *line)
{
    struct options o;
    char why[OPTIONS_WHY_MAX];
    if (parse(line, &o, why) != E_OK) {
        fail_msg("%s: %s", line, why);
    }
    return o;
}

#define ENROLL "enroll --root r.pem --gc 127.0.0.1 --domain d.test"

static void enroll_words(void **state)
{
    (void)state;
    struct options o = good(ENROLL " --store s --local 127.0.0.9 --machine --work-order-file w"
                                   " --symmetric --force --digits-inband --mac 02:00:5e:10:00:ff");
    assert_int_equal(o.command, CMD_ENROLL);
    assert_string_equal(o.store, "s");
    assert_string_equal(o.root, "r.pem");
    assert_string_equal(o.domain, "d.test");
    assert_string_equal(o.work_order_file, "w");
    assert_true(o.machine && o.symmetric && o.force && o.digits_inband && o.has_mac);
    assert_memory_equal(o.mac, "\x02\x00\x5e\x10\x00\xff", 6);
    assert_int_equal(o.gc[0].port, 5060);
    assert_int_equal(o.transport, SIP_UDP);
    assert_int_equal(o.local.family, 4);
    o = good(ENROLL " --gc [::1]:5070 --transport tcp");
    assert_int_equal(o.gc[0].family, 6);
    assert_int_equal(o.gc[0].port, 5070);
    assert_int_equal(o.transport, SIP_TCP);
}

static void phone_words(void **state)
{
    (void)state;
    struct options o = good(
        "call +12125550102 --audio tone --duration 2 --record f.wav --store s --local 127.0.0.9");
    assert_int_equal(o.command, CMD_CALL);
    assert_string_equal(o.number, "+12125550102");
    assert_int_equal(o.audio, AUDIO_TONE);
    assert_int_equal(o.duration_s, 2);
    assert_int_equal(o.transport, SIP_TLS);
    o = good("call 911 --transport udp --gc 127.0.0.66:5060 --audio file:a.wav --send-digits 12#");
    assert_int_equal(o.transport, SIP_UDP);
    assert_int_equal(o.gc[0].port, 5060);
    assert_string_equal(o.audio_file, "a.wav");
    o = good("call 911 --gc 127.0.0.66 --gc [::1]:5070");
    assert_int_equal(o.n_gc, 2);
    assert_int_equal(o.gc[0].port, 0); /* the transport's own, which an emergency call may change */
    assert_int_equal(o.gc[1].port, 5070);
    o = good("listen --answer-after 300 --reject 486 --max-calls 3 --audio pipe --expires 60");
    assert_int_equal(o.answer_after_ms, 300);
    assert_int_equal(o.reject, 486);
    assert_int_equal(o.max_calls, 3);
    assert_int_equal(o.audio, AUDIO_PIPE);
    assert_int_equal(o.expires_s, 60);
    o = good("status -o json --local 127.0.0.9");
    assert_true(o.json);
    o = good("status --store a -o text");
    assert_false(o.json);
    assert_int_equal(good("listen --help").command, CMD_HELP);
    assert_int_equal(good("--version").command, CMD_VERSION);
}

static void bad_words(void **state)
{
    static const char *const lines[] = {
        "",
        "dial 911",
        "call",
        "call 911 912",
        "call abc",
        "call +",
        "call 1234567890123456789012345678901234",
        "call 911 --audio music",
        "call 911 --audio file:",
        "call 911 --duration x",
        "call 911 --duration -1",
        "call 911 --duration 99999999",
        "call 911 --duration",
        "call 911 --transport sctp",
        "call 911 --gc headgate.test:5060",
        "call 911 --gc 127.0.0.1 --gc 127.0.0.2 --gc 127.0.0.3 --gc 127.0.0.4 --gc 127.0.0.5",
        "call 911 --root r",
        "call 911 --send-digits 12x",
        "call 911 --from bob",
        "listen --reject 200",
        "listen --reject 700",
        "listen --expires 1",
        "listen +12125550102",
        "status -o yaml",
        "status --gc 127.0.0.1",
        "enroll",
        "enroll --root r --gc 127.0.0.1",
        "enroll --root r --domain d",
        "enroll --gc 127.0.0.1 --domain d",
        ENROLL " --transport tls",
        ENROLL " --digits 12a4",
        ENROLL " --digits 1 --work-order-file w",
        ENROLL " --digits 123456789012345678901234567890123",
        ENROLL " --mac 02:00:5e:10:00",
        ENROLL " --mac 02:00:5e:10:00:ff:00",
        ENROLL " --local nowhere",
        "enroll --root r --gc 127.0.0.1 --domain d<script>",
    };
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct options o;
        char why[OPTIONS_WHY_MAX] = "";
        if (parse(lines[i], &o, why) == E_OK) {
            fail_msg("taken: %s", lines[i]);
        }
        assert_true(strlen(why) > 5);
    }
}

static void no_home(void **state)
{
    struct options o;
    char why[OPTIONS_WHY_MAX];
    (void)state;
    char *home = getenv("HOME") ? strdup(getenv("HOME")) : NULL;
    setenv("HOME", "/h", 1);
    assert_int_equal(parse("status", &o, why), E_OK);
    assert_string_equal(o.store, "/h/.headgate-bti");
    unsetenv("HOME");
    assert_int_equal(parse("status", &o, why), E_PARSE);
    assert_int_equal(parse("status --store s", &o, why), E_OK);
    if (home) {
        setenv("HOME", home, 1);
        free(home);
    }
}

/* The only secret that a command line may hold does not stay there. */
static void digits_leave_argv(void **state)
{
    char a[] = "enroll", b[] = "--digits", c[] = "123456789012", d[] = "--root", e[] = "r",
         f[] = "--gc", g[] = "127.0.0.1", h[] = "--domain", i[] = "d";
    char *argv[] = {a, a, b, c, d, e, f, g, h, i};
    struct options o;
    char why[OPTIONS_WHY_MAX];
    (void)state;
    assert_int_equal(options_parse(10, argv, &o, why), E_OK);
    assert_string_equal(o.digits, "123456789012");
    for (size_t k = 0; k < sizeof c; k++) {
        assert_int_equal(c[k], 0);
    }
}

static void digit_texts(void **state)
{
    char b[8];
    size_t n = 0;
    (void)state;
    assert_int_equal(options_digits(VIEW("12 34-5\n"), true, b, sizeof b, &n), E_OK);
    assert_string_equal(b, "12345");
    assert_int_equal(n, 5);
    assert_int_equal(options_digits(VIEW("1*#A"), false, b, sizeof b, &n), E_OK);
    assert_int_equal(options_digits(VIEW("1*"), true, b, sizeof b, &n), E_PARSE);
    assert_int_equal(options_digits(VIEW(" \n"), true, b, sizeof b, &n), E_PARSE);
    assert_int_equal(options_digits(VIEW("1\0002"), false, b, sizeof b, &n), E_PARSE);
    assert_int_equal(options_digits(VIEW("12345678"), true, b, sizeof b, &n), E_RANGE);
}

static void events_are_json_whatever_comes(void **state)
{
    char *text = NULL;
    size_t n = 0;
    struct say s = {.machine = true, .to = open_memstream(&text, &n)};
    (void)state;
    say_event(&s, "incoming",
              FACTS(fact_view("from", VIEW("a\"b\\c\n\x1b[2J\xff")),
                    fact_number("n", 18446744073709551615ull), fact_flag("yes", true)),
              "plain %d", 1);
    fclose(s.to);
    assert_string_equal(text,
                        "{\"event\":\"incoming\",\"from\":\"a\\\"b\\\\c\\u000a\\u001b[2J\\u00ff\","
                        "\"n\":18446744073709551615,\"yes\":true}\n");
    free(text);
    s = (struct say){.machine = false, .to = open_memstream(&text, &n)};
    say_event(&s, "incoming", FACTS(fact_flag("x", false)), "from %s", "a\x1b[2J\nb");
    fclose(s.to);
    assert_string_equal(text, "from a?[2J?b\n");
    free(text);
}

static void gates_and_statuses(void **state)
{
    struct net_addr a;
    char text[NET_TEXT_MAX];
    (void)state;
    assert_int_equal(phone_gate_address("127.0.0.1:5060", SIP_TLS, &a), E_OK);
    net_text(&a, text);
    assert_string_equal(text, "127.0.0.1:5061");
    assert_int_equal(phone_gate_address("127.0.0.1:7000", SIP_UDP, &a), E_OK);
    assert_int_equal(a.port, 7000);
    assert_int_equal(phone_gate_address("[::1]", SIP_TCP, &a), E_OK);
    assert_int_equal(a.port, 5060);
    assert_int_not_equal(phone_gate_address("127.0.0.1:65535", SIP_TLS, &a), E_OK);
    assert_int_not_equal(phone_gate_address("gc.headgate.test:5060", SIP_TLS, &a), E_OK);
    assert_int_equal(phone_status_exit(486), BTI_EXIT_NOT_TAKEN);
    assert_int_equal(phone_status_exit(404), BTI_EXIT_NO_NUMBER);
    assert_int_equal(phone_status_exit(403), BTI_EXIT_DENIED);
    assert_int_equal(phone_status_exit(503), BTI_EXIT_UNREACHABLE);
    assert_int_equal(phone_status_exit(599), BTI_EXIT_UNREACHABLE);
    assert_int_equal(phone_status_exit(699), BTI_EXIT_NOT_TAKEN);
    assert_string_equal(phone_status_text(486), "busy");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(enroll_words),
        cmocka_unit_test(phone_words),
        cmocka_unit_test(bad_words),
        cmocka_unit_test(no_home),
        cmocka_unit_test(digits_leave_argv),
        cmocka_unit_test(digit_texts),
        cmocka_unit_test(events_are_json_whatever_comes),
        cmocka_unit_test(gates_and_statuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
