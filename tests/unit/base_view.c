/* Views, hex and the cursor: every limit from both sides; what fails leaves everything as it was.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/view.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void views(void **state)
{
    (void)state;
    const struct view none = {NULL, 0};
    size_t at = 77;
    assert_true(view_eq(view_of(NULL), VIEW("")) && view_of(NULL).p != NULL);
    assert_true(view_eq(none, VIEW("")) && view_starts(none, none));
    assert_true(view_eq(VIEW("a\0b"), view_from("a\0b", 3)));
    assert_false(view_eq(VIEW("a\0b"), VIEW("a\0c")));
    assert_false(view_eq(VIEW("a"), VIEW("A")));
    assert_true(view_eq_nocase(VIEW("Via"), VIEW("vIA")));
    assert_false(view_eq_nocase(VIEW("Via"), VIEW("Vi")));
    assert_false(view_eq_nocase(VIEW("@["), VIEW("`{"))); /* 32 apart, but no letters */
    assert_false(view_eq_nocase(VIEW("\xc4"), VIEW("\xe4")));
    assert_true(view_starts_nocase(VIEW("SIP:x"), VIEW("sip:")));
    assert_false(view_starts(VIEW("si"), VIEW("sip")));
    assert_true(view_eq(view_trim(VIEW(" \t a b\t ")), VIEW("a b")));
    assert_int_equal(view_trim(VIEW(" \t ")).n, 0);
    assert_int_equal(view_trim(none).n, 0);
    assert_true(view_eq(view_trim(VIEW("\r\n")), VIEW("\r\n")));
    assert_true(view_eq(view_sub(VIEW("abc"), 1, 1), VIEW("b")));
    assert_true(view_eq(view_sub(VIEW("abc"), 1, SIZE_MAX), VIEW("bc")));
    assert_int_equal(view_sub(VIEW("abc"), SIZE_MAX, SIZE_MAX).n, 0);
    assert_int_equal(view_sub(none, 3, 3).n, 0);
    assert_false(view_find(VIEW("abc"), 'd', &at));
    assert_false(view_find(none, 'd', &at));
    assert_int_equal(at, 77);
    assert_true(view_find(VIEW("abcb"), 'b', &at));
    assert_int_equal(at, 1);
}

static void c_strings(void **state)
{
    (void)state;
    char dst[4] = "zzz";
    assert_int_equal(view_to_cstr(VIEW("abcd"), dst, sizeof dst), E_RANGE);
    assert_int_equal(view_to_cstr(VIEW("a\0b"), dst, sizeof dst), E_RANGE);
    assert_int_equal(view_to_cstr(VIEW(""), dst, 0), E_RANGE);
    assert_string_equal(dst, "zzz");
    assert_int_equal(view_to_cstr(VIEW("abc"), dst, sizeof dst), E_OK);
    assert_string_equal(dst, "abc");
    assert_int_equal(view_to_cstr(view_from(NULL, 0), dst, 1), E_OK);
    assert_string_equal(dst, "");
}

