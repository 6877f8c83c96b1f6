/* base/clock.h - time that can be replaced. Two kinds that never mix: mono_ms for deadlines,
 * wall_us (microseconds since 1970, UTC) for evidence. Threads: reading is safe. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

struct clock {
    uint64_t (*mono_us)(void *arg);
    uint64_t (*wall_us)(void *arg);
    void *arg;
};

const struct clock *clock_system(void);

struct clock_fake {
    struct clock clock; /* hand &fake.clock to whoever needs a clock */
    uint64_t mono_us, wall_us;
};
void clock_fake_init(struct clock_fake *f, uint64_t wall_us);
void clock_fake_advance(struct clock_fake *f, uint64_t us);

static inline uint64_t clock_mono_ms(const struct clock *c)
{
    return c->mono_us(c->arg) / 1000;
}
static inline uint64_t clock_wall_us(const struct clock *c)
{
    return c->wall_us(c->arg);
}

#endif
