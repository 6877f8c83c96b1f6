/* Calls that one run leaves to the next. */
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

#include "base/mem.h"
#include "lawful_intercept/calls.h"
#include "lawful_intercept/li_kept.h"

#define SECOND 1000000ull
#define BEGIN  (1700000000 * SECOND)
#define ID     "00112233445566aa"
#define SDP    "v=0\r\nm=audio 4000 RTP/SAVP 0\r\na=crypto:1 AES inline:c2VjcmV0\r\n"
enum { ALICE = 7, BOB = 8 };

struct world {
    struct li_calls *calls;
    char said[16][64];
    unsigned n;
    uint64_t at_us;
    char path[64], content[2][16];
    unsigned n_contents;
};

static void call_data(void *arg, const struct li_order *o, const struct cdc_message *m)
{
    struct world *w = arg;

    assert_true(w->n < 16);
    snprintf(w->said[w->n++], sizeof w->said[0], "%u %s", (unsigned)o->id, cdc_kind_name(m->kind));
    if (m->kind == CDC_CCOPEN || m->kind == CDC_CCCLOSE) {
        snprintf(w->content[w->n_contents++ % 2], 16, "%.*s", (int)m->content.both.n,
                 m->content.both.p);
    }
}

static void signaling(void *arg, const struct li_order *o, enum li_direction direction,
                      uint64_t correlation, const struct tap_record *r, struct view octets)
{
    (void)arg;
    (void)o;
    (void)direction;
    (void)correlation;
    (void)r;
    (void)octets;
}

static void start(struct world *w, const char *key_text)
{
    struct li_order o = {.id = 1,
                         .type = LI_CONTENT,
                         .line = ALICE,
                         .starts_us = BEGIN,
                         .ends_us = BEGIN + 3600 * SECOND,
                         .case_id = "CASE-1",
                         .version = 4};
    struct li_orders all = {&o, 1};
    struct secret key;
    struct li_calls_cfg cfg = {.element = "GC1", .key = &key, .sink = {call_data, signaling, w}};

    assert_int_equal(secret_set(&key, key_text, 32), E_OK);
    assert_int_equal(li_calls_new(&cfg, &w->calls), E_OK);
    assert_int_equal(li_calls_orders(w->calls, &all), E_OK);
    w->n = 0;
}
#define KEY "0123456789abcdef0123456789abcdef"

static void feed_at(struct world *w, struct tap_record r, uint64_t at_us, bool silent)
{
    r.at_us = at_us;
    r.is_proven = true;
    r.party = TAP_LINE;
    r.text[0] = VIEW(ID);
    li_calls_record(w->calls, &r, silent);
}

static struct tap_record message(enum tap_kind kind, uint64_t line, const char *octets)
{
    return (struct tap_record){.kind = kind, .line = line, .text = {VIEW(""), view_of(octets)}};
}
#define HEAD(start)                                                                                \
    start "\r\nFrom: <sip:a@h>;tag=a\r\nTo: <sip:b@h>;tag=b\r\nCSeq: 1 INVITE\r\n"                 \
          "Content-Type: application/sdp\r\n\r\n" SDP

static void keep(struct world *w)
{
    uint8_t *octets = NULL;
    size_t n = 0;

    assert_true(li_kept_is_old(w->calls));
    assert_int_equal(li_kept_seal(w->calls, &octets, &n), E_OK);
    assert_false(li_kept_is_old(w->calls));
    assert_int_equal(li_kept_put(w->path, octets, n), E_OK);
    mem_free(octets);
}

/* From its beginning to its answer; the state on disk. */
static void begin_call(struct world *w)
{
    struct tap_record begin = {
        .kind = TAP_CALL_BEGIN,
        .line = ALICE,
        .text = {VIEW(""), VIEW("x@y"), VIEW("+12125550101"), VIEW("2125550102")}};
    struct tap_record route = {
        .kind = TAP_CALL_ROUTE, .line = BOB, .text = {VIEW(""), VIEW("+12125550102"), VIEW("l")}};

    feed_at(w, begin, BEGIN + 1, false);
    feed_at(w, route, BEGIN + 2, false);
    feed_at(w, message(TAP_MESSAGE_IN, ALICE, HEAD("INVITE sip:b@h SIP/2.0")), BEGIN + 3, false);
    feed_at(w, message(TAP_MESSAGE_IN, BOB, HEAD("SIP/2.0 200 OK")), BEGIN + 4, false);
    assert_int_equal(w->n, 3);
    keep(w);
    li_calls_free(w->calls);
}

static void check(const struct world *w, unsigned n, const char *first, const char *second)
{
    assert_int_equal(w->n, n);
    if (n > 0) {
        assert_string_equal(w->said[0], first);
    }
    if (n > 1) {
        assert_string_equal(w->said[1], second);
    }
}

