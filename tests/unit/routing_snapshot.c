#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "routing/snapshot.h"

#define N(a) (sizeof(a) / sizeof *(a))

struct rows { /* a small network that tests copy and spoil */
    struct line lines[3];
    struct number_row numbers[3];
    struct bti_row btis[2];
    struct route routes[7];
};

static struct rows small(void)
{
    return (struct rows){
        .lines =
            {{11,
              1,
              VIEW("+12125550101"),
              VIEW("Alice"),
              false,
              0,
              LINE_CALLER_ID | LINE_REJECTS_ANONYMOUS,
              {[FORWARD_BUSY] = VIEW("+12125550102"), [FORWARD_NO_ANSWER] = VIEW("+442079460000")},
              35},
             {12, 1, VIEW("+12125550102"), VIEW("B\xc3\xb6rje"), true, 1, LINE_PRIVATE},
             {13, 2, VIEW(""), VIEW(""), false, 0}},
        .numbers = {{VIEW("+12125550101"), 11},
                    {VIEW("+12125550199"), 11},
                    {VIEW("+442079460000"), 13}},
        .btis = {{{0xa1}, 11, false}, {{0xb2}, 12, true}},
        .routes = {{VIEW("+"), ROUTE_NEXT_HOP, 100, VIEW("sip:127.0.0.9:5060"), VIEW("default")},
                   {VIEW("+1"), ROUTE_NEXT_HOP, 20, VIEW("sip:127.0.0.2:5060"), VIEW("a-second")},
                   {VIEW("+1"), ROUTE_NEXT_HOP, 10, VIEW("sip:127.0.0.1:5060"), VIEW("b-first")},
                   {VIEW("+1212"), ROUTE_NEXT_HOP, 50, VIEW("sip:127.0.0.3:5060"), VIEW("ny")},
                   {VIEW("911"), ROUTE_EMERGENCY, 1, VIEW("sip:127.0.0.4:5060"), VIEW("psap")},
                   {VIEW("urn:service:sos"), ROUTE_EMERGENCY, 1, VIEW("sip:127.0.0.5:5060"),
                    VIEW("esrp")},
                   {VIEW("911"), ROUTE_NEXT_HOP, 1, VIEW("sip:127.0.0.6:5060"), VIEW("no-psap")}},
    };
}

static struct snapshot_input input(const struct rows *r)
{
    return (struct snapshot_input){
        .change_seq = 0x1122334455667788,
        .lines = r->lines,
        .n_lines = N(r->lines),
        .numbers = r->numbers,
        .n_numbers = N(r->numbers),
        .btis = r->btis,
        .n_btis = N(r->btis),
        .routes = r->routes,
        .n_routes = N(r->routes),
    };
}

static struct snapshot *build(const struct rows *r)
{
    char why[200] = "";
    struct snapshot *s = NULL;
    struct snapshot_input in = input(r);
    if (snapshot_build(&in, &s, why, sizeof why) != E_OK) {
        fail_msg("refused: %s", why);
    }
    return s;
}

