#include "base/mem.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static atomic_long fail_countdown = -1;
static atomic_bool fail_fired;
static atomic_size_t live;

static bool must_fail(void)
{
    if (atomic_load_explicit(&fail_countdown, memory_order_relaxed) < 0) {
        return false;
    }
    if (atomic_fetch_sub(&fail_countdown, 1) == 0) {
        fail_fired = true;
        return true;
    }
    return false;
}

static void *counted(void *p)
{
    if (p != NULL) {
        atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    }
    return p;
}

void *mem_zalloc(size_t n)
{
    return must_fail() ? NULL : counted(calloc(1, n > 0 ? n : 1));
}

void *mem_zalloc_array(size_t count, size_t size)
{
    if (size > 0 && count > SIZE_MAX / size) {
        return NULL;
    }
    return mem_zalloc(count * size);
}

void *mem_resize(void *p, size_t n)
{
    if (must_fail()) {
        return NULL;
    }
    n = n > 0 ? n : 1; /* realloc(p, 0) would give p back to the heap and say NULL */
    return p == NULL ? counted(malloc(n)) : realloc(p, n);
}

char *mem_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = mem_resize(NULL, n);

    return copy != NULL ? memcpy(copy, s, n) : NULL;
}

void mem_free(void *p)
{
    if (p != NULL) {
        atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
        free(p);
    }
}

void mem_fail_at(long nth)
{
    fail_fired = false;
    fail_countdown = nth;
}

bool mem_failed(void)
{
    return fail_fired;
}

size_t mem_live(void)
{
    return live;
}
