#include "base/clock.h"

#include <time.h>

static uint64_t read_us(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t system_mono(void *arg)
{
    (void)arg;
    return read_us(CLOCK_MONOTONIC);
}

static uint64_t system_wall(void *arg)
{
    (void)arg;
    return read_us(CLOCK_REALTIME);
}

const struct clock *clock_system(void)
{
    static const struct clock c = {system_mono, system_wall, 0};

    return &c;
}

static uint64_t fake_mono(void *arg)
{
    return ((struct clock_fake *)arg)->mono_us;
}

static uint64_t fake_wall(void *arg)
{
    return ((struct clock_fake *)arg)->wall_us;
}

void clock_fake_init(struct clock_fake *f, uint64_t wall_us)
{
    f->clock = (struct clock){fake_mono, fake_wall, f};
    f->mono_us = 1000000;
    f->wall_us = wall_us;
}

void clock_fake_advance(struct clock_fake *f, uint64_t us)
{
    f->mono_us += us;
    f->wall_us += us;
}