static void check_content(const struct snapshot *s)
{
    assert_true(snapshot_change_seq(s) == 0x1122334455667788);
    assert_int_equal(snapshot_lines(s), 3);
    assert_true(snapshot_line_at(s, 2)->line_id == 13);
    const struct line *a = snapshot_line(s, 11);
    const struct line *b = snapshot_line(s, 12);
    assert_non_null(a);
    assert_non_null(b);
    assert_true(a->account_id == 1 && !a->barred && a->level == 0);
    assert_true(view_eq(a->display, VIEW("Alice")) && view_eq(a->number, VIEW("+12125550101")));
    assert_true(b->barred && b->level == 1 && view_eq(b->display, VIEW("B\xc3\xb6rje")));
    assert_int_equal(a->services, LINE_CALLER_ID | LINE_REJECTS_ANONYMOUS);
    assert_int_equal(a->forward[FORWARD_ALWAYS].n, 0);
    assert_true(view_eq(a->forward[FORWARD_BUSY], VIEW("+12125550102")));
    assert_true(view_eq(a->forward[FORWARD_NO_ANSWER], VIEW("+442079460000")));
    assert_int_equal(a->no_answer_s, 35);
    assert_true(b->services == LINE_PRIVATE && b->no_answer_s == 0);
    assert_int_equal(snapshot_line(s, 13)->services, 0);
    assert_null(snapshot_line(s, 14));
    assert_null(snapshot_line(s, 0));
    assert_ptr_equal(snapshot_line_of_number(s, VIEW("+12125550101")), a);
    assert_ptr_equal(snapshot_line_of_number(s, VIEW("+12125550199")), a);
    assert_ptr_equal(snapshot_line_of_number(s, VIEW("+12125550102")), b); /* only primary */
    assert_true(snapshot_line_of_number(s, VIEW("+442079460000"))->line_id == 13);
    assert_null(snapshot_line_of_number(s, VIEW("+1212555010")));
    assert_null(snapshot_line_of_number(s, VIEW("12125550101")));
    assert_null(snapshot_line_of_number(s, VIEW("")));
    assert_true(snapshot_owns_number(s, 11, VIEW("+12125550199")));
    assert_false(snapshot_owns_number(s, 12, VIEW("+12125550199")));
    assert_false(snapshot_owns_number(s, 11, VIEW("+12125550198")));
    const uint8_t bti[16] = {0xa1};
    const uint8_t revoked[16] = {0xb2};
    const uint8_t unknown[16] = {0xc3};
    assert_true(snapshot_bti(s, bti)->line_id == 11 && !snapshot_bti(s, bti)->revoked);
    assert_true(snapshot_bti(s, revoked)->line_id == 12 && snapshot_bti(s, revoked)->revoked);
    assert_null(snapshot_bti(s, unknown));
}

static void lookups(void **state)
{
    (void)state;
    struct rows r = small();
    struct snapshot *s = build(&r);
    memset(&r, 0x55, sizeof r); /* nothing of the input is kept */
    check_content(s);
    snapshot_free(s);
}

static void empty_one(void **state)
{
    (void)state;
    struct snapshot *s = NULL;
    struct snapshot_input in = {0};
    const struct route *out[4];
    const uint8_t id[16] = {1};
    assert_int_equal(snapshot_build(&in, &s, NULL, 0), E_OK);
    assert_null(snapshot_line(s, 1));
    assert_null(snapshot_line_of_number(s, VIEW("+12125550101")));
    assert_null(snapshot_bti(s, id));
    assert_int_equal(snapshot_routes(s, ROUTE_EMERGENCY, VIEW("911"), out, 4), 0);
    assert_int_equal(snapshot_lines(s), 0);
    snapshot_free(s);
}

static void check_routes(const struct snapshot *s, enum route_kind kind, struct view digits,
                         size_t max, const char *want)
{
    const struct route *out[8];
    char got[200] = "";
    size_t n = snapshot_routes(s, kind, digits, out, max);
    for (size_t i = 0; i < n; i++) {
        size_t at = strlen(got);
        (void)snprintf(got + at, sizeof got - at, "%.*s ", (int)out[i]->name.n, out[i]->name.p);
    }
    assert_string_equal(got, want);
}

static void routes(void **state)
{
    (void)state;
    struct rows r = small();
    struct snapshot *s = build(&r);
    const enum route_kind hop = ROUTE_NEXT_HOP;
    check_routes(s, hop, VIEW("+12125550101"), 8, "ny b-first a-second default ");
    check_routes(s, hop, VIEW("+12125550101"), 2, "ny b-first ");
    check_routes(s, hop, VIEW("+12125550101"), 0, "");
    check_routes(s, hop, VIEW("+12135550101"), 8, "b-first a-second default ");
    check_routes(s, hop, VIEW("+1"), 8, "b-first a-second default ");
    check_routes(s, hop, VIEW("+442079460000"), 8, "default ");
    check_routes(s, hop, VIEW("911"), 8, "no-psap ");
    check_routes(s, hop, VIEW(""), 8, "");
    check_routes(s, ROUTE_EMERGENCY, VIEW("911"), 8, "psap ");
    check_routes(s, ROUTE_EMERGENCY, VIEW("112"), 8, "");
    check_routes(s, ROUTE_EMERGENCY, VIEW("urn:service:sos.police"), 8, "esrp ");
    char longest[300];
    memset(longest, '1', sizeof longest);
    longest[0] = '+';
    check_routes(s, hop, view_from(longest, sizeof longest), 8, "b-first a-second default ");
    snapshot_free(s);
}

