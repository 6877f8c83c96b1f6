/* Log lines are JSON whatever the octets are; numbers are masked; a flood is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>
#include <jansson.h>

#include "base/log.h"

static FILE *sink;

static int setup(void **state)
{
    (void)state;
    sink = tmpfile();
    log_init("unit", LV_INFO);
    log_set_fd(fileno(sink));
    log_limit(0, 0);
    return sink != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    log_set_fd(2);
    return fclose(sink);
}

/* All that was written since the last call; lines are at most 2048 octets each. */
static size_t taken(char *dst, size_t max)
{
    off_t end = lseek(fileno(sink), 0, SEEK_END);
    ssize_t n = 0;
    assert_true(end >= 0 && (size_t)end < max);
    n = pread(fileno(sink), dst, max - 1, 0);
    assert_int_equal(n, end);
    dst[n] = 0;
    assert_int_equal(ftruncate(fileno(sink), 0), 0);
    assert_int_equal(lseek(fileno(sink), 0, SEEK_SET), 0);
    return (size_t)n;
}

/* The one line that was written. */
static json_t *line(void)
{
    char text[8192];
    size_t n = taken(text, sizeof text);
    json_t *j = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    assert_true(n > 0 && n <= 2048);
    assert_ptr_equal(strchr(text, '\n'), text + n - 1);
    assert_non_null(j);
    return j;
}

static const char *text_of(json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    return s != NULL ? s : "(none)";
}

static void typed_fields(void **state)
{
    (void)state;
    LOG(LV_WARN, "unit.typed", KV("i", INT64_MIN), KV("u", INT64_MAX + 0ul), KV("t", "x"),
        KV("v", VIEW("a\0b")), KV_ERR(E_PARSE), KV("none", (const char *)NULL));
    json_t *j = line();
    assert_string_equal(text_of(j, "level"), "warn");
    assert_string_equal(text_of(j, "prog"), "unit");
    assert_string_equal(text_of(j, "event"), "unit.typed");
    assert_int_equal(strlen(text_of(j, "ts")), strlen("2024-01-01T00:00:00.000Z"));
    assert_true(json_integer_value(json_object_get(j, "i")) == INT64_MIN);
    assert_true(json_integer_value(json_object_get(j, "u")) == INT64_MAX);
    assert_int_equal(json_string_length(json_object_get(j, "v")), 3);
    assert_string_equal(text_of(j, "t"), "x");
    assert_string_equal(text_of(j, "err"), "E_PARSE");
    assert_string_equal(text_of(j, "none"), "");
    json_decref(j);
}

/* Every octet alone, and all of them at once: printable ASCII stays, the rest is escaped. */
static void hostile_octets(void **state)
{
    (void)state;
    char all[256], text[8192];
    for (int c = 0; c < 256; c++) {
        char one = (char)c;
        all[c] = one;
        LOG(LV_INFO, "unit.octet", KV("x", view_from(&one, 1)));
        size_t n = taken(text, sizeof text);
        json_t *j = json_loads(text, JSON_ALLOW_NUL, NULL);
        assert_non_null(j);
        for (size_t i = 0; i + 1 < n; i++) {
            assert_in_range((unsigned char)text[i], 0x20, 0x7e);
        }
        if (c < 0x80) {
            json_t *x = json_object_get(j, "x");
            assert_int_equal(json_string_length(x), 1);
            assert_int_equal(json_string_value(x)[0], c);
        }
        json_decref(j);
    }
    LOG(LV_INFO, "unit.octets", KV("x", view_from(all, 256)), KV("y", VIEW("\xc3\x28\xff\xfe")));
    (void)taken(text, sizeof text);
    json_t *j = json_loads(text, JSON_ALLOW_NUL, NULL);
    assert_non_null(j);
    json_decref(j);
}

