/* PostgreSQL and Redis against real servers of this test's own (tools/devstack): queries, errors,
 * servers that go, come back, or say nothing. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
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

#include "base/log.h"
#include "base/mem.h"
#include "base/pg.h"
#include "base/redis.h"

#define WAIT_MS 12000

static struct {
    char top[32], dir[48], conninfo[128], address[80];
    struct loop *l;
} t;

/* ---- servers --------------------------------------------------------------------------------- */
static int devstack(const char *command)
{
    char line[200];
    snprintf(line, sizeof line, "tools/devstack %s %s", command, t.dir);
    return system(line);
}

static pid_t pid_in(const char *name)
{
    char path[100];
    long pid = 0;
    snprintf(path, sizeof path, "%s/%s", t.dir, name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld", &pid), 1);
    fclose(f);
    assert_true(pid > 1);
    return (pid_t)pid;
}

static int setup(void **state)
{
    (void)state;
    strcpy(t.top, "/tmp/dbXXXXXX");
    if (mkdtemp(t.top) == NULL || chmod(t.top, 0711) != 0) {
        return -1;
    }
    snprintf(t.dir, sizeof t.dir, "%s/x", t.top);
    if (mkdir(t.dir, 0711) != 0 || devstack("start") != 0) {
        return -1;
    }
    snprintf(t.conninfo, sizeof t.conninfo, "host=%s/run user=headgate dbname=headgate", t.dir);
    snprintf(t.address, sizeof t.address, "unix:%s/run/redis.sock", t.dir);
    log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    return loop_new(clock_system(), &t.l) == E_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char line[80];
    int rc = devstack("stop");
    loop_free(t.l);
    snprintf(line, sizeof line, "rm -rf %s", t.top);
    return rc == 0 ? system(line) : rc;
}

/* ---- waiting --------------------------------------------------------------------------------- */
static void too_long(void *arg)
{
    *(bool *)arg = true;
}

/* Turns until *what reaches at least n. */
static void until(const unsigned *what, unsigned n)
{
    bool late = false;
    struct loop_timer limit = {0};
    assert_int_equal(loop_timer_start(t.l, &limit, WAIT_MS, too_long, &late), E_OK);
    while (*what < n && !late) {
        loop_run_once(t.l, true);
    }
    loop_timer_stop(t.l, &limit);
    assert_false(late);
}

/* ---- PostgreSQL ------------------------------------------------------------------------------ */
struct answer {
    unsigned n;
    enum err e;
    size_t rows, affected;
    char text[80], state[8], message[200];
    struct pg *again; /* asks this one from the callback */
};

static void on_answer(void *arg, enum err e, const struct pg_result *r)
{
    struct answer *a = arg;
    struct view v = pg_text(r, 0, 0);
    a->n++;
    a->e = e;
    a->rows = pg_rows(r);
    a->affected = pg_affected(r);
    snprintf(a->text, sizeof a->text, "%.*s", (int)v.n, v.p);
    snprintf(a->state, sizeof a->state, "%s", pg_sqlstate(r));
    snprintf(a->message, sizeof a->message, "%s", pg_message(r));
    if (a->again != NULL) {
        struct pg *p = a->again;
        a->again = NULL;
        a->e = pg_query(p, "SELECT 'again'", NULL, 0, on_answer, a);
    }
}

struct watch {
    unsigned ups, downs, notes;
    char note[80];
};

static void on_pg_up(void *arg, bool up)
{
    struct watch *w = arg;
    w->ups += up;
    w->downs += !up;
}

static void on_note(void *arg, struct view channel, struct view payload)
{
    struct watch *w = arg;
    w->notes++;
    snprintf(w->note, sizeof w->note, "%.*s %.*s", (int)channel.n, channel.p, (int)payload.n,
             payload.p);
}

static const char *const CHANNELS[] = {"unit_a", "unit_b", NULL};

static struct pg *open_pg(struct watch *w, unsigned max_queue)
{
    struct pg_cfg cfg = {.conninfo = t.conninfo,
                         .listen = CHANNELS,
                         .max_queue = max_queue,
                         .statement_timeout_ms = 300,
                         .on_up = on_pg_up,
                         .on_notify = on_note,
                         .arg = w};
    struct pg *p = NULL;
    *w = (struct watch){0};
    assert_int_equal(pg_open(t.l, &cfg, &p), E_OK);
    assert_false(pg_is_up(p));
    assert_int_equal(pg_query(p, "SELECT 1", NULL, 0, NULL, NULL), E_STATE);
    until(&w->ups, 1);
    assert_true(pg_is_up(p));
    return p;
}

static struct answer ask(struct pg *p, const char *sql, const struct pg_param *v, size_t n)
{
    struct answer a = {0};
    assert_int_equal(pg_query(p, sql, v, n, on_answer, &a), E_OK);
    until(&a.n, 1);
    return a;
}

static void queries(void **state)
{
    (void)state;
    struct watch w;
    struct pg *p = open_pg(&w, 0);
    const struct pg_param v[] = {PG_TEXT(view_from("42xx", 2)), PG_BYTES(VIEW("a\0b")), PG_NULL};
    struct answer a = ask(p, "SELECT $1::int + 1, $2::bytea, $3::text", v, 3);
    assert_int_equal(a.e, E_OK);
    assert_string_equal(a.text, "43"); /* a view that does not end in NUL */
    a = ask(p, "SELECT encode($1::bytea, 'hex')", &v[1], 1);
    assert_string_equal(a.text, "610062");
    a = ask(p, "SELECT $1::text IS NULL", &v[2], 1);
    assert_string_equal(a.text, "t");
    a = ask(p, "SELECT 1 WHERE false", NULL, 0);
    assert_true(a.e == E_OK && a.rows == 0);
    a = ask(p, "DO $$ BEGIN RAISE NOTICE 'not for stderr'; END $$", NULL, 0);
    assert_int_equal(a.e, E_OK);
    struct pg_param nul = PG_TEXT(VIEW("a\0b")), many[33] = {0};
    assert_int_equal(pg_query(p, "SELECT $1", &nul, 1, NULL, NULL), E_RANGE);
    assert_int_equal(pg_query(p, "SELECT 1", many, 33, NULL, NULL), E_RANGE);
    size_t live = mem_live();
    for (long nth = 0; nth < 3; nth++) {
        mem_fail_at(nth);
        assert_int_equal(pg_query(p, "SELECT $1", v, 1, NULL, NULL), E_NOMEM);
    }
    mem_fail_at(-1);
    assert_int_equal(mem_live(), live);
    struct answer b = {.again = p}; /* the next one from the callback of this one */
    assert_int_equal(pg_query(p, "SELECT 'first'", NULL, 0, on_answer, &b), E_OK);
    until(&b.n, 2);
    assert_string_equal(b.text, "again");
    pg_close(p);
    pg_close(NULL);
}

static void classes_of_errors(void **state)
{
    (void)state;
    struct watch w;
    struct pg *p = open_pg(&w, 0);
    assert_int_equal(ask(p, "CREATE TABLE unit_t (id int PRIMARY KEY CHECK (id < 100))", NULL, 0).e,
                     E_OK);
    assert_int_equal(ask(p, "CREATE ROLE unit_nobody", NULL, 0).e, E_OK);
    struct answer a = ask(p, "INSERT INTO unit_t VALUES (1), (2)", NULL, 0);
    assert_true(a.e == E_OK && a.affected == 2);
    const struct {
        const char *sql, *state;
        enum err e;
    } rows[] = {
        {"INSERT INTO unit_t VALUES (1)", "23505", E_EXISTS},
        {"INSERT INTO unit_t VALUES (100)", "23514", E_EXISTS},
        {"SELECT 1 / 0", "22012", E_RANGE},
        {"SELECT 'x'::int", "22P02", E_RANGE},
        {"SELEC 1", "42601", E_STATE},
        {"SELECT * FROM unit_none", "42P01", E_STATE},
        {"SELECT pg_sleep(30)", "57014", E_STATE}, /* our statement_timeout */
        {"SET ROLE unit_nobody", "", E_OK},
        {"SELECT * FROM unit_t", "42501", E_DENIED},
        {"RESET ROLE", "", E_OK},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        a = ask(p, rows[i].sql, NULL, 0);
        if (a.e != rows[i].e || strcmp(a.state, rows[i].state) != 0) {
            fail_msg("%s: %s, %s %s", rows[i].sql, err_name(a.e), a.state, a.message);
        }
    }
    struct pg_param secret = PG_TEXT(VIEW("hunter2"));
    a = ask(p, "INSERT INTO unit_t SELECT length($1) - 6", &secret, 1);
    assert_int_equal(a.e, E_EXISTS);
    assert_null(strstr(a.message, "hunter2"));
    pg_close(p);
}

static void copies(void **state)
{
    (void)state;
    static char body[400000];
    struct watch w;
    struct pg *p = open_pg(&w, 0);
    struct answer a = {0}, q = {0};
    size_t n = 0;
    assert_int_equal(ask(p, "CREATE TABLE unit_c (id int PRIMARY KEY, v text)", NULL, 0).e, E_OK);
    for (int i = 0; i < 10000; i++) { /* more than a socket takes at once */
        n += (size_t)snprintf(body + n, sizeof body - n, "%d\tsome text, number %d\n", i, i);
    }
    assert_int_equal(pg_copy(p, "COPY unit_c FROM STDIN", view_from(body, n), on_answer, &a), E_OK);
    assert_int_equal(pg_query(p, "SELECT count(*) FROM unit_c", NULL, 0, on_answer, &q), E_OK);
    until(&q.n, 1);
    assert_true(a.n == 1 && a.e == E_OK && a.affected == 10000);
    assert_string_equal(q.text, "10000");
    a = (struct answer){0};
    assert_int_equal(pg_copy(p, "COPY unit_c FROM STDIN", VIEW("1\tx\n"), on_answer, &a), E_OK);
    until(&a.n, 1);
    assert_int_equal(a.e, E_EXISTS);
    a = (struct answer){0};
    assert_int_equal(pg_copy(p, "COPY unit_c FROM STDIN", VIEW("x\n"), on_answer, &a), E_OK);
    until(&a.n, 1);
    assert_int_equal(a.e, E_RANGE);
    a = (struct answer){0};
    assert_int_equal(pg_copy(p, "COPY unit_none FROM STDIN", VIEW("1\n"), on_answer, &a), E_OK);
    until(&a.n, 1);
    assert_int_equal(a.e, E_STATE);
    a = (struct answer){0};
    assert_int_equal(pg_copy(p, "COPY unit_c FROM STDIN", VIEW(""), on_answer, &a), E_OK);
    until(&a.n, 1);
    assert_int_equal(a.e, E_OK);
    assert_string_equal(ask(p, "SELECT count(*) FROM unit_c", NULL, 0).text, "10000");
    pg_close(p);
}

static void waiting_has_a_limit(void **state)
{
    (void)state;
    struct watch w;
    struct pg *p = open_pg(&w, 3);
    struct answer a[5] = {{0}};
    for (int i = 0; i < 4; i++) { /* one under way and three that wait */
        assert_int_equal(pg_query(p, "SELECT 1", NULL, 0, on_answer, &a[i]), E_OK);
    }
    assert_int_equal(pg_query(p, "SELECT 1", NULL, 0, on_answer, &a[4]), E_FULL);
    until(&a[3].n, 1);
    assert_true(a[0].n == 1 && a[1].n == 1 && a[2].n == 1 && a[4].n == 0);
    assert_int_equal(pg_query(p, "SELECT pg_sleep(1)", NULL, 0, on_answer, &a[4]), E_OK);
    assert_int_equal(pg_query(p, "SELECT 1", NULL, 0, on_answer, &a[0]), E_OK);
    pg_close(p); /* both hear of it */
    assert_true(a[4].n == 1 && a[4].e == E_IO && a[0].n == 2 && a[0].e == E_IO);
    assert_true(w.downs == 0 && loop_timers(t.l) == 0);
}

static void lost_and_found(void **state)
{
    (void)state;
    struct watch w, x;
    struct pg *p = open_pg(&w, 0), *other = open_pg(&x, 0);
    assert_int_equal(ask(other, "NOTIFY unit_b, 'one'", NULL, 0).e, E_OK);
    until(&w.notes, 1);
    assert_string_equal(w.note, "unit_b one");
    struct answer a = {0}, waits = {.again = p};
    assert_int_equal(
        pg_query(p, "SELECT pg_terminate_backend(pg_backend_pid())", NULL, 0, on_answer, &a), E_OK);
    assert_int_equal(pg_query(p, "SELECT 1", NULL, 0, on_answer, &waits), E_OK);
    until(&w.downs, 1);
    assert_true(a.n == 1 && a.e == E_IO);
    assert_int_equal(waits.n, 1);
    assert_int_equal(waits.e, E_STATE); /* what it asked while the connection was down */
    until(&w.ups, 2);
    assert_int_equal(ask(other, "NOTIFY unit_a, 'two'", NULL, 0).e, E_OK);
    until(&w.notes, 2); /* the LISTENs are there again */
    assert_string_equal(w.note, "unit_a two");
    pg_close(p);
    pg_close(other);
}

static void bad_addresses(void **state)
{
    (void)state;
    struct watch w = {0};
    struct pg_cfg cfg = {.conninfo = "password=x y", .on_up = on_pg_up, .arg = &w};
    struct pg *p = NULL;
    assert_int_equal(pg_open(t.l, &cfg, &p), E_PARSE);
    cfg.conninfo = "host=/nowhere user=x";
    mem_fail_at(0);
    assert_int_equal(pg_open(t.l, &cfg, &p), E_NOMEM);
    mem_fail_at(-1);
    assert_int_equal(pg_open(t.l, &cfg, &p), E_OK);
    assert_int_equal(loop_timers(t.l), 1); /* the next try */
    pg_close(p);
    assert_true(w.ups == 0 && w.downs == 0 && loop_timers(t.l) == 0);
}

static void blocking(void **state)
{
    (void)state;
    struct pg_sync *s = NULL;
    struct pg_result *r = NULL;
    char why[200] = "";
    uint8_t b[4] = {9, 9, 9, 9};
    size_t n = 77;
    assert_int_equal(pg_sync_open("host=/nowhere", &s, why, sizeof why), E_IO);
    assert_true(why[0] != 0 && strchr(why, '\n') == NULL);
    assert_int_equal(pg_sync_open(t.conninfo, &s, why, sizeof why), E_OK);
    const struct pg_param v[] = {PG_BYTES(VIEW("\0\xff\1")), PG_TEXT(VIEW("18446744073709551615"))};
    assert_int_equal(pg_sync_query(s, "SELECT $1::bytea, $2::text, true, NULL, 'x'", v, 2, &r),
                     E_OK);
    assert_int_equal(pg_octets(r, 0, 0, b, 2, &n), E_RANGE);
    assert_int_equal(pg_octets(r, 0, 4, b, 4, &n), E_PARSE);
    assert_int_equal(pg_octets(r, 0, 3, b, 4, &n), E_PARSE);
    assert_true(n == 77 && b[0] == 9);
    assert_int_equal(pg_octets(r, 0, 0, b, 4, &n), E_OK);
    assert_int_equal(n, 3);
    assert_memory_equal(b, "\0\xff\1\t", 4);
    assert_true(pg_u64(r, 0, 1) == UINT64_MAX && pg_u64(r, 0, 4) == 0 && pg_u64(r, 0, 3) == 0);
    assert_true(pg_bool(r, 0, 2) && !pg_bool(r, 0, 3) && pg_is_null(r, 0, 3) &&
                !pg_is_null(r, 0, 2));
    assert_true(pg_is_null(r, 1, 0) && pg_text(r, 7, 0).n == 0);
    pg_result_free(r);
    r = (struct pg_result *)&n;
    mem_fail_at(1); /* the second copy: must not arrive as an SQL NULL */
    assert_int_equal(pg_sync_query(s, "SELECT $1::bytea, $2::text", v, 2, &r), E_NOMEM);
    mem_fail_at(-1);
    assert_null(r);
    struct pg_param nul = PG_TEXT(VIEW("a\0"));
    assert_int_equal(pg_sync_query(s, "SELECT $1", &nul, 1, NULL), E_RANGE);
    assert_int_equal(pg_sync_query(s, "SELECT 1/0", NULL, 0, &r), E_RANGE);
    assert_string_equal(pg_sqlstate(r), "22012");
    assert_string_equal(pg_message(r), "division by zero");
    pg_result_free(r);
    assert_int_equal(pg_sync_script(s, "CREATE TABLE unit_s (a int); INSERT INTO unit_s VALUES (1)",
                                    why, sizeof why),
                     E_OK);
    assert_int_equal(pg_sync_script(s, "SELECT 1; SELEC 2", why, sizeof why), E_STATE);
    assert_non_null(strstr(why, "syntax error"));
    assert_int_equal(
        pg_sync_query(s, "SELECT pg_terminate_backend(pg_backend_pid())", NULL, 0, NULL), E_IO);
    assert_int_equal(pg_sync_query(s, "SELECT 1", NULL, 0, NULL), E_IO);
    pg_sync_close(s);
    pg_sync_close(NULL);
    assert_true(pg_rows(NULL) == 0 && pg_affected(NULL) == 0 && pg_sqlstate(NULL)[0] == 0);
    pg_result_free(NULL);
}

static void blocking_with_a_limit(void **state)
{
    (void)state;
    struct pg_sync *s = NULL;
    struct pg_result *r = NULL;
    char why[200] = "";
    assert_int_equal(pg_sync_open(t.conninfo, &s, why, sizeof why), E_OK);
    pg_sync_limit(s, 60000);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            pg_sync_query(s, "SELECT repeat('x', 3000000), pg_backend_pid()", NULL, 0, &r), E_OK);
        assert_int_equal(pg_text(r, 0, 0).n, 3000000);
        pid_t server = (pid_t)pg_u64(r, 0, 1);
        pg_result_free(r);
        assert_int_equal(pg_sync_query(s, "SELECT 1/0", NULL, 0, &r), E_RANGE);
        assert_string_equal(pg_message(r), "division by zero");
        pg_result_free(r);
        if (i == 2) {
            assert_int_equal(kill(server, SIGSTOP), 0);
            pg_sync_limit(s, 200);
            assert_int_equal(pg_sync_query(s, "SELECT 1", NULL, 0, &r), E_IO);
            assert_null(r);
            assert_int_equal(kill(server, SIGCONT), 0);
            assert_int_equal(pg_sync_query(s, "SELECT 1", NULL, 0, NULL), E_IO); /* for good */
        }
    }
    pg_sync_close(s);
    assert_int_equal(pg_sync_open(t.conninfo, &s, why, sizeof why), E_OK);
    pg_sync_limit(s, 60000);
    assert_int_equal(
        pg_sync_query(s, "SELECT pg_terminate_backend(pg_backend_pid())", NULL, 0, NULL), E_IO);
    assert_int_equal(pg_sync_query(s, "SELECT 1", NULL, 0, NULL), E_IO);
    pg_sync_close(s);
}

