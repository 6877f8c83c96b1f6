/* Configuration: every type and bound, every way to be wrong with its place, and that a bad file
 * changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/conf.h"
#include "base/mem.h"

struct settings {
    const char *text, *path, *password;
    uint64_t count, any, wait;
    bool on;
    struct conf_list list, few;
};
#define AT(member) offsetof(struct settings, member)

static const struct conf_field FIELDS[] = {
    {"a.text", CONF_TEXT, AT(text), "plain", 0, 0, "a text"},
    {"a.path", CONF_PATH, AT(path), "", 0, 0, "a path"},
    {"a.count", CONF_UINT, AT(count), "5", 2, 9, "a number"},
    {"a.any", CONF_UINT, AT(any), "3", 3, 0, "a number without an upper bound"},
    {"b.wait", CONF_MS, AT(wait), "3s", 10, 86400000, "a duration"},
    {"b.on", CONF_BOOL, AT(on), "false", 0, 0, "a switch"},
    {"b.list", CONF_LIST, AT(list), "x, y", 0, 0, "texts"},
    {"b.few", CONF_LIST, AT(few), "one", 1, 2, "one or two texts"},
    {"c.password", CONF_TEXT, AT(password), "", 0, 0, "a secret"},
};
#define N (sizeof FIELDS / sizeof *FIELDS)

static char dir[64], file[96], word[96], err[400];

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/confXXXXXX");
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    snprintf(file, sizeof file, "%s/c.yaml", dir);
    snprintf(word, sizeof word, "%s/word", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(file);
    unlink(word);
    return rmdir(dir);
}

static void put(const char *path, const char *text, size_t n)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static enum err load_octets(const char *yaml, size_t n, struct settings *s, struct conf **c)
{
    put(file, yaml, n);
    return conf_load(file, FIELDS, N, s, err, sizeof err, c);
}

static enum err load(const char *yaml, struct settings *s, struct conf **c)
{
    return load_octets(yaml, strlen(yaml), s, c);
}

static void defaults(void **state)
{
    (void)state;
    struct settings s = {0};
    struct conf *c = NULL;
    assert_int_equal(conf_load(NULL, FIELDS, N, &s, err, sizeof err, &c), E_OK);
    assert_string_equal(err, "");
    assert_string_equal(s.text, "plain");
    assert_string_equal(s.path, "");
    assert_true(s.count == 5 && s.any == 3 && s.wait == 3000 && !s.on);
    assert_int_equal(s.list.n, 2);
    assert_string_equal(s.list.v[1], "y");
    conf_free(c);
    assert_int_equal(load("", &s, &c), E_OK);
    conf_free(c);
    assert_int_equal(load("# nothing\n", &s, &c), E_OK);
    conf_free(c);
    conf_free(NULL);
}

static void every_type(void **state)
{
    (void)state;
    struct settings s = {0};
    struct conf *c = NULL;
    char want[160];
    assert_int_equal(
        load("a: {text: \"q\\\"\\\\ü\", path: sub/x, count: 9, any: 18446744073709551615}\n"
             "b:\n  wait: 24h\n  on: yes\n  list: []\n  few: [p, \"q,r\"]\n",
             &s, &c),
        E_OK);
    assert_string_equal(s.text, "q\"\\ü");
    snprintf(want, sizeof want, "%s/sub/x", dir);
    assert_string_equal(s.path, want);
    assert_true(s.count == 9 && s.any == UINT64_MAX && s.wait == 86400000 && s.on);
    assert_int_equal(s.list.n, 0);
    assert_int_equal(s.few.n, 2);
    assert_string_equal(s.few.v[1], "q,r");
    conf_free(c);
    assert_int_equal(load("a: {path: /x}\nb: {wait: 10ms, on: \"true\"}\n", &s, &c), E_OK);
    assert_string_equal(s.path, "/x");
    assert_true(s.wait == 10 && s.on);
    conf_free(c);
}

static void durations(void **state)
{
    (void)state;
    const struct {
        const char *text;
        uint64_t ms; /* 0: refused */
    } rows[] = {
        {"10ms", 10},
        {"2s", 2000},
        {"3m", 180000},
        {"1h", 3600000},
        {"1d", 86400000},
        {"9ms", 0},
        {"25h", 0},
        {"10", 0},
        {"s", 0},
        {"1.5s", 0},
        {"-1s", 0},
        {"1 s", 0},
        {"1S", 0},
        {"1sec", 0},
        {"", 0},
        {"2d", 0},
        {"213503982335d", 0},
        {"18446744073709551615ms", 0},
        {"18446744073709551616d", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct settings s = {0};
        struct conf *c = NULL;
        char yaml[80];
        snprintf(yaml, sizeof yaml, "b: {wait: \"%s\"}\n", rows[i].text);
        enum err e = load(yaml, &s, &c);
        if ((e == E_OK) != (rows[i].ms != 0) || s.wait != rows[i].ms) {
            fail_msg("%s: %s, %llu", rows[i].text, err_name(e), (unsigned long long)s.wait);
        }
        conf_free(c);
    }
}

