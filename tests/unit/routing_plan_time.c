#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "routing/plan_time.h"

#define N(a) (sizeof(a) / sizeof *(a))

static void words(void **state)
{
    (void)state;
    const struct {
        const char *in, *out;
        struct route_time t;
    } cases[] = {
        {"always", "always", {0}},
        {"daily", "always", {.days = 127}},
        {"mon-fri", "mon-fri", {.days = 31}},
        {"SAT,sun", "sat-sun", {.days = 96}},
        {"fri-mon", "mon,fri-sun", {.days = 113}},
        {"wed", "wed", {.days = 4}},
        {"mon,wed,fri-sat", "mon,wed,fri-sat", {.days = 53}},
        {"08:00-18:00", "daily 08:00-18:00", {.from_min = 480, .to_min = 1080}},
        {"22:00-06:00", "daily 22:00-06:00", {.from_min = 1320, .to_min = 360}},
        {"18:00-24:00", "daily 18:00-00:00", {.from_min = 1080}},
        {"  mon-fri  08:00-18:00   +01:00 ",
         "mon-fri 08:00-18:00 +01:00",
         {.days = 31, .from_min = 480, .to_min = 1080, .utc_offset_min = 60}},
        {"sun -05:30", "sun -05:30", {.days = 64, .utc_offset_min = -330}},
        {"daily 00:00-00:01 utc", "daily 00:00-00:01", {.days = 127, .to_min = 1}},
    };
    for (size_t i = 0; i < N(cases); i++) {
        struct route_time t = {.days = 99}, again = {.days = 99};
        char text[ROUTE_TIME_TEXT_MAX];
        assert_int_equal(route_time_parse(view_of(cases[i].in), &t), E_OK);
        if (t.days != cases[i].t.days || t.from_min != cases[i].t.from_min ||
            t.to_min != cases[i].t.to_min || t.utc_offset_min != cases[i].t.utc_offset_min) {
            fail_msg("%s", cases[i].in);
        }
        route_time_text(&t, text);
        assert_string_equal(text, cases[i].out);
        assert_int_equal(route_time_parse(view_of(text), &again), E_OK);
        assert_true(again.from_min == t.from_min && again.to_min == t.to_min);
    }
}

static void no_words(void **state)
{
    (void)state;
    const char *const bad[] = {
        "",
        " ",
        "monday",
        "mon-",
        "-fri",
        "mon,",
        ",mon",
        "mon,,tue",
        "8:00-18:00",
        "08:00",
        "08:00-25:00",
        "08:60-09:00",
        "24:00-06:00",
        "08:00-08:00",
        "+1:00",
        "+15:00",
        "01:00",
        "mon mon",
        "08:00-18:00 mon",
        "always mon",
        "mon +01:00 08:00-09:00",
        "mon\t08:00-18:00",
    };
    for (size_t i = 0; i < N(bad); i++) {
        struct route_time t = {.days = 99};
        if (route_time_parse(view_of(bad[i]), &t) != E_PARSE || t.days != 99) {
            fail_msg("taken: '%s'", bad[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(words), cmocka_unit_test(no_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