/* ---- Redis ----------------------------------------------------------------------------------- */
struct reply {
    unsigned n;
    enum err e;
    bool nil;
    int64_t number;
    size_t count;
    char text[80];
    struct redis *again;
};

static void on_reply(void *arg, enum err e, const struct redis_reply *r)
{
    struct reply *a = arg;
    const struct view get[] = {VIEW("GET"), VIEW("again")};
    struct view v = redis_text(r);
    a->n++;
    a->e = e;
    a->nil = redis_is_nil(r);
    a->number = redis_int(r);
    a->count = redis_count(r);
    if (a->count > 1) {
        v = redis_text(redis_at(r, 1));
    }
    assert_null(redis_at(r, a->count));
    snprintf(a->text, sizeof a->text, "%.*s", (int)v.n, v.p);
    if (a->again != NULL) {
        a->e = redis_cmd(a->again, get, 2, NULL, NULL);
        a->again = NULL;
    }
}

static void on_redis_message(void *arg, struct view channel, struct view payload)
{
    on_note(arg, channel, payload);
}

static struct redis *open_redis(struct watch *w, const char *const *channels, const char *password)
{
    struct redis_cfg cfg = {.address = t.address,
                            .channels = channels,
                            .password = password,
                            .max_queue = 4,
                            .on_up = on_pg_up,
                            .on_message = on_redis_message,
                            .arg = w};
    struct redis *r = NULL;
    const struct view ping = VIEW("PING");
    *w = (struct watch){0};
    assert_int_equal(redis_open(t.l, &cfg, &r), E_OK);
    assert_false(redis_is_up(r));
    assert_int_equal(redis_cmd(r, &ping, 1, NULL, NULL), E_STATE);
    return r;
}

