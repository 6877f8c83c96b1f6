/* bti/order.h - where the work order comes from: --digits, a file, standard input, or a user at a
 * terminal, who is asked again after a wrong try. Digits are secrets: wiped by order_free(). */
#ifndef BTI_ORDER_H
#define BTI_ORDER_H

#include "base/loop.h"
#include "bti/options.h"
#include "bti/say.h"

struct order {
    struct loop *loop;
    const struct say *say;
    struct loop_io *io; /* a user is typing */
    bool ask;           /* a user can be asked */
    size_t line_n, n;
    char line[128];
    char digits[WORK_ORDER_MAX + 2]; /* with '#' */
    void (*ready)(void *arg);
    void *arg;
};

/* Reads what can be read now. Says what is wrong. o->digits is taken over and wiped. */
MUST_CHECK enum err order_open(struct order *r, struct options *o, const struct say *say);
/* Calls ready, at once or when the user has typed; r->digits then ends in '#'. E_NOTFOUND: there is
 * no (further) work order. */
MUST_CHECK enum err order_want(struct order *r, struct loop *l, void (*ready)(void *arg),
                               void *arg);
void order_spent(struct order *r); /* the digits were sent */
void order_free(struct order *r);

#endif
