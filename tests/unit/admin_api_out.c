/* What headgatectl shows: cells, tables, texts as JSON, and paths of the API. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "admin_api/ctl_api.h"
#include "admin_api/ctl_commands.h"
#include "admin_api/ctl_events.h"
#include "admin_api/ctl_ladder.h"

static json_t *loaded(const char *text)
{
    json_t *v = json_loads(text, JSON_DECODE_ANY, NULL);

    assert_non_null(v);
    return v;
}

struct page { /* what a stream wrote */
    FILE *f;
    char *text;
    size_t n;
};

static FILE *page_open(struct page *p)
{
    p->f = open_memstream(&p->text, &p->n);
    assert_non_null(p->f);
    return p->f;
}

static void page_is(struct page *p, const char *want)
{
    fclose(p->f);
    assert_string_equal(p->text, want);
    free(p->text);
}

static void shout(const json_t *item, const json_t *value, char *out, size_t max)
{
    assert_true(json_is_object(item));
    snprintf(out, max, "%s!", value != NULL ? json_string_value(value) : "nobody");
}

static void cells(void **state)
{
    static const struct {
        const char *item, *want;
        struct ctl_column c;
    } cases[] = {
        {"{\"a\":\"x\"}", "x", {.name = "a"}},
        {"{\"a\":\"x\"}", "x", {.name = "b", .from = "a"}},
        {"{\"a\":{\"b\":{\"c\":7}}}", "7", {.name = "z", .from = "a.b.c"}},
        {"{\"a\":{\"b\":1}}", "", {.name = "z", .from = "a.b.c"}},
        {"{\"a\":7}", "off", {.name = "z", .from = "a.b", .absent = "off"}},
        {"{\"a\":null}", "off", {.name = "a", .absent = "off"}},
        {"{}", "", {.name = "a"}},
        {"[]", "", {.name = "a"}},
        {"{\"a\":\"\"}", "", {.name = "a", .absent = "off"}},
        {"{\"a\":true}", "yes", {.name = "a"}},
        {"{\"a\":false}", "no", {.name = "a"}},
        {"{\"a\":9007199254740993}", "9007199254740993", {.name = "a"}},
        {"{\"a\":-1}", "-1", {.name = "a"}},
        {"{\"a\":2.25}", "2.2", {.name = "a"}},
        {"{\"a\":[\"x\",\"y\",3]}", "x y 3", {.name = "a"}},
        {"{\"a\":[]}", "", {.name = "a"}},
        {"{\"a\":{\"b\":1}}", "", {.name = "a"}},
        {"{\"a\":\"x\"}", "x!", {.name = "a", .form = shout}},
        {"{}", "nobody!", {.name = "a", .form = shout}},
        {"{\"a\":\"2026-11-24T08:30:00.123456Z\"}",
         "2026-11-24T08:30:00Z",
         {.name = "a", .form = ctl_form_seconds}},
        {"{\"a\":\"2026-11-24T08:30:00Z\"}",
         "2026-11-24T08:30:00Z",
         {.name = "a", .form = ctl_form_seconds}},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[64] = "zzz";
        json_t *item = loaded(cases[i].item);
        ctl_cell(item, &cases[i].c, out, sizeof out);
        if (strcmp(out, cases[i].want) != 0) {
            fail_msg("case %zu: '%s', not '%s'", i, out, cases[i].want);
        }
        json_decref(item);
    }
}

static void a_long_text_is_cut_between_characters(void **state)
{
    char out[6];
    json_t *item = loaded("{\"a\":\"abc\\u00e9\\u00e9\",\"b\":[\"abc\",\"def\"]}");
    (void)state;

    ctl_cell(item, &(const struct ctl_column){.name = "a"}, out, sizeof out);
    assert_string_equal(out, "abc\xc3\xa9");
    ctl_cell(item, &(const struct ctl_column){.name = "a"}, out, 5);
    assert_string_equal(out, "abc");
    ctl_cell(item, &(const struct ctl_column){.name = "b"}, out, sizeof out);
    assert_string_equal(out, "abc d");
    json_decref(item);
}

