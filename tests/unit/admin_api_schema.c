/* JSON Schema as the API knows it: what is refused, and where the pointers lead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "admin_api/api_doc.h"
#include "admin_api/api_int.h"

static json_t *parse(const char *text)
{
    json_error_t at;
    json_t *j = json_loads(text, JSON_DECODE_ANY, &at);
    if (j == NULL) {
        fail_msg("%s: %s", text, at.text);
    }
    return j;
}

/* schema, value, mode -> "pointer detail; ..." */
static void said(const char *schema, const char *value, enum schema_mode mode, char *out,
                 size_t max)
{
    json_t *doc =
        json_pack("{s:{s:o}}", "components", "schemas",
                  parse("{\"Num\":{\"type\":\"string\",\"pattern\":\"^[+][0-9]+$\"},"
                        "\"Tree\":{\"type\":\"object\",\"properties\":{\"kids\":{\"type\":"
                        "\"array\",\"items\":{\"$ref\":\"#/components/schemas/Tree\"}}},"
                        "\"additionalProperties\":false}}"));
    json_t *j = parse(schema), *v = parse(value);
    struct schemas *all = NULL;
    const struct schema *s = NULL;
    struct schema_errors errors = {0};
    char why[160] = "";
    assert_int_equal(schemas_new(doc, &all), E_OK);
    if (schemas_add(all, j, &s, why, sizeof why) != E_OK) {
        snprintf(out, max, "%s", why);
    } else {
        bool good = schema_check(s, v, mode, &errors);
        size_t n = 0;
        out[0] = 0;
        assert_true(good == (errors.n == 0));
        for (size_t i = 0; i < errors.n; i++) {
            n += (size_t)snprintf(out + n, max - n, "%s%s %s", i > 0 ? "; " : "",
                                  errors.e[i].pointer, errors.e[i].detail);
        }
    }
    schemas_free(all);
    json_decref(j);
    json_decref(v);
    json_decref(doc);
}

struct row {
    const char *schema, *value;
    enum schema_mode mode;
    const char *says;
};

static void check(const struct row *rows, size_t n)
{
    char text[2048];
    for (size_t i = 0; i < n; i++) {
        said(rows[i].schema, rows[i].value, rows[i].mode, text, sizeof text);
        if (strcmp(text, rows[i].says) != 0) {
            fail_msg("%s against %s: \"%s\", not \"%s\"", rows[i].value, rows[i].schema, text,
                     rows[i].says);
        }
    }
}
#define CHECK(rows) check(rows, sizeof(rows) / sizeof *(rows))

static void values(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"{}", "[1,null]", SCHEMA_WHOLE, ""},
        {"{\"type\":\"integer\"}", "1", SCHEMA_WHOLE, ""},
        {"{\"type\":\"integer\"}", "1.0", SCHEMA_WHOLE, " must be an integer"},
        {"{\"type\":\"number\"}", "1", SCHEMA_WHOLE, ""},
        {"{\"type\":[\"string\",\"null\"]}", "null", SCHEMA_WHOLE, ""},
        {"{\"type\":[\"string\",\"null\"]}", "7", SCHEMA_WHOLE, " must be a text or null"},
        {"{\"type\":\"boolean\"}", "\"true\"", SCHEMA_WHOLE, " must be true or false"},
        {"{\"enum\":[\"a\",\"b\"]}", "\"c\"", SCHEMA_WHOLE, " must be one of: a, b"},
        {"{\"const\":\"a\"}", "\"c\"", SCHEMA_WHOLE, " is not the one value that it may have"},
        {"{\"minLength\":1}", "\"\"", SCHEMA_WHOLE, " is empty"},
        {"{\"maxLength\":2}", "\"\\u00e9\\u00e9\"", SCHEMA_WHOLE, ""},
        {"{\"maxLength\":2}", "\"abc\"", SCHEMA_WHOLE, " is longer than 2 characters"},
        {"{\"minLength\":2}", "\"a\"", SCHEMA_WHOLE, " is shorter than 2 characters"},
        {"{\"minimum\":1,\"maximum\":5}", "0", SCHEMA_WHOLE, " is less than 1"},
        {"{\"minimum\":1,\"maximum\":5}", "6", SCHEMA_WHOLE, " is more than 5"},
        {"{\"items\":{\"type\":\"integer\"}}", "[1,\"a\"]", SCHEMA_WHOLE, "/1 must be an integer"},
        {"{\"maxItems\":1}", "[1,2]", SCHEMA_WHOLE, " has more than 1 items"},
        {"{\"minItems\":1}", "[]", SCHEMA_WHOLE, " has less than 1 items"},
        {"{\"uniqueItems\":true}", "[1,2,1]", SCHEMA_WHOLE, "/2 is in the list twice"},
        {"{\"$ref\":\"#/components/schemas/Num\"}", "\"+1\"", SCHEMA_WHOLE, ""},
        {"{\"$ref\":\"#/components/schemas/Num\"}", "\"1\"", SCHEMA_WHOLE,
         " must match ^[+][0-9]+$"},
        {"{\"$ref\":\"#/components/schemas/Tree\"}", "{\"kids\":[{\"kids\":[{\"x\":1}]}]}",
         SCHEMA_WHOLE, "/kids/0/kids/0/x there is no such field"},
        {"{\"oneOf\":[{\"type\":\"string\"},{\"type\":\"integer\",\"minimum\":3}]}", "2",
         SCHEMA_WHOLE, " is none of the forms that it may have"},
        {"{\"oneOf\":[{\"type\":\"string\"},{\"type\":\"integer\"}]}", "2", SCHEMA_WHOLE, ""},
        {"{\"oneOf\":[{\"type\":\"number\"},{\"type\":\"integer\"}]}", "2", SCHEMA_WHOLE,
         " fits 2 forms where one is meant"},
        {"{\"allOf\":[{\"minimum\":3},{\"maximum\":1}]}", "2", SCHEMA_WHOLE,
         " is less than 3;  is more than 1"},
    };
    CHECK(rows);
}

