/* base/loop.h - one event loop for one thread. The only door to libev.
 *
 * Shape      descriptors, timers, thread wake-ups, signals; a callback never blocks.
 * Units      milliseconds of the loop's clock (mono). loop_now_ms() is cached for each turn.
 * Timers     our own heap keyed by the clock, so that tests run with fake time: with a fake clock
 * call loop_advance() and every timer due fires in order (ties: in order of starting). A struct
 * loop_timer is embedded in its object, zero value = stopped; restarting moves it. Ownership
 * loop_io/loop_wake/loop_signal handles belong to the caller; freeing inside a callback of the same
 * handle is allowed. loop_free() wants all of them gone. Threads    everything from the loop's own
 * thread, except loop_wake_send() and loop_stop(): any. */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"

struct loop;
struct loop_io;
struct loop_wake;
struct loop_signal;

enum { LOOP_READ = 1, LOOP_WRITE = 2 };

typedef void loop_fn(void *arg);
typedef void loop_io_fn(void *arg, int fd, unsigned events);

MUST_CHECK enum err loop_new(const struct clock *clock, struct loop **out);
void loop_free(struct loop *l);
void loop_run(struct loop *l);                 /* until loop_stop() */
void loop_run_once(struct loop *l, bool wait); /* one turn: due timers and ready descriptors */
void loop_stop(struct loop *l);                /* any thread; sticky until loop_run() returned */
uint64_t loop_now_ms(const struct loop *l);
uint64_t loop_wall_us(const struct loop *l);
const struct clock *loop_clock(const struct loop *l);
void loop_advance(struct loop *l, struct clock_fake *f, uint64_t ms); /* fake time only */

struct loop_timer {
    size_t slot; /* 1-based place in the heap; 0 = stopped */
    uint64_t due_ms, order;
    loop_fn *fn;
    void *arg;
};
/* E_NOMEM only when the heap must grow and cannot. */
MUST_CHECK enum err loop_timer_start(struct loop *l, struct loop_timer *t, uint64_t after_ms,
                                     loop_fn *fn, void *arg);
void loop_timer_stop(struct loop *l, struct loop_timer *t);
static inline bool loop_timer_active(const struct loop_timer *t)
{
    return t->slot != 0;
}
size_t loop_timers(const struct loop *l); /* how many run */

MUST_CHECK enum err loop_io_start(struct loop *l, int fd, unsigned events, loop_io_fn *fn,
                                  void *arg, struct loop_io **out);
void loop_io_events(struct loop_io *io, unsigned events); /* 0 pauses */
void loop_io_stop(struct loop_io *io);                    /* NULL is fine; does not close fd */

MUST_CHECK enum err loop_wake_new(struct loop *l, loop_fn *fn, void *arg, struct loop_wake **out);
void loop_wake_send(struct loop_wake *w); /* any thread, async-signal-safe; coalesces */
void loop_wake_free(struct loop_wake *w);

MUST_CHECK enum err loop_signal_start(struct loop *l, int signo, loop_fn *fn, void *arg,
                                      struct loop_signal **out);
void loop_signal_stop(struct loop_signal *s);

/* Called at the end of every turn, after all callbacks: flush batches, reap. One for each loop: its
 * owner's. It runs before the hooks. */
void loop_on_turn_end(struct loop *l, loop_fn *fn, void *arg);

/* The same for the parts that live on the loop, as many as there are. A hook is embedded in its
 * object. Newest first: who was built on top of something ends its turn before it. A hook may
 * remove itself or any other. */
struct loop_hook {
    struct loop_hook *next;
    loop_fn *fn;
    void *arg;
};
void loop_hook_add(struct loop *l, struct loop_hook *h, loop_fn *fn, void *arg);
void loop_hook_remove(struct loop *l, struct loop_hook *h); /* not added: nothing happens */
/* Whether descriptor and timer callbacks run now, so that a turn end will follow soon. False in
 * turn-end callbacks: what is put off there would wait for the next turn. */
bool loop_in_turn(const struct loop *l);

#endif
