/* Prometheus text: HELP and TYPE once, buckets that add up, exact sums, cut text. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/mem.h"
#include "base/metrics.h"

static const char WANT[] =
    "# HELP unit_a_total What a is\n# TYPE unit_a_total counter\n"
    "unit_a_total{k=\"x\"} 7\nunit_a_total{k=\"y\"} 0\n"
    "# HELP unit_g What g is\n# TYPE unit_g gauge\nunit_g -2\n"
    "# HELP unit_hist_seconds What hist is\n# TYPE unit_hist_seconds histogram\n"
    "unit_hist_seconds_bucket{le=\"0.0001\"} 2\nunit_hist_seconds_bucket{le=\"0.00025\"} 3\n"
    "unit_hist_seconds_bucket{le=\"0.0005\"} 3\nunit_hist_seconds_bucket{le=\"0.001\"} 3\n"
    "unit_hist_seconds_bucket{le=\"0.0025\"} 3\nunit_hist_seconds_bucket{le=\"0.005\"} 3\n"
    "unit_hist_seconds_bucket{le=\"0.01\"} 3\nunit_hist_seconds_bucket{le=\"0.05\"} 3\n"
    "unit_hist_seconds_bucket{le=\"0.25\"} 3\nunit_hist_seconds_bucket{le=\"1\"} 3\n"
    "unit_hist_seconds_bucket{le=\"5\"} 3\nunit_hist_seconds_bucket{le=\"+Inf\"} 4\n"
    "unit_hist_seconds_sum 1234567.890327\nunit_hist_seconds_count 4\n"
    "# HELP unit_label_seconds What l is\n# TYPE unit_label_seconds histogram\n"
    "unit_label_seconds_bucket{k=\"x\",le=\"0.0001\"} 0\n";

static struct metrics *made(unsigned *out_g)
{
    struct metrics *m = NULL;
    assert_int_equal(metrics_new(2, &m), E_OK);
    unsigned x = metric_declare(m, METRIC_COUNTER, "unit_a_total", "k=\"x\"", "What a is");
    unsigned y = metric_declare(m, METRIC_COUNTER, "unit_a_total", "k=\"y\"", "What a is");
    unsigned g = metric_declare(m, METRIC_GAUGE, "unit_g", NULL, "What g is");
    unsigned h = metric_declare(m, METRIC_HISTOGRAM, "unit_hist_seconds", NULL, "What hist is");
    (void)metric_declare(m, METRIC_HISTOGRAM, "unit_label_seconds", "k=\"x\"", "What l is");
    metric_add(m, 0, x, 3);
    metric_add(m, 1, x, 4);
    metric_set(m, 0, g, 5);
    metric_add(m, 0, g, -1);
    metric_set(m, 1, g, -6);
    metric_observe_us(m, 0, h, 0);
    metric_observe_us(m, 1, h, 100); /* a bound is inside its bucket */
    metric_observe_us(m, 0, h, 101);
    metric_observe_us(m, 0, h, 1234567890126);
    assert_int_equal(metric_sum(m, x), 7);
    assert_int_equal(metric_sum(m, y), 0);
    *out_g = g;
    return m;
}

/* The judge that operators use, where it is installed. */
static void promtool_agrees(const char *all)
{
    if (access("/usr/bin/promtool", X_OK) == 0) {
        FILE *p = popen("/usr/bin/promtool check metrics", "w");
        assert_non_null(p);
        fputs(all, p);
        assert_int_equal(pclose(p), 0);
    }
}

static void text(void **state)
{
    (void)state;
    unsigned g = 0;
    size_t live = mem_live();
    struct metrics *m = made(&g);
    static char all[8192];
    size_t n = metrics_render(m, NULL, 0);
    assert_true(n < sizeof all);
    assert_int_equal(metrics_render(m, all, sizeof all), n);
    assert_int_equal(strlen(all), n);
    assert_memory_equal(all, WANT, sizeof WANT - 1);
    assert_non_null(strstr(all, "unit_label_seconds_sum{k=\"x\"} 0.000000\n"
                                "unit_label_seconds_count{k=\"x\"} 0\n"));
    promtool_agrees(all);
    for (size_t max = 0; max < n + 2; max += 1 + max / 9) { /* cut, ended, never beyond */
        char *part = malloc(max + 1);
        memset(part, 0x7f, max + 1);
        assert_int_equal(metrics_render(m, part, max), n);
        assert_int_equal(part[max], 0x7f);
        if (max > 0) {
            assert_int_equal(strlen(part), max - 1 < n ? max - 1 : n);
            assert_memory_equal(part, all, strlen(part));
        }
        free(part);
    }
    metrics_free(m);
    metrics_free(NULL);
    assert_int_equal(mem_live(), live);
}

