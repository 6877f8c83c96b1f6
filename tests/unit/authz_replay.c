#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "authz/bti_mac.h"
#include "authz/replay.h"

static void window_table(void **state)
{
    (void)state;
    struct replay r = {0};
    assert_int_equal(replay_check(&r, 0), REPLAY_TOO_OLD);
    assert_int_equal(replay_check(&r, 1), REPLAY_FRESH);
    replay_mark(&r, 1);
    assert_int_equal(replay_check(&r, 1), REPLAY_SEEN);
    replay_mark(&r, 1024);
    assert_int_equal(replay_check(&r, 1), REPLAY_SEEN);
    assert_int_equal(replay_check(&r, 2), REPLAY_FRESH);
    replay_mark(&r, 1025);
    assert_int_equal(replay_check(&r, 1), REPLAY_TOO_OLD);
    replay_mark(&r, UINT64_MAX);
    assert_int_equal(replay_check(&r, UINT64_MAX), REPLAY_SEEN);
    assert_int_equal(replay_check(&r, UINT64_MAX - 1023), REPLAY_FRESH);
    assert_int_equal(replay_check(&r, UINT64_MAX - 1024), REPLAY_TOO_OLD);
}

static void agrees_with_a_plain_list(void **state)
{
    (void)state;
    static bool seen[20001];
    struct replay r = {0};
    uint64_t top = 0;
    uint32_t x = 1;
    for (int i = 0; i < 100000; i++) {
        x = x * 1664525u + 1013904223u;
        uint64_t base = top > 1100 ? top - 1100 : 0;
        uint64_t seq = base + (x >> 8) % (i % 50 == 0 ? 2500 : 1103);
        if (seq == 0 || seq > 20000) {
            continue;
        }
        bool old = seq + REPLAY_WINDOW <= top;
        enum replay_verdict want = old ? REPLAY_TOO_OLD : seen[seq] ? REPLAY_SEEN : REPLAY_FRESH;
        assert_int_equal(replay_check(&r, seq), want);
        replay_mark(&r, seq);
        if (!old) {
            seen[seq] = true;
            top = seq > top ? seq : top;
        }
    }
    assert_true(top > 10000);
}

static void floor_closes_what_is_below(void **state)
{
    (void)state;
    struct replay r = {0};
    replay_floor(&r, 100);
    assert_int_equal(replay_check(&r, 100), REPLAY_SEEN);
    assert_int_equal(replay_check(&r, 1), REPLAY_SEEN);
    replay_mark(&r, 110);
    assert_int_equal(replay_check(&r, 105), REPLAY_FRESH);
    replay_floor(&r, 105);
    assert_int_equal(replay_check(&r, 105), REPLAY_SEEN);
    assert_int_equal(replay_check(&r, 106), REPLAY_FRESH);
    replay_floor(&r, UINT64_MAX);
    assert_int_equal(replay_check(&r, UINT64_MAX), REPLAY_SEEN);
}

static void mac_covers_every_octet(void **state)
{
    (void)state;
    struct secret s = {.n = 32};
    struct hmac_key *k = NULL;
    const uint8_t kid[16] = {1, 2};
    char value[BTI_MAC_VALUE_MAX];
    char msg[512] = "INVITE sip:611@x SIP/2.0\r\nProxy-Authorization: ";
    struct bti_mac m;
    assert_int_equal(hmac_key_new(&s, &k), E_OK);
    size_t at = strlen(msg);
    size_t n = bti_mac_format(true, kid, UINT64_MAX, value);
    memcpy(msg + at, value, n + 1);
    strcat(msg, "\r\n\r\nbody");
    size_t all = strlen(msg);
    assert_int_equal(bti_mac_fill(k, msg, all, at + n - BTI_MAC_DIGITS), E_OK);
    assert_int_equal(bti_mac_parse(view_from(msg + at, n), true, &m), E_OK);
    assert_true(m.seq == UINT64_MAX);
    assert_int_equal(bti_mac_verify(k, view_from(msg, all), m.digits), E_OK);
    for (size_t i = 0; i < all; i++) {
        msg[i] ^= 1;
        assert_int_not_equal(bti_mac_verify(k, view_from(msg, all), m.digits), E_OK);
        msg[i] ^= 1;
    }
    hmac_key_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(window_table),
        cmocka_unit_test(agrees_with_a_plain_list),
        cmocka_unit_test(floor_closes_what_is_below),
        cmocka_unit_test(mac_covers_every_octet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
