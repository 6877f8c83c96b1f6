#include "lawful_intercept/order.h"

bool li_order_runs(const struct li_order *o, uint64_t at_us)
{
    return at_us >= o->starts_us && at_us < o->ends_us;
}

bool li_order_is_of(const struct li_order *o, uint64_t line, struct view number)
{
    if (o->line != 0 && line != 0) {
        return o->line == line;
    }
    return o->number[0] != 0 && line == 0 && view_eq(number, view_of(o->number));
}

const struct li_order *li_order_find(const struct li_orders *all, uint64_t id)
{
    for (size_t i = 0; i < all->n; i++) {
        if (all->v[i].id == id) {
            return &all->v[i];
        }
    }
    return NULL;
}
