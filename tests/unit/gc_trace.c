#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/mem.h"
#include "gc/trace.h"

#define MESSAGES_MAX 600
#define HEX64        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define STARS64      "****************************************************************"

struct seen {
    size_t n;
    char octets[MESSAGES_MAX][2048];
    char text[MESSAGES_MAX][128];
    char note[MESSAGES_MAX][128];
    enum trace_mac mac[MESSAGES_MAX];
    uint64_t at_us[MESSAGES_MAX];
    struct net_addr from, to;
};

static struct clock_fake fake;
static struct seen seen;
static struct net_addr here, there;

static void collect(void *arg, const struct trace_entry *e)
{
    struct seen *s = arg;
    assert_true(s->n < MESSAGES_MAX);
    snprintf(s->octets[s->n], sizeof s->octets[0], "%.*s", (int)e->octets.n, e->octets.p);
    snprintf(s->text[s->n], sizeof s->text[0], "%.*s", (int)e->text.n, e->text.p);
    snprintf(s->note[s->n], sizeof s->note[0], "%.*s", (int)e->note.n, e->note.p);
    s->mac[s->n] = e->mac;
    s->at_us[s->n] = e->at_us;
    s->from = e->from;
    s->to = e->to;
    s->n++;
}

static struct trace *make(size_t ring, unsigned calls)
{
    struct trace *t = NULL;
    clock_fake_init(&fake, 1700000000000000ull);
    assert_int_equal(net_parse(VIEW("127.0.0.1:5060"), 0, &here), E_OK);
    assert_int_equal(net_parse(VIEW("[::1]:5061"), 0, &there), E_OK);
    assert_int_equal(trace_new(3, &fake.clock, ring, calls, &t), E_OK);
    return t;
}

static trace_ref begin(struct trace *t, const char *id, const char *call_id)
{
    struct trace_call c = {.caller = "+12125550101", .called = "5550102"};
    snprintf(c.id, sizeof c.id, "%s", id);
    snprintf(c.call_id, sizeof c.call_id, "%s", call_id);
    return trace_begin(t, &c);
}

static void message(struct trace *t, trace_ref r, const char *raw, const char *note)
{
    trace_message(t, r, &here, &there, TRACE_MAC_OK, view_of(raw), view_of(note));
}

static bool find(struct trace *t, const char *id, struct trace_call *out)
{
    memset(&seen, 0, sizeof seen);
    return trace_find(t, view_of(id), out, collect, &seen);
}

static void one_call_from_begin_to_end(void **state)
{
    (void)state;
    struct trace *t = make(65536, 8);
    struct trace_call c;
    trace_ref r = begin(t, "0123456789abcdef", "call-1@x");
    assert_true(r != 0);
    message(t, r, "INVITE sip:5550102@x SIP/2.0\r\nVia: y\r\n\r\n", "");
    clock_fake_advance(&fake, 1000);
    trace_note(t, r, VIEW("routed to +12125550102"));
    trace_route(t, r, VIEW("+12125550102"), VIEW("local"), 42);
    trace_state_set(t, r, TRACE_RINGING);
    assert_true(find(t, "call-1@x", &c));
    assert_int_equal(c.state, TRACE_RINGING);
    assert_true(c.answered_us == 0);
    clock_fake_advance(&fake, 1000);
    trace_state_set(t, r, TRACE_ANSWERED);
    uint64_t answered = fake.wall_us;
    clock_fake_advance(&fake, 1000);
    trace_state_set(t, r, TRACE_ANSWERED);
    assert_int_equal(trace_list(t, false, &c, 1), 1);
    trace_end(t, r, 200, "caller");
    assert_int_equal(trace_list(t, false, &c, 1), 0);
    assert_true(find(t, "0123456789abcdef", &c));
    assert_string_equal(c.routed, "+12125550102");
    assert_string_equal(c.route, "local");
    assert_string_equal(c.end_by, "caller");
    assert_int_equal(c.worker, 3);
    assert_int_equal(c.status, 200);
    assert_int_equal(c.state, TRACE_ENDED);
    assert_true(c.callee_line == 42 && c.answered_us == answered && c.ended_us == fake.wall_us);
    assert_true(c.started_us == 1700000000000000ull);
    assert_int_equal(seen.n, 2);
    assert_string_equal(seen.text[0], "INVITE sip:5550102@x SIP/2.0");
    assert_string_equal(seen.octets[0], "INVITE sip:5550102@x SIP/2.0\r\nVia: y\r\n\r\n");
    assert_string_equal(seen.text[1], "");
    assert_string_equal(seen.note[1], "routed to +12125550102");
    assert_int_equal(seen.mac[0], TRACE_MAC_OK);
    assert_int_equal(seen.mac[1], TRACE_MAC_NA);
    assert_true(seen.at_us[1] == seen.at_us[0] + 1000);
    assert_false(find(t, "0123456789abcdee", &c));
    trace_free(t);
    assert_int_equal(mem_live(), 0);
}

