/* Numbers for what certificates proved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/mem.h"
#include "signaling/sip_peers.h"

static struct tls_names one(const char *name)
{
    struct tls_names n = {.n = 0};

    assert_int_equal(tls_names_add(&n, view_of(name)), E_OK);
    return n;
}

static void names_come_and_go(void **state)
{
    struct sip_peers *p = NULL;
    struct tls_names a = one("a.example"), b = one("b.example"), got;
    uint64_t x = 0, y = 0, z = 0;
    size_t live = mem_live();

    (void)state;
    assert_int_equal(sip_peers_new(0, &p), E_RANGE);
    assert_int_equal(sip_peers_new(2, &p), E_OK);
    assert_int_equal(sip_peers_names(p, 0, &got), E_NOTFOUND);
    assert_int_equal(sip_peers_add(p, &a, &x), E_OK);
    assert_int_equal(sip_peers_add(p, &b, &y), E_OK);
    assert_int_equal(sip_peers_add(p, &b, &z), E_FULL);
    assert_true(x != 0 && y != 0 && x != y && z == 0);
    assert_true(sip_peers_is(p, x, VIEW("A.example")));
    assert_false(sip_peers_is(p, x, VIEW("b.example")));
    assert_false(sip_peers_is(p, 0, VIEW("a.example")));
    assert_int_equal(sip_peers_names(p, y, &got), E_OK);
    assert_string_equal(got.v[0], "b.example");
    sip_peers_remove(p, x);
    sip_peers_remove(p, x); /* gone already */
    assert_int_equal(sip_peers_names(p, x, &got), E_NOTFOUND);
    assert_int_equal(sip_peers_add(p, &b, &z), E_OK);
    assert_true(z != x); /* the place is the same, the number is not */
    assert_false(sip_peers_is(p, x, VIEW("b.example")));
    assert_int_equal(sip_peers_names(p, z + 1000, &got), E_NOTFOUND);
    assert_int_equal(sip_peers_names(p, UINT64_MAX, &got), E_NOTFOUND);
    sip_peers_free(p);
    sip_peers_free(NULL);
    assert_int_equal(mem_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names_come_and_go)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
