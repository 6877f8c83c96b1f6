#include <dirent.h>
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

#include "lawful_intercept/spool.h"

struct place {
    char folder[80];
    struct secret key;
};

static int make_place(void **state)
{
    static struct place p;

    snprintf(p.folder, sizeof p.folder, "/tmp/headgate-spool.XXXXXX");
    assert_non_null(mkdtemp(p.folder));
    assert_int_equal(secret_set(&p.key, "0123456789abcdef0123456789abcdef", 32), E_OK);
    *state = &p;
    return 0;
}

static unsigned files_of(const char *folder, char last[300], bool remove)
{
    DIR *d = opendir(folder);
    struct dirent *entry = NULL;
    unsigned n = 0;

    assert_non_null(d);
    while ((entry = readdir(d)) != NULL) {
        char path[400];
        if (entry->d_name[0] == '.') {
            continue;
        }
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (strstr(entry->d_name, ".seg") != NULL) {
            n++;
            snprintf(last, 300, "%.299s", path);
        }
        if (remove) {
            unlink(path);
        }
    }
    closedir(d);
    return n;
}

static int leave_place(void **state)
{
    struct place *p = *state;
    char path[300];

    files_of(p->folder, path, true);
    return rmdir(p->folder);
}

static struct spool *opened(struct place *p, size_t segment, uint64_t max)
{
    struct spool_cfg cfg = {p->folder, "case 1 to agency 2", &p->key, segment, max, NULL, NULL};
    struct spool *s = NULL;

    assert_int_equal(spool_open(&cfg, &s), E_OK);
    return s;
}

static void put(struct spool *s, unsigned i, size_t n)
{
    char octets[4096];
    uint64_t number = 0;

    memset(octets, (int)('a' + i % 26), sizeof octets);
    assert_int_equal(spool_put(s, 1000 + i, view_from(octets, n), &number), E_OK);
    assert_int_equal(number, i);
}

static void expect(struct spool *s, unsigned i, size_t n)
{
    char octets[4096];
    uint64_t number = 0, at = 0;
    size_t got = 0;

    assert_int_equal(spool_next(s, octets, sizeof octets, &got, &number, &at), E_OK);
    assert_int_equal(number, i);
    assert_int_equal(at, 1000 + i);
    assert_int_equal(got, n);
    for (size_t k = 0; k < n; k++) {
        assert_int_equal(octets[k], 'a' + i % 26);
    }
}

static void expect_none(struct spool *s)
{
    char octets[16];
    uint64_t number = 0, at = 0;
    size_t got = 0;

    assert_int_equal(spool_next(s, octets, sizeof octets, &got, &number, &at), E_NOTFOUND);
}

static void what_comes_out_is_what_went_in(void **state)
{
    struct place *p = *state;
    struct spool *s = opened(p, 1000, 0);
    struct spool_facts f;
    char path[300];

    expect_none(s);
    for (unsigned i = 1; i <= 20; i++) {
        put(s, i, i * 7);
    }
    put(s, 21, 0);
    assert_int_equal(spool_sync(s), E_OK);
    spool_facts_of(s, &f);
    assert_true(f.next == 22 && f.done == 0 && f.lost == 0 && spool_time(s, 1) == 1001);
    assert_true(files_of(p->folder, path, false) > 1);
    for (unsigned i = 1; i <= 20; i++) {
        expect(s, i, i * 7);
    }
    expect(s, 21, 0);
    expect_none(s);
    put(s, 22, 5);
    expect(s, 22, 5);
    assert_int_equal(spool_done(s, 10), E_OK);
    spool_rewind(s);
    expect(s, 11, 77);
    assert_int_equal(spool_done(s, 99), E_OK); /* not there yet: nothing */
    spool_facts_of(s, &f);
    assert_int_equal(f.done, 10);
    assert_int_equal(spool_done(s, 22), E_OK);
    assert_int_equal(files_of(p->folder, path, false), 1);
    spool_close(s);
}