/* What is wrong, where it is, what is said. */
static void places(void **state)
{
    (void)state;
    const struct {
        const char *yaml, *at, *what;
        enum err e;
    } rows[] = {
        {"a:\n  text: x\n  nope: 1\n", "3:3", "no setting a.nope", E_PARSE},
        {"zz:\n  text: x\n", "1:1", "no section zz", E_PARSE},
        {"zz: {}\n", "1:1", "no section zz", E_PARSE},
        {"a.text: {x: 1}\n", "1:1", "no section a.text", E_PARSE},
        {"a:\n  text: x\n  text: y\n", "3:3", "set twice", E_PARSE},
        {"a: {text: x}\nb: {on: no}\na: {count: 3}\n", "3:1", "section a is there twice", E_PARSE},
        {"a: {count: 3, count: 3}\n", "1:15", "set twice", E_PARSE},
        {"a: {count: x}\n", "1:12", "a number expected, not 'x'", E_PARSE},
        {"a: {count: 1}\n", "1:12", "1, not within 2..9", E_RANGE},
        {"a: {count: 10}\n", "1:12", "10, not within 2..9", E_RANGE},
        {"a: {any: 2}\n", "1:10", "2, at least 3", E_RANGE},
        {"a: {any: 18446744073709551616}\n", "1:10", "a number expected", E_PARSE},
        {"a: {count: }\n", "1:12", "a number expected", E_PARSE},
        {"a: {count: [3]}\n", "1:12", "one value expected, not a list", E_PARSE},
        {"a: {text: {x: y}}\n", "1:11", "a value expected", E_PARSE},
        {"b: {on: maybe}\n", "1:9", "true or false expected", E_PARSE},
        {"b: {wait: 5}\n", "1:11", "a duration", E_PARSE},
        {"b: {wait: 9ms}\n", "1:11", "9 ms, not within 10..86400000", E_RANGE},
        {"b: {few: one}\n", "1:10", "a list expected", E_PARSE},
        {"b: {few: []}\n", "1:10", "0 elements, not within 1..2", E_RANGE},
        {"b: {few: [a, b, c]}\n", "1:10", "3 elements", E_RANGE},
        {"b: {few: [[a]]}\n", "1:11", "a text expected", E_PARSE},
        {"b: {few: [{a: b}]}\n", "1:11", "a text expected", E_PARSE},
        {"a: x\n", "1:4", "settings expected", E_PARSE},
        {"a:\n", "1:3", "settings expected", E_PARSE},
        {"- a\n", "1:1", "sections expected", E_PARSE},
        {"text\n", "1:1", "sections expected", E_PARSE},
        {"\"\"\n", "1:1", "sections expected", E_PARSE},
        {"!t\n", "1:1", "sections expected", E_PARSE},
        {"{[a]: b}\n", "1:2", "a name expected", E_PARSE},
        {"a: &x {text: y}\nb: *x\n", "2:4", "settings expected", E_PARSE},
        {"a: {text: &x y, path: *x}\n", "1:23", "a value expected", E_PARSE},
        {"a: {text: &x y, *x : z}\n", "1:17", "a name expected", E_PARSE},
        {"a: {text: x}\n---\nb: {on: yes}\n", "2:1", "one document expected", E_PARSE},
        {"a: {text: x\n", "2:1", "", E_PARSE},
        {"a:\n\ttext: x\n", "2:1", "", E_PARSE},
        {"a: {text: \"x\\0y\"}\n", "1:11", "NUL", E_PARSE},
        {"a: {path: \"x\\0y\"}\n", "1:11", "NUL", E_PARSE},
        {"b: {list: [x, \"x\\0y\"]}\n", "1:15", "NUL", E_PARSE},
        {"\"a\\0\": {text: x}\n", "1:1", "a name expected", E_PARSE},
        {"a: {text: \xff}\n", "", "UTF-8", E_PARSE},
        {"a: {text: \"${file:/nowhere/x}\"}\n", "1:11", "/nowhere/x: no such object", E_NOTFOUND},
        {"a: {text: \"${file:relative}\"}\n", "1:11", "whole path", E_PARSE},
        {"a: {text: \"${file:}\"}\n", "1:11", "whole path", E_PARSE},
        {"a: {text: \"${file:/dev/zero}\"}\n", "1:11", "not permitted", E_DENIED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct settings s, before;
        struct conf *c = (struct conf *)&s;
        char at[160];
        size_t live = mem_live();
        memset(&s, 0x5a, sizeof s);
        before = s;
        enum err e = load(rows[i].yaml, &s, &c);
        snprintf(at, sizeof at, "%s:%s", file, rows[i].at);
        if (e != rows[i].e || strncmp(err, at, strlen(at)) != 0 ||
            strstr(err, rows[i].what) == NULL) {
            fail_msg("row %zu: %s: %s", i, err_name(e), err);
        }
        assert_memory_equal(&s, &before, sizeof s);
        assert_ptr_equal(c, &s);
        assert_int_equal(mem_live(), live);
    }
}

static void missing_ones(void **state)
{
    (void)state;
    static const struct conf_field need[] = {{"x.must", CONF_UINT, 0, NULL, 0, 0, "needed"}};
    uint64_t v = 1;
    struct conf *c = NULL;
    put(file, "x: {}\n", 6);
    assert_int_equal(conf_load(file, need, 1, &v, err, sizeof err, &c), E_PARSE);
    assert_non_null(strstr(err, "x.must is missing"));
    assert_int_equal(conf_load(NULL, need, 1, &v, err, sizeof err, &c), E_PARSE);
    assert_int_equal(conf_load("/nowhere/c.yaml", need, 1, &v, err, sizeof err, &c), E_IO);
    assert_non_null(strstr(err, "/nowhere/c.yaml:0:0: cannot be read"));
    assert_int_equal(conf_load(dir, FIELDS, N, &(struct settings){0}, err, sizeof err, &c), E_IO);
    assert_int_equal(v, 1);
    char tiny[8];
    assert_int_equal(conf_load(file, need, 1, &v, tiny, sizeof tiny, &c), E_PARSE);
    assert_true(strlen(tiny) == 7);
}

static void print(const struct conf *c, char *dst, size_t max)
{
    FILE *f = tmpfile();
    assert_non_null(f);
    conf_print(c, f);
    rewind(f);
    dst[fread(dst, 1, max - 1, f)] = 0;
    assert_int_equal(fclose(f), 0);
}

static void secrets_stay_hidden(void **state)
{
    (void)state;
    static char text[8192], big[5000];
    struct settings s = {0};
    struct conf *c = NULL;
    char yaml[200];
    put(word, "hunter2\n\n", 9);
    snprintf(yaml, sizeof yaml, "c: {password: \"${file:%s}\"}\na: {path: \"${file:x}\"}\n", word);
    assert_int_equal(load(yaml, &s, &c), E_OK);
    assert_string_equal(s.password, "hunter2\n");  /* one newline is not part of it */
    assert_non_null(strstr(s.path, "/${file:x}")); /* a path is never replaced */
    print(c, text, sizeof text);
    assert_null(strstr(text, "hunter2"));
    assert_non_null(strstr(text, word));
    conf_free(c);
    put(word, "secret!\0b", 9);
    assert_int_equal(load(yaml, &s, &c), E_PARSE);
    assert_null(strstr(err, "secret!"));
    put(word, big, 4097);
    assert_int_equal(load(yaml, &s, &c), E_RANGE);
    memset(big, 'p', 4096);
    put(word, big, 4096);
    assert_int_equal(load(yaml, &s, &c), E_OK);
    assert_int_equal(strlen(s.password), 4096);
    conf_free(c);
    put(word, "", 0);
    assert_int_equal(load(yaml, &s, &c), E_OK);
    assert_string_equal(s.password, "");
    conf_free(c);
}

/* What is printed reads back as the same, whatever the texts hold. */
static void printed_and_read_again(void **state)
{
    (void)state;
    static char first[8192], second[8192];
    struct settings s = {0}, t = {0};
    struct conf *c = NULL;
    assert_int_equal(load("a: {text: \"q\\\"\\\\ # : {[\\n\\x7f "
                          "ü\\u0085\\x9f\\u2028\\ufeff\\uffff€\", path: \"/p q\"}\n"
                          "b: {list: [\"x\\\"]\", \"y, z\"], wait: 250ms, on: true}\n",
                          &s, &c),
                     E_OK);
    print(c, first, sizeof first);
    put(file, first, strlen(first));
    struct conf *d = NULL;
    if (conf_load(file, FIELDS, N, &t, err, sizeof err, &d) != E_OK) {
        fail_msg("%s", err);
    }
    assert_string_equal(t.text, s.text);
    assert_string_equal(t.path, s.path);
    assert_int_equal(t.list.n, 2);
    assert_string_equal(t.list.v[0], "x\"]");
    assert_true(t.wait == 250 && t.on);
    print(d, second, sizeof second);
    assert_string_equal(first, second);
    assert_non_null(strstr(first, "# a duration"));
    conf_free(c);
    conf_free(d);
}

/* Input that grows when it is understood, that nests, that is just large: refused, in bounds. */
static void bombs(void **state)
{
    (void)state;
    static char big[300 * 1024];
    struct settings s = {0};
    struct conf *c = NULL;
    size_t live = mem_live();
    assert_true(load("a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\n", &s, &c) !=
                E_OK);
    const char nests[] = {'[', '{', '?', '-', '"', '\'', '&', '!', '|', ' ', '\n', ':'};
    for (size_t i = 0; i < sizeof nests; i++) {
        for (size_t n = 255 * 1024; n <= 256 * 1024; n += 1024) { /* below the limit and at it */
            memset(big, nests[i], n);
            enum err e = load_octets(big, n, &s, &c);
            bool blank = (nests[i] == '\n' || nests[i] == ' ') && n < 256 * 1024;
            assert_int_equal(e == E_OK, blank);
            if (e == E_OK) {
                conf_free(c);
            }
        }
    }
    memset(big, 'x', sizeof big);
    memcpy(big, "a: {text: ", 10);
    assert_int_equal(load_octets(big, sizeof big, &s, &c), E_RANGE);
    big[200 * 1024] = '}';
    assert_int_equal(load_octets(big, 200 * 1024 + 1, &s, &c), E_OK);
    conf_free(c);
    memcpy(big, "a: {path: ", 10);
    assert_int_equal(load_octets(big, 200 * 1024 + 1, &s, &c), E_RANGE); /* not cut */
    strcpy(big, "b: {list: [");
    for (int i = 0; i < 64; i++) {
        strcat(big, "x,");
    }
    strcat(big, "]}");
    assert_int_equal(load(big, &s, &c), E_OK);
    assert_int_equal(s.list.n, 64);
    conf_free(c);
    strcpy(strstr(big, "]}"), "x]}");
    assert_int_equal(load(big, &s, &c), E_RANGE);
    assert_int_equal(mem_live(), live);
}

static void no_memory(void **state)
{
    (void)state;
    size_t live = mem_live();
    enum err e = E_NOMEM;
    for (long nth = 0; e != E_OK; nth++) {
        struct settings s = {0};
        struct conf *c = NULL;
        mem_fail_at(nth);
        e = load("a: {text: x, path: p}\nb: {list: [x, y], few: [z]}\n", &s, &c);
        assert_int_equal(e, mem_failed() ? E_NOMEM : E_OK);
        assert_true(e == E_OK || (s.text == NULL && strstr(err, "out of memory") != NULL));
        mem_fail_at(-1);
        conf_free(c);
        assert_true(nth < 100);
    }
    assert_int_equal(mem_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),     cmocka_unit_test(every_type),
        cmocka_unit_test(durations),    cmocka_unit_test(places),
        cmocka_unit_test(missing_ones), cmocka_unit_test(secrets_stay_hidden),
        cmocka_unit_test(bombs),        cmocka_unit_test(printed_and_read_again),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
