/* What lines ask of the database, against a real server of this test's own with the real schema. */
#include <fcntl.h>
#include <glob.h>
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

#include "gc/store_int.h"

#define WAIT_MS   15000
#define SQL_MAX   (256 * 1024)
#define OPEN_MAX_ 256 /* of gc/store_ask.c */

static struct {
    char top[32], dir[48], conninfo[128];
    struct store store;
    struct pg_sync *owner;
    unsigned n; /* answers */
    struct line_answer last;
} t;

static int devstack(const char *command)
{
    char line[200];
    snprintf(line, sizeof line, "tools/devstack %s %s", command, t.dir);
    return system(line);
}

/* As the owner of the database. */
static void sql(const char *text)
{
    char why[300] = "";
    if (pg_sync_script(t.owner, text, why, sizeof why) != E_OK) {
        fail_msg("%s", why);
    }
}

static void assert_sql(const char *query, const char *want)
{
    struct pg_result *r = NULL;
    char got[300] = "";
    assert_int_equal(pg_sync_query(t.owner, query, NULL, 0, &r), E_OK);
    assert_int_equal(view_to_cstr(pg_text(r, 0, 0), got, sizeof got), E_OK);
    assert_string_equal(got, want);
    pg_result_free(r);
}

static void schema(void)
{
    glob_t files;
    char *text = calloc(1, SQL_MAX);
    assert_non_null(text);
    sql("CREATE ROLE hg_gc LOGIN; CREATE ROLE hg_prov LOGIN; CREATE ROLE hg_admin LOGIN; "
        "CREATE ROLE hg_li LOGIN; CREATE ROLE hg_trace LOGIN; CREATE ROLE hg_api LOGIN");
    assert_int_equal(glob("migrations/*.sql", 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        FILE *f = fopen(files.gl_pathv[i], "r");
        assert_non_null(f);
        text[fread(text, 1, SQL_MAX - 1, f)] = 0;
        fclose(f);
        sql(text);
    }
    globfree(&files);
    free(text);
}

static void on_answer(void *arg, const struct line_answer *a)
{
    assert_ptr_equal(arg, &t);
    t.last = *a;
    t.n++;
}

static void new_asks(const char *conninfo)
{
    t.store.cfg.conninfo = conninfo;
    assert_int_equal(asks_new(&t.store, &t.store.asks), E_OK);
    assert_int_equal(asks_open(t.store.asks), E_OK);
}

static int setup(void **state)
{
    char why[200];
    (void)state;
    strcpy(t.top, "/tmp/asXXXXXX");
    if (mkdtemp(t.top) == NULL || chmod(t.top, 0711) != 0) {
        return -1;
    }
    snprintf(t.dir, sizeof t.dir, "%s/x", t.top);
    if (mkdir(t.dir, 0711) != 0 || devstack("start") != 0) {
        return -1;
    }
    snprintf(t.conninfo, sizeof t.conninfo, "host=%s/run user=headgate dbname=headgate", t.dir);
    if (pg_sync_open(t.conninfo, &t.owner, why, sizeof why) != E_OK) {
        return -1;
    }
    schema();
    sql("INSERT INTO core.account (name) VALUES ('a'); INSERT INTO core.line (account_id, barred) "
        "VALUES (1, false), (1, true); INSERT INTO core.number VALUES ('+12125550101', 1)");
    snprintf(t.conninfo, sizeof t.conninfo, "host=%s/run user=hg_gc dbname=headgate", t.dir);
    t.store.cfg = (struct store_cfg){.node = "gc1", .on_line_answer = on_answer, .arg = &t};
    log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    return loop_new(clock_system(), &t.store.l) == E_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char line[80];
    pg_sync_close(t.owner);
    int rc = devstack("stop");
    loop_free(t.store.l);
    snprintf(line, sizeof line, "rm -rf %s", t.top);
    return rc == 0 ? system(line) : rc;
}

static void too_long(void *arg)
{
    *(bool *)arg = true;
}

static void until(unsigned n)
{
    bool late = false;
    struct loop_timer limit = {0};
    assert_int_equal(loop_timer_start(t.store.l, &limit, WAIT_MS, too_long, &late), E_OK);
    while (t.n < n && !late) {
        loop_run_once(t.store.l, true);
    }
    loop_timer_stop(t.store.l, &limit);
    assert_int_equal(t.n, n);
}

/* One question and its answer. */
static enum err asked(const struct line_ask *q)
{
    struct line_ask copy = *q;
    copy.ticket = 100 + t.n;
    copy.worker = 3;
    assert_int_equal(store_line_ask(&t.store, &copy), E_OK);
    until(t.n + 1);
    assert_true(t.last.ticket == copy.ticket && t.last.worker == 3);
    return t.last.e;
}

static enum err set(uint64_t line, enum line_setting setting, const char *value)
{
    struct line_ask q = {.kind = LINE_ASK_SET, .line_id = line, .setting = setting};
    snprintf(q.value, sizeof q.value, "%s", value);
    return asked(&q);
}

/* Until the connection is up, answers are E_IO. */
static void come_up(void)
{
    for (unsigned i = 0; i < 1000000 && set(1, LINE_SET_REJECTS_ANONYMOUS, "") == E_IO; i++) {
        loop_run_once(t.store.l, false);
    }
    assert_int_equal(t.last.e, E_OK);
}

static void a_line_sets_its_own_record(void **state)
{
    (void)state;
    new_asks(t.conninfo);
    come_up();
    assert_int_equal(set(1, LINE_SET_REJECTS_ANONYMOUS, "yes"), E_OK);
    assert_int_equal(set(1, LINE_SET_FORWARD_ALWAYS, "+12125550109"), E_OK);
    assert_int_equal(set(1, LINE_SET_FORWARD_BUSY, "+12125550108"), E_OK);
    assert_int_equal(set(1, LINE_SET_FORWARD_NO_ANSWER, "+12125550107"), E_OK);
    assert_int_equal(set(1, LINE_SET_FORWARD_BUSY, ""), E_OK);
    assert_int_equal(set(1, LINE_SET_FORWARD_ALWAYS, "911"), E_DENIED);
    assert_int_equal(set(1, LINE_SET_FORWARD_ALWAYS, "+1212\n"), E_DENIED);
    assert_int_equal(set(1, LINE_SET_FORWARD_ALWAYS, "+12125550101"), E_DENIED); /* itself */
    assert_int_equal(set(2, LINE_SET_FORWARD_ALWAYS, "+12125550109"), E_DENIED); /* barred */
    assert_int_equal(set(3, LINE_SET_FORWARD_ALWAYS, "+12125550109"), E_DENIED); /* nobody */
    assert_sql("SELECT concat_ws(' ', line_id, rejects_anonymous, forward_always, forward_busy, "
               "forward_no_answer) FROM core.line_service",
               "1 t +12125550109 +12125550107");
    asks_free(t.store.asks);
}

static void the_later_call_counts(void **state)
{
    (void)state;
    struct line_ask last = {.kind = LINE_ASK_LAST_CALL, .line_id = 1};
    struct line_ask trace = {.kind = LINE_ASK_TRACE, .line_id = 1};
    new_asks(t.conninfo);
    come_up();
    assert_int_equal(asked(&last), E_NOTFOUND);
    assert_int_equal(asked(&trace), E_NOTFOUND);
    sql("INSERT INTO cdr.call (cdr_id, started_at, ended_at, callee_line, caller, called, "
        "routed, call_id, route, status, end_by, node, private) SELECT i, "
        "to_timestamp(1700000000 + i), now(), 1, '+1212555020' || i, '5550101', "
        "'+12125550101', 'call-' || i, 'local', CASE i WHEN 3 THEN 433 ELSE 200 END, 'caller', "
        "'gc1', i = 2 FROM generate_series(1, 3) i");
    assert_int_equal(asked(&last), E_OK); /* the third never reached the line */
    assert_string_equal(t.last.last.caller, "+12125550202");
    assert_string_equal(t.last.last.called, "5550101");
    assert_string_equal(t.last.last.call_id, "call-2");
    assert_true(t.last.last.is_private && t.last.last.started_us == 1700000002000000ull);
    last.known = (struct last_call){.started_us = 1700000001999999ull, .caller = "+12125550299"};
    assert_int_equal(asked(&last), E_OK);
    assert_string_equal(t.last.last.caller, "+12125550202");
    last.known.started_us = 1700000002000001ull;
    assert_int_equal(asked(&last), E_OK);
    assert_string_equal(t.last.last.caller, "+12125550299");
    assert_false(t.last.last.is_private);
    assert_int_equal(asked(&trace), E_OK);
    assert_int_equal(asked(&trace), E_OK); /* the same again */
    trace.known = (struct last_call){.started_us = 1700000002000001ull,
                                     .caller = "+1\xff\n\\'",
                                     .called = "5550101",
                                     .call_id = "x",
                                     .is_private = true};
    assert_int_equal(asked(&trace), E_OK);
    assert_sql("SELECT string_agg(concat_ws(' ', line_id, caller, call_id, private, node), ',' "
               "ORDER BY id) FROM trace.record",
               "1 +12125550202 call-2 t gc1,1 +1??\\' x t gc1");
    asks_free(t.store.asks);
}

static void without_a_database(void **state)
{
    (void)state;
    const struct line_ask q = {.kind = LINE_ASK_LAST_CALL, .line_id = 1};
    unsigned before = t.n;
    new_asks("host=/nowhere/at/all dbname=x");
    assert_int_equal(set(1, LINE_SET_FORWARD_BUSY, ""), E_IO);
    for (unsigned i = 0; i < OPEN_MAX_; i++) {
        assert_int_equal(store_line_ask(&t.store, &q), E_OK);
    }
    assert_int_equal(store_line_ask(&t.store, &q), E_FULL);
    until(before + 1 + OPEN_MAX_);
    assert_int_equal(store_line_ask(&t.store, &q), E_OK);
    asks_free(t.store.asks); /* an open question gets no answer any more */
    assert_int_equal(t.n, before + 1 + OPEN_MAX_);
    t.store.cfg.on_line_answer = NULL;
    new_asks("host=/nowhere/at/all dbname=x");
    assert_int_equal(store_line_ask(&t.store, &q), E_OK);
    loop_run_once(t.store.l, false);
    asks_free(t.store.asks);
    for (int i = 0; i < 3; i++) {
        mem_fail_at(i);
        struct asks *k = NULL;
        enum err e = asks_new(&t.store, &k);
        mem_fail_at(-1);
        assert_true(e == E_OK || e == E_NOMEM);
        asks_free(k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_sets_its_own_record),
        cmocka_unit_test(the_later_call_counts),
        cmocka_unit_test(without_a_database),
    };
    log_init("gc_store_ask", LV_ERROR);
    return cmocka_run_group_tests(tests, setup, teardown);
}