/* ---- rows that make no sense: one spoiled at a time ---- */

static void expect(const struct rows *r, enum err want, const char *why_has)
{
    char why[200] = "";
    struct snapshot *s = NULL;
    struct snapshot_input in = input(r);
    size_t before = mem_live();
    enum err e = snapshot_build(&in, &s, why, sizeof why);
    if (e != want || !strstr(why, why_has)) {
        fail_msg("%s \"%s\", not %s \"%s\"", err_name(e), why, err_name(want), why_has);
    }
    assert_null(s);
    assert_int_equal(mem_live(), before);
}

#define SPOILED(change, want, why)                                                                 \
    do {                                                                                           \
        struct rows r = small();                                                                   \
        r.change;                                                                                  \
        expect(&r, want, why);                                                                     \
    } while (0)

static void bad_lines(void **state)
{
    (void)state;
    SPOILED(lines[1].line_id = 0, E_PARSE, "line row 1 (line 0): line_id");
    SPOILED(lines[1].line_id = 11, E_PARSE, "line row 1 (line 11): line_id: twice");
    SPOILED(lines[2].level = 2, E_PARSE, "line row 2 (line 13): level");
    SPOILED(lines[1].number = VIEW("+12125550101"), E_EXISTS, "line row 1 (line 12): number");
    SPOILED(lines[1].number = VIEW("12125550102"), E_PARSE, "line row 1 (line 12): number");
}

/* The line stays, with what hides it; the bad part of its service record goes. */
static void bad_services(void **state)
{
    (void)state;
    const struct view bad[] = {VIEW("2125550101"),    VIEW("+02125550101"),      VIEW("+1212"),
                               VIEW("911"),           VIEW("+1212555010123456"), VIEW("sip:a@b"),
                               VIEW("+121255501\xff")};
    const uint16_t seconds[] = {1, 4, 121, 65535};
    for (size_t i = 0; i < N(bad); i++) {
        struct rows r = small();
        r.lines[1].forward[i % FORWARDS] = bad[i];
        r.lines[1].forward[(i + 1) % FORWARDS] = VIEW("+12125550101");
        struct snapshot *s = build(&r);
        const struct line *l = snapshot_line(s, 12);
        assert_int_equal(snapshot_left_out(s), 1);
        assert_int_equal(l->forward[i % FORWARDS].n, 0);
        assert_true(view_eq(l->forward[(i + 1) % FORWARDS], VIEW("+12125550101")));
        assert_int_equal(l->services, LINE_PRIVATE);
        snapshot_free(s);
    }
    for (size_t i = 0; i < N(seconds); i++) {
        struct rows r = small();
        r.lines[0].no_answer_s = seconds[i];
        r.lines[0].services |= 8;
        struct snapshot *s = build(&r);
        assert_int_equal(snapshot_left_out(s), 1);
        assert_int_equal(snapshot_line(s, 11)->no_answer_s, 0);
        assert_int_equal(snapshot_line(s, 11)->services, LINE_CALLER_ID | LINE_REJECTS_ANONYMOUS);
        snapshot_free(s);
    }
}

static void bad_numbers(void **state)
{
    (void)state;
    const struct view bad[] = {
        {"", 0},
        VIEW("+"),
        VIEW("+123456"),
        VIEW("+1234567890123456"),
        VIEW("+02125550101"),
        VIEW("2125550101"),
        VIEW("+1212555o101"),
        VIEW("+1212555 101"),
        VIEW("+1212555010\0"),
    };
    for (size_t i = 0; i < N(bad); i++) {
        SPOILED(numbers[1].number = bad[i], E_PARSE, "number row 1 (line 11): number: not E.164");
    }
    SPOILED(numbers[2].number = VIEW("+12125550199"), E_EXISTS, "number row 2 (line 13): number");
    SPOILED(numbers[1].number = VIEW("+12125550101"), E_EXISTS, "number: twice");
    SPOILED(numbers[2].line_id = 14, E_PARSE, "number row 2 (line 14): line_id");
}

static void bad_btis(void **state)
{
    (void)state;
    SPOILED(btis[0].bti_id[0] = 0, E_PARSE, "bti row 0 (line 11): bti_id: zero");
    SPOILED(btis[1].bti_id[0] = 0xa1, E_PARSE, "bti row 1 (line 12): bti_id: twice");
    SPOILED(btis[1].line_id = 99, E_PARSE, "bti row 1 (line 99): line_id");
}