static void a_call_whose_beginning_is_lost_is_closed(void **state)
{
    struct world *w = *state;
    struct li_calls_facts facts;

    begin_call(w);
    start(w, KEY);
    assert_int_equal(li_kept_read(w->calls, w->path), E_OK);
    li_calls_facts_of(w->calls, &facts);
    assert_true(facts.calls == 1 && facts.legs == 1);
    li_calls_tick(w->calls, BEGIN + 5); /* it joined long ago */
    feed_at(w, message(TAP_MESSAGE_IN, BOB, HEAD("SIP/2.0 200 OK")), BEGIN + 6, false);
    assert_int_equal(w->n, 0);
    feed_at(w, (struct tap_record){.kind = TAP_CALL_END}, BEGIN + 7, false);
    check(w, 2, "1 CCClose", "1 Release");
    assert_int_equal(w->n_contents, 2);
    assert_string_equal(w->content[0], w->content[1]);
    li_calls_free(w->calls);
}

static void what_was_known_is_not_told_again(void **state)
{
    struct world *w = *state;

    begin_call(w);
    start(w, KEY);
    assert_int_equal(li_kept_read(w->calls, w->path), E_OK);
    /* the position is older than the calls: the spools had this already */
    feed_at(w,
            (struct tap_record){.kind = TAP_CALL_ROUTE,
                                .line = BOB + 1,
                                .text = {VIEW(""), VIEW("+12125550103"), VIEW("l")}},
            BEGIN + 3, false);
    assert_int_equal(w->n, 0);
    /* it is younger: what is read again happened */
    feed_at(w, (struct tap_record){.kind = TAP_CALL_END}, BEGIN + 7, true);
    assert_int_equal(w->n, 0);
    li_calls_gone(w->calls, BEGIN + 8);
    assert_int_equal(w->n, 0);
    li_calls_free(w->calls);
}

static void calls_of_a_gate_that_is_gone(void **state)
{
    struct world *w = *state;

    begin_call(w);
    start(w, KEY);
    assert_int_equal(li_kept_read(w->calls, w->path), E_OK);
    li_calls_gone(w->calls, BEGIN + 8);
    check(w, 2, "1 CCClose", "1 Release");
    keep(w);
    li_calls_free(w->calls);
    start(w, KEY);
    assert_int_equal(li_kept_read(w->calls, w->path), E_OK);
    li_calls_gone(w->calls, BEGIN + 9);
    assert_int_equal(w->n, 0);
    li_calls_free(w->calls);
}

static void what_lies_there_is_sealed(void **state)
{
    struct world *w = *state;
    char octets[8192];
    size_t n = 0;
    FILE *f = NULL;
    struct li_calls_facts facts;

    begin_call(w);
    f = fopen(w->path, "r+b");
    assert_non_null(f);
    n = fread(octets, 1, sizeof octets, f);
    assert_null(memmem(octets, n, "inline", 6));
    assert_null(memmem(octets, n, "2125550101", 10));
    start(w, "1123456789abcdef0123456789abcdef");
    assert_int_equal(li_kept_read(w->calls, w->path), E_AUTH);
    li_calls_free(w->calls);
    start(w, KEY);
    octets[n / 2] ^= 1;
    rewind(f);
    assert_int_equal(fwrite(octets, 1, n, f), n);
    fclose(f);
    assert_int_equal(li_kept_read(w->calls, w->path), E_AUTH);
    assert_int_equal(truncate(w->path, 5), 0);
    assert_int_equal(li_kept_read(w->calls, w->path), E_PARSE);
    assert_int_equal(unlink(w->path), 0);
    assert_int_equal(li_kept_read(w->calls, w->path), E_NOTFOUND);
    li_calls_facts_of(w->calls, &facts);
    assert_int_equal(facts.calls, 0);
    li_calls_free(w->calls);
}

static int enter(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    int fd = -1;

    snprintf(w->path, sizeof w->path, "/tmp/headgate-kept.XXXXXX");
    fd = mkstemp(w->path);
    assert_true(fd >= 0);
    close(fd);
    start(w, KEY);
    *state = w;
    return 0;
}

static int leave(void **state)
{
    struct world *w = *state;

    unlink(w->path);
    free(w);
    return 0;
}

int main(void)
{
#define IN_WORLD(f) cmocka_unit_test_setup_teardown(f, enter, leave)
    const struct CMUnitTest tests[] = {
        IN_WORLD(a_call_whose_beginning_is_lost_is_closed),
        IN_WORLD(what_was_known_is_not_told_again),
        IN_WORLD(calls_of_a_gate_that_is_gone),
        IN_WORLD(what_lies_there_is_sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
