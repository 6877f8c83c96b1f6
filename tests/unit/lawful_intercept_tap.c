#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "lawful_intercept/tap_file.h"
#include "lawful_intercept/tap_read.h"

struct place {
    char folder[64], path[80];
};

static int make_place(void **state)
{
    static struct place p;

    snprintf(p.folder, sizeof p.folder, "/tmp/headgate-tap.XXXXXX");
    assert_non_null(mkdtemp(p.folder));
    snprintf(p.path, sizeof p.path, "%s/tap", p.folder);
    *state = &p;
    return 0;
}

static int leave_place(void **state)
{
    struct place *p = *state;

    unlink(p->path);
    return rmdir(p->folder);
}

static void write_one(struct tap_ring *r, uint64_t line, struct view octets)
{
    struct tap_record one = {.kind = TAP_MESSAGE_IN,
                             .party = TAP_LINE,
                             .is_proven = true,
                             .line = line,
                             .at_us = line * 10,
                             .remote = {4, 5060, {192, 0, 2, 1}},
                             .text = {VIEW("0123456789abcdef"), octets}};
    tap_write(r, &one);
}

/* A trusted peer's order (RFC 5503 section 8) is no business of the agencies of ours. */
static void orders_of_others_are_not_read(void **state)
{
    struct place *p = *state;
    struct tap *t = NULL;
    struct tap_reader *reader = NULL;
    struct tap_record got,
        one = {.kind = TAP_MESSAGE_IN,
               .party = TAP_GATEWAY,
               .text = {VIEW("0123456789abcdef"),
                        VIEW("INVITE x SIP/2.0\r\nP-DCS-LAES: 192.0.2.9:5\r\n\r\n"),
                        VIEW("behind")}};
    uint64_t number = 0, lost = 0;

    assert_int_equal(tap_open(p->path, "", 1, TAP_RING_MIN, &t), E_OK);
    assert_int_equal(tap_attach(p->path, &reader), E_OK);
    tap_write(tap_ring_of(t, 0), &one);
    assert_int_equal(tap_next(reader, 0, &got, &number, &lost), E_OK);
    assert_true(view_eq(got.text[1], VIEW("INVITE x SIP/2.0\r\n\r\n")));
    assert_true(view_eq(got.text[2], VIEW("behind")));
    tap_detach(reader);
    tap_close(t);
}