static void too_many_rows(void **state)
{
    (void)state;
    struct snapshot *s = NULL;
    struct snapshot_input in = {.n_lines = SIZE_MAX};
    assert_int_equal(snapshot_build(&in, &s, NULL, 0), E_PARSE);
}

/* Names are for people: cleaned, never a reason to refuse everybody's data. */
static void names_are_cleaned(void **state)
{
    (void)state;
    const struct {
        struct view in, out;
    } names[] = {
        {VIEW("a\r\nb\x7f\tc"), VIEW("abc")},
        {VIEW("x\xff\xc0\x80y\xed\xa0\x80z\xf4\x90\x80\x80"), VIEW("xyz")},
        {VIEW("\xc2\x80\xc2\xa0"), VIEW("\xc2\xa0")}, /* a C1 control goes */
        {VIEW("\xf0\x9f\x93\x9e\xe2\x82\xac"), VIEW("\xf0\x9f\x93\x9e\xe2\x82\xac")},
        {VIEW("cut\xe2\x82"), VIEW("cut")},
        {VIEW("1234567890123456789012345678901234567890123456789012345678901234+"),
         VIEW("1234567890123456789012345678901234567890123456789012345678901234")},
        {VIEW("123456789012345678901234567890123456789012345678901234567890123\xc3\xa9"),
         VIEW("123456789012345678901234567890123456789012345678901234567890123")},
    };
    for (size_t i = 0; i < N(names); i++) {
        struct rows r = small();
        const struct route *out[1];
        r.lines[0].display = names[i].in;
        r.routes[3].name = names[i].in;
        struct snapshot *s = build(&r);
        assert_true(view_eq(snapshot_line(s, 11)->display, names[i].out));
        assert_int_equal(snapshot_routes(s, ROUTE_NEXT_HOP, VIEW("+1212"), out, 1), 1);
        assert_true(view_eq(out[0]->name, names[i].out));
        snapshot_free(s);
    }
}

static void incremental(void **state)
{
    (void)state;
    struct rows r = small();
    struct snapshot *old = build(&r);
    struct snapshot *next = NULL;
    struct snapshot_input in;
    snapshot_parts(old, &in);
    assert_int_equal(in.n_numbers, 4); /* with the primary number that had no row */
    struct line *lines = calloc(in.n_lines, sizeof *lines);
    memcpy(lines, in.lines, in.n_lines * sizeof *lines);
    lines[0].barred = true;
    in.lines = lines;
    in.change_seq++;
    assert_int_equal(snapshot_build(&in, &next, NULL, 0), E_OK);
    snapshot_free(old); /* the new one stands alone */
    free(lines);
    assert_true(snapshot_line(next, 11)->barred);
    assert_true(snapshot_change_seq(next) == 0x1122334455667789);
    assert_true(
        view_eq(snapshot_line_of_number(next, VIEW("+12125550102"))->number, VIEW("+12125550102")));
    check_routes(next, ROUTE_NEXT_HOP, VIEW("+12125550101"), 8, "ny b-first a-second default ");
    snapshot_free(next);
}

#define MANY 50000u

static void many_lines(void **state)
{
    (void)state;
    struct line *lines = calloc(MANY, sizeof *lines);
    struct bti_row *btis = calloc(MANY, sizeof *btis);
    char(*text)[16] = calloc(MANY, sizeof *text);
    for (uint32_t i = 0; i < MANY; i++) {
        (void)snprintf(text[i], sizeof text[i], "+1212%07u", i);
        lines[i] = (struct line){.line_id = i + 1, .number = view_of(text[i])};
        memcpy(btis[i].bti_id, &lines[i].line_id, 8);
        btis[i].line_id = i + 1;
    }
    struct snapshot_input in = {.lines = lines, .n_lines = MANY, .btis = btis, .n_btis = MANY};
    struct snapshot *s = NULL;
    assert_int_equal(snapshot_build(&in, &s, NULL, 0), E_OK);
    for (uint32_t i = 0; i < MANY; i++) {
        assert_true(snapshot_line_of_number(s, view_of(text[i]))->line_id == i + 1);
        assert_true(snapshot_bti(s, btis[i].bti_id)->line_id == i + 1);
    }
    assert_null(snapshot_line(s, MANY + 1));
    snapshot_free(s);
    free(lines);
    free(btis);
    free(text);
}