static void it_survives_a_restart(void **state)
{
    struct place *p = *state;
    struct spool *s = opened(p, 300, 0);
    char path[300];

    for (unsigned i = 1; i <= 9; i++) {
        put(s, i, 50);
    }
    expect(s, 1, 50);
    expect(s, 2, 50);
    assert_int_equal(spool_done(s, 1), E_OK);
    spool_close(s);
    s = opened(p, 300, 0);
    for (unsigned i = 2; i <= 9; i++) {
        expect(s, i, 50);
    }
    put(s, 10, 50);
    expect(s, 10, 50);
    assert_int_equal(spool_done(s, 10), E_OK);
    spool_close(s);
    files_of(p->folder, path, false);
    s = opened(p, 300, 0);
    expect_none(s);
    put(s, 11, 1); /* numbers go on, even when all segments have gone */
    spool_close(s);
}

static void a_torn_record_is_taken_off(void **state)
{
    struct place *p = *state;
    struct spool *s = opened(p, 0, 0);
    char path[300];
    struct stat st;

    put(s, 1, 100);
    put(s, 2, 100);
    spool_close(s);
    files_of(p->folder, path, false);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size - 1), 0);
    s = opened(p, 0, 0);
    put(s, 2, 60);
    expect(s, 1, 100);
    expect(s, 2, 60);
    expect_none(s);
    spool_close(s);
    files_of(p->folder, path, true);
    close(open(path, O_CREAT | O_WRONLY, 0600)); /* made, and not even a head */
    s = opened(p, 0, 0);
    expect_none(s);
    spool_close(s);
}

static void an_altered_record_is_counted_and_skipped(void **state)
{
    struct place *p = *state;
    struct spool *s = opened(p, 0, 0);
    struct spool_facts f;
    char path[300], octets[200];
    uint64_t number = 0, at = 0;
    size_t n = 0;
    int fd = -1;

    for (unsigned i = 1; i <= 3; i++) {
        put(s, i, 100);
    }
    files_of(p->folder, path, false);
    fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, "XX", 2, 32 + 136 + 20), 2); /* in the second one */
    close(fd);
    expect(s, 1, 100);
    assert_int_equal(spool_next(s, octets, sizeof octets, &n, &number, &at), E_AUTH);
    expect(s, 3, 100);
    spool_facts_of(s, &f);
    assert_int_equal(f.lost, 1);
    spool_close(s);
}

static void nobody_else_reads_it(void **state)
{
    struct place *p = *state;
    struct spool *s = opened(p, 0, 0);
    struct spool_cfg other = {p->folder, "case 9 to agency 2", &p->key, 0, 0, NULL, NULL};
    struct secret wrong;
    char path[300], octets[200];
    uint64_t number = 0, at = 0;
    size_t n = 0;
    FILE *f = NULL;

    put(s, 1, 100);
    spool_close(s);
    files_of(p->folder, path, false);
    f = fopen(path, "rb");
    n = fread(octets, 1, sizeof octets, f);
    fclose(f);
    assert_true(n > 100 && memmem(octets, n, "bbbb", 4) == NULL);
    assert_int_equal(spool_open(&other, &s), E_OK);
    assert_int_equal(spool_next(s, octets, sizeof octets, &n, &number, &at), E_AUTH);
    spool_close(s);
    assert_int_equal(secret_set(&wrong, "0123456789abcdef0123456789abcdeX", 32), E_OK);
    other.key = &wrong;
    other.name = "case 1 to agency 2";
    assert_int_equal(spool_open(&other, &s), E_OK);
    assert_int_equal(spool_next(s, octets, sizeof octets, &n, &number, &at), E_AUTH);
    spool_close(s);
}