#define CMD(r, ...)                                                                                \
    command(r, (const struct view[]){__VA_ARGS__},                                                 \
            sizeof((const struct view[]){__VA_ARGS__}) / sizeof(struct view))

static struct reply command(struct redis *r, const struct view *v, size_t n)
{
    struct reply a = {0};
    assert_int_equal(redis_cmd(r, v, n, on_reply, &a), E_OK);
    until(&a.n, 1);
    return a;
}

static void replies(void **state)
{
    (void)state;
    struct watch w;
    struct redis *r = open_redis(&w, NULL, NULL);
    until(&w.ups, 1);
    assert_string_equal(CMD(r, VIEW("SET"), VIEW("k\0x"), VIEW("v\r\n w")).text, "OK");
    struct reply a = CMD(r, VIEW("GET"), VIEW("k\0x"));
    assert_true(a.e == E_OK && !a.nil);
    assert_string_equal(a.text, "v\r\n w");
    a = CMD(r, VIEW("GET"), VIEW("k"));
    assert_true(a.e == E_OK && a.nil && a.text[0] == 0);
    assert_int_equal(CMD(r, VIEW("STRLEN"), VIEW("k\0x")).number, 5);
    a = CMD(r, VIEW("MGET"), VIEW("k"), VIEW("k\0x"));
    assert_int_equal(a.count, 2);
    assert_string_equal(a.text, "v\r\n w");
    a = CMD(r, VIEW("INCR"), VIEW("k\0x"));
    assert_int_equal(a.e, E_STATE);
    assert_non_null(strstr(a.text, "not an integer"));
    assert_int_equal(CMD(r, VIEW("NOPE")).e, E_STATE);
    assert_string_equal(CMD(r, VIEW("SET"), VIEW("empty"), VIEW("")).text, "OK");
    assert_false(CMD(r, VIEW("GET"), VIEW("empty")).nil);
    const struct view ping[33] = {VIEW("PING")};
    assert_int_equal(redis_cmd(r, ping, 33, NULL, NULL), E_RANGE);
    assert_int_equal(redis_cmd(r, ping, 0, NULL, NULL), E_RANGE);
    mem_fail_at(0);
    assert_int_equal(redis_cmd(r, ping, 1, NULL, NULL), E_NOMEM);
    mem_fail_at(-1);
    struct reply many[5] = {{0}};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(redis_cmd(r, ping, 1, on_reply, &many[i]), E_OK);
    }
    assert_int_equal(redis_cmd(r, ping, 1, on_reply, &many[4]), E_FULL);
    many[3].again = r; /* one more, asked from the callback of the last */
    redis_close(r);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(many[i].n, 1);
        assert_int_equal(many[i].e, i == 3 ? E_STATE : E_IO);
    }
    redis_close(NULL);
    assert_int_equal(loop_timers(t.l), 0);
}