static void addresses_are_kept(void **state)
{
    (void)state;
    struct trace *t = make(65536, 8);
    struct trace_call c;
    message(t, begin(t, "1", "a"), "x", "why");
    assert_true(find(t, "a", &c));
    assert_true(net_eq(&seen.from, &here) && net_eq(&seen.to, &there));
    assert_string_equal(seen.note[0], "why");
    trace_free(t);
}

static void key_material_is_never_kept(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *kept;
    } rows[] = {
        {"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^20|1:4\r\nm=",
         "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:*****************\r\nm="},
        {"a=crypto:1 X inline:AAAA;inline:BBBB FEC\r\n",
         "a=crypto:1 X inline:********************\r\n"},
        {"a=crypto:1 X INLINE: AAAA\n", "a=crypto:1 X INLINE:*****\n"},
        {"k=base64:c2VjcmV0\r\n", "k=***************\r\n"},
        {"v=0\rk=clear:x\r", "v=0\rk=*******\r"},
        {"a=key-mgmt:mikey AQAF\r\n", "a=key-mgmt:**********\r\n"},
        {"inline:", "inline:"},
        {"inline:x", "inline:*"},
        {"k=", "k="},
        {"k", "k"},
        {"Proxy-Authorization: BTI-MAC kid=00, seq=1, mac=" HEX64 "\r\nTo: x\r\n",
         "Proxy-Authorization: BTI-MAC kid=00, seq=1, mac=" STARS64 "\r\nTo: x\r\n"},
        {"Authentication-Info: kid=00, seq=1, MAC=\"" HEX64 "\"\r\n",
         "Authentication-Info: kid=00, seq=1, MAC=\"" STARS64 "\"\r\n"},
        {"a: mac=" HEX64 ", mac=" HEX64, "a: mac=" STARS64 ", mac=" STARS64},
        {"To: <sip:x;mac=abc>\r\n", "To: <sip:x;mac=abc>\r\n"},
        {"o=k= inlined\r\nm=audio\r\n", "o=k= inlined\r\nm=audio\r\n"},
        {"INVITE x SIP/2.0\r\nP-DCS-LAES: 192.0.2.1:5\r\nk=x\r\n", "INVITE x SIP/2.0\r\nk=*\r\n"},
    };
    struct trace *t = make(65536, 64);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char id[17];
        struct trace_call c;
        snprintf(id, sizeof id, "row%zu", i);
        message(t, begin(t, id, ""), rows[i].raw, "why");
        assert_true(find(t, id, &c));
        assert_string_equal(seen.octets[0], rows[i].kept);
        assert_string_equal(seen.note[0], "why");
    }
    trace_free(t);
}

/* Whatever stands around it, a key after "inline:" on its line does not get through. */
static void no_neighbour_lets_a_key_through(void **state)
{
    (void)state;
    struct trace *t = make(65536, 8);
    struct trace_call c;
    for (int octet = 1; octet < 256; octet++) {
        if (octet == '\r' || octet == '\n') {
            continue; /* it ends the line: not a=crypto any more */
        }
        char raw[64];
        snprintf(raw, sizeof raw, "%ca=crypto:1 X%cinline:%cTOPSECRET%c\r\n", octet, octet, octet,
                 octet);
        trace_ref r = begin(t, "k", "k");
        message(t, r, raw, "");
        trace_end(t, r, 200, "caller");
        assert_true(find(t, "k", &c));
        assert_null(strstr(seen.octets[0], "TOPSECRET"));
        clock_fake_advance(&fake, 1);
    }
    trace_free(t);
}

/* Against a plain list: the newest entries of each call come back whole and in order. */
static void the_ring_keeps_the_newest(void **state)
{
    (void)state;
    enum { CALLS = 5, TURNS = 3000 };
    struct trace *t = make(8192, 8);
    trace_ref r[CALLS];
    int last[CALLS] = {0};
    uint32_t x = 7;
    for (int i = 0; i < CALLS; i++) {
        char id[17];
        snprintf(id, sizeof id, "id%d", i);
        r[i] = begin(t, id, id);
    }
    for (int turn = 1; turn <= TURNS; turn++) {
        x = x * 1664525u + 1013904223u;
        int call = (int)(x >> 8) % CALLS;
        char raw[1024];
        int n = snprintf(raw, sizeof raw, "%d %d ", call, ++last[call]);
        memset(raw + n, 'a' + call, (x >> 16) % 900);
        raw[n + (int)((x >> 16) % 900)] = 0;
        message(t, r[call], raw, "n");
        struct trace_call c;
        char id[17];
        snprintf(id, sizeof id, "id%d", call);
        assert_true(find(t, id, &c));
        assert_true(seen.n >= 1);
        for (size_t i = 0; i < seen.n; i++) {
            int of = -1, number = -1;
            assert_int_equal(sscanf(seen.octets[i], "%d %d", &of, &number), 2);
            assert_int_equal(of, call);
            assert_int_equal(number, last[call] - (int)(seen.n - 1 - i));
        }
        assert_string_equal(seen.octets[seen.n - 1], raw);
    }
    trace_free(t);
}