static void the_oldest_goes_first_and_is_counted(void **state)
{
    struct place *p = *state;
    struct spool *s = opened(p, 500, 2000);
    struct spool_facts f;
    char octets[300];
    uint64_t number = 0, at = 0, first = 0;
    size_t n = 0;

    for (unsigned i = 1; i <= 50; i++) {
        put(s, i, 100);
    }
    spool_facts_of(s, &f);
    assert_true(f.lost > 30 && f.lost < 45 && f.bytes <= 2000);
    assert_int_equal(spool_next(s, octets, sizeof octets, &n, &first, &at), E_OK);
    assert_int_equal(first, f.lost + 1);
    for (number = first; number < 50;) {
        assert_int_equal(spool_next(s, octets, sizeof octets, &n, &number, &at), E_OK);
    }
    spool_close(s);
}

/* The disk takes no more: older segments make room; when there are none, that is said. */
static void a_full_disk_is_no_end(void **state)
{
    struct place *p = *state;
    struct spool *s = opened(p, 4096, 0);
    struct rlimit was, small = {2000, 2000};
    struct spool_facts f;
    char octets[3000] = "";
    uint64_t number = 0;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small.rlim_max = was.rlim_max;
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0); /* no file above 2000 octets */
    put(s, 1, 1000);
    assert_int_equal(spool_put(s, 1, view_from(octets, sizeof octets), &number), E_FULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    spool_facts_of(s, &f);
    assert_true(f.lost == 1 && f.next == 3);
    put(s, 3, 1000);
    expect(s, 1, 1000);
    expect(s, 3, 1000);
    spool_close(s);
    s = opened(p, 4096, 0);
    expect(s, 1, 1000);
    expect(s, 3, 1000);
    assert_int_equal(spool_put(s, 1, view_from(octets, SPOOL_RECORD_MAX + 1), &number), E_RANGE);
    spool_close(s);
}

/* The disk is full, and somebody else holds more: he gives first, and nothing of ours goes. */
struct rich {
    struct spool *spool;
    struct rlimit was;
    unsigned asked;
};

static bool ask_the_rich(void *arg, const struct spool *asking, uint64_t bytes)
{
    struct rich *r = arg;

    assert_true(asking != r->spool);
    r->asked++;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &r->was), 0); /* as if there were room now */
    assert_true(bytes > 0);
    return spool_shrink(r->spool);
}

static void who_holds_most_gives_first(void **state)
{
    struct place *p = *state;
    struct place other;
    struct spool_cfg cfg = {.folder = p->folder, .name = "poor", .key = &p->key};
    struct rich r = {.asked = 0};
    struct rlimit small;
    struct spool *s = NULL;
    struct spool_facts f;
    char path[300];

    other = *p;
    snprintf(other.folder, sizeof other.folder, "%.70s/rich", p->folder);
    r.spool = opened(&other, 1, 0); /* each record a segment */
    put(r.spool, 1, 100);
    put(r.spool, 2, 100);
    cfg.segment_bytes = 1;
    cfg.make_room = ask_the_rich;
    cfg.arg = &r;
    assert_int_equal(spool_open(&cfg, &s), E_OK);
    put(s, 1, 100);
    put(s, 2, 100);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &r.was), 0);
    small = (struct rlimit){100, r.was.rlim_max};
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    put(s, 3, 100);
    assert_int_equal(r.asked, 1);
    spool_facts_of(r.spool, &f);
    assert_true(f.lost == 1 && f.segments == 1);
    spool_facts_of(s, &f);
    assert_true(f.lost == 0 && f.segments == 3);
    spool_remove(r.spool);
    assert_int_equal(access(other.folder, F_OK), -1);
    spool_close(s);
    files_of(p->folder, path, false);
}