static void messages(void **state)
{
    (void)state;
    struct watch w, x;
    struct redis *sub = open_redis(&w, CHANNELS, NULL), *r = open_redis(&x, NULL, NULL);
    until(&w.ups, 1);
    until(&x.ups, 1);
    assert_int_equal(CMD(r, VIEW("PUBLISH"), VIEW("unit_a"), VIEW("one")).number, 1);
    until(&w.notes, 1);
    assert_string_equal(w.note, "unit_a one");
    assert_int_equal(CMD(r, VIEW("PUBLISH"), VIEW("unit_c"), VIEW("two")).number, 0);
    /* the server drops the subscriber alone, then everybody */
    assert_int_equal(CMD(r, VIEW("CLIENT"), VIEW("KILL"), VIEW("TYPE"), VIEW("pubsub")).number, 1);
    until(&w.downs, 1);
    until(&w.ups, 2);
    assert_int_equal(CMD(r, VIEW("PUBLISH"), VIEW("unit_b"), VIEW("three")).number, 1);
    until(&w.notes, 2);
    assert_string_equal(w.note, "unit_b three");
    (void)CMD(r, VIEW("CLIENT"), VIEW("KILL"), VIEW("TYPE"), VIEW("normal"));
    until(&w.downs, 2);
    until(&w.ups, 3);
    assert_int_equal(w.notes, 2);
    redis_close(sub);
    redis_close(r);
}

