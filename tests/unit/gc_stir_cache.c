#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/mem.h"
#include "gc/stir_cache.h"

static struct {
    unsigned asked, woken;
    uint64_t last;
    bool is_full;
} seen;

static bool ask(void *arg, const char *url)
{
    (void)arg;
    (void)url;
    seen.asked += !seen.is_full;
    return !seen.is_full;
}

static void wake(void *arg, const struct stir_waiter *to)
{
    (void)arg;
    seen.woken++;
    seen.last = to->ticket;
}

static struct stir_cache *cache_of(size_t entries)
{
    const struct stir_cache_cfg cfg = {.entries = entries, .ask = ask, .wake = wake};
    struct stir_cache *c = NULL;
    memset(&seen, 0, sizeof seen);
    assert_int_equal(stir_cache_new(&cfg, &c), E_OK);
    return c;
}

static enum stir_found find(struct stir_cache *c, const char *url, uint64_t now_ms)
{
    struct stir_entry *e = NULL;
    enum stir_found found = stir_cache_find(c, view_of(url), now_ms, &e);
    assert_true((e == NULL) == (found == STIR_FOUND_NOTHING));
    stir_entry_free(e);
    return found;
}

static void wait_for(struct stir_cache *c, const char *url, uint64_t ticket)
{
    struct stir_entry *e = NULL;
    const struct stir_waiter w = {.ticket = ticket};
    assert_int_equal(stir_cache_find(c, view_of(url), 0, &e), STIR_FOUND_COMING);
    stir_cache_wait(c, e, &w);
}

static void one_fetch_for_all(void **state)
{
    (void)state;
    struct stir_cache *c = cache_of(4);
    const struct stir_waiter late = {.ticket = 999};
    struct stir_entry *e = NULL;
    for (uint64_t i = 1; i <= 100; i++) {
        wait_for(c, "https://a/", i);
    }
    assert_int_equal(seen.asked, 1);
    assert_int_equal(stir_cache_find(c, VIEW("https://a/"), 0, &e), STIR_FOUND_COMING);
    stir_cache_done(c, "https://a/", STIR_FETCH_TIMEOUT, NULL, NULL, 0, 100);
    assert_int_equal(seen.woken, 100);
    stir_cache_wait(c, e, &late); /* it came meanwhile: at once */
    assert_int_equal(seen.woken, 101);
    assert_int_equal(seen.last, 999);
    assert_int_equal(find(c, "https://a/", 101), STIR_FOUND_BAD);
    assert_int_equal(find(c, "https://a/", 99 + STIR_BAD_MS), STIR_FOUND_BAD);
    assert_int_equal(seen.asked, 1);
    assert_int_equal(find(c, "https://a/", 100 + STIR_BAD_MS), STIR_FOUND_COMING);
    assert_int_equal(seen.asked, 2);
    stir_cache_free(c);
}

static void it_stays_small(void **state)
{
    (void)state;
    struct stir_cache *c = cache_of(4);
    char url[32];
    for (unsigned i = 0; i < 4; i++) {
        snprintf(url, sizeof url, "https://a/%u", i);
        assert_int_equal(find(c, url, i), STIR_FOUND_COMING);
    }
    assert_int_equal(find(c, "https://b/", 9), STIR_FOUND_NOTHING); /* all are being fetched */
    stir_cache_done(c, "https://a/1", STIR_FETCH_ANSWER, NULL, NULL, 0, 10);
    assert_int_equal(find(c, "https://b/", 11), STIR_FOUND_COMING);
    assert_int_equal(stir_cache_size(c), 4);
    assert_int_equal(find(c, "https://a/1", 12), STIR_FOUND_NOTHING);
    stir_cache_free(c);
}

static void a_full_queue_leaves_nothing(void **state)
{
    (void)state;
    struct stir_cache *c = cache_of(4);
    seen.is_full = true;
    assert_int_equal(find(c, "https://a/", 0), STIR_FOUND_NOTHING);
    assert_int_equal(stir_cache_size(c), 0);
    stir_cache_free(c);
}

static void cleared_while_it_comes(void **state)
{
    (void)state;
    struct stir_cache *c = cache_of(4);
    wait_for(c, "https://a/", 5);
    stir_cache_clear(c);
    stir_cache_done(c, "https://a/", STIR_FETCH_ANSWER, NULL, NULL, 0, 0);
    assert_int_equal(seen.woken, 1);
    assert_int_equal(stir_cache_size(c), 0);
    stir_cache_done(c, "https://nobody/", STIR_FETCH_OK, NULL, "no", 0, 0); /* nobody asked */
    assert_int_equal(stir_cache_size(c), 0);
    stir_cache_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_fetch_for_all),
        cmocka_unit_test(it_stays_small),
        cmocka_unit_test(a_full_queue_leaves_nothing),
        cmocka_unit_test(cleared_while_it_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