/* What was lost is known after a restart too, and no number is used twice. */
static void a_restart_forgets_no_loss(void **state)
{
    struct place *p = *state;
    struct spool *s = opened(p, 1, 0);
    struct rlimit was, none;
    struct spool_facts f;
    uint64_t number = 0;

    put(s, 1, 100);
    put(s, 2, 100);
    put(s, 3, 100);
    assert_true(spool_shrink(s)); /* the first */
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    none = (struct rlimit){60, was.rlim_max};
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    for (unsigned i = 0; i < 2; i++) { /* gives the second, and is refused; then the last */
        assert_int_equal(spool_put(s, 1, VIEW("0123456789012345678901234567890123456789"), &number),
                         E_FULL);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    spool_facts_of(s, &f);
    assert_int_equal(f.next, 6);
    number = f.lost;
    spool_close(s);
    s = opened(p, 1, 0);
    spool_facts_of(s, &f);
    assert_int_equal(f.next, 6);
    assert_int_equal(f.lost, number);
    put(s, 6, 10);
    spool_close(s);
}

/* headgate-li was killed when the segment was made and its first record was not whole: what waits
 * in the older ones stays, and the record has a place. */
static void a_segment_without_a_record_is_made_anew(void **state)
{
    struct place *p = *state;
    struct spool *s = opened(p, 1, 0); /* each record has a segment */
    struct spool_facts f;
    char path[300];

    put(s, 1, 100);
    put(s, 2, 100);
    put(s, 3, 100);
    spool_close(s);
    snprintf(path, sizeof path, "%s/%016x.seg", p->folder, 3u);
    for (off_t n = 50; n >= 32; n -= 18) { /* half a record; its head alone */
        assert_int_equal(truncate(path, n), 0);
        s = opened(p, 1, 0);
        put(s, 3, 60);
        spool_facts_of(s, &f);
        assert_true(f.lost == 0 && f.next == 4);
        expect(s, 1, 100);
        expect(s, 2, 100);
        expect(s, 3, 60);
        expect_none(s);
        spool_close(s);
    }
}

/* No file could be opened: that record is lost and counted, and no other goes for it. */
static void other_faults_than_a_full_disk_cost_no_older_records(void **state)
{
    struct place *p = *state;
    struct spool *s = opened(p, 1, 0);
    struct rlimit was, none;
    struct spool_facts f;
    uint64_t number = 0;

    put(s, 1, 100);
    put(s, 2, 100);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    none = (struct rlimit){0, was.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(spool_put(s, 1, VIEW("x"), &number), E_FULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    spool_facts_of(s, &f);
    assert_true(f.lost == 1 && f.next == 4);
    expect(s, 1, 100);
    expect(s, 2, 100);
    put(s, 4, 100);
    expect(s, 4, 100);
    spool_close(s);
}

static void numbers_that_no_spool_reaches_are_not_ours(void **state)
{
    struct place *p = *state;
    struct spool_cfg cfg = {p->folder, "case 1 to agency 2", &p->key, 0, 0, NULL, NULL};
    struct spool *s = NULL;
    char path[120];
    int fd = -1;

    snprintf(path, sizeof path, "%s/done", p->folder);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, "18446744073709551614", 20), 20);
    close(fd);
    assert_int_equal(spool_open(&cfg, &s), E_PARSE);
    unlink(path);
    snprintf(path, sizeof path, "%s/%016x.seg", p->folder, 0u);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, "HGSPOOL1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32), 32);
    close(fd);
    assert_int_equal(spool_open(&cfg, &s), E_PARSE);
}

int main(void)
{
#define IN_PLACE(f) cmocka_unit_test_setup_teardown(f, make_place, leave_place)
    const struct CMUnitTest tests[] = {
        IN_PLACE(what_comes_out_is_what_went_in),
        IN_PLACE(it_survives_a_restart),
        IN_PLACE(a_torn_record_is_taken_off),
        IN_PLACE(an_altered_record_is_counted_and_skipped),
        IN_PLACE(nobody_else_reads_it),
        IN_PLACE(the_oldest_goes_first_and_is_counted),
        IN_PLACE(a_full_disk_is_no_end),
        IN_PLACE(who_holds_most_gives_first),
        IN_PLACE(a_restart_forgets_no_loss),
        IN_PLACE(a_segment_without_a_record_is_made_anew),
        IN_PLACE(other_faults_than_a_full_disk_cost_no_older_records),
        IN_PLACE(numbers_that_no_spool_reaches_are_not_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