/* A wrong password is not "up", and is no reason to try without a pause. */
static void passwords(void **state)
{
    (void)state;
    struct watch w, x;
    struct redis *r = open_redis(&w, NULL, NULL), *good = NULL, *bad = NULL, *none = NULL;
    until(&w.ups, 1);
    (void)CMD(r, VIEW("CONFIG"), VIEW("SET"), VIEW("requirepass"), VIEW("sesame"));
    bad = open_redis(&w, CHANNELS, "simsalabim");
    good = open_redis(&x, CHANNELS, "sesame");
    until(&x.ups, 1);
    struct watch y;
    none = open_redis(&y, CHANNELS, NULL);
    assert_string_equal(CMD(good, VIEW("PING")).text, "PONG");
    unsigned slept = 0;
    struct loop_timer nap = {0};
    bool over = false;
    assert_int_equal(loop_timer_start(t.l, &nap, 900, too_long, &over), E_OK);
    while (!over) {
        loop_run_once(t.l, true);
        slept++;
    }
    assert_true(slept < 400);
    assert_true(w.ups == 0 && w.downs == 0 && y.ups == 0 && x.downs == 0);
    (void)CMD(good, VIEW("CONFIG"), VIEW("SET"), VIEW("requirepass"), VIEW(""));
    until(&y.ups, 1); /* put right over there: no restart is needed */
    redis_close(r);
    redis_close(good);
    redis_close(bad);
    redis_close(none);
}

