#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/loop.h"

struct part {
    struct loop *l;
    struct loop_hook hook;
    struct loop_timer timer;
    char *log;
    char name;
    struct loop_hook *removes;
};

static void say(struct part *p)
{
    p->log[strlen(p->log)] = p->name;
}

static void on_turn_end(void *arg)
{
    struct part *p = arg;

    assert_false(loop_in_turn(p->l));
    say(p);
    if (p->removes != NULL) {
        loop_hook_remove(p->l, p->removes);
        p->removes = NULL;
    }
}

static void on_timer(void *arg)
{
    struct part *p = arg;

    assert_true(loop_in_turn(p->l));
    p->log[strlen(p->log)] = 't';
}

static void turn(struct loop *l, char *log, const char *want)
{
    memset(log, 0, 32);
    loop_run_once(l, false);
    assert_string_equal(log, want);
}

static void newest_first_and_removable(void **state)
{
    char log[32] = "";
    struct clock_fake clock;
    struct loop *l = NULL;
    struct part p[4];

    (void)state;
    clock_fake_init(&clock, 0);
    assert_int_equal(loop_new(&clock.clock, &l), E_OK);
    assert_false(loop_in_turn(l));
    for (size_t i = 0; i < 4; i++) {
        p[i] = (struct part){.l = l, .log = log, .name = (char)('0' + i)};
    }
    loop_on_turn_end(l, on_turn_end, &p[0]); /* the owner's comes before all hooks */
    for (size_t i = 1; i < 4; i++) {
        loop_hook_add(l, &p[i].hook, on_turn_end, &p[i]);
    }
    assert_int_equal(loop_timer_start(l, &p[1].timer, 0, on_timer, &p[1]), E_OK);
    turn(l, log, "t0321");
    p[3].removes = &p[2].hook; /* the one whose turn would be next */
    turn(l, log, "031");
    p[3].removes = &p[3].hook; /* itself */
    turn(l, log, "031");
    turn(l, log, "01");
    loop_hook_remove(l, &p[3].hook); /* not there: nothing happens */
    loop_hook_add(l, &p[2].hook, on_turn_end, &p[2]);
    p[0].removes = &p[2].hook;
    turn(l, log, "01");
    loop_hook_remove(l, &p[1].hook);
    turn(l, log, "0");
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(newest_first_and_removable)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