static void formats(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"{\"format\":\"date-time\"}", "\"2026-02-28T23:59:60Z\"", SCHEMA_WHOLE, ""},
        {"{\"format\":\"date-time\"}", "\"2024-02-29T00:00:00.123456+01:00\"", SCHEMA_WHOLE, ""},
        {"{\"format\":\"date-time\"}", "\"2026-02-29T00:00:00Z\"", SCHEMA_WHOLE,
         " is no date-time"},
        {"{\"format\":\"date-time\"}", "\"1900-02-29T00:00:00Z\"", SCHEMA_WHOLE,
         " is no date-time"},
        {"{\"format\":\"date-time\"}", "\"2026-01-01 00:00:00Z\"", SCHEMA_WHOLE,
         " is no date-time"},
        {"{\"format\":\"date-time\"}", "\"2026-01-01T24:00:00Z\"", SCHEMA_WHOLE,
         " is no date-time"},
        {"{\"format\":\"date-time\"}", "\"2026-01-01T00:00:00\"", SCHEMA_WHOLE, " is no date-time"},
        {"{\"format\":\"date-time\"}", "\"2026-01-01T00:00:00.Z\"", SCHEMA_WHOLE,
         " is no date-time"},
        {"{\"format\":\"date-time\"}", "\"2026-01-01T00:00:00+1:00\"", SCHEMA_WHOLE,
         " is no date-time"},
        {"{\"format\":\"date\"}", "\"2026-04-31\"", SCHEMA_WHOLE, " is no date"},
        {"{\"format\":\"date\"}", "\"2026-00-01\"", SCHEMA_WHOLE, " is no date"},
        {"{\"format\":\"ipv4\"}", "\"192.0.2.1\"", SCHEMA_WHOLE, ""},
        {"{\"format\":\"ipv4\"}", "\"::ffff:192.0.2.1\"", SCHEMA_WHOLE, " is no ipv4"},
        {"{\"format\":\"ipv6\"}", "\"2001:db8::1\"", SCHEMA_WHOLE, ""},
        {"{\"format\":\"ipv6\"}", "\"[2001:db8::1]\"", SCHEMA_WHOLE, " is no ipv6"},
        {"{\"format\":\"uuid\"}", "\"0b6e1c0a-8f0e-4c52-9d0f-3f1f5f6f1d11\"", SCHEMA_WHOLE, ""},
        {"{\"format\":\"uuid\"}", "\"0b6e1c0a-8f0e-4c52-9d0f-3f1f5f6f1d1\"", SCHEMA_WHOLE,
         " is no uuid"},
        {"{\"format\":\"whatever\"}", "\"x\"", SCHEMA_WHOLE, ""},
    };
    CHECK(rows);
}