static void bad_redis_addresses(void **state)
{
    (void)state;
    const char *const rows[] = {"localhost:6379", "", "127.0.0.1:x"};
    struct redis_cfg cfg = {0};
    struct redis *r = NULL;
    for (size_t i = 0; i < 3; i++) {
        cfg.address = rows[i];
        assert_int_equal(redis_open(t.l, &cfg, &r), E_PARSE);
    }
    cfg.address = "unix:/nowhere/s";
    assert_int_equal(redis_open(t.l, &cfg, &r), E_OK);
    assert_int_equal(loop_timers(t.l), 1);
    redis_close(r);
    cfg.address = "127.0.0.1:1";
    assert_int_equal(redis_open(t.l, &cfg, &r), E_OK);
    for (int i = 0; i < 5; i++) {
        loop_run_once(t.l, false);
    }
    assert_false(redis_is_up(r));
    redis_close(r);
    assert_int_equal(loop_timers(t.l), 0);
}

/* ---- both ------------------------------------------------------------------------------------ */

/* Connections that are open but dead: a stopped Redis, a PostgreSQL that ignores its time limit. */
static void silence(void **state)
{
    (void)state;
    struct watch wp, wi, wr;
    struct pg *p = open_pg(&wp, 0), *idle = open_pg(&wi, 0);
    struct redis *r = open_redis(&wr, CHANNELS, NULL);
    struct answer a = {0}, b = {0};
    struct reply c = {0};
    const struct view ping = VIEW("PING");
    until(&wr.ups, 1);
    pid_t redis = pid_in("run/redis.pid");
    assert_int_equal(ask(p, "SET statement_timeout = 0", NULL, 0).e, E_OK);
    assert_int_equal(pg_query(p, "SELECT pg_sleep(60)", NULL, 0, on_answer, &a), E_OK);
    assert_int_equal(pg_query(p, "SELECT 1", NULL, 0, on_answer, &b), E_OK);
    assert_int_equal(kill(redis, SIGSTOP), 0);
    assert_int_equal(redis_cmd(r, &ping, 1, on_reply, &c), E_OK);
    until(&wr.downs, 1);
    assert_int_equal(kill(redis, SIGCONT), 0);
    assert_true(c.n == 1 && c.e == E_IO);
    until(&wp.downs, 1);
    assert_true(a.n == 1 && a.e == E_IO && b.n == 1 && b.e == E_IO);
    until(&wp.ups, 2);
    until(&wr.ups, 2);
    assert_int_equal(CMD(r, VIEW("PUBLISH"), VIEW("unit_a"), VIEW("x")).number, 1);
    until(&wr.notes, 1);
    /* meanwhile the idle one was asked, and is still the same connection */
    struct answer probes = ask(p,
                               "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT 1' "
                               "AND state = 'idle'",
                               NULL, 0);
    assert_string_equal(probes.text, "1");
    assert_int_equal(wi.downs, 0);
    pg_close(p);
    pg_close(idle);
    redis_close(r);
}