static void numbers(void **state)
{
    (void)state;
    const struct {
        const char *text;
        uint64_t max;
        enum err e;
        uint64_t value;
    } rows[] = {
        {"0", 0, E_OK, 0},
        {"00012", 12, E_OK, 12},
        {"13", 12, E_RANGE, 0},
        {"18446744073709551615", UINT64_MAX, E_OK, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, E_RANGE, 0},
        {"18446744073709551620", UINT64_MAX, E_RANGE, 0},
        {"99999999999999999999999", UINT64_MAX, E_RANGE, 0},
        {"", 9, E_PARSE, 0},
        {"+1", 9, E_PARSE, 0},
        {"-1", 9, E_PARSE, 0},
        {" 1", 9, E_PARSE, 0},
        {"1 ", 9, E_PARSE, 0},
        {"1x", 9, E_PARSE, 0},
        {"0x1", 9, E_PARSE, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t u = 4711;
        assert_int_equal(view_to_u64(view_of(rows[i].text), rows[i].max, &u), rows[i].e);
        assert_true(u == (rows[i].e == E_OK ? rows[i].value : 4711));
    }
}

static void hex(void **state)
{
    (void)state;
    uint8_t all[256], back[256];
    char text[513], upper[513];
    for (size_t i = 0; i < sizeof all; i++) {
        all[i] = (uint8_t)i;
    }
    hex_put(all, sizeof all, text);
    assert_int_equal(strlen(text), 512);
    assert_memory_equal(text, "000102", 6);
    assert_string_equal(text + 506, "fdfeff");
    for (size_t i = 0; i < sizeof text; i++) {
        upper[i] = (char)(text[i] >= 'a' ? text[i] - 32 : text[i]);
    }
    assert_int_equal(hex_get(view_of(upper), back, sizeof back), E_OK);
    assert_memory_equal(back, all, sizeof all);
    memset(back, 0x55, sizeof back);
    assert_int_equal(hex_get(VIEW("0011"), back, 1), E_PARSE);
    assert_int_equal(hex_get(VIEW("001"), back, 2), E_PARSE);
    for (int c = 0; c < 256;
         c++) { /* the last of four digits: nothing is written before it is seen */
        char bad[5] = {'1', '2', '3', (char)c, 0};
        bool good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        memset(back, 0x55, 2);
        assert_int_equal(hex_get(view_from(bad, 4), back, 2), good ? E_OK : E_PARSE);
        assert_int_equal(back[0], good ? 0x12 : 0x55);
    }
    assert_int_equal(hex_get(view_from(NULL, 0), back, 0), E_OK);
}

/* One reading step: what it is, over what, with what end. */
enum step { LIT, LIT_NOCASE, TOKEN, U64, HEX, UNTIL, SPACE };

static enum err step(struct cursor *c, enum step s, const char *arg, size_t max, struct view *v,
                     uint64_t *u)
{
    switch (s) {
    case LIT:
        return cur_lit(c, view_of(arg));
    case LIT_NOCASE:
        return cur_lit_nocase(c, view_of(arg));
    case TOKEN:
        return cur_token(c, max, v);
    case U64:
        return cur_u64(c, max, u);
    case HEX:
        return cur_hex(c, u, max);
    case UNTIL:
        return cur_until(c, arg[0], v);
    case SPACE:
        break;
    }
    cur_space(c);
    return E_OK;
}

static void cursor_table(void **state)
{
    (void)state;
    const struct {
        const char *text;
        enum step s;
        const char *arg;
        size_t max;
        enum err e;
        const char *rest, *out;
    } rows[] = {
        {"SIP/2.0 x", LIT, "SIP/2.0", 0, E_OK, " x", NULL},
        {"sip/2.0", LIT, "SIP/2.0", 0, E_PARSE, NULL, NULL},
        {"SIP", LIT, "SIP/2.0", 0, E_PARSE, NULL, NULL},
        {"", LIT, "", 0, E_OK, "", NULL},
        {"sip/2.0", LIT_NOCASE, "SIP/2.0", 0, E_OK, "", NULL},
        {"sip/2.1", LIT_NOCASE, "SIP/2.0", 0, E_PARSE, NULL, NULL},
        {"INVITE sip", TOKEN, NULL, 6, E_OK, " sip", "INVITE"},
        {"INVITE sip", TOKEN, NULL, 5, E_RANGE, NULL, NULL},
        {" INVITE", TOKEN, NULL, 9, E_PARSE, NULL, NULL},
        {"", TOKEN, NULL, 9, E_PARSE, NULL, NULL},
        {"-.!%*_+`'~", TOKEN, NULL, 10, E_OK, "", "-.!%*_+`'~"},
        {"a\x80", TOKEN, NULL, 9, E_OK, "\x80", "a"},
        {"70 INVITE", U64, NULL, 70, E_OK, " INVITE", NULL},
        {"71 INVITE", U64, NULL, 70, E_RANGE, NULL, NULL},
        {"x", U64, NULL, 70, E_PARSE, NULL, NULL},
        {"0aFfz", HEX, NULL, 2, E_OK, "z", NULL},
        {"0af", HEX, NULL, 2, E_PARSE, NULL, NULL},
        {"0afz", HEX, NULL, 2, E_PARSE, NULL, NULL},
        {"", HEX, NULL, 0, E_OK, "", NULL},
        {"a;b;", UNTIL, ";", 0, E_OK, "b;", "a"},
        {";", UNTIL, ";", 0, E_OK, "", ""},
        {"ab", UNTIL, ";", 0, E_PARSE, NULL, NULL},
        {"", UNTIL, ";", 0, E_PARSE, NULL, NULL},
        {" \t \rx", SPACE, NULL, 0, E_OK, "\rx", NULL},
        {"", SPACE, NULL, 0, E_OK, "", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct view whole = view_of(rows[i].text), unset = VIEW("unset");
        struct cursor c = cursor_over(whole);
        struct view v = unset;
        uint64_t u = 4711;
        enum err e = step(&c, rows[i].s, rows[i].arg, rows[i].max, &v, &u);
        if (e != rows[i].e ||
            !view_eq(cur_rest(&c), view_of(rows[i].rest ? rows[i].rest : rows[i].text)) ||
            !view_eq(v, rows[i].out ? view_of(rows[i].out) : unset) || (e != E_OK && u != 4711)) {
            fail_msg("row %zu: %s", i, err_name(e));
        }
        assert_int_equal(cur_done(&c), cur_rest(&c).n == 0);
    }
}

/* The cursor of a view without memory is an empty one, not arithmetic on NULL. */
static void cursor_over_nothing(void **state)
{
    (void)state;
    for (int s = LIT; s <= SPACE; s++) {
        struct cursor c = cursor_over(view_from(NULL, 0));
        struct view v = VIEW("");
        uint64_t u = 0;
        bool good = s == SPACE || s == LIT || s == LIT_NOCASE || s == HEX;
        assert_int_equal(step(&c, (enum step)s, s <= LIT_NOCASE ? "" : ";", 0, &v, &u),
                         good ? E_OK : E_PARSE);
        assert_true(cur_done(&c));
    }
}

static void token_characters(void **state)
{
    (void)state;
    size_t n = 0;
    for (int c = 0; c < 256; c++) {
        n += is_token_char((unsigned char)c);
        assert_int_equal(is_digit((unsigned char)c), c >= '0' && c <= '9');
    }
    assert_int_equal(n, 62 + 10); /* RFC 3261 section 25.1 */
    assert_false(is_token_char(0) || is_token_char(' ') || is_token_char(':') ||
                 is_token_char('@') || is_token_char('"') || is_token_char(0xe9));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views),
        cmocka_unit_test(c_strings),
        cmocka_unit_test(numbers),
        cmocka_unit_test(hex),
        cmocka_unit_test(cursor_table),
        cmocka_unit_test(cursor_over_nothing),
        cmocka_unit_test(token_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
