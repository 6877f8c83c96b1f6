#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/mem.h"
#include "gc/stir_replay.h"

static const uint8_t half[32] = {1, 2, 3}, other_half[32] = {1, 2, 4};

static void one_token_one_call(void **state)
{
    (void)state;
    struct stir_replay *r = NULL;
    assert_int_equal(stir_replay_new(64, 120, &r), E_OK);
    assert_false(stir_replay_seen(r, VIEW("token"), half, 7, 1000));
    assert_false(stir_replay_seen(r, VIEW("token"), half, 7, 1001)); /* the same call again */
    assert_true(stir_replay_seen(r, VIEW("token"), half, 8, 1001));
    assert_true(stir_replay_seen(r, VIEW("token"), half, 8, 1119)); /* that does not prolong it */
    assert_false(stir_replay_seen(r, VIEW("token"), half, 8, 1120));
    assert_false(stir_replay_seen(r, VIEW("token2"), half, 9, 1000));
    assert_false(stir_replay_seen(r, VIEW("token"), other_half, 9, 1000));
    stir_replay_free(r);
}

/* Thousands of tokens: none is forgotten while it is fresh and the table has room, and the table
 * never grows. */
static void many(void **state)
{
    (void)state;
    struct stir_replay *r = NULL;
    size_t live = mem_live();
    unsigned missed = 0;
    char token[32];
    assert_int_equal(stir_replay_new(65536, 120, &r), E_OK);
    assert_int_equal(mem_live(), live + 1);
    for (unsigned i = 0; i < 10000; i++) {
        int n = snprintf(token, sizeof token, "token %u", i);
        assert_false(stir_replay_seen(r, view_from(token, (size_t)n), half, i, 1000));
    }
    for (unsigned i = 0; i < 10000; i++) {
        int n = snprintf(token, sizeof token, "token %u", i);
        missed += !stir_replay_seen(r, view_from(token, (size_t)n), half, i + 1, 1060);
    }
    assert_true(missed <= 2);               /* a row of eight places may get a ninth */
    for (unsigned i = 0; i < 200000; i++) { /* past all room */
        int n = snprintf(token, sizeof token, "more %u", i);
        assert_false(stir_replay_seen(r, view_from(token, (size_t)n), half, i, 1060));
    }
    assert_int_equal(mem_live(), live + 1);
    stir_replay_free(r);
    assert_int_equal(mem_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_token_one_call),
        cmocka_unit_test(many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
