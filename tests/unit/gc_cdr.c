/* Call records without a database: ring, file, full disk. The way through PostgreSQL is a system
 * test. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "gc/store_int.h"

#define RING_SLOTS 8192 /* of gc/store_cdr.c */

static char folder[64], path[96];
static int nowhere; /* what is logged where no test looks */

static void file_name(const char *suffix, char out[128])
{
    snprintf(out, 128, "%s%s", path, suffix);
}

static long file_size(const char *suffix)
{
    char name[128];
    struct stat st;
    file_name(suffix, name);
    return stat(name, &st) == 0 ? (long)st.st_size : -1;
}

static int fresh_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/gc_cdr.XXXXXX");
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/spill", folder);
    return 0;
}

static int drop_folder(void **state)
{
    static const char *const suffixes[] = {"", ".damaged", ".refused"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char name[128];
        file_name(suffixes[i], name);
        unlink(name);
    }
    return rmdir(folder);
}

/* ---- the file ---- */

static void append(struct spill *s, unsigned from, unsigned n)
{
    char text[4096];
    size_t len = 0;
    for (unsigned i = from; i < from + n; i++) {
        len += (size_t)snprintf(text + len, sizeof text - len, "row-%u\tx\n", i);
    }
    assert_int_equal(spill_append(s, view_from(text, len), n), E_OK);
}

static void rows_come_back_in_order_and_once(void **state)
{
    (void)state;
    struct spill *s = NULL;
    char text[4096];
    size_t n = 0, rows = 0;
    assert_int_equal(spill_open(path, &s), E_OK);
    append(s, 1, 3);
    append(s, 4, 2);
    assert_int_equal(spill_rows(s), 5);
    assert_int_equal(spill_peek(s, text, sizeof text, 4, &n, &rows), E_OK);
    assert_int_equal(rows, 4);
    assert_memory_equal(text, "row-1\tx\nrow-2\tx\nrow-3\tx\nrow-4\tx\n", n);
    assert_int_equal(spill_peek(s, text, sizeof text, 4, &n, &rows), E_OK); /* not taken: again */
    assert_int_equal(rows, 4);
    assert_int_equal(spill_taken(s), E_OK);
    append(s, 6, 1); /* while the rest is on its way */
    assert_int_equal(spill_rows(s), 2);
    assert_int_equal(spill_peek(s, text, sizeof text, 4, &n, &rows), E_OK);
    assert_int_equal(rows, 2);
    assert_memory_equal(text, "row-5\tx\nrow-6\tx\n", n);
    assert_int_equal(spill_taken(s), E_OK);
    assert_int_equal(spill_rows(s), 0);
    assert_int_equal(file_size(""), 0);
    assert_int_equal(spill_peek(s, text, sizeof text, 4, &n, &rows), E_OK);
    assert_int_equal(rows, 0);
    spill_close(s);
}

static void a_restart_reads_what_was_not_all_taken(void **state)
{
    (void)state;
    struct spill *s = NULL;
    char text[4096];
    size_t n = 0, rows = 0;
    assert_int_equal(spill_open(path, &s), E_OK);
    append(s, 1, 5);
    assert_int_equal(spill_peek(s, text, sizeof text, 2, &n, &rows), E_OK);
    assert_int_equal(spill_taken(s), E_OK);
    spill_close(s); /* the first two come again: cdr_id is unique in the database */
    assert_int_equal(spill_open(path, &s), E_OK);
    assert_int_equal(spill_rows(s), 5);
    spill_close(s);
}

static void a_torn_line_is_cut(void **state)
{
    (void)state;
    struct spill *s = NULL;
    struct stat st;
    char text[4096];
    size_t n = 0, rows = 0;
    assert_int_equal(spill_open(path, &s), E_OK);
    append(s, 1, 2);
    spill_close(s);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    long whole = file_size("");
    for (long cut = 1; cut < whole; cut++) {
        assert_int_equal(truncate(path, whole - cut), 0);
        assert_int_equal(spill_open(path, &s), E_OK);
        uint64_t left = spill_rows(s);
        assert_true(left <= 1);
        append(s, 9, 1);
        assert_int_equal(spill_peek(s, text, sizeof text, 9, &n, &rows), E_OK);
        assert_int_equal(rows, left + 1);
        assert_memory_equal(text, left == 1 ? "row-1\tx\nrow-9\tx\n" : "row-9\tx\n", n);
        assert_int_equal(spill_taken(s), E_OK);
        append(s, 1, 2);
        spill_close(s);
        assert_int_equal(spill_open(path, &s), E_OK);
        assert_int_equal(spill_damaged(s), 0);
        spill_close(s);
    }
}