static void records_are_reused_oldest_ended_first(void **state)
{
    (void)state;
    struct trace *t = make(8192, 2);
    struct trace_call c[4];
    trace_ref a = begin(t, "a", "a");
    trace_ref b = begin(t, "b", "b");
    assert_true(a != 0 && b != 0);
    assert_int_equal(begin(t, "c", "c"), 0); /* both are live */
    trace_message(t, 0, &here, &there, TRACE_MAC_OK, VIEW("x"), VIEW(""));
    trace_end(t, 0, 200, "caller");
    trace_end(t, a, 486, "callee");
    trace_ref d = begin(t, "d", "d");
    assert_true(d != 0);
    assert_false(find(t, "a", &c[0]));
    message(t, a, "of a call that is gone", ""); /* a stale handle changes nothing */
    trace_end(t, a, 500, "gate");
    assert_true(find(t, "d", &c[0]));
    assert_int_equal(seen.n, 0);
    assert_int_equal(c[0].state, TRACE_TRYING);
    assert_int_equal(trace_list(t, false, c, 4), 2);
    assert_string_equal(c[0].id, "d"); /* newest first */
    assert_string_equal(c[1].id, "b");
    clock_fake_advance(&fake, 5);
    trace_end(t, d, 0, NULL);
    trace_end(t, b, 0, NULL);
    assert_int_equal(trace_list(t, true, c, 4), 2);
    assert_string_equal(c[0].id, "b");
    assert_string_equal(c[1].id, "d");
    assert_int_equal(trace_list(t, true, c, 1), 1);
    assert_string_equal(c[0].id, "b");
    trace_free(t);
}

static void the_newest_of_one_call_id_is_found(void **state)
{
    (void)state;
    struct trace *t = make(8192, 4);
    struct trace_call c;
    trace_end(t, begin(t, "first", "same"), 200, "caller");
    clock_fake_advance(&fake, 10);
    begin(t, "second", "same");
    assert_true(find(t, "same", &c));
    assert_string_equal(c.id, "second");
    trace_free(t);
}

static void long_things_are_cut(void **state)
{
    (void)state;
    struct trace *t = make(8192, 4);
    struct trace_call c;
    static char big[20000];
    memset(big, 'x', sizeof big - 1);
    trace_ref r = begin(t, "a", "a");
    trace_message(t, r, &here, &there, TRACE_MAC_BAD, view_of(big), view_of(big));
    trace_route(t, r, view_of(big), view_of(big), 0);
    assert_true(find(t, "a", &c));
    assert_int_equal(seen.n, 1);
    assert_int_equal(strlen(c.route), sizeof c.route - 1);
    trace_free(t);
}

static void limits_of_making(void **state)
{
    (void)state;
    struct trace *t = NULL;
    assert_int_equal(trace_new(0, &fake.clock, 100, 4, &t), E_RANGE);
    assert_int_equal(trace_new(0, &fake.clock, 8192, 0, &t), E_RANGE);
    assert_int_equal(trace_new(0, &fake.clock, 8192, 70000, &t), E_RANGE);
    for (long i = 0; i < 3; i++) {
        mem_fail_at(i);
        assert_int_equal(trace_new(0, &fake.clock, 8192, 4, &t), E_NOMEM);
    }
    mem_fail_at(-1);
    assert_null(t);
    assert_int_equal(mem_live(), 0);
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(trace_mac_name(TRACE_MAC_NONE), "none");
    assert_string_equal(trace_mac_name(TRACE_MAC_REPLAY), "replay");
    assert_string_equal(trace_mac_name(TRACE_MAC_MADE), "made");
    assert_string_equal(trace_mac_name(TRACE_MAC_NA), "-");
    assert_string_equal(trace_state_name(TRACE_ENDED), "ended");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_call_from_begin_to_end),
        cmocka_unit_test(addresses_are_kept),
        cmocka_unit_test(key_material_is_never_kept),
        cmocka_unit_test(no_neighbour_lets_a_key_through),
        cmocka_unit_test(the_ring_keeps_the_newest),
        cmocka_unit_test(records_are_reused_oldest_ended_first),
        cmocka_unit_test(the_newest_of_one_call_id_is_found),
        cmocka_unit_test(long_things_are_cut),
        cmocka_unit_test(limits_of_making),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
