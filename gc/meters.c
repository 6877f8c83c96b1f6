/* The metrics of the workers. */
#include "gc/meters.h"

struct meter_row {
    enum metric_kind kind;
    const char *name, *labels, *help;
};

#define METER_ROW(id, kind, name, labels, help) {METRIC_##kind, name, labels, help},
static const struct meter_row rows[METER_COUNT] = {METERS(METER_ROW)};
#undef METER_ROW

unsigned meters_declare(struct metrics *m)
{
    unsigned first = 0;

    for (unsigned i = 0; i < METER_COUNT; i++) {
        unsigned id = metric_declare(m, rows[i].kind, rows[i].name, rows[i].labels, rows[i].help);
        first = i == 0 ? id : first;
        BUG_ON(id != first + i);
    }
    return first;
}