static void nothing_moves_the_cursor(void **state)
{
    char text[] = "a\x1b[2Jb\r\nc\td\x7f\xc2\x9b\xc3\xa9";
    char lines[] = "a\x1b[2Jb\r\nc\td";
    (void)state;

    ctl_tame(text, false);
    assert_string_equal(text, "a?[2Jb??c?d???\xc3\xa9");
    ctl_tame(lines, true);
    assert_string_equal(lines, "a?[2Jb\nc\td");
}

static const struct ctl_column columns[] = {
    {.name = "name"}, {.name = "up", .from = "state.up"}, {.name = "n", .absent = "-"}, {0}};

static void tables(void **state)
{
    json_t *rows = loaded("[{\"name\":\"Andr\\u00e9\",\"state\":{\"up\":true},\"n\":12},"
                          "{\"name\":\"a\\u001bb\",\"state\":{\"up\":false}}]");
    json_t *none = loaded("[]");
    struct page p;
    (void)state;

    ctl_print_table(page_open(&p), rows, columns);
    page_is(&p, "name   up   n \n"
                "Andr\xc3\xa9  yes  12\n"
                "a?b    no   - \n");
    ctl_print_table(page_open(&p), none, columns);
    page_is(&p, "name  up  n\n");
    ctl_print_table(page_open(&p), NULL, columns);
    page_is(&p, "name  up  n\n");
    json_decref(rows);
    json_decref(none);
}

static void texts_as_json(void **state)
{
    json_t *rows = loaded("[{\"name\":\"x\",\"n\":12}]");
    struct page p;
    (void)state;

    ctl_print_texts(page_open(&p), rows, columns);
    page_is(&p, "[\n  {\n    \"name\": \"x\",\n    \"up\": \"\",\n    \"n\": \"12\"\n  }\n]\n");
    ctl_print_texts(page_open(&p), NULL, columns);
    page_is(&p, "[]\n");
    ctl_print_item(page_open(&p), json_array_get(rows, 0), columns, false);
    page_is(&p, "name: x\nup: \nn: 12\n");
    ctl_print_item(page_open(&p), json_array_get(rows, 0), columns, true);
    page_is(&p, "{\n  \"name\": \"x\",\n  \"up\": \"\",\n  \"n\": \"12\"\n}\n");
    json_decref(rows);
}

static int by_n(const json_t *a, const json_t *b)
{
    return (int)(json_integer_value(json_object_get(a, "n")) -
                 json_integer_value(json_object_get(b, "n")));
}

static void sorting(void **state)
{
    json_t *rows = loaded("[{\"n\":3},{\"n\":1,\"a\":1},{\"n\":2},{\"n\":1,\"a\":2},{\"n\":0}]");
    char *text = NULL;
    (void)state;

    rows = ctl_sorted(rows, by_n);
    text = json_dumps(rows, JSON_COMPACT);
    assert_string_equal(text,
                        "[{\"n\":0},{\"n\":1,\"a\":1},{\"n\":1,\"a\":2},{\"n\":2},{\"n\":3}]");
    free(text);
    json_decref(rows);
    rows = ctl_sorted(json_array(), by_n);
    assert_int_equal(json_array_size(rows), 0);
    json_decref(rows);
}

static bool write_event(void *arg, const char *name, const char *data)
{
    fprintf(arg, "<%s|%s>", name, data);
    return strcmp(data, "enough") != 0;
}

static void events(void **state)
{
    static const char stream[] = ": hello\r\n\r\nid: 7\nevent: call.began\ndata: {\"a\":1}\n\n"
                                 "data:x\ndata: y\rdata\r\n\nevent: nothing\n\nid: 8\ndata: z\n\n"
                                 "data: not ended";
    (void)state;

    for (size_t step = 1; step < sizeof stream; step += 3) {
        struct page p;
        struct ctl_events e = {.on_event = write_event, .arg = page_open(&p)};
        assert_true(ctl_events_open(&e));
        for (size_t at = 0; at < sizeof stream - 1; at += step) {
            size_t left = sizeof stream - 1 - at;
            assert_true(ctl_events_feed(&e, stream + at, left < step ? left : step));
        }
        assert_string_equal(e.id, "8");
        ctl_events_close(&e);
        page_is(&p, "<call.began|{\"a\":1}><message|x\ny\n><message|z>");
    }
}