/* Fields of every length at every place: the line is whole JSON, and says when it is not whole. */
static void long_lines_stay_json(void **state)
{
    (void)state;
    static const char fill[] = {'a', '"', '\\', '\n', (char)0xff};
    static char text[4096];
    size_t wholes = 0;
    for (size_t n = 1500; n < 4000; n++) {
        memset(text, fill[n % sizeof fill], n);
        struct view v = view_from(text, n / (n % sizeof fill == 0 ? 1 : 4));
        LOG(LV_INFO, "unit.long", KV("a", v), KV("number", INT64_MIN), KV("b", v), KV("c", "end"),
            KV_DIGITS("d", VIEW("+12125550123")));
        json_t *j = line();
        size_t shown = v.n * (n % sizeof fill == 4 ? 2 : 1); /* 0xff is two octets of UTF-8 */
        json_t *number = json_object_get(j, "number");
        bool whole = strlen(text_of(j, "a")) == shown && strlen(text_of(j, "b")) == shown &&
                     number != NULL && strcmp(text_of(j, "c"), "end") == 0 &&
                     strcmp(text_of(j, "d"), "**********23") == 0;
        wholes += whole;
        if (whole != !json_is_true(json_object_get(j, "cut")) ||
            (number != NULL && json_integer_value(number) != INT64_MIN)) {
            fail_msg("%zu octets: whole is %d", n, whole);
        }
        json_decref(j);
    }
    assert_in_range(wholes, 100, 2400);
    memset(text, 'k', 2000);
    text[2000] = 0;
    LOG(LV_INFO, "unit.long", KV(text, "x"), KV("c", "end")); /* one key that fits nowhere */
    json_t *j = line();
    assert_string_equal(text_of(j, "c"), "end");
    assert_true(json_is_true(json_object_get(j, "cut")));
    json_decref(j);
}

static void digits_are_masked(void **state)
{
    (void)state;
    const struct {
        const char *number, *shown;
    } rows[] = {
        {"+12125550123", "**********23"},
        {"911", "*11"},
        {"11", "11"},
        {"", ""},
        {"0123456789012345678901234567890123456789", "********************************89"},
        {"12\"\\", "**\"\\"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int level = LV_INFO; level <= LV_DEBUG; level++) {
            log_set_level((enum log_level)level);
            LOG(LV_INFO, "unit.masked", KV_DIGITS("n", view_of(rows[i].number)));
            json_t *j = line();
            assert_string_equal(text_of(j, "n"),
                                level == LV_DEBUG ? rows[i].number : rows[i].shown);
            json_decref(j);
        }
    }
    log_set_level(LV_INFO);
}

static void levels(void **state)
{
    (void)state;
    char text[4096];
    enum log_level l = LV_ERROR;
    assert_int_equal(log_level_parse(VIEW("debug"), &l), E_OK);
    assert_int_equal(l, LV_DEBUG);
    assert_int_equal(log_level_parse(VIEW("Debug"), &l), E_PARSE);
    assert_int_equal(log_level_parse(VIEW(""), &l), E_PARSE);
    assert_int_equal(l, LV_DEBUG);
    for (int limit = LV_ERROR; limit <= LV_DEBUG; limit++) {
        log_set_level((enum log_level)limit);
        for (int level = LV_ERROR; level <= LV_DEBUG; level++) {
            LOG((enum log_level)level, "unit.level", KV("x", 1));
            assert_int_equal(taken(text, sizeof text) > 0, level <= limit);
        }
    }
    log_set_level(LV_INFO);
}

static void floods_are_counted(void **state)
{
    (void)state;
    static const char flood[] = "unit.flood", other[] = "unit.other";
    char text[8192];
    uint64_t tries = 0;
    log_limit(1, 3);
    for (int i = 0; i < 10; i++) {
        LOG(LV_INFO, flood, KV("i", i));
    }
    (void)taken(text, sizeof text);
    assert_non_null(strstr(text, "\"i\":2}"));
    assert_null(strstr(text, "\"i\":3}"));
    LOG(LV_INFO, other, KV("i", 1)); /* a bucket of its own */
    json_decref(line());
    log_limit(1000000, 3); /* a token comes with the next millisecond of the real clock */
    while (lseek(fileno(sink), 0, SEEK_END) == 0 && tries < 100000000) {
        LOG(LV_INFO, flood, KV("i", 11));
        tries++;
    }
    json_t *j = line();
    assert_int_equal(json_integer_value(json_object_get(j, "swallowed")), 7 + tries - 1);
    json_decref(j);
    log_limit(0, 0);
    LOG(LV_INFO, flood, KV("i", 12)); /* told once */
    j = line();
    assert_null(json_object_get(j, "swallowed"));
    json_decref(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(typed_fields),
        cmocka_unit_test(hostile_octets),
        cmocka_unit_test(long_lines_stay_json),
        cmocka_unit_test(digits_are_masked),
        cmocka_unit_test(levels),
        cmocka_unit_test(floods_are_counted),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