#define LINE                                                                                       \
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"id\",\"name\"],"          \
    "\"properties\":{\"id\":{\"type\":\"integer\",\"readOnly\":true},\"name\":{\"type\":"          \
    "\"string\"},\"note\":{\"type\":[\"string\",\"null\"]},\"at\":{\"type\":\"object\","           \
    "\"required\":[\"x\"],\"properties\":{\"x\":{\"type\":\"integer\"},\"y\":{\"type\":"           \
    "\"integer\"}}},\"list\":{\"items\":{\"type\":\"object\",\"required\":[\"x\"]}}}}"

static void what_a_request_may_leave_out(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {LINE, "{\"name\":\"a\"}", SCHEMA_WHOLE, ""},
        {LINE, "{\"name\":\"a\"}", SCHEMA_ANSWER, "/id is required"},
        {LINE, "{\"id\":1,\"name\":\"a\"}", SCHEMA_ANSWER, ""},
        {LINE, "{\"id\":1,\"name\":\"a\"}", SCHEMA_WHOLE, "/id is set by the server"},
        {LINE, "{}", SCHEMA_WHOLE, "/name is required"},
        {LINE, "{}", SCHEMA_PATCH, ""},
        {LINE, "{\"note\":null}", SCHEMA_PATCH, ""},
        {LINE, "{\"name\":null}", SCHEMA_PATCH, "/name must be a text"},
        {LINE, "{\"at\":{\"y\":1}}", SCHEMA_PATCH, ""},
        {LINE, "{\"at\":{\"y\":1},\"name\":\"\"}", SCHEMA_WHOLE, "/at/x is required"},
        {LINE, "{\"list\":[{\"y\":1}]}", SCHEMA_PATCH, "/list/0/x is required"},
        {LINE, "{\"nam\":1}", SCHEMA_PATCH, "/nam there is no such field"},
        {LINE, "{\"id\":1,\"other\":2,\"name\":\"a\"}", SCHEMA_MERGED, ""},
        {LINE, "{\"id\":1,\"other\":2}", SCHEMA_MERGED, "/name is required"},
        {LINE, "{\"a/b~c\":1,\"name\":\"\"}", SCHEMA_WHOLE, "/a~1b~0c there is no such field"},
    };
    CHECK(rows);
}

static void what_no_schema_may_say(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"{\"type\":\"text\"}", "1", SCHEMA_WHOLE, "unknown type \"text\""},
        {"{\"patternProperties\":{}}", "1", SCHEMA_WHOLE,
         "\"patternProperties\" is no word of a schema that this program knows"},
        {"{\"$ref\":\"#/components/schemas/None\"}", "1", SCHEMA_WHOLE,
         "$ref \"#/components/schemas/None\" leads nowhere"},
        {"{\"$ref\":\"x.yaml\"}", "1", SCHEMA_WHOLE, "$ref \"x.yaml\" leads elsewhere"},
        {"{\"pattern\":\"(\"}", "1", SCHEMA_WHOLE,
         "pattern \"(\" is no extended regular expression"},
        {"true", "1", SCHEMA_WHOLE, "a schema is no object"},
    };
    CHECK(rows);
}

static void many_errors_and_long_lists_are_bounded(void **state)
{
    (void)state;
    char value[8192], text[8192];
    size_t n = 0;
    value[n++] = '[';
    for (int i = 0; i < 40; i++) {
        n += (size_t)snprintf(value + n, sizeof value - n, "%s\"x\"", i > 0 ? "," : "");
    }
    snprintf(value + n, sizeof value - n, "]");
    said("{\"items\":{\"type\":\"integer\"}}", value, SCHEMA_WHOLE, text, sizeof text);
    n = 1;
    for (const char *c = text; (c = strchr(c, ';')) != NULL; c++) {
        n++;
    }
    assert_int_equal(n, SCHEMA_ERRORS_MAX);
    n = 1;
    for (int i = 0; i < 1001; i++) {
        n += (size_t)snprintf(value + n, sizeof value - n, "%s%d", i > 0 ? "," : "", i);
    }
    snprintf(value + n, sizeof value - n, "]");
    said("{\"uniqueItems\":true}", value, SCHEMA_WHOLE, text, sizeof text);
    assert_string_equal(text, " has more than 1000 items");
}