/* ---- the file ---- */

struct files {
    char dir[40], path[96];
    uint8_t bytes[4096];
    size_t n;
};

static void slurp(struct files *f)
{
    FILE *in = fopen(f->path, "rb");
    assert_non_null(in);
    f->n = fread(f->bytes, 1, sizeof f->bytes, in);
    fclose(in);
    assert_in_range(f->n, 1, sizeof f->bytes - 1);
}

static void spit(const struct files *f, const void *p, size_t n)
{
    FILE *out = fopen(f->path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(p, 1, n, out), n);
    fclose(out);
}

static int files_up(void **state)
{
    struct files *f = calloc(1, sizeof *f);
    struct rows r = small();
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/hg-snapshot-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->path, sizeof f->path, "%s/snapshot", f->dir);
    struct snapshot *s = build(&r);
    assert_int_equal(snapshot_save(s, f->path), E_OK);
    snapshot_free(s);
    slurp(f);
    *state = f;
    return 0;
}

static int files_down(void **state)
{
    struct files *f = *state;
    unlink(f->path);
    int left = rmdir(f->dir); /* fails when a temporary file was left behind */
    free(f);
    return left;
}

static enum err load(const struct files *f)
{
    struct snapshot *s = NULL;
    enum err e = snapshot_load(f->path, &s);
    assert_true((e == E_OK) == (s != NULL));
    snapshot_free(s);
    return e;
}