static void events_have_bounds(void **state)
{
    char *big = malloc(CTL_EVENT_MAX);
    struct page p;
    struct ctl_events e = {.on_event = write_event, .arg = page_open(&p)};
    (void)state;

    memset(big, 'x', CTL_EVENT_MAX);
    assert_true(ctl_events_open(&e));
    assert_true(ctl_events_feed(&e, big, CTL_EVENT_MAX - 1));
    assert_false(ctl_events_feed(&e, "x", 1));
    ctl_events_close(&e);
    e = (struct ctl_events){.on_event = write_event, .arg = p.f};
    assert_true(ctl_events_open(&e));
    assert_false(ctl_events_feed(&e, "data: enough\n\ndata: more\n\n", 27));
    ctl_events_close(&e);
    page_is(&p, "<message|enough>");
    free(big);
}

static void ladders(void **state)
{
    json_t *ladder = loaded(
        "[{\"at_us\":1000,\"from\":\"192.0.2.10:5060\",\"to\":\"192.0.2.1:5060\",\"text\":\"INVITE "
        "sip:+12125550102@example.net SIP/2.0\",\"mac\":\"ok\",\"note\":\"to line 2\"},"
        "{\"at_us\":2500,\"from\":\"192.0.2.1:5060\",\"to\":\"192.0.2.20:5060\",\"text\":\"INVITE "
        "x\",\"mac\":\"made\"},"
        "{\"at_us\":3000,\"from\":\"192.0.2.20:5060\",\"to\":\"192.0.2.10:5060\",\"text\":\"180 "
        "\\u001bRinging\",\"octets\":\"SIP/2.0 180\\r\\nX: \\u001b\\r\\n\"}]");
    struct page p;
    (void)state;

    ctl_print_ladder(page_open(&p), ladder, false);
    page_is(
        &p,
        "                192.0.2.10:5060                   192.0.2.1:5060                    "
        "192.0.2.20:5060\n"
        "      0.000 ms  |-- INVITE sip:+12125550102@exa ->|                                 |  "
        "mac ok  to line 2\n"
        "      1.500 ms  |                                 |-- INVITE x -------------------->|  "
        "mac made\n"
        "      2.000 ms  |<- 180 ?Ringing "
        "---------------------------------------------------|  mac -\n");
    ctl_print_ladder(page_open(&p), ladder, true);
    fclose(p.f);
    assert_non_null(strstr(p.text, "SIP/2.0 180\nX: ?\n"));
    assert_null(strchr(p.text, 0x1b));
    free(p.text);
    json_decref(ladder);
    ctl_print_ladder(page_open(&p), NULL, true);
    page_is(&p, "                \n");
}

static void paths(void **state)
{
    char path[CTL_PATH_MAX], *long_text = malloc(CTL_PATH_MAX);
    (void)state;

    assert_int_equal(ctl_path(path, "/lines/%s/x/%s", "7", "a b/%?\xc3\xa9"), CTL_OK);
    assert_string_equal(path, "/lines/7/x/a%20b%2F%25%3F%C3%A9");
    assert_int_equal(ctl_query_add(path, "no", NULL), CTL_OK);
    assert_int_equal(ctl_query_add(path, "number", "+1&2"), CTL_OK);
    assert_int_equal(ctl_query_add(path, "limit", "5"), CTL_OK);
    assert_string_equal(path, "/lines/7/x/a%20b%2F%25%3F%C3%A9?number=%2B1%262&limit=5");
    assert_int_equal(ctl_path(path, "/lines/%s", ".."), CTL_USAGE);
    assert_string_equal(path, "");
    memset(long_text, ' ', CTL_PATH_MAX - 1);
    long_text[CTL_PATH_MAX - 1] = 0;
    assert_int_equal(ctl_path(path, "/lines/%s", long_text), CTL_USAGE);
    assert_int_equal(ctl_path(path, "/lines"), CTL_OK);
    assert_int_equal(ctl_query_add(path, "q", long_text), CTL_USAGE);
    assert_int_equal(ctl_query_add(path, long_text, "x"), CTL_USAGE);
    free(long_text);
}