/* Stages of a message take microseconds. */
static void fine_buckets(void **state)
{
    (void)state;
    struct metrics *m = NULL;
    char all[4096];
    assert_int_equal(metrics_new(1, &m), E_OK);
    unsigned f = metric_declare(m, METRIC_FINE, "unit_fine_seconds", "k=\"x\"", "What fine is");
    metric_observe_us(m, 0, f, 1);
    metric_observe_us(m, 0, f, 2);
    metric_observe_us(m, 0, f, 200000);
    assert_true(metrics_render(m, all, sizeof all) < sizeof all);
    assert_non_null(strstr(all, "# TYPE unit_fine_seconds histogram\n"));
    assert_non_null(strstr(all, "unit_fine_seconds_bucket{k=\"x\",le=\"1e-06\"} 1\n"
                                "unit_fine_seconds_bucket{k=\"x\",le=\"2e-06\"} 2\n"));
    assert_non_null(
        strstr(all, "le=\"0.1\"} 2\nunit_fine_seconds_bucket{k=\"x\",le=\"+Inf\"} 3\n"));
    promtool_agrees(all);
    metrics_free(m);
}

static struct metrics *shared;

static void *count(void *slot)
{
    for (int i = 0; i < 100000; i++) {
        metric_add(shared, *(unsigned *)slot, 0, 1);
        metric_observe_us(shared, *(unsigned *)slot, 1, 7);
    }
    return NULL;
}

/* Whether each has a slot, or some share one. */
static void threads_lose_nothing(void **state)
{
    (void)state;
    pthread_t t[4];
    unsigned slot[4] = {0, 1, 0, 1};
    assert_int_equal(metrics_new(2, &shared), E_OK);
    (void)metric_declare(shared, METRIC_COUNTER, "unit_x_total", NULL, "x");
    (void)metric_declare(shared, METRIC_FINE, "unit_y_seconds", NULL, "y");
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, count, &slot[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        int64_t before = metric_sum(shared, 0);
        assert_true(metric_sum(shared, 0) >= before);
        assert_int_equal(pthread_join(t[i], NULL), 0);
    }
    assert_int_equal(metric_sum(shared, 0), 400000);
    assert_int_equal(metric_sum(shared, 1), 2800000); /* microseconds */
    metrics_free(shared);
}

/* Our own bugs abort. */
static void wrong_use(void *m, int which)
{
    switch (which) {
    case 0:
        metric_add(m, 2, 0, 1);
        break;
    case 1:
        metric_add(m, 0, 99, 1);
        break;
    case 2: /* not next to the first of its name */
        (void)metric_declare(m, METRIC_COUNTER, "unit_a_total", NULL, "What a is");
        break;
    default: /* another kind */
        (void)metric_declare(m, METRIC_GAUGE, "unit_label_seconds", NULL, "What l is");
        break;
    }
}

static void wrong_use_aborts(void **state)
{
    (void)state;
    unsigned g = 0;
    struct metrics *m = made(&g);
    for (int which = 0; which < 4; which++) {
        int status = 0;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            signal(SIGABRT, SIG_DFL);
            (void)!freopen("/dev/null", "w", stderr);
            wrong_use(m, which);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
    metrics_free(m);
}

static void no_memory(void **state)
{
    (void)state;
    size_t live = mem_live();
    struct metrics *m = NULL;
    for (long nth = 0; nth < 2; nth++) {
        mem_fail_at(nth);
        assert_int_equal(metrics_new(1, &m), E_NOMEM);
    }
    mem_fail_at(-1);
    assert_null(m);
    assert_int_equal(mem_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text),
        cmocka_unit_test(fine_buckets),
        cmocka_unit_test(threads_lose_nothing),
        cmocka_unit_test(wrong_use_aborts),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