static void a_damaged_line_harms_no_other(void **state)
{
    (void)state;
    struct spill *s = NULL;
    char text[4096];
    long whole = 0;
    for (long at = 0; whole == 0 || at < whole; at++) {
        size_t n = 0, rows = 0;
        char octet = 0;
        assert_int_equal(spill_open(path, &s), E_OK); /* empty: the turn before took all */
        append(s, 1, 3);
        whole = file_size("");
        int fd = open(path, O_RDWR);
        assert_int_equal(pread(fd, &octet, 1, at), 1);
        octet ^= 1;
        assert_int_equal(pwrite(fd, &octet, 1, at), 1);
        close(fd);
        assert_int_equal(spill_peek(s, text, sizeof text, 9, &n, &rows), E_OK);
        assert_true(spill_damaged(s) >= 1);
        bool joined = octet == ('\n' ^ 1) && at < whole - 1; /* two lines became one */
        assert_int_equal(rows, joined ? 1 : 2);
        assert_true(file_size(".damaged") > 0);
        assert_int_equal(spill_taken(s), E_OK);
        assert_int_equal(spill_rows(s), 0);
        spill_close(s);
    }
}

static void garbage_of_any_length_is_put_aside(void **state)
{
    (void)state;
    struct spill *s = NULL;
    static char junk[200000];
    char text[4096];
    size_t n = 0, rows = 0;
    memset(junk, 'j', sizeof junk);
    junk[sizeof junk - 1] = '\n';
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, junk, sizeof junk), sizeof junk);
    close(fd);
    assert_int_equal(spill_open(path, &s), E_OK);
    append(s, 1, 1);
    assert_int_equal(spill_peek(s, text, sizeof text, 9, &n, &rows), E_OK);
    assert_int_equal(rows, 1);
    assert_int_equal(spill_taken(s), E_OK);
    assert_int_equal(file_size(""), 0);
    assert_int_equal(file_size(".damaged"), sizeof junk);
    spill_close(s);
}

static void who_may_open_it(void **state)
{
    (void)state;
    struct spill *s = NULL, *other = NULL;
    char name[128];
    assert_int_equal(spill_open(path, &s), E_OK);
    assert_int_equal(spill_open(path, &other), E_EXISTS);
    spill_close(s);
    file_name(".damaged", name);
    assert_int_equal(symlink(path, name), 0);
    assert_int_equal(spill_open(name, &s), E_IO);
    assert_int_equal(spill_open(folder, &s), E_IO);
    assert_int_equal(spill_open("/nowhere/at/all", &s), E_IO);
    for (long i = 0; i < 2; i++) {
        mem_fail_at(i);
        assert_int_equal(spill_open(path, &s), E_NOMEM);
    }
    mem_fail_at(-1);
}

/* ---- a row ---- */

static void a_row_as_text(void **state)
{
    (void)state;
    struct cdr r = {.cdr_id = "n-1-2",
                    .start_us = 1700000000000001ull,
                    .answer_us = 1700000001000000ull,
                    .end_us = 1700000002500000ull,
                    .caller_line = 7,
                    .callee_line = UINT64_MAX,
                    .caller = "+12125550101",
                    .called = "a\tb\nc\\d\x7f\xc3\xa9",
                    .routed = "\\.",
                    .call_id = "x@y",
                    .route = "local",
                    .status = 200,
                    .end_by = "caller",
                    .is_private = true,
                    .forwarded_by = "+12125550102",
                    .attest = "A",
                    .priority = "dsn.flash",
                    .preempted_by = "preemption 7 of anna",
                    .node = "gc1"};
    char text[SPILL_LINE_MAX + 1];
    text[cdr_format(&r, text)] = 0;
    assert_string_equal(text, "n-1-2\t2023-11-14 22:13:20.000001+00\t"
                              "2023-11-14 22:13:21.000000+00\t2023-11-14 22:13:22.500000+00\t7\t"
                              "\\N\t+12125550101\ta?b?c\\\\d???\t\\\\.\tx@y\tlocal\t200\tcaller\t"
                              "gc1\tt\t+12125550102\tA\tdsn.flash\tpreemption 7 of anna\n");
    r.is_private = false;
    r.forwarded_by[0] = r.attest[0] = r.priority[0] = r.preempted_by[0] = 0;
    text[cdr_format(&r, text)] = 0;
    assert_non_null(strstr(text, "\tgc1\tf\t\t\t\t\n"));
    r.answer_us = 0;
    r.end_us = 0;
    text[cdr_format(&r, text)] = 0;
    assert_non_null(strstr(text, "\t\\N\t2023-11-14 22:13:20.000001+00\t"));
    memset(&r, '\\', sizeof r); /* no NUL anywhere, every octet doubled, times out of range */
    r.is_private = true;        /* 92 is none of its values */
    size_t n = cdr_format(&r, text);
    assert_true(n < SPILL_LINE_MAX);
    assert_int_equal(text[n - 1], '\n');
    assert_non_null(strstr(text, "9999-12-31"));
}