static void roundtrip(void **state)
{
    struct files *f = *state;
    struct snapshot *s = NULL;
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(snapshot_load(f->path, &s), E_OK);
    check_content(s);
    check_routes(s, ROUTE_NEXT_HOP, VIEW("+12125550101"), 8, "ny b-first a-second default ");
    check_routes(s, ROUTE_EMERGENCY, VIEW("911"), 8, "psap ");
    struct files stale = *f; /* what a dead process of our number left, readable for all */
    (void)snprintf(stale.path, sizeof stale.path, "%s/snapshot.new.%ld", f->dir, (long)getpid());
    spit(&stale, "old", 3);
    assert_int_equal(chmod(stale.path, 0644), 0);
    assert_int_equal(snapshot_save(s, f->path), E_OK); /* over the old one: same octets */
    snapshot_free(s);
    struct files again = *f;
    slurp(&again);
    assert_int_equal(again.n, f->n);
    assert_memory_equal(again.bytes, f->bytes, f->n);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void every_octet_and_length(void **state)
{
    struct files *f = *state;
    for (size_t i = 0; i < f->n; i++) {
        f->bytes[i] ^= (uint8_t)(1u << i % 8);
        spit(f, f->bytes, f->n);
        assert_int_equal(load(f), E_PARSE);
        f->bytes[i] ^= (uint8_t)(1u << i % 8);
        spit(f, f->bytes, i);
        assert_int_equal(load(f), E_PARSE);
    }
    f->bytes[f->n] = 0;
    spit(f, f->bytes, f->n + 1);
    assert_int_equal(load(f), E_PARSE);
    spit(f, f->bytes, f->n);
    assert_int_equal(load(f), E_OK);
}

#define BARRED_AT (48 + 16) /* in the first line's row */

/* A hostile writer knows the hash too: any octet, any value, a right hash. Nothing may break. */
static void hostile_with_a_right_hash(void **state)
{
    struct files *f = *state;
    static const uint8_t values[] = {0x00, 0x01, 0x02, 0x7f, 0x80, 0xff};
    size_t body = f->n - SHA256_BYTES;
    size_t refused = 0;
    size_t before = mem_live();
    for (size_t i = 0; i < body; i++) {
        uint8_t old = f->bytes[i];
        for (size_t v = 0; v < N(values); v++) {
            f->bytes[i] = values[v];
            assert_int_equal(sha256(view_from(f->bytes, body), f->bytes + body), E_OK);
            spit(f, f->bytes, f->n);
            enum err e = load(f);
            assert_true(e == E_OK || e == E_PARSE);
            refused += e == E_PARSE;
            assert_true(i >= 8 || e == E_PARSE || values[v] == old); /* magic, version */
            if (i == BARRED_AT || i == BARRED_AT + 1) {              /* flag, level */
                assert_int_equal(e, values[v] <= 1 ? E_OK : E_PARSE);
            }
        }
        f->bytes[i] = old;
    }
    assert_true(refused > body);
    for (size_t n = 0; n <= body + 1; n++) { /* cut or with one more, and a right hash */
        uint8_t cut[sizeof f->bytes] = {0};
        if (n == body) {
            continue;
        }
        memcpy(cut, f->bytes, n < body ? n : body);
        assert_int_equal(sha256(view_from(cut, n), cut + n), E_OK);
        spit(f, cut, n + SHA256_BYTES);
        assert_int_equal(load(f), E_PARSE);
    }
    assert_int_equal(mem_live(), before);
}

static void not_a_file_of_ours(void **state)
{
    struct files *f = *state;
    struct files other = *f;
    struct rows r = small();
    struct snapshot *s = build(&r);
    (void)snprintf(other.path, sizeof other.path, "%s/none", f->dir);
    assert_int_equal(load(&other), E_NOTFOUND);
    assert_int_equal(symlink(f->path, other.path), 0);
    assert_int_equal(load(&other), E_IO);
    assert_int_equal(unlink(other.path), 0);
    assert_int_equal(mkfifo(other.path, 0600), 0);
    assert_int_equal(load(&other), E_PARSE);
    assert_int_equal(unlink(other.path), 0);
    assert_int_equal(mkdir(other.path, 0700), 0);
    assert_int_equal(load(&other), E_PARSE);
    assert_int_equal(snapshot_save(s, other.path), E_IO); /* a folder is in the way */
    assert_int_equal(rmdir(other.path), 0);
    (void)snprintf(other.path, sizeof other.path, "%s/no/such", f->dir);
    assert_int_equal(snapshot_save(s, other.path), E_IO);
    char longest[5000];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(snapshot_save(s, longest), E_RANGE);
    snapshot_free(s);
}

static void out_of_memory(void **state)
{
    struct files *f = *state;
    size_t before = mem_live();
    for (long nth = 0;; nth++) {
        struct snapshot *s = NULL;
        mem_fail_at(nth);
        enum err e = snapshot_load(f->path, &s);
        if (e == E_OK) {
            e = snapshot_save(s, f->path);
        }
        bool failed = mem_failed();
        mem_fail_at(-1);
        snapshot_free(s);
        assert_int_equal(mem_live(), before);
        assert_int_equal(e, failed ? E_NOMEM : E_OK);
        assert_int_equal(load(f), E_OK); /* a failed save leaves the old file */
        if (!failed) {
            assert_true(nth > 10);
            break;
        }
    }
}

/* More than one buffer of the writer. */
static void large_file(void **state)
{
    struct files *f = *state;
    struct line *lines = calloc(MANY, sizeof *lines);
    for (uint32_t i = 0; i < MANY; i++) {
        lines[i] = (struct line){.line_id = i + 1, .display = VIEW("A name of some length")};
    }
    struct snapshot_input in = {.lines = lines, .n_lines = MANY};
    struct snapshot *s = NULL;
    assert_int_equal(snapshot_build(&in, &s, NULL, 0), E_OK);
    assert_int_equal(snapshot_save(s, f->path), E_OK);
    snapshot_free(s);
    s = NULL;
    assert_int_equal(snapshot_load(f->path, &s), E_OK);
    assert_int_equal(snapshot_lines(s), MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        assert_true(view_eq(snapshot_line(s, i + 1)->display, VIEW("A name of some length")));
    }
    snapshot_free(s);
    free(lines);
}

#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, files_up, files_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookups),
        cmocka_unit_test(empty_one),
        cmocka_unit_test(routes),
        cmocka_unit_test(bad_lines),
        cmocka_unit_test(bad_services),
        cmocka_unit_test(bad_numbers),
        cmocka_unit_test(bad_btis),
        cmocka_unit_test(too_many_rows),
        cmocka_unit_test(names_are_cleaned),
        cmocka_unit_test(incremental),
        cmocka_unit_test(many_lines),
        WITH_FILE(roundtrip),
        WITH_FILE(every_octet_and_length),
        WITH_FILE(hostile_with_a_right_hash),
        WITH_FILE(not_a_file_of_ours),
        WITH_FILE(out_of_memory),
        WITH_FILE(large_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
