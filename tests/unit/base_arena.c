/* The arena and the heap door below it: limits, zeroes, alignment, and failure on demand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/arena.h"
#include "base/mem.h"

static bool all_zero(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != 0) {
            return false;
        }
    }
    return true;
}

static void grows_zeroed_and_aligned(void **state)
{
    (void)state;
    struct arena a = {0};
    size_t before = mem_live();
    unsigned char *p[200];
    for (size_t i = 0; i < 200; i++) {
        size_t n = i * 37 % 6000;
        p[i] = arena_alloc(&a, n);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % 16, 0);
        assert_true(all_zero(p[i], n));
        memset(p[i], (int)i + 1, n);
    }
    for (size_t i = 0; i < 200; i++) { /* nothing lies over anything */
        for (size_t k = 0; k < i * 37 % 6000; k++) {
            assert_int_equal(p[i][k], (unsigned char)(i + 1));
        }
    }
    assert_true(mem_live() > before);
    arena_reset(&a);
    assert_int_equal(mem_live(), before);
    assert_int_equal(a.used_bytes, 0);
    assert_true(all_zero(arena_alloc(&a, 4096), 4096)); /* after a reset too */
    arena_fini(&a);
    arena_fini(&a);
    assert_int_equal(mem_live(), before);
}

static void limit_holds_and_survives_a_reset(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 3 * 4096);
    for (int turn = 0; turn < 2; turn++) {
        assert_non_null(arena_alloc(&a, 1));
        assert_null(arena_alloc(&a, 2 * 4096 + 1));
        assert_non_null(arena_alloc(&a, 2 * 4096)); /* exactly the limit */
        assert_int_equal(a.used_bytes, 3 * 4096);
        assert_null(arena_alloc(&a, 4096));
        arena_reset(&a);
    }
    arena_fini(&a);
    arena_init(&a, 0);
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX / 2 + 1));
    assert_null(arena_cstr(&a, (struct view){"x", SIZE_MAX}));
    arena_fini(&a);
}

static void copies(void **state)
{
    (void)state;
    struct arena a = {0};
    const char text[] = {'a', 0, 'b'};
    struct view v = arena_dup(&a, view_from(text, 3));
    assert_true(v.p != text && view_eq(v, view_from(text, 3)));
    assert_string_equal(arena_cstr(&a, VIEW("xyz")), "xyz");
    assert_string_equal(arena_cstr(&a, view_from(NULL, 0)), "");
    mem_fail_at(0);
    assert_null(arena_dup(&a, (struct view){"x", 5000}).p);
    assert_true(mem_failed());
    assert_non_null(arena_dup(&a, VIEW("y")).p);
    arena_fini(&a);
}

static void heap_fails_when_told(void **state)
{
    (void)state;
    size_t before = mem_live();
    char *p = mem_zalloc(8), *q = NULL;
    mem_fail_at(2);
    q = mem_strdup("text");
    assert_string_equal(q, "text");
    assert_false(mem_failed());
    mem_free(mem_zalloc_array(2, 8));
    assert_null(mem_resize(p, 100));
    assert_true(mem_failed());
    p[7] = 1;               /* what could not grow is alive */
    p = mem_resize(p, 100); /* and the failure was one */
    assert_int_equal(p[7], 1);
    assert_null(mem_zalloc_array(SIZE_MAX / 2, 3));
    p = mem_resize(p, 0);
    assert_non_null(p);
    mem_free(p);
    mem_free(q);
    mem_free(NULL);
    mem_fail_at(-1);
    assert_false(mem_failed());
    assert_int_equal(mem_live(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_zeroed_and_aligned),
        cmocka_unit_test(limit_holds_and_survives_a_reset),
        cmocka_unit_test(copies),
        cmocka_unit_test(heap_fails_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