/* What a file of a former version holds gets the columns of today, in place too. */
static void a_row_of_a_former_version(void **state)
{
    (void)state;
#define FIRST_COLUMNS "n-1-2\ta\t\\N\tb\t7\t\\N\tc\td\te\tf\tg\t200\tcaller\tgc1"
    static const struct {
        const char *former, *now;
    } rows[] = {{FIRST_COLUMNS "\n", FIRST_COLUMNS "\tf\t\t\t\t\n"},
                {FIRST_COLUMNS "\tt\t+1\tA\n", FIRST_COLUMNS "\tt\t+1\tA\t\t\n"},
                {FIRST_COLUMNS "\tt\t+1\tA\tets.1\tx\n", FIRST_COLUMNS "\tt\t+1\tA\tets.1\tx\n"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t n = strlen(rows[i].former), want = strlen(rows[i].now);
        char text[256] = "";
        assert_int_equal(cdr_from_spill(text, rows[i].former, n), want);
        assert_string_equal(text, rows[i].now);
        memset(text, 0, sizeof text);
        memcpy(text + 6, rows[i].former, n);
        assert_int_equal(cdr_from_spill(text, text + 6, n), want);
        assert_memory_equal(text, rows[i].now, want);
    }
}

/* ---- ring and file ---- */

struct rig {
    struct store store;
    struct clock_fake fake;
    struct spill *look;
    int log_in, log_out;
};

static struct rig *rig_make(void)
{
    struct rig *r = calloc(1, sizeof *r);
    int fd[2];
    assert_non_null(r);
    clock_fake_init(&r->fake, 1700000000000000ull);
    r->store.cfg = (struct store_cfg){.node = "n",
                                      .conninfo = "host=/nowhere/at/all dbname=x",
                                      .spill_path = path,
                                      .workers = 2,
                                      .metrics_slot = 2};
    assert_int_equal(metrics_new(3, &r->store.cfg.metrics), E_OK);
    for (unsigned i = 0; i < SM_COUNT; i++) {
        r->store.meter[i] =
            metric_declare(r->store.cfg.metrics, METRIC_COUNTER, "m", NULL, "meter");
    }
    assert_int_equal(loop_new(&r->fake.clock, &r->store.l), E_OK);
    assert_int_equal(pipe2(fd, O_NONBLOCK), 0);
    r->log_in = fd[1];
    r->log_out = fd[0];
    log_set_fd(r->log_in);
    assert_int_equal(cdrs_new(&r->store, &r->store.cdrs), E_OK);
    assert_int_equal(cdrs_open(r->store.cdrs), E_OK);
    return r;
}

static void rig_free(struct rig *r)
{
    cdrs_free(r->store.cdrs);
    loop_free(r->store.l);
    metrics_free(r->store.cfg.metrics);
    log_set_fd(nowhere);
    close(r->log_in);
    close(r->log_out);
    free(r);
}

/* How often the event was logged since the last look. */
static unsigned logged(struct rig *r, const char *event)
{
    static char text[65536];
    ssize_t n = read(r->log_out, text, sizeof text - 1);
    unsigned count = 0;
    text[n > 0 ? n : 0] = 0;
    for (const char *p = text; (p = strstr(p, event)) != NULL; p++) {
        count++;
    }
    return count;
}

static bool push(struct rig *r, unsigned worker, unsigned number)
{
    struct cdr c = {.start_us = 1, .end_us = 2, .status = 200};
    snprintf(c.cdr_id, sizeof c.cdr_id, "n-1-%u", number);
    return cdrs_push(r->store.cdrs, worker, &c);
}

static int64_t meter(struct rig *r, enum store_meter m)
{
    return metric_sum(r->store.cfg.metrics, r->store.meter[m]);
}

/* Reads the whole file with a reader of its own; every number of 0..n-1 must be there once. */
static void assert_each_once(unsigned n)
{
    struct spill *s = NULL;
    static char text[512 * 1024];
    unsigned char *times = calloc(n + 1, 1);
    size_t octets = 0, rows = 0, all = 0;
    assert_non_null(times);
    assert_int_equal(spill_open(path, &s), E_OK);
    for (;;) {
        assert_int_equal(spill_peek(s, text, sizeof text, 500, &octets, &rows), E_OK);
        if (rows == 0) {
            break;
        }
        for (char *line = text; line < text + octets; line = strchr(line, '\n') + 1) {
            unsigned number = n;
            assert_int_equal(sscanf(line, "n-1-%u\t", &number), 1);
            assert_true(number < n);
            assert_int_equal(times[number]++, 0);
            all++;
        }
        assert_int_equal(spill_taken(s), E_OK);
    }
    assert_int_equal(all, n);
    assert_int_equal(spill_damaged(s), 0);
    spill_close(s);
    free(times);
}

static void without_a_database_rows_go_to_the_file(void **state)
{
    (void)state;
    struct rig *r = rig_make();
    for (unsigned i = 0; i < 1201; i++) {
        assert_true(push(r, i % 2, i));
    }
    loop_advance(r->store.l, &r->fake, 250);
    assert_int_equal(meter(r, SM_CDR_SPILLED), 1201);
    assert_int_equal(atomic_load(&r->store.h_spilled), 1201);
    assert_int_equal(atomic_load(&r->store.h_queued), 0);
    rig_free(r);
    assert_each_once(1201);
}

static void set_file_limit(rlim_t octets)
{
    struct rlimit l;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
    l.rlim_cur = octets;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

static void a_full_disk_keeps_rows_in_memory_then_loses_them_with_a_count(void **state)
{
    (void)state;
    enum { BATCH = 500, KEPT = RING_SLOTS + BATCH };
    struct rig *r = rig_make();
    unsigned n = 0, lost = 0;
    set_file_limit(200); /* the second row does not fit */
    for (; n < 20; n++) {
        assert_true(push(r, 0, n));
    }
    loop_advance(r->store.l, &r->fake, 250);
    assert_int_equal(logged(r, "cdr.spill_failed"), 1);
    assert_int_equal(meter(r, SM_CDR_SPILLED), 0);
    assert_int_equal(file_size(""), 0); /* no half line stays */
    while (lost == 0) {
        if (push(r, 0, n)) {
            n++;
        } else {
            lost++;
        }
    }
    assert_int_equal(n, 20 + RING_SLOTS);
    assert_false(push(r, 0, 1000000));
    assert_true(push(r, 1, n)); /* the other worker has its own room */
    n++;
    loop_advance(r->store.l, &r->fake, 250);
    assert_int_equal(atomic_load(&r->store.h_lost), 2);
    assert_int_equal(meter(r, SM_CDR_LOST), 2);
    assert_int_equal(logged(r, "cdr.lost"), 1);
    loop_advance(r->store.l, &r->fake, 6000);
    assert_true(logged(r, "cdr.spill_failed") >= 1); /* it goes on being an alarm */
    set_file_limit(RLIM_INFINITY);
    loop_advance(r->store.l, &r->fake, 250);
    assert_int_equal(logged(r, "cdr.spill_works"), 1);
    assert_int_equal(meter(r, SM_CDR_SPILLED), n);
    rig_free(r);
    assert_each_once(n);
}

static void mark(void *arg)
{
    *(bool *)arg = true;
}

static void the_last_rows_are_flushed(void **state)
{
    (void)state;
    struct rig *r = rig_make();
    bool done = false;
    for (unsigned i = 0; i < 700; i++) {
        assert_true(push(r, i % 2, i));
    }
    cdrs_flush(r->store.cdrs, mark, &done);
    assert_true(done);
    rig_free(r);
    assert_each_once(700);
}

static void a_flush_with_nowhere_to_go_ends_and_counts(void **state)
{
    (void)state;
    struct rig *r = rig_make();
    bool done = false;
    set_file_limit(10);
    for (unsigned i = 0; i < 700; i++) {
        assert_true(push(r, i % 2, i));
    }
    cdrs_flush(r->store.cdrs, mark, &done);
    assert_false(done);
    loop_advance(r->store.l, &r->fake, 3000);
    assert_true(done);
    assert_int_equal(atomic_load(&r->store.h_lost), 700);
    set_file_limit(RLIM_INFINITY);
    rig_free(r);
}

int main(void)
{
    signal(SIGXFSZ, SIG_IGN);
    log_init("gc_cdr", LV_INFO);
    nowhere = open("/dev/null", O_WRONLY);
    log_set_fd(nowhere);
    const struct CMUnitTest tests[] = {
#define ROW(f) cmocka_unit_test_setup_teardown(f, fresh_folder, drop_folder)
        ROW(rows_come_back_in_order_and_once),
        ROW(a_restart_reads_what_was_not_all_taken),
        ROW(a_torn_line_is_cut),
        ROW(a_damaged_line_harms_no_other),
        ROW(garbage_of_any_length_is_put_aside),
        ROW(who_may_open_it),
        ROW(a_row_as_text),
        ROW(a_row_of_a_former_version),
        ROW(without_a_database_rows_go_to_the_file),
        ROW(a_full_disk_keeps_rows_in_memory_then_loses_them_with_a_count),
        ROW(the_last_rows_are_flushed),
        ROW(a_flush_with_nowhere_to_go_ends_and_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