static void servers_that_restart(void **state)
{
    (void)state;
    struct watch wp, wr;
    struct pg *p = open_pg(&wp, 0);
    struct redis *r = open_redis(&wr, CHANNELS, NULL);
    until(&wr.ups, 1);
    pid_t postgres = pid_in("pg/postmaster.pid"), redis = pid_in("run/redis.pid");
    assert_int_equal(devstack("stop"), 0);
    until(&wp.downs, 1);
    until(&wr.downs, 1);
    const struct view ping = VIEW("PING");
    assert_int_equal(pg_query(p, "SELECT 1", NULL, 0, NULL, NULL), E_STATE);
    assert_int_equal(redis_cmd(r, &ping, 1, NULL, NULL), E_STATE);
    assert_int_equal(devstack("start"), 0);
    until(&wp.ups, 2);
    until(&wr.ups, 2);
    assert_true(pid_in("pg/postmaster.pid") != postgres && pid_in("run/redis.pid") != redis);
    assert_int_equal(ask(p, "NOTIFY unit_a, 'here'", NULL, 0).e, E_OK);
    until(&wp.notes, 1);
    assert_int_equal(CMD(r, VIEW("PUBLISH"), VIEW("unit_b"), VIEW("x")).number, 1);
    until(&wr.notes, 1);
    pg_close(p);
    redis_close(r);
    assert_int_equal(loop_timers(t.l), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queries),        cmocka_unit_test(classes_of_errors),
        cmocka_unit_test(copies),         cmocka_unit_test(waiting_has_a_limit),
        cmocka_unit_test(lost_and_found), cmocka_unit_test(bad_addresses),
        cmocka_unit_test(blocking),       cmocka_unit_test(blocking_with_a_limit),
        cmocka_unit_test(replies),        cmocka_unit_test(messages),
        cmocka_unit_test(passwords),      cmocka_unit_test(bad_redis_addresses),
        cmocka_unit_test(silence),        cmocka_unit_test(servers_that_restart),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