static void a_record_comes_as_it_was_written(void **state)
{
    struct place *p = *state;
    struct tap *t = NULL;
    struct tap_reader *reader = NULL;
    struct tap_record got;
    struct stat st;
    uint64_t number = 0, lost = 0;

    assert_int_equal(tap_open(p->path, "", 2, TAP_RING_MIN, &t), E_OK);
    assert_int_equal(stat(p->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    write_one(tap_ring_of(t, 0), 1, VIEW("INVITE"));
    assert_int_equal(tap_attach(p->path, &reader), E_OK);
    assert_int_equal(tap_rings(reader), 2);
    write_one(tap_ring_of(t, 0), 2, VIEW(""));
    assert_int_equal(tap_next(reader, 0, &got, &number, &lost), E_OK);
    assert_true(got.line == 1 && number == 1 && lost == 0 && got.is_proven &&
                got.party == TAP_LINE && got.at_us == 10 && got.remote.ip[0] == 192);
    assert_true(view_eq(got.text[0], VIEW("0123456789abcdef")));
    assert_true(view_eq(got.text[1], VIEW("INVITE")));
    assert_int_equal(got.text[2].n, 0);
    assert_int_equal(tap_next(reader, 0, &got, &number, &lost), E_OK);
    assert_true(got.line == 2 && number == 2 && lost == 0 && got.text[1].n == 0);
    assert_int_equal(tap_next(reader, 0, &got, &number, &lost), E_NOTFOUND);
    assert_int_equal(tap_next(reader, 1, &got, &number, &lost), E_NOTFOUND);
    tap_detach(reader);
    tap_close(t);
    assert_int_equal(access(p->path, F_OK), -1);
    assert_null(tap_ring_of(NULL, 0));
    tap_write(NULL, &got);
}

static void what_was_overwritten_is_counted(void **state)
{
    struct place *p = *state;
    struct tap *t = NULL;
    struct tap_reader *reader = NULL, *late = NULL;
    struct tap_record got;
    char *octets = calloc(1, 5000);
    uint64_t number = 0, lost = 0, last = 0, sum = 0, read = 0;

    assert_int_equal(tap_open(p->path, "", 1, TAP_RING_MIN, &t), E_OK);
    assert_int_equal(tap_attach(p->path, &reader), E_OK);
    for (uint64_t i = 1; i <= 1000; i++) {
        write_one(tap_ring_of(t, 0), i, view_from(octets, i * 7919 % 5000));
    }
    assert_int_equal(tap_attach(p->path, &late), E_OK);
    while (tap_next(reader, 0, &got, &number, &lost) == E_OK) {
        assert_int_equal(got.line, number);
        assert_int_equal(number, last + lost + 1);
        assert_int_equal(got.text[1].n, number * 7919 % 5000);
        last = number;
        sum += lost;
        read++;
    }
    assert_int_equal(last, 1000);
    assert_int_equal(sum + read, 1000);
    assert_true(read > 60); /* most of what the ring holds, a part of a 256th excepted */
    assert_int_equal(tap_next(late, 0, &got, &number, &lost), E_OK);
    assert_int_equal(lost, number - 1);
    tap_detach(reader);
    tap_detach(late);
    tap_close(t);
    free(octets);
}

static void reading_goes_on_where_it_was(void **state)
{
    struct place *p = *state;
    struct tap *t = NULL, *again = NULL;
    struct tap_reader *reader = NULL;
    struct tap_position at;
    struct tap_record got;
    uint64_t number = 0, lost = 0;

    assert_int_equal(tap_open(p->path, "", 1, TAP_RING_MIN, &t), E_OK);
    for (uint64_t i = 1; i <= 5; i++) {
        write_one(tap_ring_of(t, 0), i, VIEW("x"));
    }
    assert_int_equal(tap_attach(p->path, &reader), E_OK);
    assert_int_equal(tap_next(reader, 0, &got, &number, &lost), E_OK);
    assert_int_equal(tap_next(reader, 0, &got, &number, &lost), E_OK);
    tap_position_of(reader, &at);
    tap_detach(reader);
    assert_int_equal(tap_attach(p->path, &reader), E_OK);
    assert_true(tap_resume(reader, &at));
    assert_int_equal(tap_next(reader, 0, &got, &number, &lost), E_OK);
    assert_true(number == 3 && lost == 0);
    assert_false(tap_is_replaced(reader));
    assert_int_equal(tap_open(p->path, "", 1, TAP_RING_MIN, &again), E_OK);
    assert_true(tap_is_replaced(reader));
    assert_int_equal(tap_next(reader, 0, &got, &number, &lost), E_OK); /* what is left of it */
    assert_int_equal(number, 4);
    tap_close(t); /* and leaves the file of the other alone */
    tap_detach(reader);
    assert_int_equal(tap_attach(p->path, &reader), E_OK);
    assert_false(tap_resume(reader, &at));
    tap_detach(reader);
    tap_close(again);
}

static void a_long_record_is_cut(void **state)
{
    struct place *p = *state;
    struct tap *t = NULL;
    struct tap_reader *reader = NULL;
    struct tap_record got;
    char *octets = calloc(1, 200000);
    uint64_t number = 0, lost = 0;

    assert_int_equal(tap_open(p->path, "", 1, TAP_RING_MIN, &t), E_OK);
    assert_int_equal(tap_attach(p->path, &reader), E_OK);
    for (int i = 0; i < 20; i++) {
        write_one(tap_ring_of(t, 0), 1, view_from(octets, 200000));
        assert_int_equal(tap_next(reader, 0, &got, &number, &lost), E_OK);
        assert_true(got.text[1].n > 70000 && got.text[1].n < TAP_RECORD_MAX && lost == 0);
    }
    tap_detach(reader);
    tap_close(t);
    free(octets);
}

static void what_is_no_tap_is_refused(void **state)
{
    struct place *p = *state;
    struct tap *t = NULL;
    struct tap_reader *reader = NULL;
    struct tap_record got;
    uint64_t number = 0, lost = 0;
    FILE *f = NULL;

    assert_int_equal(tap_open(p->path, "", 0, TAP_RING_MIN, &t), E_RANGE);
    assert_int_equal(tap_open(p->path, "", TAP_RINGS_MAX + 1, TAP_RING_MIN, &t), E_RANGE);
    assert_int_equal(tap_open(p->path, "", 1, TAP_RING_MIN + 4096, &t), E_RANGE);
    assert_int_equal(tap_open(p->path, "no such group", 1, TAP_RING_MIN, &t), E_NOTFOUND);
    assert_int_equal(tap_open("/no/such/folder/tap", "", 1, TAP_RING_MIN, &t), E_IO);
    assert_int_equal(tap_attach(p->path, &reader), E_NOTFOUND);
    f = fopen(p->path, "w");
    assert_non_null(f);
    fputs("something else", f);
    fclose(f);
    assert_int_equal(tap_attach(p->path, &reader), E_PARSE);
    assert_int_equal(tap_open(p->path, "", 1, TAP_RING_MIN, &t), E_OK);
    assert_int_equal(tap_attach(p->path, &reader), E_OK);
    write_one(tap_ring_of(t, 0), 1, VIEW("x"));
    f = fopen(p->path, "r+");
    assert_non_null(f);
    assert_int_equal(fseek(f, 2 * 4096, SEEK_SET), 0);
    assert_int_equal(fwrite("\xFF\xFF\xFF\xFF", 1, 4, f), 4); /* the record's length */
    fclose(f);
    assert_int_equal(tap_next(reader, 0, &got, &number, &lost), E_PARSE);
    assert_int_equal(tap_next(reader, 0, &got, &number, &lost), E_PARSE);
    tap_detach(reader);
    tap_close(t);
}

struct race {
    struct tap_ring *ring;
    atomic_bool over;
};

enum { RACE_RECORDS = 200000 };

static void *write_many(void *arg)
{
    struct race *race = arg;
    char octets[600];

    for (uint64_t i = 1; i <= RACE_RECORDS; i++) {
        size_t n = i * 31 % sizeof octets;
        memset(octets, (int)(i & 0xFF), sizeof octets);
        write_one(race->ring, i, view_from(octets, n));
    }
    atomic_store(&race->over, true);
    return NULL;
}

/* Beside a writer that waits for nobody every record is whole, and missing ones are counted. */
static void no_record_is_torn(void **state)
{
    struct place *p = *state;
    struct tap *t = NULL;
    struct tap_reader *reader = NULL;
    struct race race = {NULL, false};
    struct tap_record got;
    uint64_t number = 0, lost = 0, last = 0;
    pthread_t thread;

    assert_int_equal(tap_open(p->path, "", 1, TAP_RING_MIN, &t), E_OK);
    assert_int_equal(tap_attach(p->path, &reader), E_OK);
    race.ring = tap_ring_of(t, 0);
    assert_int_equal(pthread_create(&thread, NULL, write_many, &race), 0);
    while (last < RACE_RECORDS) {
        enum err e = tap_next(reader, 0, &got, &number, &lost);
        if (e == E_NOTFOUND) {
            continue;
        }
        assert_int_equal(e, E_OK);
        assert_int_equal(number, last + lost + 1);
        assert_int_equal(got.line, number);
        assert_int_equal(got.text[1].n, number * 31 % 600);
        for (size_t i = 0; i < got.text[1].n; i++) {
            assert_int_equal((unsigned char)got.text[1].p[i], number & 0xFF);
        }
        last = number;
    }
    pthread_join(thread, NULL);
    tap_detach(reader);
    tap_close(t);
}

struct liar { /* changes how long a text is while it is read */
    _Atomic uint32_t *text_n;
    uint32_t honest;
    atomic_bool is_over;
};

static void *lie(void *arg)
{
    struct liar *l = arg;

    while (!atomic_load_explicit(&l->is_over, memory_order_relaxed)) {
        atomic_store_explicit(l->text_n, UINT32_MAX, memory_order_relaxed);
        atomic_store_explicit(l->text_n, l->honest, memory_order_relaxed);
    }
    return NULL;
}

/* Nor may a program that was taken over write past a reader's memory. */
static void what_was_checked_is_what_is_read(void **state)
{
    struct place *p = *state;
    const struct tap_position begin = {{0}, {0}, {0}};
    struct tap_record got, one = {.kind = TAP_CALL_BEGIN, .text = {VIEW("id"), VIEW("0123456789")}};
    struct tap_position at;
    struct liar l = {.honest = 10};
    struct tap *t = NULL;
    pthread_t thread;
    size_t bytes = 2 * TAP_PAGE + TAP_RING_MIN;
    char *file = NULL;
    int fd = -1;

    assert_int_equal(tap_open(p->path, "", 1, TAP_RING_MIN, &t), E_OK);
    tap_write(tap_ring_of(t, 0), &one);
    fd = open(p->path, O_RDWR | O_CLOEXEC);
    file = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(file, MAP_FAILED);
    l.text_n = (void *)(file + 2 * TAP_PAGE + offsetof(struct tap_wire, text_n) + sizeof(uint32_t));
    assert_int_equal(pthread_create(&thread, NULL, lie, &l), 0);
    for (unsigned i = 0; i < 300; i++) {
        struct tap_reader *reader = NULL;
        uint64_t number = 0, lost = 0;
        enum err e = E_OK;
        assert_int_equal(tap_attach(p->path, &reader), E_OK);
        tap_position_of(reader, &at);
        for (unsigned k = 0; k < 1000 && e == E_OK; k++) {
            e = tap_next(reader, 0, &got, &number, &lost);
            assert_true(e != E_OK || got.text[1].n == l.honest);
            memcpy(at.at, begin.at, sizeof at.at);
            memcpy(at.number, begin.number, sizeof at.number);
            assert_true(tap_resume(reader, &at));
        }
        tap_detach(reader);
    }
    atomic_store(&l.is_over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    munmap(file, bytes);
    close(fd);
    tap_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(orders_of_others_are_not_read, make_place, leave_place),
        cmocka_unit_test_setup_teardown(a_record_comes_as_it_was_written, make_place, leave_place),
        cmocka_unit_test_setup_teardown(what_was_checked_is_what_is_read, make_place, leave_place),
        cmocka_unit_test_setup_teardown(what_was_overwritten_is_counted, make_place, leave_place),
        cmocka_unit_test_setup_teardown(reading_goes_on_where_it_was, make_place, leave_place),
        cmocka_unit_test_setup_teardown(a_long_record_is_cut, make_place, leave_place),
        cmocka_unit_test_setup_teardown(what_is_no_tap_is_refused, make_place, leave_place),
        cmocka_unit_test_setup_teardown(no_record_is_torn, make_place, leave_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