static void ways(void **state)
{
    static const struct {
        const char *url, *certificate, *key;
        int want;
    } cases[] = {
        {"", "", "", CTL_OK},
        {"https://admin.example:8443", "", "", CTL_OK},
        {"https://192.0.2.1:8443/", "c", "k", CTL_OK},
        {"http://127.0.0.1:8080", "", "", CTL_OK},
        {"http://[::1]:8080", "", "", CTL_OK},
        {"http://192.0.2.1:8080", "", "", CTL_USAGE},
        {"http://127.example.net", "", "", CTL_USAGE},
        {"http://localhost.example.net/", "", "", CTL_USAGE},
        {"ftp://127.0.0.1", "", "", CTL_USAGE},
        {"https://x?y", "", "", CTL_USAGE},
        {"https://me:secret@x", "", "", CTL_USAGE},
        {"http://127.0.0.1@192.0.2.1", "", "", CTL_USAGE},
        {"https://x", "c", "", CTL_USAGE},
        {"", "", "k", CTL_USAGE},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ctl_http_cfg cfg = {.socket = "/x",
                                   .url = cases[i].url,
                                   .token_file = "",
                                   .ca = "",
                                   .certificate = cases[i].certificate,
                                   .private_key = cases[i].key};
        assert_int_equal(ctl_http_check(&cfg), cases[i].want);
    }
}

static int none(struct ctl *c, struct ctl_args *a)
{
    (void)c;
    (void)a;
    return CTL_OK;
}

static void completion(void **state)
{
    static const struct ctl_command some[] = {
        {.help = "a group"},
        {"gate open", "NAME [--wide yes|no] [--spc CODE|--tn NUMBER] [--file FILE|-] [--all]", "h",
         "e", none},
        {"gate shut", "", "h", "e", none},
        {"bell", "[--loud]", "h", "e", none},
        {.words = NULL},
    };
    struct page p;
    (void)state;

    ctl_bash(page_open(&p), some);
    fclose(p.f);
    assert_non_null(strstr(p.text, "'') words='gate bell' ;;"));
    assert_non_null(strstr(p.text, "gate) words='open shut' ;;"));
    assert_non_null(strstr(p.text, "'gate open') options='--wide --spc --tn --file --all' ;;"));
    assert_non_null(strstr(p.text, "'gate open --wide') values='yes no' ;;"));
    assert_non_null(strstr(p.text, "'gate open --file') values='@' ;;"));
    assert_null(strstr(p.text, "'gate open --spc') values"));
    assert_null(strstr(p.text, "'gate open --all') values"));
    assert_non_null(strstr(p.text, "bell | 'bell '*) options='--loud' ;;"));
    free(p.text);
}

static void every_command_has_help_and_examples(void **state)
{
    (void)state;
    for (const struct ctl_command *c = ctl_commands; c->words != NULL || c->help != NULL; c++) {
        if (c->words == NULL) {
            continue;
        }
        int words = 0;
        char first[64], *second = NULL;
        snprintf(first, sizeof first, "%s", c->words);
        second = strchr(first, ' ');
        if (second != NULL) {
            *second++ = 0;
        }
        assert_ptr_equal(
            ctl_find_command(second != NULL ? 2 : 1, (char *[]){first, second}, &words), c);
        if (c->help[0] == 0 || strstr(c->examples, c->words) == NULL || c->run == NULL) {
            fail_msg("%s: no help, or its example is another command's", c->words);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells),
        cmocka_unit_test(a_long_text_is_cut_between_characters),
        cmocka_unit_test(nothing_moves_the_cursor),
        cmocka_unit_test(tables),
        cmocka_unit_test(texts_as_json),
        cmocka_unit_test(sorting),
        cmocka_unit_test(events),
        cmocka_unit_test(events_have_bounds),
        cmocka_unit_test(ladders),
        cmocka_unit_test(paths),
        cmocka_unit_test(ways),
        cmocka_unit_test(completion),
        cmocka_unit_test(every_command_has_help_and_examples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