static void bodies(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"{\"a\":1}", ""},
        {"7", ""},
        {"{\"a\":9007199254740992}", ""},
        {"{\"a\":[9007199254740993]}", "an integer beyond 2^53"},
        {"{\"a\":-9007199254740993}", "an integer beyond 2^53"},
        {"{\"a\":99999999999999999999}", "line 1, column 25: too big integer"},
        {"{\"a\":1,\"a\":2}", "line 1, column 10: duplicate object key"},
        {"{\"a\":\"\\u0000\"}", "line 1, column 13: \\u0000 is not allowed without JSON_ALLOW_NUL"},
        {"{\"a\":1} x", "line 1, column 9: end of file expected"},
        {"{\"secret\":hunter2}", "line 1, column 16: invalid token"},
        {"{\"a\":\"\xc3\x28\"}", "line 1, column 6: unable to decode byte 0xc3"},
        {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
         "nested deeper than 32"},
        {"\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[\"", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char why[200] = "";
        json_t *j = NULL;
        enum err e = api_json_read(view_of(rows[i].text), &j, why, sizeof why);
        json_decref(j);
        assert_true((e == E_OK) == (why[0] == 0));
        if (strcmp(why, rows[i].why) != 0) {
            fail_msg("%s: \"%s\", not \"%s\"", rows[i].text, why, rows[i].why);
        }
    }
}

/* RFC 7396 appendix A. */
static void merge_patches(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
        {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
        {"{\"a\":\"foo\"}", "null", "null"},
        {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
        {"{\"e\":null}", "{\"a\":1}", "{\"a\":1,\"e\":null}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *target = parse(rows[i][0]), *patch = parse(rows[i][1]), *want = parse(rows[i][2]);
        json_t *got = api_merge(target, patch);
        if (!json_equal(got, want)) {
            fail_msg("row %zu", i);
        }
        json_decref(target);
        json_decref(patch);
        json_decref(want);
        json_decref(got);
    }
}

static void entity_tags(void **state)
{
    (void)state;
    char one[API_ETAG_MAX], two[API_ETAG_MAX];
    json_t *a = parse("{\"a\":1,\"b\":2}"), *b = parse("{\"b\":2,\"a\":1}"),
           *c = parse("{\"a\":2}");
    assert_true(api_etag_of(a, one) && api_etag_of(b, two));
    assert_string_equal(one, two);
    assert_int_equal(strlen(one), 34);
    assert_true(api_etag_of(c, two));
    assert_string_not_equal(one, two);
    json_decref(a);
    json_decref(b);
    json_decref(c);
    assert_true(api_etag_in(VIEW("*"), "\"a\"", false));
    assert_true(api_etag_in(VIEW("\"b\" , \"a\""), "\"a\"", false));
    assert_false(api_etag_in(VIEW("W/\"a\""), "\"a\"", false));
    assert_true(api_etag_in(VIEW("W/\"a\""), "\"a\"", true));
    assert_false(api_etag_in(VIEW("\"ab\""), "\"a\"", false));
    assert_false(api_etag_in(VIEW(""), "\"a\"", false));
}

static void rates(void **state)
{
    (void)state;
    struct api_rates *r = NULL;
    char name[32];
    assert_int_equal(api_rates_new(10, &r), E_OK);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(api_rates_take(r, "anna", 1000000), 0);
    }
    assert_int_equal(api_rates_take(r, "anna", 1000000), 1);
    assert_int_equal(api_rates_take(r, "bert", 1000000), 0);
    /* a thread that looked at the clock before another one, and came later */
    assert_int_equal(api_rates_take(r, "anna", 999999), 1);
    assert_int_equal(api_rates_take(r, "anna", 1000000), 1);
    assert_int_equal(api_rates_take(r, "anna", 1000100), 0);
    assert_int_equal(api_rates_take(r, "anna", 1000100), 1);
    for (int i = 0; i < 300; i++) { /* others push out the quiet ones */
        snprintf(name, sizeof name, "other%d", i);
        assert_int_equal(api_rates_take(r, name, 1000200), 0);
    }
    api_rates_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(formats),
        cmocka_unit_test(what_a_request_may_leave_out),
        cmocka_unit_test(what_no_schema_may_say),
        cmocka_unit_test(many_errors_and_long_lists_are_bounded),
        cmocka_unit_test(bodies),
        cmocka_unit_test(merge_patches),
        cmocka_unit_test(entity_tags),
        cmocka_unit_test(rates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
